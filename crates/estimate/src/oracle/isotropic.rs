//! Least squares with white inputs: the run in one line (theory §9.2, derived).
//!
//! *The simplest run whose whole course is known.* x ~ N(0, I) in d dimensions, y = xᵀw* + ξ with Var ξ = σ², SGD with
//! fresh batches of B. The squared distance r_t = E‖w_t − w*‖² follows
//!
//! r_{t+1} = A r_t + C,  A = 1 − 2η + η²(1 + (d+1)/B),  C = η²dσ²/B
//!
//! so r_t = r_∞ + Aᵗ(r_0 − r_∞) with r_∞ = C/(1−A). The excess loss is r_t/2. It is stable below
//! η = 2/(1 + (d+1)/B) and contracts fastest at half of that: **d+1 is the noise scale of this problem**, at every
//! point of the run, since here the noise shrinks with the gradient. What it lacks is a spectrum: there is one rate
//! for all directions, so nothing slow is left when the fast part is done ([`Quadratic`](super::Quadratic) has that).
//!
//! ```
//! use batchwise_estimate::oracle::IsotropicRegression;
//!
//! let world = IsotropicRegression::new(15, 0.0, 1.0)?;
//! // d+1 = 16: a batch of 16 may step half as far as the whole data set, and needs at most that.
//! assert_eq!(world.fastest_learning_rate(16.0)?, 0.5);
//! assert_eq!(world.learning_rate_limit(16.0)?, 1.0);
//! // Half the distance per step; 10 steps for a thousandth.
//! assert_eq!(world.steps_to_target(16.0, 0.5, 1e-3)?.steps(), Some(10));
//! # Ok::<(), batchwise_estimate::oracle::OracleError>(())
//! ```

use super::curve::{Curve, Mode};
use super::error::{OracleError, answer, not_negative, positive};
use super::reach::{MAX_STEPS, Reach};

/// Least squares with x ~ N(0, I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IsotropicRegression {
    dimension: f64,
    noise: f64,
    start: f64,
}

impl IsotropicRegression {
    /// `dimension` d, `noise` σ² (the variance of the labels' noise), `start` r_0 = ‖w_0 − w*‖².
    ///
    /// # Errors
    /// A dimension of 0, a noise or a start that is negative or not finite.
    pub fn new(dimension: usize, noise: f64, start: f64) -> Result<Self, OracleError> {
        let dimension = positive("dimension", dimension as f64)?;
        Ok(Self {
            dimension,
            noise: not_negative("label noise", noise)?,
            start: not_negative("start", start)?,
        })
    }

    /// d + 1, in examples: the batch at which the learning rate may be half of its limit for B → ∞.
    #[must_use]
    pub fn noise_scale(&self) -> f64 {
        self.dimension + 1.0
    }

    /// The smallest learning rate at which the run no longer settles: 2/(1 + (d+1)/B).
    ///
    /// # Errors
    /// A batch that is no positive number.
    pub fn learning_rate_limit(&self, batch: f64) -> Result<f64, OracleError> {
        Ok(2.0 * self.fastest_learning_rate(batch)?)
    }

    /// The learning rate of the smallest A: 1/(1 + (d+1)/B). The fastest without label noise.
    ///
    /// # Errors
    /// A batch that is no positive number.
    pub fn fastest_learning_rate(&self, batch: f64) -> Result<f64, OracleError> {
        let batch = positive("batch size", batch)?;
        Ok(batch / (batch + self.noise_scale()))
    }

    fn course(&self, batch: f64, learning_rate: f64) -> Result<Curve, OracleError> {
        let batch = positive("batch size", batch)?;
        let eta = positive("learning rate", learning_rate)?;
        let fall = eta * (2.0 - eta * (1.0 + self.noise_scale() / batch));
        let shift = eta * eta * self.dimension * self.noise / batch;
        Ok(Curve::new([(1.0, Mode::new(self.start, fall, (-fall).ln_1p(), shift)?)]))
    }

    /// r_t = E‖w_t − w*‖² after t steps.
    ///
    /// # Errors
    /// A bad setting; [`OracleError::Overflow`] where the run has diverged.
    pub fn distance(&self, batch: f64, learning_rate: f64, steps: u64) -> Result<f64, OracleError> {
        answer("the distance", self.course(batch, learning_rate)?.at(steps))
    }

    /// r_∞ = C/(1−A), where the run settles; `None` at and above the limit of the learning rate.
    ///
    /// # Errors
    /// A bad setting, [`OracleError::Overflow`].
    pub fn stationary_distance(&self, batch: f64, learning_rate: f64) -> Result<Option<f64>, OracleError> {
        Ok(self.course(batch, learning_rate)?.stationary())
    }

    /// The first step with r_t < `target`: ⌈ln((r*−r_∞)/(r_0−r_∞))/ln A⌉, found by bisection of the closed form of r_t.
    ///
    /// # Errors
    /// A bad setting, a target that is no positive number.
    pub fn steps_to_target(&self, batch: f64, learning_rate: f64, target: f64) -> Result<Reach, OracleError> {
        let target = positive("target", target)?;
        Ok(self.course(batch, learning_rate)?.first_below(target, MAX_STEPS))
    }
}
