//! Expected time to the target by batch size.

use super::{ACROSS, batch_axis};
use crate::fit::Settings;
use crate::report::chart::{Axis, Chart, ROW};
use crate::report::figure::{Figure, Swatch};
use crate::report::scale::{Kind, Scale};
use crate::report::sign::Shape;
use crate::report::text::{batch_tick, int, num, percent_rough, seconds, tick};
use batchwise_estimate::decide::Decision;

/// Draws the time of every candidate with its band, and the choice.
pub(crate) fn figure(decision: Option<&Decision>, settings: &Settings) -> Figure {
    let standings = decision.map_or(&[][..], |d| &d.standings);
    let x = Scale::new(Kind::Octaves, standings.iter().map(|s| s.batch as f64), ACROSS);
    let times: Vec<f64> = standings.iter().flat_map(|s| [s.time.median, s.time.low, s.time.high]).collect();
    let y = Scale::new(Kind::Log, times, (310.0, 34.0 + ROW));
    let absolute = decision.is_some_and(|d| d.absolute);
    let mut chart = Chart::new(x, y, 1);
    if let Some(d) = decision {
        chart.band_across(
            d.equivalent.0 as f64,
            d.equivalent.1 as f64,
            "area-advice",
            "equivalent batch sizes",
        );
    }
    let label: &dyn Fn(f64) -> String = if absolute { &seconds } else { &tick };
    let up = if absolute { "time to target (log)" } else { "time to target, relative to the best (log)" };
    chart.axes(&Axis::new(&batch_axis(settings), &batch_tick), &Axis::new(up, label));
    let band: Vec<(f64, f64, f64)> =
        standings.iter().map(|s| (s.batch as f64, s.time.low, s.time.high)).collect();
    chart.area(&band, "area-data", "90 % band");
    chart.line(standings.iter().map(|s| (s.batch as f64, s.time.median)), "data");
    if let Some(d) = decision {
        chart.upright(d.batch_size as f64, "advice", &format!("chosen {}", int(d.batch_size)));
    }
    for s in standings {
        let tip = format!(
            "batch {}: {} ({}–{}); expected regret {}",
            int(s.batch),
            label(s.time.median),
            num(s.time.low),
            num(s.time.high),
            percent_rough(s.expected_regret)
        );
        chart.point(s.batch as f64, s.time.median, Shape::Dot, "data", &tip);
    }
    let mut legend = vec![
        (Swatch::Line("data"), "median".to_owned()),
        (Swatch::Area("area-data"), "90 % band".to_owned()),
        (Swatch::Area("area-advice"), "equivalent batch sizes".to_owned()),
    ];
    if decision.is_none() {
        chart.words("no batch size could be chosen");
        legend.clear();
    }
    Figure {
        id: "fit-decide",
        name: "Time to the target".to_owned(),
        spoken: "Expected time to the target against batch size".to_owned(),
        height: 356.0,
        body: chart.finish(),
        legend,
        caption: decision.map_or_else(String::new, |d| d.binding_reason.clone()),
    }
}
