//! The figures, in the order of the page.

mod confirmation;
mod learning_rate;
mod memory;
mod noise;
mod throughput;
mod time_to_target;

use super::chart::WIDTH;
use super::figure::Figure;
use crate::advice::Advice;

/// Every figure, whatever the advice holds.
pub(super) fn all(advice: &Advice) -> Vec<Figure> {
    vec![
        time_to_target::figure(advice),
        throughput::figure(advice),
        noise::figure(advice),
        memory::figure(advice),
        learning_rate::figure(advice),
        confirmation::figure(advice),
    ]
}

/// Left and right end of a panel.
const ACROSS: (f64, f64) = (66.0, WIDTH - 14.0);
/// The same with room for labels at the right.
const ACROSS_LABELLED: (f64, f64) = (66.0, WIDTH - 112.0);

/// The equivalent batch sizes as numbers.
fn equivalent(advice: &Advice) -> (f64, f64) {
    let [a, b] = advice.equivalent_batch_sizes;
    (a.min(b) as f64, a.max(b) as f64)
}
