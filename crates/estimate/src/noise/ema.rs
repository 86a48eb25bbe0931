//! The two parts smoothed over a training run by exponential moving averages.
//!
//! A training loop that meets one measurement per step cannot keep them all. It keeps two averages, of 𝒢 and of 𝒮,
//! and divides last (McCandlish et al. 2018, appendix A.1; theory §1.4):
//!
//! m_k = β m_{k−1} + (1−β) 𝒮_k with m_0 = 0, debiased by 1−β^k, where k counts updates of the average: not steps, not
//! micro-batches (trap 8 of theory §0).
//!
//! With independent measurements the average holds as much as (1+β)/(1−β) of them (19, 39, 199 for β = 0.9, 0.95,
//! 0.99), fewer at the start: [`Ema::effective_measurements`].
//!
//! What the quotient is: a lagged average of φ(t), weighted by 𝒢(t). While ‖G‖² falls fast, early in training, it
//! reads low. There is no interval here: the averages do not keep the spread, and along a trajectory neighbouring
//! measurements are correlated, so that a formula for independent ones would be too short. For an interval keep the
//! measurements and use [`blocks`](crate::blocks), or freeze θ and measure K times.
//!
//! ```
//! use batchwise_estimate::noise::{Ema, Measurement};
//!
//! let mut ema = Ema::with_half_life(20.0)?;
//! for step in 0..200 {
//!     let wobble = if step % 2 == 0 { 0.5 } else { -0.5 };
//!     ema.update(Measurement { g2: 1.0 + 1.5 * wobble, tr_sigma: 300.0 * (1.0 + 0.1 * wobble) })?;
//! }
//! let phi = ema.smoothed_phi().ok_or("no signal")?;
//! assert!((phi / 300.0 - 1.0).abs() < 0.02);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{Measurement, NoiseError};

/// Exponential moving averages of both parts: four numbers, stored with the training state and checked when read back.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Stored"))]
pub struct Ema {
    beta: f64,
    updates: u64,
    /// The averages before the debias.
    raw: Measurement,
}

/// An [`Ema`] as it was stored, before it is checked.
#[cfg(feature = "serde")]
#[derive(Deserialize)]
struct Stored {
    beta: f64,
    updates: u64,
    raw: Measurement,
}

#[cfg(feature = "serde")]
impl TryFrom<Stored> for Ema {
    type Error = NoiseError;

    fn try_from(stored: Stored) -> Result<Self, NoiseError> {
        let Stored { beta, updates, raw } = stored;
        if !raw.is_finite() {
            return Err(NoiseError::BadMeasurement { index: 0 });
        }
        Ok(Self { updates, raw, ..Self::new(beta)? })
    }
}

impl Ema {
    /// An average with smoothing factor β in (0, 1).
    ///
    /// # Errors
    /// β outside (0, 1).
    pub fn new(beta: f64) -> Result<Self, NoiseError> {
        if !(beta > 0.0 && beta < 1.0) {
            return Err(NoiseError::BadSmoothing { value: beta });
        }
        Ok(Self { beta, updates: 0, raw: Measurement { g2: 0.0, tr_sigma: 0.0 } })
    }

    /// An average in which the weight of a measurement halves every `updates` updates: β = 2^(−1/updates).
    ///
    /// # Errors
    /// A half-life that is not above 0, or so small or large that β rounds to 0 or 1.
    pub fn with_half_life(updates: f64) -> Result<Self, NoiseError> {
        let bad = NoiseError::BadSmoothing { value: updates };
        if updates.is_nan() || updates <= 0.0 {
            return Err(bad);
        }
        Self::new((-1.0 / updates).exp2()).map_err(|_| bad)
    }

    /// Takes one measurement in.
    ///
    /// # Errors
    /// A measurement that is not finite; the average stays as it was.
    pub fn update(&mut self, m: Measurement) -> Result<(), NoiseError> {
        if !m.is_finite() {
            return Err(NoiseError::BadMeasurement {
                index: usize::try_from(self.updates).unwrap_or(usize::MAX),
            });
        }
        let mix = |old: f64, new: f64| self.beta * old + (1.0 - self.beta) * new;
        self.raw = Measurement { g2: mix(self.raw.g2, m.g2), tr_sigma: mix(self.raw.tr_sigma, m.tr_sigma) };
        self.updates = self.updates.saturating_add(1);
        Ok(())
    }

    /// β.
    #[must_use]
    pub const fn beta(&self) -> f64 {
        self.beta
    }

    /// k, the number of updates.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.updates
    }

    /// Both debiased averages; `None` before the first update, or where the debias leaves the range of f64.
    #[must_use]
    pub fn averages(&self) -> Option<Measurement> {
        let share = self.share();
        let m = Measurement { g2: self.raw.g2 / share, tr_sigma: self.raw.tr_sigma / share };
        m.is_finite().then_some(m)
    }

    /// The quotient of the averages, without an error: for a progress line, not for a decision.
    ///
    /// `None` before the first update, and where the average of 𝒢 is not above 0 or that of 𝒮 is below.
    #[must_use]
    pub fn smoothed_phi(&self) -> Option<f64> {
        let m = self.averages()?;
        let phi = m.tr_sigma / m.g2;
        (m.g2 > 0.0 && m.tr_sigma >= 0.0 && phi.is_finite()).then_some(phi)
    }

    /// How many equally weighted independent measurements have the same variance: (Σw)²/Σw² =
    /// (1+β)/(1−β)·(1−β^k)/(1+β^k), which tends to (1+β)/(1−β). 0 before the first update.
    #[must_use]
    pub fn effective_measurements(&self) -> f64 {
        let share = self.share();
        effective_measurements(self.beta) * share / (2.0 - share)
    }

    /// 1−β^k.
    fn share(&self) -> f64 {
        -(self.updates as f64 * self.beta.ln()).exp_m1()
    }
}

/// (1+β)/(1−β): the effective sample size of a settled average, and the least length of a block (theory §1.5).
pub(crate) fn effective_measurements(beta: f64) -> f64 {
    (1.0 + beta) / (1.0 - beta)
}

#[cfg(test)]
mod tests {
    use super::{Ema, Stored};
    use crate::noise::Measurement;

    #[test]
    fn a_stored_average_is_checked() {
        let raw = Measurement { g2: 0.1, tr_sigma: 2.0 };
        let read = |beta, raw| Ema::try_from(Stored { beta, updates: 3, raw });
        assert_eq!(read(0.9, raw).map(|ema| (ema.beta(), ema.updates())), Ok((0.9, 3)));
        assert!(read(1.0, raw).is_err() && read(f64::NAN, raw).is_err());
        assert!(read(0.9, Measurement { g2: f64::NAN, ..raw }).is_err());
    }
}
