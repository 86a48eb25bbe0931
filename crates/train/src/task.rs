//! What is trained.

use crate::TrainError;
use batchwise_nn::Parameters;
use batchwise_nn::loss::Loss;
use batchwise_nn::precision::{self, Precision};
use candle_core::{Device, Result, Tensor};
use candle_nn::ModuleT;

/// A model with its parameters, its loss, and the device they are on.
pub struct Task {
    /// The trainable variables, in name order.
    pub parameters: Parameters,
    /// From inputs to what the loss takes.
    pub model: Box<dyn ModuleT + Send>,
    /// Summed over examples, with its weight.
    pub loss: Loss,
    /// Where parameters and batches are.
    pub device: Device,
    /// Of the operands of matrix products and convolutions, in training and in evaluation; parameters, gradients and the
    /// optimizer's state are what they are in either ([`batchwise_nn::precision`]). Bf16 on the CPU only.
    pub precision: Precision,
}

impl Task {
    /// Puts the parts together, in f32; `model` must have been built from `parameters` on `device`.
    pub fn new(parameters: Parameters, model: Box<dyn ModuleT + Send>, loss: Loss, device: Device) -> Self {
        Self { parameters, model, loss, device, precision: Precision::F32 }
    }

    /// The same in another precision.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// What the model makes of inputs, in the task's precision.
    pub(crate) fn forward(&self, inputs: &Tensor, train: bool) -> Result<Tensor> {
        precision::with(self.precision, || self.model.forward_t(inputs, train))
    }

    /// Refuses a precision that the device's ops would ignore.
    pub(crate) fn check(&self) -> std::result::Result<(), TrainError> {
        if self.precision == Precision::F32 || self.device.is_cpu() {
            return Ok(());
        }
        let (name, found) = ("the device of a training in bf16", format!("{:?}", self.device.location()));
        Err(TrainError::Config { name, found, allowed: "the CPU" })
    }
}
