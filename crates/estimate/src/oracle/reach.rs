//! When a run first comes below its target.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// The largest number of steps any answer speaks of: the largest up to which a 64-bit float counts every one.
pub const MAX_STEPS: u64 = 1 << 53;

/// When the expected loss first comes below a target.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Reach {
    /// It does.
    Reached {
        /// The first step t with E L_t < target; 0 where the start is below it already.
        steps: u64,
        /// Where the straight line from step t−1 to step t crosses the target, in steps; in (t−1, t].
        crossing: f64,
    },
    /// It never does, in the first [`MAX_STEPS`] steps.
    Unreachable,
    /// It does not within the steps that were looked at; beyond them nothing is known.
    NotWithin {
        /// How many steps were looked at.
        steps: u64,
    },
}

impl Reach {
    /// The first step below the target, where there is one.
    #[must_use]
    pub fn steps(&self) -> Option<u64> {
        match self {
            Self::Reached { steps, .. } => Some(*steps),
            Self::Unreachable | Self::NotWithin { .. } => None,
        }
    }

    /// The crossing in steps, a number that moves smoothly with the setting.
    #[must_use]
    pub fn crossing(&self) -> Option<f64> {
        match self {
            Self::Reached { crossing, .. } => Some(*crossing),
            Self::Unreachable | Self::NotWithin { .. } => None,
        }
    }

    /// At `steps`, where the loss was `before` (not below the target) a step earlier and is `after` (below it) now.
    pub(super) fn at(steps: u64, before: f64, after: f64, target: f64) -> Self {
        let share = ((before - target) / (before - after)).clamp(0.0, 1.0);
        let share = if share.is_nan() { 1.0 } else { share };
        Self::Reached { steps, crossing: (steps - 1) as f64 + share }
    }
}
