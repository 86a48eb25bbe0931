//! Why no answer could be given.

use crate::process::FailureKind;
use batchwise_train::checkpoint::CheckpointError;
use std::path::{Path, PathBuf};

/// Why no answer could be given.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A setting that is not allowed.
    #[error("{0}")]
    Input(String),
    /// The data set.
    #[error(transparent)]
    Data(Box<batchwise_data::DataError>),
    /// A training run.
    #[error(transparent)]
    Train(#[from] batchwise_train::TrainError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
    /// The store of trials and sweeps.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The lines or events of a run.
    #[error(transparent)]
    Observe(#[from] batchwise_train::observe::ObserveError),
    /// A training run on several workers.
    #[error(transparent)]
    Parallel(#[from] batchwise_train::parallel::ParallelError),
    /// The model or the device.
    #[error("{0}")]
    Candle(#[from] candle_core::Error),
    /// The limit is below what the smallest micro-batch takes.
    #[error(
        "--memory {limit} is too small for this model: a micro-batch of 1 takes {needed}; allow at least that much"
    )]
    MemoryTooSmall {
        /// The limit, in human units.
        limit: String,
        /// What a micro-batch of 1 takes, or a bound on it.
        needed: String,
    },
    /// There is no advice to give, and why.
    #[error("no advice can be given: {0}")]
    NoAdvice(String),
    /// A child process reported an error.
    #[error("{text}")]
    Probe {
        /// What it reported.
        text: String,
        /// Whose fault it is.
        kind: FailureKind,
    },
    /// A child process died where it should not have.
    #[error("the {probe} process died ({status}){}", if last_words.is_empty() { String::new() } else { format!(": {last_words}") })]
    Died {
        /// Which probe.
        probe: &'static str,
        /// Its exit status.
        status: String,
        /// The end of its standard error.
        last_words: String,
    },
    /// A child process spoke nonsense.
    #[error("a probe answered unexpectedly: {0}")]
    Protocol(String),
    /// A file or a program.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The network, a server or the disk, while a data set was fetched.
    #[error("{0}")]
    Fetch(String),
    /// Ended by the user.
    #[error("cancelled")]
    Cancelled,
    /// Ended by the user in good order: how to go on.
    #[error("{0}")]
    Stopped(String),
}

// Boxed, because it names many things.
impl From<CheckpointError> for LabError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

// Boxed, because an error of the data names many things.
impl From<batchwise_data::DataError> for LabError {
    fn from(error: batchwise_data::DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl LabError {
    /// Whose fault it is: the user's input, the measurements', or the program's and the machine's.
    pub fn kind(&self) -> FailureKind {
        use batchwise_train::TrainError;
        use batchwise_train::parallel::ParallelError;
        match self {
            Self::Parallel(ParallelError::Dtype { .. } | ParallelError::Buffer { .. }) => FailureKind::Input,
            Self::Parallel(ParallelError::Train(TrainError::Data(_) | TrainError::Config { .. })) => {
                FailureKind::Input
            }
            Self::Input(_) | Self::Data(_) | Self::MemoryTooSmall { .. } => FailureKind::Input,
            Self::Train(TrainError::Data(_) | TrainError::Config { .. }) => FailureKind::Input,
            Self::Train(TrainError::MicroBatch(_)) => FailureKind::Input,
            Self::Checkpoint(error) => match error.as_ref() {
                // The user's to change; all else is the disk's or ours.
                CheckpointError::Differs { .. }
                | CheckpointError::Newer { .. }
                | CheckpointError::NoneWhole { .. }
                | CheckpointError::InUse { .. }
                | CheckpointError::Config { .. } => FailureKind::Input,
                _ => FailureKind::Fault,
            },
            Self::Store(error) if error.is_for_the_user() => FailureKind::Input,
            Self::NoAdvice(_) => FailureKind::NoAdvice,
            Self::Probe { kind, .. } => *kind,
            _ => FailureKind::Fault,
        }
    }

    /// Whether a training met a loss or gradient that is not finite.
    pub fn is_divergence(&self) -> bool {
        use batchwise_train::parallel::ParallelError;
        match self {
            Self::Train(error) | Self::Parallel(ParallelError::Train(error)) => error.is_divergence(),
            _ => false,
        }
    }

    /// Whether a device's memory was used up.
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Candle(error) | Self::Train(batchwise_train::TrainError::Candle(error)) => {
                batchwise_nn::meter::is_out_of_memory(error)
            }
            _ => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn protocol(text: String) -> Self {
        Self::Protocol(text)
    }
}
