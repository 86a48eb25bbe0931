//! Gradient noise, from the norms of micro-batch gradients at one point.

use crate::accumulate::accumulate;
use crate::preconditioned::{Measuring, PreconditionedNoise};
use crate::{Task, TrainError};
use batchwise_data::Loader;
use batchwise_estimate::noise::Measurement;
use batchwise_nn::Gradients;
use std::ops::Range;

/// What a step measures beside its update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// Nothing.
    Off,
    /// The squared norm of each micro-batch's gradient: costs one pass over the gradients.
    Norms,
    /// The squared norm of each example's gradient, as a by-product of the backward pass: the sharpest view of tr Σ
    /// (theory.md §2), needs no second micro-batch. All layers must be of `batchwise_nn`, none may couple examples, and
    /// each example must weigh the same in the loss.
    Examples,
    /// [`Tap::Norms`] where a batch has two micro-batches or more, else [`Tap::Examples`].
    Auto,
}

impl Tap {
    /// What a batch of so many examples is measured by: never [`Tap::Auto`].
    pub(crate) fn of(self, batch: u64, micro_batch: u64) -> Self {
        match self {
            Self::Auto if batch <= micro_batch => Self::Examples,
            Self::Auto => Self::Norms,
            tap => tap,
        }
    }
}

/// Both parts of the noise scale, measured on one batch at one θ.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseReading {
    /// For each parameter, in name order.
    pub groups: Vec<Measurement>,
    /// Their exact sum.
    pub total: Measurement,
    /// Mean loss over the batch.
    pub loss: f64,
    /// The same in the metrics of the optimizer's preconditioner, where the run asks for it
    /// ([`Run::tap_preconditioned`](crate::Run::tap_preconditioned)), the norms are of micro-batches, and the optimizer
    /// has made a step.
    pub preconditioned: Option<PreconditionedNoise>,
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
    let found = positions.end.saturating_sub(positions.start).div_ceil(micro_batch.max(1));
    let reading = reading(task, loader, positions, micro_batch, Tap::Norms)?;
    reading.ok_or_else(|| TrainError::Config {
        name: "the number of micro-batches in a noise measurement",
        found: found.to_string(),
        allowed: "at least 2",
    })
}

/// The same from the norms of single examples: theory.md §1.2 with micro-batches of 1, at the cost of a few passes over
/// `chunk` examples at once. Memory decides the chunk; it changes no figure beyond rounding.
///
/// # Errors
/// Fewer than two examples; what [`Tap::Examples`] cannot measure; data and device errors.
pub fn measure_noise_of_examples(
    task: &Task,
    loader: &mut Loader,
    positions: Range<u64>,
    chunk: u64,
) -> Result<NoiseReading, TrainError> {
    let found = positions.end.saturating_sub(positions.start);
    let reading = reading(task, loader, positions, chunk, Tap::Examples)?;
    reading.ok_or_else(|| TrainError::Config {
        name: "the number of examples in a noise measurement",
        found: found.to_string(),
        allowed: "at least 2",
    })
}

fn reading(
    task: &Task,
    loader: &mut Loader,
    positions: Range<u64>,
    micro_batch: u64,
    tap: Tap,
) -> Result<Option<NoiseReading>, TrainError> {
    let mut gradients = Gradients::new();
    let measuring = Measuring::plain(tap);
    let accumulated = accumulate(task, loader, positions, micro_batch, None, measuring, &mut gradients)?;
    accumulated.noise(&gradients.norms2()?, None)
}
