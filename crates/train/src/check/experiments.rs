//! Experiments that tell why splits of a batch do not give what the whole gives.

use super::measure::{difference_of_outputs, double, relative};
use super::{AccumulationRow, Cause, worst};
use crate::contribution::in_dtype_of;
use crate::kept::Kept;
use crate::{Task, TrainError};
use batchwise_data::Batch;
use batchwise_nn::random;
use candle_core::{DType, Result, Tensor};

/// Differences up to this are rounding in these experiments, relative to the largest number. Coarser than what is
/// allowed of gradients: what they look for changes figures by a good part of themselves.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-9 } else { 1e-4 }
}

/// Whether the same micro-batch gives the same figures again, in a task that nothing has run on. `fresh` is another
/// of the same.
pub(super) fn repeat(
    task: &Task,
    fresh: &Task,
    data: &Batch,
) -> std::result::Result<Option<Cause>, TrainError> {
    let before = task.parameters.snapshot()?;
    fresh.parameters.restore(&before)?;
    let first = forward(task, &data.inputs, 0)?;
    let mut parameters = Vec::new();
    for (name, var) in task.parameters.named() {
        let same = difference_of_outputs(var.as_tensor(), &before[&name])? == 0.0;
        parameters.extend((!same).then_some(name));
    }
    if !parameters.is_empty() {
        return Ok(Some(Cause::State { parameters }));
    }
    let within = |difference: f64| difference <= tolerance(first.dtype());
    if !within(difference_of_outputs(&first, &forward(task, &data.inputs, 0)?)?) && is_finite(&first)? {
        let again = forward(fresh, &data.inputs, 0)?;
        return Ok(Some(match within(difference_of_outputs(&first, &again)?) {
            true => Cause::State { parameters },
            false => Cause::Randomness { of: "the outputs" },
        }));
    }
    let (one, other) = (loss_of(task, &first, &data.targets)?.0, loss_of(task, &first, &data.targets)?.0);
    let differs = !within(relative(one, other)) && one.is_finite();
    Ok(differs.then_some(Cause::Randomness { of: "the losses of fixed outputs" }))
}

/// The parameters that get no gradient, by candle's own backward pass.
pub(super) fn missing_gradients(task: &Task, data: &Batch) -> std::result::Result<Option<Cause>, TrainError> {
    let kept = Kept::of(task)?;
    let output = random::with_first_example(0, || task.forward(&data.inputs, true))?;
    kept.put_back()?;
    let loss = (task.loss)(&output, &in_dtype_of(&output, &data.targets)?)?;
    let store = loss.sum.backward()?;
    let named = task.parameters.named().into_iter();
    let missing = named.filter(|(_, var)| store.get(var.as_tensor()).is_none());
    let parameters: Vec<String> = missing.map(|(name, _)| name).collect();
    Ok((!parameters.is_empty()).then_some(Cause::MissingGradients { parameters }))
}

/// Whether the outputs of an example change with its companions: each half of the batch on its own against the whole.
pub(super) fn companions(
    task: &Task,
    data: &Batch,
    rows: &[AccumulationRow],
) -> std::result::Result<Option<Cause>, TrainError> {
    let n = data.n_examples;
    let kept = Kept::of(task)?;
    let whole = random::with_first_example(0, || task.forward(&data.inputs, true))?.detach();
    let layers = kept.changed(task)?;
    kept.put_back()?;
    let mut difference: f64 = 0.0;
    for (start, len) in [(0, n / 2), (n / 2, n - n / 2)] {
        let alone = forward(task, &data.inputs.narrow(0, start, len)?, start as u64)?;
        difference = difference.max(match examples(&whole, n, start, len)? {
            Some(same) => difference_of_outputs(&same, &alone)?,
            None => f64::INFINITY,
        });
    }
    if difference <= tolerance(whole.dtype()) {
        return Ok(None);
    }
    let parameter = worst(rows).map(|row| row.parameter.clone());
    Ok(Some(Cause::Companions { layers, parameter, difference }))
}

/// Whether the loss of fixed outputs is a sum over examples with the right weight: two parts against the whole.
pub(super) fn loss(task: &Task, data: &Batch) -> std::result::Result<Option<Cause>, TrainError> {
    let n = data.n_examples;
    let output = forward(task, &data.inputs, 0)?;
    let (sum, weight) = loss_of(task, &output, &data.targets)?;
    let cut = n.div_ceil(3);
    let (mut sums, mut weights, mut mean, mut scale) = (0.0, 0.0, 0.0, sum.abs());
    for (start, len) in [(0, cut), (cut, n - cut)] {
        let parts = (examples(&output, n, start, len)?, examples(&data.targets, n, start, len)?);
        let (Some(outputs), Some(targets)) = parts else { return Ok(None) };
        let (of_part, weight_of_part) = loss_of(task, &outputs, &targets)?;
        sums += of_part;
        weights += weight_of_part;
        mean += of_part * len as f64 / n as f64;
        scale = scale.max(of_part.abs());
    }
    let tolerance = tolerance(output.dtype());
    let equals_sum = |total: f64| (total - sum).abs() <= tolerance * scale;
    let (adds_up, weighs_up) = (equals_sum(sums), relative(weights, weight) <= tolerance);
    Ok(match (adds_up, weighs_up) {
        (true, true) => None,
        (false, _) if equals_sum(mean) => Some(Cause::LossIsMean),
        (true, false) => Some(Cause::LossWeight { whole: weight, parts: weights }),
        (false, _) => Some(Cause::LossCouples { difference: relative(sums, sum) }),
    })
}

/// The outputs in training mode of examples from number `first_example` on; what layers keep is put back.
fn forward(task: &Task, inputs: &Tensor, first_example: u64) -> std::result::Result<Tensor, TrainError> {
    let kept = Kept::of(task)?;
    let output = random::with_first_example(first_example, || task.forward(inputs, true))?;
    kept.put_back()?;
    Ok(output.detach())
}

/// Sum and weight.
fn loss_of(task: &Task, output: &Tensor, targets: &Tensor) -> std::result::Result<(f64, f64), TrainError> {
    let loss = (task.loss)(output, &in_dtype_of(output, targets)?)?;
    Ok((double(&loss.sum)?.to_scalar()?, loss.weight))
}

/// The rows of some of n examples, where rows belong to examples.
fn examples(tensor: &Tensor, n: usize, start: usize, len: usize) -> Result<Option<Tensor>> {
    let Some(n_rows) = tensor.dims().first().copied().filter(|rows| rows.is_multiple_of(n)) else {
        return Ok(None);
    };
    let each = n_rows / n;
    Ok(Some(tensor.narrow(0, start * each, len * each)?.contiguous()?))
}

fn is_finite(tensor: &Tensor) -> Result<bool> {
    Ok(double(tensor)?.abs()?.sum_all()?.to_scalar::<f64>()?.is_finite())
}
