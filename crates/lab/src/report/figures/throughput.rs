//! Throughput and time of a step by batch size.

use super::super::chart::{Axis, Chart, ROW, rows};
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::Shape;
use super::super::text::{batch_tick, int, num, percent, seconds, tick};
use super::{ACROSS, equivalent};
use crate::advice::{Advice, SpeedAdvice, SpeedPoint};
use batchwise_estimate::time::TimeModel;

/// How finely the fitted curve is drawn.
const STEPS: usize = 80;

/// Draws examples per second above, seconds per step below.
pub(super) fn figure(advice: &Advice) -> Figure {
    let speed = &advice.speed;
    let (low, high) = equivalent(advice);
    let curve = curve(speed);
    let knee = speed.knee.is_finite() && speed.knee >= 1.0;
    // A knee far beyond what was measured would squeeze everything else.
    let largest = speed.points.iter().map(|p| p.batch).max().unwrap_or(0).max(advice.batch_size) as f64;
    let knee_near = knee && speed.knee <= largest * 8.0;
    let batches: Vec<f64> = speed
        .points
        .iter()
        .map(|p| p.batch as f64)
        .chain([advice.batch_size as f64, low, high])
        .chain(knee_near.then_some(speed.knee))
        .collect();
    let x = Scale::new(Kind::Octaves, batches, ACROSS);

    let mut lines = vec![(advice.batch_size as f64, "advice", format!("advised {}", int(advice.batch_size)))];
    if knee_near {
        let label = format!("knee {} ({})", num(speed.knee), percent(speed.knee_efficiency));
        lines.push((speed.knee, "knee", label));
    }
    let rows = rows(&x, &lines);
    let top = 28.0 + ROW * rows as f64;
    let ends = |p: &SpeedPoint| {
        let (rate, error) = (rate(p), rate(p) * relative(p));
        [rate, rate - error, rate + error]
    };
    let rates: Vec<f64> = speed.points.iter().flat_map(ends).collect();
    let y = Scale::log_beyond(40.0, Kind::FromZero, &rates, (260.0, top));
    let up = if y.is_log() { "throughput (examples/s, log)" } else { "throughput (examples/s)" };
    let mut chart = Chart::new(x.clone(), y, rows);
    chart.band_across(low, high, "area-advice", "equivalent batch sizes");
    chart.axes(&Axis::new("", &batch_tick), &Axis::new(up, &tick));
    chart.line(curve.iter().map(|&(b, s)| (b, b / s)), "model");
    for (at, class, label) in &lines {
        chart.upright(*at, class, label);
    }
    for p in &speed.points {
        let error = rate(p) * relative(p);
        chart.bar(p.batch as f64, rate(p) - error, rate(p) + error, "data");
        chart.point(p.batch as f64, rate(p), shape(p), "data", &tip(p));
    }
    if speed.points.is_empty() {
        chart.words("no step was timed");
    }
    let mut body = chart.finish();

    let y = Scale::log_beyond(4.0, Kind::FromZero, &times(speed), (412.0, 316.0));
    let up = if y.is_log() { "time per step (log)" } else { "time per step" };
    let mut chart = Chart::new(x, y, 0);
    chart.band_across(low, high, "area-advice", "equivalent batch sizes");
    chart.axes(&Axis::new("batch size (examples)", &batch_tick), &Axis::new(up, &seconds));
    chart.line(curve.iter().copied(), "model");
    chart.upright(advice.batch_size as f64, "advice", "");
    for p in &speed.points {
        chart.bar(p.batch as f64, p.seconds - p.spread, p.seconds + p.spread, "data");
        chart.point(p.batch as f64, p.seconds, shape(p), "data", &tip(p));
    }
    if !speed.points.is_empty() {
        body.push_str(&chart.finish());
    }

    let mut legend = vec![(Swatch::Bar("data"), "measured, ± standard error".to_owned())];
    if speed.points.iter().any(|p| p.micro_batch < p.batch) {
        legend.push((Swatch::Point(Shape::Ring, "data"), "measured in several micro-batches".to_owned()));
    }
    if !curve.is_empty() {
        let fitted = is_fitted(speed);
        legend
            .push((Swatch::Line("model"), if fitted { "fitted t(B)" } else { "measured curve" }.to_owned()));
    }
    if low < high {
        legend.push((Swatch::Area("area-advice"), "equivalent batch sizes".to_owned()));
    }
    if speed.points.is_empty() {
        legend.clear();
    }
    Figure {
        id: "fig-throughput",
        name: "Throughput and time per step".to_owned(),
        spoken: format!(
            "Examples per second and seconds per step against batch size, {} points",
            speed.points.len()
        ),
        height: 457.0,
        body,
        legend,
        caption: caption(advice),
    }
}

