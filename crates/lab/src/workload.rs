//! What a user says about their own training.

use crate::trial::Parameter;
use batchwise_data::{DataError, Schema, Splits, Target};
use batchwise_nn::Parameters;
use batchwise_nn::loss::{self, Loss};
use batchwise_nn::optim::OptimizerConfig;
use batchwise_train::Task;
use candle_core::{DType, Device};
use candle_nn::{ModuleT, VarBuilder};

/// A model, its data and its optimizer: implement this for your own and every probe and command takes it.
///
/// A probe runs in a child process that makes the workload anew, so all methods must give the same each
/// time they are called.
pub trait Workload: Send + Sync {
    /// A short name of the model.
    fn model_name(&self) -> String;

    /// Opens the data set.
    ///
    /// # Errors
    /// What the source finds wrong.
    fn open(&self) -> Result<Splits, DataError>;

    /// Builds the model; its parameters come from `vb` and so from addressed randomness.
    ///
    /// # Errors
    /// Shapes that do not fit.
    fn build(&self, schema: &Schema, vb: VarBuilder<'_>) -> candle_core::Result<Box<dyn ModuleT + Send>>;

    /// The loss, as a sum with its weight; unless overridden, the one that fits the targets: cross-entropy for classes
    /// and tokens, the squared error for values.
    fn loss(&self, schema: &Schema) -> Loss {
        match schema.target {
            Target::Mixture { .. } => loss::soft_cross_entropy,
            Target::Values { .. } => loss::mse,
            Target::NextToken { .. } => loss::next_token,
            _ => loss::cross_entropy,
        }
    }

    /// The optimizer and its hyper-parameters.
    fn optimizer(&self) -> OptimizerConfig;

    /// Takes a hyper-parameter of the model by name, such as `width`; false where it has none of that name. Those that are
    /// left are the optimizer's.
    ///
    /// # Errors
    /// A value that is not allowed, in words.
    fn set(&mut self, name: &str, value: &Parameter) -> Result<bool, String> {
        let _ = (name, value);
        Ok(false)
    }

    /// The batch size at which the learning rate is tuned before anything is known.
    fn anchor_batch(&self) -> u64 {
        64
    }

    /// The middle of the learning rates to try at the anchor batch.
    fn usual_learning_rate(&self) -> f64 {
        match self.optimizer() {
            OptimizerConfig::Sgd(_) => 0.02,
            OptimizerConfig::Adam(_) | OptimizerConfig::AdamW(_) | OptimizerConfig::RmsProp(_) => 0.002,
            // Steps of sign 1 are longer than Adam's (Chen et al. 2023, section 5: 3 to 10 times smaller rates).
            OptimizerConfig::Lion(_) => 0.0003,
            // Relative to the weights' own length: LARS times its trust coefficient.
            OptimizerConfig::Lars(_) => 2.0,
            OptimizerConfig::Lamb(_) => 0.005,
        }
    }
}

/// A fresh task of the workload: parameters from (seed, name), on the device.
///
/// # Errors
/// As [`Workload::build`].
pub fn task(
    workload: &dyn Workload,
    schema: &Schema,
    seed: u64,
    device: &Device,
) -> candle_core::Result<Task> {
    let parameters = Parameters::new();
    let model = workload.build(schema, parameters.builder(seed, DType::F32, device))?;
    Ok(Task::new(parameters, model, workload.loss(schema), device.clone()))
}
