//! The gradient noise scale over a short training.

use super::super::chart::{Axis, Chart};
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::Shape;
use super::super::text::{int, num, percent, ratio, rough, tick};
use super::ACROSS_LABELLED;
use crate::advice::{Advice, NoisePoint};
use crate::prose::capitalized;
use batchwise_estimate::critical::CriticalBatch;
use batchwise_estimate::fieller::Ratio;

/// Draws φ at each moment, its average and the critical batch.
pub(super) fn figure(advice: &Advice) -> Figure {
    let noise = &advice.noise;
    let critical = noise.critical_batch.as_ref();
    let y = Scale::new(Kind::Log, shown(advice), (310.0, 28.0));
    let x = Scale::new(Kind::Linear, noise.points.iter().map(|p| p.examples_seen as f64), ACROSS_LABELLED);
    let mut chart = Chart::new(x, y, 0);
    let up = format!("noise scale φ ({}, log)", noise.unit);
    if let Some(c) = critical.filter(|c| !c.lower_bound_only) {
        chart.band_up(c.low, c.high, "area-second", &critical_words(c));
    }
    if let Ratio::Measured { low, high, .. } = noise.average {
        chart.band_up(low, high, "area-data", &format!("average φ = {}", ratio(&noise.average)));
    }
    chart.axes(&Axis::new("examples seen before the measurement", &tick), &Axis::new(&up, &tick));
    match noise.average {
        Ratio::Measured { value, .. } => chart.level(value, "data", &format!("average φ {}", rough(value))),
        Ratio::LowerBound { low } => chart.level(low, "data", &format!("average φ ≥ {}", rough(low))),
        Ratio::WholeLine | Ratio::NotIdentified { .. } => {}
    }
    match critical {
        Some(c) if c.lower_bound_only => chart.level(c.low, "knee", &format!("B_c ≥ {}", rough(c.low))),
        Some(c) => chart.level(c.median, "knee", &format!("B_c {}", rough(c.median))),
        None => {}
    }
    chart.level(advice.batch_size as f64, "advice", &format!("advised {}", int(advice.batch_size)));
    for p in &noise.points {
        draw(&mut chart, p);
    }
    if noise.points.is_empty() {
        chart.words("the noise was not measured");
    }
    Figure {
        id: "fig-noise",
        name: "Gradient noise scale during training".to_owned(),
        spoken: format!(
            "Gradient noise scale at {} moments of a short training; average {}",
            noise.points.len(),
            ratio(&noise.average)
        ),
        height: 355.0,
        body: chart.finish(),
        legend: legend(advice),
        caption: caption(advice),
    }
}

fn draw(chart: &mut Chart, p: &NoisePoint) {
    let x = p.examples_seen as f64;
    let tip = format!(
        "after {} examples: φ {}; training loss {}; {} measurements of {} × {} examples",
        int(p.examples_seen),
        words(p),
        num(p.loss),
        int(p.n_measurements),
        int(p.micro_batches),
        int(p.micro_batch)
    );
    match (p.grade.as_str(), p.phi, p.low) {
        ("measured", Some(phi), low) if phi.is_finite() => {
            if let Some(high) = p.high {
                chart.bar(x, low.unwrap_or(0.0), high, "data");
            }
            if phi > 0.0 {
                chart.point(x, phi, Shape::Dot, "data", &tip);
            }
        }
        ("lower_bound", _, Some(low)) if low.is_finite() && low > 0.0 => chart.arrow_up(x, low, "data", &tip),
        _ => chart.words_at(x, "not identified", &tip),
    }
}

/// φ of one moment in words.
fn words(p: &NoisePoint) -> String {
    match (p.grade.as_str(), p.phi, p.low, p.high) {
        ("measured", Some(phi), Some(low), Some(high)) => {
            format!("{} ({}–{})", rough(phi), rough(low), rough(high))
        }
        ("measured", Some(phi), _, _) => rough(phi),
        ("lower_bound", _, Some(low), _) => format!("≥ {}", rough(low)),
        _ => "not identified".to_owned(),
    }
}