/// The fitted curve over the range measured; the points themselves where no model fits.
fn curve(speed: &SpeedAdvice) -> Vec<(f64, f64)> {
    let mut measured: Vec<(f64, f64)> = speed.points.iter().map(|p| (p.batch as f64, p.seconds)).collect();
    measured.retain(|p| p.0 > 0.0 && p.1 > 0.0 && p.1.is_finite());
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(first), Some(last)) = (measured.first(), measured.last()) else { return measured };
    let (low, high) = (first.0, last.0);
    let at = |i: usize| low * (high / low).powf(i as f64 / STEPS as f64);
    if let Some(fit) = speed.step_time.as_ref().filter(|_| speed.model != "measured") {
        let curve: Vec<_> = (0..=STEPS).map(|i| (at(i), fit.seconds(at(i)))).collect();
        if curve.iter().all(|p| p.1.is_finite() && 0.0 < p.1) {
            return curve;
        }
    }
    let shape = match model(&speed.model) {
        Some(TimeModel::Overlap { .. }) => {
            TimeModel::Overlap { gamma: speed.gamma.filter(|g| *g > 0.0).unwrap_or(1.0) }
        }
        Some(other) => other,
        None => return measured,
    };
    (0..=STEPS)
        .map(|i| (at(i), shape.join(speed.overhead_seconds, speed.seconds_per_example * at(i))))
        .collect()
}

fn is_fitted(speed: &SpeedAdvice) -> bool {
    model(&speed.model).is_some() || matches!(speed.model.as_str(), "quantised" | "two_slopes")
}

fn model(name: &str) -> Option<TimeModel> {
    match name {
        "sum" => Some(TimeModel::Sum),
        "max" => Some(TimeModel::Max),
        "overlap" => Some(TimeModel::Overlap { gamma: 1.0 }),
        _ => None,
    }
}

fn times(speed: &SpeedAdvice) -> Vec<f64> {
    speed.points.iter().flat_map(|p| [p.seconds, p.seconds + p.spread]).collect()
}

fn rate(p: &SpeedPoint) -> f64 {
    p.batch as f64 / p.seconds
}

fn relative(p: &SpeedPoint) -> f64 {
    (p.spread / p.seconds).clamp(0.0, 0.99)
}

fn shape(p: &SpeedPoint) -> Shape {
    if p.micro_batch < p.batch { Shape::Ring } else { Shape::Dot }
}

fn tip(p: &SpeedPoint) -> String {
    let micro = if p.micro_batch < p.batch {
        format!(" in micro-batches of {}", int(p.micro_batch))
    } else {
        String::new()
    };
    format!(
        "batch {}{micro}: {} per step ± {}, {} examples/s; {} steps timed, {} of the time waiting for data",
        int(p.batch),
        seconds(p.seconds),
        seconds(p.spread),
        num(rate(p)),
        int(p.n_steps),
        percent(p.data_wait)
    )
}

fn caption(advice: &Advice) -> String {
    let speed = &advice.speed;
    let mut words = match (speed.model.as_str(), speed.gamma) {
        ("sum", _) => "The time of a step is a + cB".to_owned(),
        ("max", _) => "The time of a step is the larger of a and cB".to_owned(),
        ("overlap", Some(gamma)) => {
            format!("The time of a step is (a^γ + (cB)^γ)^(1/γ) with γ = {}", num(gamma))
        }
        ("quantised", _) => "The time of a step is a + cB, with B rounded up to whole quanta,".to_owned(),
        ("two_slopes", _) => "The time of a step is a + cB, with a smaller c before a bend,".to_owned(),
        ("overlap", None) => "The time of a step is (a^γ + (cB)^γ)^(1/γ)".to_owned(),
        _ => "No model describes the time of a step; the measured times are used as they are.".to_owned(),
    };
    if is_fitted(speed) {
        words.push_str(&format!(
            " with a = {} per step and c = {} per example; the largest departure is {}{}.",
            seconds(speed.overhead_seconds),
            seconds(speed.seconds_per_example),
            percent(speed.misfit),
            if speed.misfit > 0.10 { ", too much to rely on the curve" } else { "" }
        ));
    }
    if speed.knee.is_finite() && speed.knee >= 1.0 {
        words.push_str(&format!(
            " {} of the peak throughput is reached at batch {}: beyond it, a larger batch hardly processes more \
             examples per second.",
            percent(speed.knee_efficiency),
            num(speed.knee)
        ));
    } else {
        words.push_str(" No knee lies in the range of batch sizes: throughput does not limit the choice.");
    }
    words
}
