//! Loss and accuracy on a whole data set.

use crate::accumulate::{micro_batches, receive};
use crate::{Task, TrainError};
use batchwise_data::{Dataset, Loader, Target};
use batchwise_nn::loss;
use candle_core::DType;
use std::ops::Range;
use std::sync::Arc;

/// Parts that a data set is evaluated in, at least, where it has so many examples: the error of the loss comes from the
/// spread between them, and with 16 it is known to 18 % (1/√(2·15)).
const LEAST_PARTS: u64 = 16;

/// How a model does on a data set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean loss per example, or per token where the loss is averaged over tokens.
    pub loss: f64,
    /// Standard error of the loss from the finite number of examples, by the spread between parts of the data set;
    /// `None` for a single example.
    pub loss_error: Option<f64>,
    /// Share of examples whose largest output is the target, where targets are classes.
    pub accuracy: Option<f64>,
    /// How many examples that is.
    pub n_examples: u64,
}

impl Evaluation {
    /// The standard error of the accuracy from the finite number of examples, √(p(1−p)/n).
    pub fn accuracy_error(&self) -> Option<f64> {
        self.accuracy.map(|accuracy| (accuracy * (1.0 - accuracy) / self.n_examples as f64).sqrt())
    }
}

/// Evaluates on every example, up to `batch` at a time (which changes memory and speed, not the result beyond
/// rounding; the error of the loss comes from the spread between these parts, of which there are 16 or more, and so
/// varies with them).
///
/// # Errors
/// Data and device errors.
pub fn evaluate(task: &Task, dataset: &Arc<dyn Dataset>, batch: u64) -> Result<Evaluation, TrainError> {
    let mut loader = Loader::sequential(Arc::clone(dataset), task.device.clone())?;
    evaluate_on(task, &mut loader, 0..dataset.len(), batch)
}

/// Evaluates on the examples at `positions` of the loader's order.
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
    let has_classes = matches!(loader.dataset().schema().target, Target::Class { .. });
    let batch = batch.min(n / LEAST_PARTS).max(1);
    let mut requests = micro_batches(positions, batch).peekable();
    let (mut parts, mut hits) = (Vec::new(), 0);
    while let Some(positions) = requests.next() {
        let data = receive(loader, positions)?;
        if let Some(next) = requests.peek() {
            loader.request(next.clone())?;
        }
        // candle records a graph on every variable; detaching the output frees it at once.
        let output = task.model.forward_t(&data.inputs, false)?.detach();
        let part = (task.loss)(&output, &data.targets)?;
        parts.push((part.sum.to_dtype(DType::F64)?.to_scalar::<f64>()?, part.weight));
        if has_classes {
            hits += loss::n_correct(&output, &data.targets)?;
        }
        drop((output, part));
        loader.recycle(data);
    }
    let (loss, loss_error) = mean_and_error(&parts);
    let accuracy = has_classes.then(|| hits as f64 / n as f64);
    Ok(Evaluation { loss, loss_error, accuracy, n_examples: n })
}

/// The weighted mean of parts, given as (sum, weight), and its standard error by the spread between them: the ratio
/// estimator of sampling theory (Cochran 1977, §2.11), √(k/(k−1) Σ (s_i − m·w_i)²) / W.
fn mean_and_error(parts: &[(f64, f64)]) -> (f64, Option<f64>) {
    let (sum, weight) = parts.iter().fold((0.0, 0.0), |(sum, weight), (s, w)| (sum + s, weight + w));
    let mean = sum / weight;
    let k = parts.len() as f64;
    let residuals: f64 = parts.iter().map(|(s, w)| (s - mean * w).powi(2)).sum();
    let error = (residuals * k / (k - 1.0)).sqrt() / weight;
    (mean, Some(error).filter(|error| 2 <= parts.len() && error.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_equal_parts_is_that_of_their_mean() {
        // Means 1, 2, 4 of parts of weight 10: deviation √(7/3), standard error √(7/9).
        let (mean, error) = mean_and_error(&[(10.0, 10.0), (20.0, 10.0), (40.0, 10.0)]);
        assert!((mean - 7.0 / 3.0).abs() < 1e-12);
        assert!((error.unwrap() - (7.0f64 / 9.0).sqrt()).abs() < 1e-12);
        assert_eq!(mean_and_error(&[(3.0, 2.0)]), (1.5, None));
    }
}
