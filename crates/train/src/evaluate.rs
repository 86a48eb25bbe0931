//! Loss and accuracy on a whole data set.

use crate::{Task, TrainError};
use batchwise_data::{Dataset, Loader};
use batchwise_nn::loss;
use candle_core::DType;
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
    let n = dataset.len();
    let mut loader = Loader::sequential(Arc::clone(dataset), task.device.clone())?;
    let mut parts = crate::accumulate::micro_batches(0..n, batch).peekable();
    if let Some(first) = parts.peek() {
        loader.request(first.clone())?;
    }
    let (mut sum, mut weight, mut hits) = (0.0, 0.0, 0);
    while parts.next().is_some() {
        let data = loader.receive()?;
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