/// What the vertical axis must hold: every centre, and of the intervals what is not absurdly far from them.
fn shown(advice: &Advice) -> Vec<f64> {
    let noise = &advice.noise;
    let mut centres: Vec<f64> = noise.points.iter().filter_map(|p| p.phi.or(p.low)).collect();
    let mut ends: Vec<f64> = noise.points.iter().flat_map(|p| [p.low, p.high]).flatten().collect();
    centres.extend(noise.average.value().or(noise.average.low()));
    ends.extend([noise.average.low(), noise.average.high()].into_iter().flatten());
    // Room for the arrows of bounds.
    ends.extend(noise.points.iter().filter(|p| p.high.is_none()).filter_map(|p| p.low).map(|low| low * 2.0));
    if let Some(c) = &noise.critical_batch {
        centres.push(if c.lower_bound_only { c.low } else { c.median });
        ends.push(c.low);
        ends.extend((!c.lower_bound_only).then_some(c.high));
    }
    centres.push(advice.batch_size as f64);
    centres.retain(|v| v.is_finite() && *v > 0.0);
    let low = centres.iter().copied().fold(f64::INFINITY, f64::min) / 100.0;
    let high = centres.iter().copied().fold(0.0, f64::max) * 100.0;
    centres.extend(ends.into_iter().filter(|v| v.is_finite() && *v > 0.0).map(|v| v.max(low).min(high)));
    centres
}

fn critical_words(c: &CriticalBatch) -> String {
    if c.lower_bound_only {
        format!("critical batch B_c ≥ {}", rough(c.low))
    } else {
        format!("critical batch B_c = {} ({}–{}, 90 %)", rough(c.median), rough(c.low), rough(c.high))
    }
}

fn legend(advice: &Advice) -> Vec<(Swatch, String)> {
    let noise = &advice.noise;
    let any = |grade: &str| noise.points.iter().any(|p| p.grade == grade);
    let mut legend = Vec::new();
    if any("measured") {
        legend.push((Swatch::Bar("data"), format!("φ with its {} interval", percent(noise.confidence))));
    }
    if any("lower_bound") {
        legend.push((Swatch::Arrow("data"), "lower bound: φ is at least this".to_owned()));
    }
    if noise.average.high().is_some() {
        legend.push((Swatch::Area("area-data"), "average φ".to_owned()));
    } else if noise.average.low().is_some() {
        legend.push((Swatch::Mark("data"), "lower bound of average φ".to_owned()));
    }
    match &noise.critical_batch {
        Some(c) if c.lower_bound_only => legend.push((Swatch::Mark("knee"), "lower bound of B_c".to_owned())),
        Some(_) => legend.push((Swatch::Area("area-second"), "critical batch B_c, 90 %".to_owned())),
        None => {}
    }
    legend
}

fn caption(advice: &Advice) -> String {
    let noise = &advice.noise;
    let mut words = format!(
        "Measured with the parameters frozen, during a training with batch {} at learning rate {}. ",
        int(noise.anchor_batch),
        num(noise.learning_rate)
    );
    let open = noise.points.iter().filter(|p| p.grade != "measured").count();
    if open > 0 {
        words.push_str(&format!(
            "At {open} of {} moments the data give no number, only a bound or nothing. ",
            noise.points.len()
        ));
    }
    let measured = |p: &&NoisePoint| p.grade == "measured" && p.low.is_some() && p.high.is_some();
    if let (Some(first), Some(last)) =
        (noise.points.iter().find(measured), noise.points.iter().rev().find(measured))
    {
        if last.low > first.high {
            words.push_str("φ grows during training: later, larger batches pay. ");
        } else if last.high < first.low {
            words.push_str("φ shrinks during training: later, smaller batches suffice. ");
        }
    }
    match &noise.average {
        r @ (Ratio::Measured { .. } | Ratio::LowerBound { .. }) => {
            words.push_str(&format!("Average φ {}. ", ratio(r)))
        }
        r => words.push_str(&format!("{}. ", capitalized(&format!("the average is {}", ratio(r))))),
    }
    match &noise.critical_batch {
        Some(c) => words.push_str(&format!(
            "It implies a {}; at B = B_c half of the examples are spent for the sake of speed.",
            critical_words(c)
        )),
        None => words.push_str("No critical batch follows."),
    }
    words
}
