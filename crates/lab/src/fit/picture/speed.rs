//! Examples per second by batch size.

use super::{ACROSS, batch_axis, between, thinned};
use crate::fit::Settings;
use crate::report::chart::{Axis, Chart, ROW};
use crate::report::figure::{Figure, Swatch};
use crate::report::scale::{Kind, Scale};
use crate::report::sign::Shape;
use crate::report::text::{batch_tick, int, num, percent, seconds, tick};
use batchwise_estimate::time::{SpeedFit, Timing};

const TOP: f64 = 34.0 + ROW;

/// Draws what was measured, the fitted curve with its band, and the knee.
pub(crate) fn figure(fit: &SpeedFit, knee_at: f64, settings: &Settings) -> Figure {
    let rate = |batch: f64, seconds: f64| batch / seconds;
    let (low, high) =
        (fit.points.first().map_or(1.0, |p| p.batch), fit.points.last().map_or(1.0, |p| p.batch));
    let knee = fit.knees.iter().find(|knee| knee.efficiency == knee_at).map(|knee| &knee.batch);
    let near =
        knee.and_then(batchwise_estimate::outcome::Outcome::value).filter(|v| *v >= 1.0 && *v <= 8.0 * high);
    let x = Scale::new(Kind::Octaves, [low, high].into_iter().chain(near), ACROSS);
    let rates: Vec<f64> = fit.points.iter().map(|p| rate(p.batch, p.seconds)).collect();
    let y = Scale::log_beyond(20.0, Kind::FromZero, &rates, (310.0, TOP));
    let mut chart = Chart::new(x, y, 1);
    if let Some(knee) = knee
        && let (Some(from), Some(to)) = (knee.low(), knee.high())
    {
        chart.band_across(from.max(low), to.min(8.0 * high), "area-second", "interval of the knee");
    }
    let up = format!("{} per second", settings.examples());
    chart.axes(&Axis::new(&batch_axis(settings), &batch_tick), &Axis::new(&up, &tick));
    let band: Vec<(f64, f64, f64)> =
        fit.band.iter().map(|t| (t.batch, rate(t.batch, t.high), rate(t.batch, t.low))).collect();
    chart.area(&band, "area-data", "interval of the fitted curve");
    let end = near.map_or(high, |v| v.max(high));
    chart.line(between(low, end).map(|b| (b, rate(b, fit.time.seconds(b)))), "model");
    if let Some(v) = near {
        chart.upright(v, "knee", &format!("knee {} ({})", num(v), percent(knee_at)));
    }
    for p in &fit.points {
        let error = (p.spread / p.seconds).clamp(0.0, 0.9);
        let at = rate(p.batch, p.seconds);
        chart.bar(p.batch, at * (1.0 - error), at * (1.0 + error), "data");
        let tip = format!(
            "batch {}: {} ± {}, {} timings",
            int(p.batch as u64),
            seconds(p.seconds),
            seconds(p.spread),
            p.timings
        );
        chart.point(p.batch, at, Shape::Dot, "data", &tip);
    }
    Figure {
        id: "fit-speed",
        name: "Throughput".to_owned(),
        spoken: format!("Examples per second against batch size, {} batch sizes", fit.points.len()),
        height: 356.0,
        body: chart.finish(),
        legend: vec![
            (Swatch::Bar("data"), "median, ± standard error".to_owned()),
            (Swatch::Line("model"), format!("fitted t(B), {}", fit.time.name().replace('_', " "))),
            (Swatch::Area("area-data"), format!("its {} interval", settings.percent())),
            (Swatch::Area("area-second"), "interval of the knee".to_owned()),
        ],
        caption: "Beyond the knee a larger batch hardly processes more examples per second.".to_owned(),
    }
}

/// Draws the timings alone, where nothing was fitted.
pub(crate) fn nothing(timings: &[Timing], settings: &Settings) -> Figure {
    let x = Scale::new(Kind::Octaves, timings.iter().map(|t| t.batch), ACROSS);
    let times: Vec<f64> = timings.iter().map(|t| t.seconds).collect();
    let mut chart = Chart::new(x, Scale::log_beyond(20.0, Kind::FromZero, &times, (310.0, 34.0)), 0);
    chart.axes(&Axis::new(&batch_axis(settings), &batch_tick), &Axis::new("time of a step", &seconds));
    for t in thinned(timings) {
        chart.point(t.batch, t.seconds, Shape::Dot, "data", &seconds(t.seconds));
    }
    Figure {
        id: "fit-speed",
        name: "Time of a step".to_owned(),
        spoken: "Time of a step against batch size".to_owned(),
        height: 352.0,
        body: chart.finish(),
        legend: vec![(Swatch::Point(Shape::Dot, "data"), "timed".to_owned())],
        caption: "Too few batch sizes were timed for a curve.".to_owned(),
    }
}
