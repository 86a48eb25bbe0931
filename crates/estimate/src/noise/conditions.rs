//! When a noise scale may not be measured at all, and when only roughly (theory §8.3, last row; traps 6 and 7 of §0).
//!
//! The pair of estimators rests on one assumption: the micro-batch gradients are independent draws with the same mean.
//!
//! - Parameters that move between the micro-batches give each its own mean. The drift is counted as noise, and the
//!   number is of no θ. Refused.
//! - Batch norm over the micro-batch makes micro-batches of b another function than the batch of B. With ghost batches
//!   of a fixed size (the micro-batch is a whole number of them) all sizes share one function, and the unit of
//!   independence is the ghost batch. Without: refused.
//! - A data set below ten batches: independent draws overstate the noise. Approximate.
//! - Dropout or augmentation that is drawn afresh counts as noise of the example, which is what training sees; it is
//!   not what the data alone have. Approximate where the noise of the data is meant.
//!
//! ```
//! use batchwise_estimate::noise::{BatchNorm, Conditions, Standing};
//! let sound = Conditions { batch: 128.0, ..Conditions::default() };
//! assert_eq!(sound.judge(), Standing::Sound);
//! let moved = Conditions { parameters_moved: true, ..sound.clone() };
//! assert!(matches!(moved.judge(), Standing::Refused { .. }));
//! let few = Conditions { n_examples: Some(1000.0), ..sound };
//! assert!(matches!(few.judge(), Standing::Approximate { .. }));
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::target::is_large_share;
use crate::fieller::Ratio;
use crate::grade::Grade;

/// How batch norm, or another layer that couples examples, saw the measured gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum BatchNorm {
    /// No layer couples examples.
    #[default]
    Absent,
    /// Statistics over ghost batches of one fixed size, the same in every micro-batch.
    FixedGhostBatches,
    /// Statistics over the whole micro-batch.
    OverMicroBatch,
}

/// How a noise scale was measured.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Conditions {
    /// Layers that couple the examples of a batch.
    pub batch_norm: BatchNorm,
    /// Whether θ changed between the micro-batches of one measurement.
    pub parameters_moved: bool,
    /// Whether dropout or augmentation was drawn afresh although the noise of the data alone is meant.
    pub has_fresh_randomness: bool,
    /// B of one measurement.
    pub batch: f64,
    /// N, where it is known and finite.
    pub n_examples: Option<f64>,
}

/// What the conditions allow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "standing", rename_all = "snake_case"))]
pub enum Standing {
    /// The interval means what it says.
    Sound,
    /// An order of size.
    Approximate {
        /// Every condition that is not met, as lower-case clauses.
        why: Vec<String>,
    },
    /// No number.
    Refused {
        /// The first condition that forbids it, as a lower-case clause.
        why: String,
    },
}

impl Conditions {
    /// What may be said under these conditions.
    #[must_use]
    pub fn judge(&self) -> Standing {
        if self.parameters_moved {
            let why = "the parameters moved between the micro-batches, so their drift counts as noise";
            return Standing::Refused { why: why.to_owned() };
        }
        if self.batch_norm == BatchNorm::OverMicroBatch {
            let why = "batch norm over the micro-batch makes each micro-batch size another function; fix the \
                       size of its ghost batches";
            return Standing::Refused { why: why.to_owned() };
        }
        let mut why = Vec::new();
        if let Some(n) = self.n_examples.filter(|n| is_large_share(self.batch, *n)) {
            why.push(format!("the data set of {n} examples is smaller than ten batches of {}", self.batch));
        }
        if self.has_fresh_randomness {
            why.push(
                "dropout or augmentation was drawn afresh and counts as noise of the examples".to_owned(),
            );
        }
        if why.is_empty() { Standing::Sound } else { Standing::Approximate { why } }
    }
}

impl Standing {
    /// The noise scale as it may be shown: refused ones lose their number.
    #[must_use]
    pub fn apply(&self, phi: Ratio) -> Ratio {
        match self {
            Self::Refused { why } => Ratio::not_identified(why.clone()),
            Self::Sound | Self::Approximate { .. } => phi,
        }
    }

    /// The evidence grade of a noise scale under these conditions.
    #[must_use]
    pub fn grade(&self, phi: &Ratio) -> Grade {
        match (self, phi) {
            (Self::Refused { .. }, _) | (_, Ratio::WholeLine | Ratio::NotIdentified { .. }) => {
                Grade::NotIdentified
            }
            (Self::Approximate { .. }, _) => Grade::Approximate,
            (Self::Sound, Ratio::Measured { .. }) => Grade::Measured,
            (Self::Sound, Ratio::LowerBound { .. }) => Grade::LowerBound,
        }
    }
}
