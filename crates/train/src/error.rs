//! Why a run stops.

use batchwise_estimate::noise::NoiseError;
use batchwise_schedule::{Examples, LearningRate, Steps};

/// Why a run stops.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss became infinite or not a number. The parameters hold what the step before left.
    #[error(
        "the loss is {loss} at step {} after {progress} (learning rate {learning_rate}): training diverged, try a smaller learning rate",
        step.0
    )]
    NonFinite {
        /// The loss seen.
        loss: f64,
        /// The step that met it, counted from 0.
        step: Steps,
        /// Examples processed before that step.
        progress: Examples,
        /// The step's learning rate.
        learning_rate: LearningRate,
    },
    /// The gradient became infinite or not a number. The parameters hold what the step before left.
    #[error(
        "the gradient of `{parameter}` is not finite at step {} after {progress} (loss {loss}, learning rate {learning_rate}): training diverged, try a smaller learning rate",
        step.0
    )]
    NonFiniteGradient {
        /// The first parameter, in name order, whose gradient is not finite.
        parameter: String,
        /// The mean loss of the batch.
        loss: f64,
        /// The step that met it, counted from 0.
        step: Steps,
        /// Examples processed before that step.
        progress: Examples,
        /// The step's learning rate.
        learning_rate: LearningRate,
    },
    /// A size that is not allowed.
    #[error("{name} is {found}, but must be {allowed}")]
    Config {
        /// Which setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The data set or its loader.
    #[error(transparent)]
    Data(Box<batchwise_data::DataError>),
    /// The model, the optimizer or the device.
    #[error("{0}")]
    Candle(#[from] candle_core::Error),
    /// An observer, which could not write what it was told.
    #[error(transparent)]
    Observe(#[from] crate::observe::ObserveError),
    /// There is no micro-batch that fits in memory.
    #[error(transparent)]
    MicroBatch(#[from] crate::MicroBatchError),
    /// The noise estimator.
    #[error(transparent)]
    Noise(#[from] batchwise_estimate::noise::NoiseError),
}

// Boxed, because an error of the data names many things.
impl From<batchwise_data::DataError> for TrainError {
    fn from(error: batchwise_data::DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl TrainError {
    /// Whether a device's memory was used up, in which case a smaller micro-batch may do.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Candle(error) => batchwise_nn::meter::is_out_of_memory(error),
            // The loader puts batches on the device.
            Self::Data(error) => match error.as_ref() {
                batchwise_data::DataError::Tensor(error) => batchwise_nn::meter::is_out_of_memory(error),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether training diverged, as opposed to a fault: a loss or a gradient that is no longer finite.
    pub fn is_divergence(&self) -> bool {
        match self {
            Self::NonFinite { .. } | Self::NonFiniteGradient { .. } => true,
            Self::Noise(NoiseError::BadNorm { value, .. } | NoiseError::BadBatchNorm { value }) => {
                !value.is_finite()
            }
            _ => false,
        }
    }
}
