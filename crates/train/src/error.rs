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
    /// Whether training diverged, as opposed to a fault: a loss or a gradient that is no longer finite.
    pub fn is_divergence(&self) -> bool {
        match self {
            Self::NonFinite { .. } => true,
            Self::Noise(NoiseError::BadNorm { value, .. } | NoiseError::BadBatchNorm { value }) => {
                !value.is_finite()
            }
            _ => false,
        }
    }
}
