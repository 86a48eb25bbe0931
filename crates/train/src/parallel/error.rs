//! Why a run on several workers stops.

use super::CollectiveError;
use crate::TrainError;
use batchwise_schedule::Steps;
use candle_core::DType;

/// Why a run on several workers stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParallelError {
    /// What stops a run on one worker too.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The exchange between ranks, or what another rank has met.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// Ranks whose models have become different.
    #[error("parameter `{parameter}` of rank {rank} differs from that of rank 0 after {} steps", steps.0)]
    ReplicasDiffer {
        /// The first in name order that differs.
        parameter: String,
        /// The first rank whose value is not that of rank 0.
        rank: usize,
        /// Updates made before.
        steps: Steps,
    },
    /// Ranks that were given different things to do.
    #[error("rank {rank} was given another {what} than rank 0")]
    SetupsDiffer {
        /// The first rank that differs.
        rank: usize,
        /// What differs.
        what: &'static str,
    },
    /// A parameter that cannot be summed over ranks.
    #[error("parameter `{parameter}` is of {dtype:?}, but gradients are summed over workers in F32")]
    Dtype {
        /// Its name.
        parameter: String,
        /// Its type.
        dtype: DType,
    },
    /// A layer that keeps statistics of the micro-batches it saw.
    #[error(
        "`{buffer}` is kept by a layer that couples the examples of a micro-batch, so that workers would differ: use a layer without running statistics"
    )]
    Buffer {
        /// Its name.
        buffer: String,
    },
    /// A rank whose thread panicked.
    #[error("rank {rank} panicked: {message}")]
    Panicked {
        /// Which one.
        rank: usize,
        /// What it said.
        message: String,
    },
}

impl From<candle_core::Error> for ParallelError {
    fn from(error: candle_core::Error) -> Self {
        Self::Train(error.into())
    }
}

impl ParallelError {
    /// Whether this only tells what another rank has met.
    #[must_use]
    pub fn is_echo(&self) -> bool {
        matches!(self, Self::Collective(error) if error.is_echo())
    }

    /// Whether every rank meets this at the same place, because it follows from what all of them know.
    pub(super) fn is_shared(&self) -> bool {
        match self {
            Self::Train(error) => error.is_divergence(),
            Self::ReplicasDiffer { .. } | Self::SetupsDiffer { .. } => true,
            _ => false,
        }
    }
}
