//! Peak memory by batch size.

use super::{ACROSS_LABELLED, batch_axis, between, thinned};
use crate::fit::Settings;
use crate::report::chart::{Axis, Chart, ROW};
use crate::report::figure::{Figure, Swatch};
use crate::report::scale::{Kind, Scale};
use crate::report::sign::Shape;
use crate::report::text::{batch_tick, bytes, int};
use batchwise_estimate::memory::{MemoryFit, MemoryPoint};

/// The limit is drawn if it is at most this many times the largest peak.
const NEAR: f64 = 12.0;

/// Draws the peaks, the line with its upper band, and the limit.
pub(crate) fn figure(
    points: &[MemoryPoint],
    fit: Option<&MemoryFit>,
    too_large: &[u64],
    settings: &Settings,
) -> Figure {
    let largest = points.iter().map(|p| p.peak_bytes as f64).fold(0.0, f64::max);
    let limit = settings.memory_limit.map(|b| b as f64).filter(|b| *b <= NEAR * largest);
    let peaks: Vec<f64> = points.iter().map(|p| p.peak_bytes as f64).chain(limit).collect();
    let batches: Vec<f64> = points.iter().map(|p| p.batch as f64).collect();
    let x = Scale::new(
        Kind::Octaves,
        batches.iter().copied().chain(too_large.iter().map(|b| *b as f64)),
        ACROSS_LABELLED,
    );
    let mut y = Scale::new(Kind::Octaves, peaks, (310.0, 60.0 + ROW));
    y.extend_to(34.0 + ROW);
    let mut chart = Chart::new(x, y, 1);
    chart.axes(&Axis::new(&batch_axis(settings), &batch_tick), &Axis::new("peak memory (log)", &bytes));
    let low = batches.iter().copied().fold(f64::INFINITY, f64::min);
    let high = batches.iter().copied().chain(too_large.iter().map(|b| *b as f64)).fold(0.0, f64::max);
    if let Some(fit) = fit {
        let at = |b: f64| b.round().max(1.0) as u64;
        let band: Vec<(f64, f64, f64)> =
            between(low, high).map(|b| (at(b) as f64, fit.predict(at(b)), fit.upper(at(b)))).collect();
        chart.area(&band, "area-data", "upper band");
        chart.line(band.iter().map(|p| (p.0, p.1)), "model");
        if let Some(batch) = settings
            .memory_limit
            .and_then(|b| fit.largest_batch((b as f64 * (1.0 - crate::fit::memory::MARGIN)) as u64))
        {
            let label = format!("fits: {}", int(batch));
            if (batch as f64) <= 2.0 * high {
                chart.upright(batch as f64, "advice", &label);
            }
        }
    }
    if let Some(limit) = limit {
        chart.level(limit, "limit", &format!("limit {}", bytes(limit)));
    }
    for p in thinned(points) {
        let tip = format!("batch {}: peak {}", int(p.batch), bytes(p.peak_bytes as f64));
        chart.point(p.batch as f64, p.peak_bytes as f64, Shape::Dot, "data", &tip);
    }
    for batch in thinned(too_large) {
        chart.cross_at_top(*batch as f64, "limit", &format!("batch {} did not fit", int(*batch)));
    }
    let mut legend = vec![(Swatch::Point(Shape::Dot, "data"), "measured".to_owned())];
    if fit.is_some() {
        legend.push((Swatch::Line("model"), "prediction".to_owned()));
        legend.push((Swatch::Area("area-data"), "upper band: what \"fits\" is judged by".to_owned()));
    }
    if !too_large.is_empty() {
        legend.push((Swatch::Point(Shape::Cross, "limit"), "did not fit".to_owned()));
    }
    Figure {
        id: "fit-memory",
        name: "Peak memory".to_owned(),
        spoken: format!("Peak memory against batch size, {} points", points.len()),
        height: 356.0,
        body: chart.finish(),
        legend,
        caption: match fit {
            Some(fit) => format!(
                "{} fixed and {} for each of the {}, by the line through batch {} and larger.",
                bytes(fit.fixed_bytes),
                bytes(fit.bytes_per_example),
                settings.examples(),
                int(fit.segment_from)
            ),
            None => "The points do not define a line that grows.".to_owned(),
        },
    }
}
