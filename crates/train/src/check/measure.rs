//! Gradient and loss of one split of the batch.

use super::LOSS;
use crate::accumulate::accumulate;
use crate::kept::Kept;
use crate::preconditioned::Measuring;
use crate::{Tap, Task, TrainError};
use batchwise_data::Loader;
use batchwise_nn::Gradients;
use batchwise_nn::gradients::norm2;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ModuleT;

/// What one split of the batch gave.
pub(super) struct Measured {
    pub(super) loss: f64,
    /// Of the parameters, in name order.
    pub(super) names: Vec<String>,
    pub(super) gradients: Gradients,
    /// For each parameter Σ_j ‖x_j‖ / ‖Σ_j x_j‖ of the contributions x_j of the micro-batches, at least 1.
    pub(super) conditions: Vec<f64>,
}

impl Measured {
    /// The name of what is not finite.
    pub(super) fn not_finite(&self) -> Option<String> {
        if !self.loss.is_finite() {
            return Some(LOSS.to_owned());
        }
        let conditions = self.names.iter().zip(&self.conditions);
        conditions.filter(|(_, condition)| !condition.is_finite()).map(|(name, _)| name.clone()).next()
    }
}

/// The gradient of the first `batch` examples in micro-batches, by the trainer's own code; what layers keep is put back.
pub(super) fn measure(
    task: &Task,
    loader: &mut Loader,
    batch: u64,
    micro_batch: u64,
) -> std::result::Result<Measured, TrainError> {
    let kept = Kept::of(task)?;
    let mut gradients = Gradients::new();
    let norms = Measuring::plain(Tap::Norms);
    let accumulated = accumulate(task, loader, 0..batch, micro_batch, None, norms, &mut gradients)?;
    kept.put_back()?;
    let micro = accumulated.micro_norms2();
    let weight: f64 = micro.iter().map(|(weight, _)| weight).sum();
    let condition = |(i, norm2): (usize, f64)| {
        let parts: f64 = micro.iter().map(|(of_micro, norms2)| of_micro / weight * norms2[i].sqrt()).sum();
        match (parts, norm2.sqrt()) {
            // All contributions are zero.
            (0.0, 0.0) => 1.0,
            (parts, norm) if parts.is_finite() && norm.is_finite() => {
                (parts / norm.max(f64::MIN_POSITIVE)).clamp(1.0, f64::MAX)
            }
            _ => f64::NAN,
        }
    };
    let conditions = gradients.norms2()?.into_iter().enumerate().map(condition).collect();
    let names = task.parameters.named().into_iter().map(|(name, _)| name).collect();
    Ok(Measured { loss: accumulated.loss, names, gradients, conditions })
}

/// |a − b| relative to the larger of the two.
pub(super) fn relative(a: f64, b: f64) -> f64 {
    if a == b { 0.0 } else { (a - b).abs() / a.abs().max(b.abs()) }
}

/// The difference of two tensors by norm, and by the largest element, each relative to the larger of the two.
pub(super) fn differences(a: &Tensor, b: &Tensor) -> Result<(f64, f64)> {
    if a.elem_count() == 0 {
        return Ok((0.0, 0.0));
    }
    let (a, b) = (double(a)?, double(b)?);
    let difference = (&a - &b)?;
    let norm = norm2(&a)?.max(norm2(&b)?).sqrt();
    Ok((
        share(norm2(&difference)?.sqrt(), norm),
        share(largest(&difference)?, largest(&a)?.max(largest(&b)?)),
    ))
}

/// The same by the largest element, for tensors that may differ in shape (which is as different as can be).
pub(super) fn difference_of_outputs(a: &Tensor, b: &Tensor) -> Result<f64> {
    if a.dims() == b.dims() { Ok(differences(a, b)?.1) } else { Ok(f64::INFINITY) }
}

fn share(difference: f64, of: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / of }
}

fn largest(tensor: &Tensor) -> Result<f64> {
    tensor.abs()?.flatten_all()?.max(0)?.to_scalar()
}

/// In f64, on the CPU, as not every device has it.
pub(super) fn double(tensor: &Tensor) -> Result<Tensor> {
    tensor.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.contiguous()
}

/// A model that takes values of any precision.
struct InDtype {
    model: Box<dyn ModuleT + Send>,
    dtype: DType,
}

impl ModuleT for InDtype {
    fn forward_t(&self, inputs: &Tensor, train: bool) -> Result<Tensor> {
        if inputs.dtype().is_float() && inputs.dtype() != self.dtype {
            return self.model.forward_t(&inputs.to_dtype(self.dtype)?, train);
        }
        self.model.forward_t(inputs, train)
    }
}

/// The task with inputs turned to its dtype.
pub(super) fn cast(task: Task, dtype: DType) -> Task {
    let Task { parameters, model, loss, device, precision } = task;
    Task { parameters, model: Box::new(InDtype { model, dtype }), loss, device, precision }
}
