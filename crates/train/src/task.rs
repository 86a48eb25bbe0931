//! What is trained.

use batchwise_nn::Parameters;
use batchwise_nn::loss::Loss;
use candle_core::Device;
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
}

impl Task {
    /// Puts the parts together; `model` must have been built from `parameters` on `device`.
    pub fn new(parameters: Parameters, model: Box<dyn ModuleT + Send>, loss: Loss, device: Device) -> Self {
        Self { parameters, model, loss, device }
    }
}
