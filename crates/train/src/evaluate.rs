//! Loss and accuracy on a whole data set.

use crate::accumulate::{micro_batches, receive};
use crate::{Task, TrainError};
use batchwise_data::{Dataset, Loader};
use batchwise_nn::loss;
use candle_core::DType;
use std::ops::Range;
use std::sync::Arc;

/// How a model does on a data set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean loss per example.
    pub loss: f64,
    /// Share of examples whose largest output is the target.
    pub accuracy: f64,
    /// How many examples that is.
    pub n_examples: u64,
}

impl Evaluation {
    /// The standard error of the accuracy from the finite number of examples, √(p(1−p)/n).
    pub fn accuracy_standard_error(&self) -> f64 {
        (self.accuracy * (1.0 - self.accuracy) / self.n_examples as f64).sqrt()
    }
}

/// Evaluates on every example, `batch` at a time (which changes memory and speed, not the result beyond
/// rounding).
///
/// # Errors
/// Data and device errors.
pub fn evaluate(task: &Task, dataset: &Arc<dyn Dataset>, batch: u64) -> Result<Evaluation, TrainError> {
    let mut loader = Loader::sequential(Arc::clone(dataset), task.device.clone())?;
    evaluate_on(task, &mut loader, 0..dataset.len(), batch)
}

/// Evaluates on the examples at `positions` of the loader's order, which must lie in one epoch.
///
/// # Errors
/// No positions; data and device errors.
pub fn evaluate_on(
    task: &Task,
    loader: &mut Loader,
    positions: Range<u64>,
    batch: u64,
) -> Result<Evaluation, TrainError> {
    let n = positions.end.saturating_sub(positions.start);
    if n == 0 {
        let (name, found) = ("the number of examples to evaluate on", n.to_string());
        return Err(TrainError::Config { name, found, allowed: "at least 1" });
    }
    let mut parts = micro_batches(positions, batch).peekable();
    let (mut sum, mut weight, mut hits) = (0.0, 0.0, 0);
    while let Some(part) = parts.next() {
        let data = receive(loader, part)?;
        if let Some(next) = parts.peek() {
            loader.request(next.clone())?;
        }
        // candle records a graph on every variable; detaching the output frees it at once.
        let output = task.model.forward_t(&data.inputs, false)?.detach();
        let part = (task.loss)(&output, &data.targets)?;
        sum += part.sum.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        weight += part.weight;
        hits += loss::n_correct(&output, &data.targets)?;
    }
    Ok(Evaluation { loss: sum / weight, accuracy: hits as f64 / n as f64, n_examples: n })
}
