//! Expected time to a target by batch size.

use super::super::chart::{Axis, Chart, ROW, rows};
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::Shape;
use super::super::text::{batch_range, batch_tick, int, num, percent_rough, tick};
use super::{ACROSS, equivalent};
use crate::advice::Advice;

/// Draws the median and its band.
pub(super) fn figure(advice: &Advice) -> Figure {
    let time = &advice.time_to_target;
    let (low, high) = equivalent(advice);
    let batches = time.bands.iter().map(|b| b.batch as f64).chain([
        advice.batch_size as f64,
        time.time_optimal as f64,
        low,
        high,
    ]);
    let values: Vec<f64> = time.bands.iter().flat_map(|b| [b.median, b.low, b.high]).chain([1.0]).collect();
    let x = Scale::new(Kind::Octaves, batches, ACROSS);
    let own = advice.batch_size;
    let lines = if time.time_optimal == own {
        vec![(own as f64, "advice", format!("advised and fastest {}", int(own)))]
    } else {
        vec![
            (own as f64, "advice", format!("advised {}", int(own))),
            (time.time_optimal as f64, "knee", format!("fastest {}", int(time.time_optimal))),
        ]
    };
    let rows = rows(&x, &lines);
    let top = 28.0 + ROW * rows as f64;
    let y = Scale::log_beyond(3.0, Kind::Linear, &values, (335.0, top));
    let up = if y.is_log() {
        "time to target, relative to the best (log)"
    } else {
        "time to target, relative to the best"
    };
    let mut chart = Chart::new(x, y, rows);
    chart.band_across(
        low,
        high,
        "area-advice",
        &format!("equivalent: {}", batch_range(advice.equivalent_batch_sizes)),
    );
    chart.axes(&Axis::new("batch size (examples)", &batch_tick), &Axis::new(up, &tick));
    chart.level(1.0, "even", "");
    let band: Vec<_> = time.bands.iter().map(|b| (b.batch as f64, b.low, b.high)).collect();
    chart.area(&band, "area-data", "90 % band");
    chart.line(time.bands.iter().map(|b| (b.batch as f64, b.median)), "data");
    for (at, class, label) in &lines {
        chart.upright(*at, class, label);
    }
    for b in &time.bands {
        if band.len() == 1 {
            chart.bar(b.batch as f64, b.low, b.high, "data");
        }
        let regret = match time.regrets.iter().find(|r| r.0 == b.batch) {
            Some(r) => format!("; expected regret {}", percent_rough(r.1)),
            None => String::new(),
        };
        let tip =
            format!("batch {}: {} ({}–{}){regret}", int(b.batch), num(b.median), num(b.low), num(b.high));
        chart.point(b.batch as f64, b.median, Shape::Dot, "data", &tip);
    }
    if time.bands.is_empty() {
        chart.words("no expected times");
    }
    let mut legend = vec![
        (Swatch::Line("data"), "median".to_owned()),
        (Swatch::Area("area-data"), "90 % band".to_owned()),
    ];
    if low < high {
        legend.push((Swatch::Area("area-advice"), "equivalent batch sizes".to_owned()));
    }
    if time.bands.is_empty() {
        legend.clear();
    }
    Figure {
        id: "fig-time-to-target",
        name: "Expected time to target".to_owned(),
        spoken: format!(
            "Expected time to target against batch size; advised {}, equivalent {}",
            int(advice.batch_size),
            batch_range(advice.equivalent_batch_sizes)
        ),
        height: 380.0,
        body: chart.finish(),
        legend,
        caption: caption(advice),
    }
}

fn caption(advice: &Advice) -> String {
    let time = &advice.time_to_target;
    let mut words =
        "Time per step × steps needed, T(B) = t(B)(1 + B_c/B), with the errors of both. ".to_owned();
    let range = batch_range(advice.equivalent_batch_sizes);
    let [a, b] = advice.equivalent_batch_sizes;
    if a == b {
        words.push_str(&format!("Only batch size {range} is within 5 % of the least expected regret."));
    } else {
        words.push_str(&format!("Batch sizes {range} are within 5 % of each other in expected regret"));
        words.push_str(if advice.batch_size == a.min(b) {
            "; the smallest is advised, as it needs the fewest examples."
        } else {
            "."
        });
    }
    if let Some((_, regret)) = time.regrets.iter().find(|r| r.0 == advice.batch_size) {
        words.push_str(&format!(
            " The advised {} is expected to take {} longer than the best batch of each draw.",
            int(advice.batch_size),
            percent_rough(*regret)
        ));
    }
    let bound = advice.noise.critical_batch.as_ref().is_some_and(|c| c.lower_bound_only);
    if !bound && time.bands.iter().any(|b| b.batch > time.time_optimal) {
        words.push_str(&format!(" Above {}, both time and examples grow.", int(time.time_optimal)));
    }
    if bound {
        words.push_str(" This is for B_c at its lower bound: it may be larger, and larger batches better.");
    }
    if advice.noise.critical_batch.is_none() {
        words.push_str(
            " No critical batch was identified, so the steps needed are not known from measurement.",
        );
    }
    words
}
