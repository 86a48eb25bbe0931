//! Which optimizer, and at which batch size and learning rate it runs.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::error::{OracleError, positive, share};

/// The optimizers whose runs on a [`Quadratic`](super::Quadratic) are known in closed form.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Optimizer {
    /// θ ← θ − ηĝ.
    Sgd,
    /// Heavy ball (Polyak 1964): v ← μv − ηĝ, θ ← θ + v, from v = 0.
    HeavyBall {
        /// μ, in [0, 1).
        momentum: f64,
    },
    /// SGD whose loss is taken at a running average (Polyak): a ← γa + (1−γ)θ after each step, from a = θ_0.
    Averaged {
        /// γ, in [0, 1).
        decay: f64,
    },
}

impl Optimizer {
    pub(super) fn check(self) -> Result<Self, OracleError> {
        match self {
            Self::Sgd => {}
            Self::HeavyBall { momentum } => drop(share("momentum", momentum)?),
            Self::Averaged { decay } => drop(share("averaging decay", decay)?),
        }
        Ok(self)
    }

    /// A run of this optimizer settles if and only if ηh is below this in every mode: 2, or 2(1+μ) with momentum.
    ///
    /// # Errors
    /// A momentum or decay outside [0, 1).
    pub fn stability(self) -> Result<f64, OracleError> {
        Ok(match self.check()? {
            Self::Sgd | Self::Averaged { .. } => 2.0,
            Self::HeavyBall { momentum } => 2.0 * (1.0 + momentum),
        })
    }
}

/// One setting of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Setting {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// B, in examples: finite and above 0.
    pub batch: f64,
    /// η: finite and above 0.
    pub learning_rate: f64,
}

impl Setting {
    /// Plain SGD.
    #[must_use]
    pub fn sgd(batch: f64, learning_rate: f64) -> Self {
        Self { optimizer: Optimizer::Sgd, batch, learning_rate }
    }

    /// SGD with heavy-ball momentum μ.
    #[must_use]
    pub fn heavy_ball(batch: f64, learning_rate: f64, momentum: f64) -> Self {
        Self { optimizer: Optimizer::HeavyBall { momentum }, batch, learning_rate }
    }

    /// SGD, its loss taken at a running average of decay γ.
    #[must_use]
    pub fn averaged(batch: f64, learning_rate: f64, decay: f64) -> Self {
        Self { optimizer: Optimizer::Averaged { decay }, batch, learning_rate }
    }

    pub(super) fn check(self) -> Result<Self, OracleError> {
        self.optimizer.check()?;
        positive("batch size", self.batch)?;
        positive("learning rate", self.learning_rate)?;
        Ok(self)
    }
}
