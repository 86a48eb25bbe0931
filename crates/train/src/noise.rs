//! Gradient noise, from the norms of micro-batch gradients at one point.

use crate::accumulate::accumulate;
use crate::{Tap, Task, TrainError};
use batchwise_data::Loader;
use batchwise_estimate::noise::Measurement;
use batchwise_nn::Gradients;
use std::ops::Range;

/// Both parts of the noise scale, measured on one batch at one θ.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseReading {
    /// For each parameter, in name order.
    pub groups: Vec<Measurement>,
    /// Their exact sum.
    pub total: Measurement,
    /// Mean loss over the batch.
    pub loss: f64,
}

/// Measures the noise on the examples at `positions` without changing the parameters.
///
/// `micro_batch` is the size of the smaller batch of the pair of estimators; smaller is less noisy per
/// example (theory.md §1.3), 8 or more micro-batches are sensible. The positions must lie in one epoch.
///
/// # Errors
/// Fewer than two micro-batches, a gradient that is not finite, data and device errors.
pub fn measure_noise(
    task: &Task,
    loader: &mut Loader,
    positions: Range<u64>,
    micro_batch: u64,
) -> Result<NoiseReading, TrainError> {
    let mut gradients = Gradients::new();
    let found = positions.end.saturating_sub(positions.start).div_ceil(micro_batch.max(1));
    let accumulated = accumulate(task, loader, positions, micro_batch, None, Tap::Norms, &mut gradients)?;
    accumulated.noise(&gradients)?.ok_or_else(|| TrainError::Config {
        name: "the number of micro-batches in a noise measurement",
        found: found.to_string(),
        allowed: "at least 2",
    })
}
