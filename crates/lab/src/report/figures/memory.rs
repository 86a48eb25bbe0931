//! Peak memory by size of the micro-batch.

use super::super::chart::{Axis, Chart, ROW};
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::Shape;
use super::super::text::{batch_tick, byte_unit, bytes, digits, int};
use super::ACROSS_LABELLED;
use crate::advice::{Advice, MemoryAdvice};

/// The limit is drawn if it is at most this many times the largest peak.
const NEAR: f64 = 12.0;

/// Draws what was measured, the line, the prediction and the limit.
pub(super) fn figure(advice: &Advice) -> Figure {
    let memory = &advice.memory;
    let at = advice.micro_batch as f64;
    let peaks: Vec<f64> = memory
        .points
        .iter()
        .map(|p| p.peak_bytes)
        .chain([memory.predicted_peak_bytes, memory.predicted_upper_bytes, memory.verified_peak_bytes])
        .map(|b| b as f64)
        .filter(|b| *b > 0.0)
        .collect();
    let largest = peaks.iter().copied().fold(0.0, f64::max);
    let limit = memory.limit_bytes as f64;
    let near = memory.limit_bytes > 0 && limit <= largest * NEAR;
    let mut values = peaks.clone();
    values.extend(near.then_some(limit));
    let highest = values.iter().copied().fold(0.0, f64::max);
    let unit = byte_unit(highest);
    let batches =
        memory.points.iter().map(|p| p.batch).chain([advice.micro_batch]).chain(memory.does_not_fit);
    let batches: Vec<f64> = batches.map(|b| b as f64).collect();
    let (low, high) = ends(&batches);
    let x = Scale::new(Kind::Octaves, batches, ACROSS_LABELLED);
    let y = Scale::log_beyond(6.0, Kind::FromZero, &values, (310.0, 28.0 + ROW));
    // Powers of two are round in bytes.
    let y = if y.is_log() { Scale::new(Kind::Octaves, values, (310.0, 28.0 + ROW)) } else { y };
    let octaves = y.is_log();
    let up = if octaves { "peak memory (log)" } else { "peak memory" };
    let label =
        |v: f64| if octaves || v == 0.0 { bytes(v) } else { format!("{} {}", digits(v / unit.0, 3), unit.1) };
    let mut chart = Chart::new(x, y, 1);
    chart.axes(
        &Axis::new("micro-batch (examples)", &batch_tick),
        &Axis { name: up, label: &label, unit: unit.0 },
    );
    chart.line(line(memory, low, high), "model");
    if near {
        chart.level(limit, "limit", &format!("limit {}", bytes(limit)));
    }
    chart.upright(at, "advice", &format!("advised micro-batch {}", int(advice.micro_batch)));
    for p in &memory.points {
        let tip = format!("micro-batch {}: peak {}", int(p.batch), bytes(p.peak_bytes as f64));
        chart.point(p.batch as f64, p.peak_bytes as f64, Shape::Dot, "data", &tip);
    }
    let (predicted, upper) = (memory.predicted_peak_bytes as f64, memory.predicted_upper_bytes as f64);
    let verified = memory.verified_peak_bytes as f64;
    chart.bar(at, predicted, upper, "advice");
    chart.point(
        at,
        predicted,
        Shape::Diamond,
        "advice",
        &format!("predicted {}, at most {}", bytes(predicted), bytes(upper)),
    );
    chart.point(at, verified, Shape::Square, "advice", &format!("a run took {}", bytes(verified)));
    if let Some(batch) = memory.does_not_fit {
        chart.cross_at_top(batch as f64, "limit", &format!("micro-batch {} did not fit", int(batch)));
    }
    Figure {
        id: "fig-memory",
        name: if memory.accumulating { "Peak memory, accumulating" } else { "Peak memory" }.to_owned(),
        spoken: format!(
            "Peak memory against micro-batch; {} at the advised {}",
            bytes(verified),
            int(advice.micro_batch)
        ),
        height: 355.0,
        body: chart.finish(),
        legend: legend(memory, near),
        caption: caption(advice, near),
    }
}

fn ends(batches: &[f64]) -> (f64, f64) {
    let positive = || batches.iter().copied().filter(|b| *b > 0.0);
    (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max))
}

/// The line through the top segment, at points that make a curve of it on logarithmic axes.
fn line(memory: &MemoryAdvice, low: f64, high: f64) -> Vec<(f64, f64)> {
    if !(low > 0.0 && high >= low && memory.bytes_per_example.is_finite()) {
        return Vec::new();
    }
    let batch = |i: u32| low * (high / low).powf(f64::from(i) / 60.0);
    let bytes = |b: f64| memory.fixed_bytes as f64 + memory.bytes_per_example * b;
    // What lies above the limit is not claimed.
    let most = if memory.limit_bytes > 0 { memory.limit_bytes as f64 } else { f64::INFINITY };
    (0..=60).map(|i| (batch(i), bytes(batch(i)))).take_while(|p| p.1 <= most).collect()
}

fn legend(memory: &MemoryAdvice, near: bool) -> Vec<(Swatch, String)> {
    let mut legend = vec![
        (Swatch::Point(Shape::Dot, "data"), "measured".to_owned()),
        (Swatch::Line("model"), "line through the top segment".to_owned()),
        (Swatch::Point(Shape::Diamond, "advice"), "predicted, with upper end".to_owned()),
        (Swatch::Point(Shape::Square, "advice"), "verified by a run".to_owned()),
    ];
    if near {
        legend.push((Swatch::Mark("limit"), "limit".to_owned()));
    }
    if memory.does_not_fit.is_some() {
        legend.push((Swatch::Point(Shape::Cross, "limit"), "did not fit".to_owned()));
    }
    legend
}

fn caption(advice: &Advice, near: bool) -> String {
    let memory = &advice.memory;
    let big = |b: u64| bytes(b as f64);
    let mut words = format!(
        "Training needs {} and {} for each example of the micro-batch. At micro-batch {} the line predicts {} \
         (at most {}); a run took {}",
        big(memory.fixed_bytes),
        bytes(memory.bytes_per_example),
        int(advice.micro_batch),
        big(memory.predicted_peak_bytes),
        big(memory.predicted_upper_bytes),
        big(memory.verified_peak_bytes)
    );
    words.push_str(if memory.verified_peak_bytes > memory.predicted_upper_bytes {
        ", more than predicted. "
    } else {
        ". "
    });
    let kind =
        if memory.limit_is_given { "The limit asked for" } else { "The limit, what the device had free," };
    words.push_str(&format!("{kind} is {}", big(memory.limit_bytes)));
    words.push_str(if near { "." } else { ", far above what is drawn." });
    if let Some(batch) = memory.does_not_fit {
        words.push_str(&format!(" Micro-batch {} did not fit.", int(batch)));
    }
    if advice.accumulation_steps > 1 {
        words.push_str(&format!(
            " Batch {} is therefore made of {} micro-batches; the mathematics of the step stay the same.",
            int(advice.batch_size),
            int(advice.accumulation_steps)
        ));
    }
    words
}
