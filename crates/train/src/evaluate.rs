//! Loss and accuracy on a whole data set.

use crate::accumulate::{micro_batches, receive};
use crate::{Task, TrainError};
use batchwise_data::{Dataset, Loader, Target};
use batchwise_nn::{loss, tape};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Deserializer, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// Parts that the losses are summed in, at least, where there are so many examples: the error of the loss comes from the
/// spread between them, and with 16 it is known to 18 % (1/√(2·15)).
const LEAST_PARTS: u64 = 16;
/// The most examples of a part.
const LARGEST_PART: u64 = 64;
/// The most examples taken at a time: enough to keep a device busy, and one size for every larger batch.
const LARGEST_BATCH: u64 = 256;

/// How a model does on a data set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean loss per example, or per token where the loss is averaged over tokens. JSON has no word for a loss that is
    /// not finite: it is written as null and read back as NaN.
    #[serde(deserialize_with = "number_or_nan")]
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

/// Evaluates on every example, up to `batch` at a time, which changes memory and speed, not the result beyond rounding.
///
/// The model runs in evaluation mode and nothing of the training is touched: no dropout, no running statistics, no
/// random numbers, no parameters. Losses are summed over parts whose borders depend on the number of examples only (a
/// sixteenth of them, 64 at most), and the parts in f64 in their order. At most 256 examples are taken at a time, in
/// whole parts: so all batches of 256 or more give the same bits, with the same number of threads on the same device. A smaller
/// batch agrees to rounding only, as matrix products of fewer rows add up in another order (1e-8 of the loss in f32).
///
/// candle records a graph on every variable, which lives until the output is there: the activations of one batch are
/// held at once. To be rid of that evaluate a model on [`crate::frozen::builder`].
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
    let _span = tracing::trace_span!("evaluation").entered();
    let n = positions.end.saturating_sub(positions.start);
    if n == 0 {
        let (name, found) = ("the number of examples to evaluate on", n.to_string());
        return Err(TrainError::Config { name, found, allowed: "at least 1" });
    }
    let has_classes = matches!(loader.dataset().schema().target, Target::Class { .. });
    let (parts, hits) = read(task, loader, positions, batch, has_classes)?;
    let (loss, loss_error) = mean_and_error(&parts);
    let accuracy = has_classes.then(|| hits as f64 / n as f64);
    Ok(Evaluation { loss, loss_error, accuracy, n_examples: n })
}

/// A number, or NaN from null.
fn number_or_nan<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// Examples of a part, out of `n`.
fn part_size(n: u64) -> u64 {
    (n / LEAST_PARTS).clamp(1, LARGEST_PART)
}

/// How many examples are taken at a time: `batch`, cut, and rounded down to whole parts where it holds one.
pub(crate) fn whole_parts(n: u64, batch: u64) -> u64 {
    let (part, batch) = (part_size(n), batch.min(LARGEST_BATCH));
    if batch < part { batch.max(1) } else { batch - batch % part }
}

/// The loss of each part of a batch as (sum, weight). One for the whole batch where a row of the output is not that of an
/// example.
fn loss_parts(
    task: &Task,
    output: &Tensor,
    targets: &Tensor,
    part: u64,
) -> Result<Vec<(f64, f64)>, TrainError> {
    let read = |output: &Tensor, targets: &Tensor| -> Result<(f64, f64), TrainError> {
        let loss = (task.loss)(output, targets)?;
        Ok((loss.sum.to_dtype(DType::F64)?.to_scalar::<f64>()?, loss.weight))
    };
    let n = targets.dims().first().copied().unwrap_or(0);
    let part = usize::try_from(part).unwrap_or(usize::MAX);
    if output.dims().first() != Some(&n) || n <= part {
        return Ok(vec![read(output, targets)?]);
    }
    let starts = (0..n).step_by(part);
    starts
        .map(|start| {
            let len = part.min(n - start);
            read(&output.narrow(0, start, len)?, &targets.narrow(0, start, len)?)
        })
        .collect()
}

/// The loss of each part of the examples at `positions`, as (sum, weight), in evaluation mode; and how many of the classes
/// are right, where they count.
pub(crate) fn read(
    task: &Task,
    loader: &mut Loader,
    positions: Range<u64>,
    batch: u64,
    has_classes: bool,
) -> Result<(Vec<(f64, f64)>, u64), TrainError> {
    let n = positions.end.saturating_sub(positions.start);
    let mut requests = micro_batches(positions, whole_parts(n, batch)).peekable();
    let (mut parts, mut hits) = (Vec::new(), 0);
    while let Some(positions) = requests.next() {
        let data = receive(loader, positions)?;
        if let Some(next) = requests.peek() {
            loader.request(next.clone())?;
        }
        let output = tape::no_grad(|| task.forward(&data.inputs, false))?.detach();
        parts.extend(loss_parts(task, &output, &data.targets, part_size(n))?);
        if has_classes {
            hits += loss::n_correct(&output, &data.targets)?;
        }
        drop(output);
        loader.recycle(data);
    }
    Ok((parts, hits))
}

/// The weighted mean of parts, given as (sum, weight), and its standard error by the spread between them: the ratio
/// estimator of sampling theory (Cochran 1977, §2.11), √(k/(k−1) Σ (s_i − m·w_i)²) / W.
pub(crate) fn mean_and_error(parts: &[(f64, f64)]) -> (f64, Option<f64>) {
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

    #[test]
    fn batches_are_whole_parts_where_they_can_be() {
        assert_eq!([1, 15, 16, 160, 1000, 1 << 40].map(part_size), [1, 1, 1, 10, 62, 64]);
        assert_eq!(
            [0, 1, 61, 62, 123, 124, 9999].map(|batch| whole_parts(1000, batch)),
            [1, 1, 61, 62, 62, 124, 248]
        );
    }

    #[test]
    fn an_evaluation_reads_back_also_where_training_diverged() {
        let at = Evaluation { loss: 0.1 + 0.2, loss_error: None, accuracy: Some(0.7), n_examples: 3 };
        assert_eq!(serde_json::from_str::<Evaluation>(&serde_json::to_string(&at).unwrap()).unwrap(), at);
        let text = serde_json::to_string(&Evaluation { loss: f64::NAN, ..at }).unwrap();
        assert!(serde_json::from_str::<Evaluation>(&text).unwrap().loss.is_nan());
    }
}
