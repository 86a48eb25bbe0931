//! The pictures, one file for each kind, drawn with the charts of the report.

pub(crate) mod decide;
pub(crate) mod memory;
pub(super) mod noise;
pub(crate) mod ridge;
pub(crate) mod speed;
pub(crate) mod tradeoff;

use crate::report::chart::WIDTH;

/// Left and right end of a panel.
const ACROSS: (f64, f64) = (66.0, WIDTH - 14.0);
/// The same with room for labels at the right.
const ACROSS_LABELLED: (f64, f64) = (66.0, WIDTH - 112.0);
/// Points beyond this many only make a file slow: every so many is drawn.
const MOST_POINTS: usize = 2000;
/// How finely a curve is drawn.
const STEPS: usize = 60;

/// At most [`MOST_POINTS`] of them, evenly chosen.
fn thinned<T>(all: &[T]) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(MOST_POINTS).max(1))
}

/// Points between two ends, by ratio.
fn between(low: f64, high: f64) -> impl Iterator<Item = f64> {
    let ratio = if low > 0.0 { (high / low).max(1.0) } else { 1.0 };
    (0..=STEPS).map(move |i| low * ratio.powf(i as f64 / STEPS as f64))
}

/// The name of an axis of batch sizes.
fn batch_axis(settings: &super::Settings) -> String {
    format!("batch size ({})", settings.examples())
}
