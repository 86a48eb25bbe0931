//! Whose gradient: the population's, or the training set's (theory §1.6).
//!
//! A batch drawn without replacement from N examples differs from the set's mean gradient G_N by less than independent
//! draws would: E‖ḡ_B−G_N‖² = S²_N(1/B−1/N), S²_N = Σ‖g_i−G_N‖²/(N−1) (McCandlish et al. 2018, footnote 6). For the
//! pair of estimators from such a batch, E𝒮 = S²_N and E𝒢 = ‖G_N‖²−S²_N/N. So:
//!
//! - [`Target::Population`]: the examples are themselves a sample. 𝒢 and 𝒮 stay: they are unbiased for the
//!   population's ‖G‖² and tr Σ, and disjoint batches are independent. The right default: φ does not depend on N.
//! - [`Target::TrainingSet`]: ‖G_N‖² ← 𝒢+𝒮/N and tr Σ_N ← 𝒮·(N−1)/N, the variance with divisor N, which is what one
//!   draw from the set has. Exact for a batch of the whole set. Measurements that share out one pass over the set are
//!   negatively correlated, so here the interval is too wide, the more so the larger the share of the set they use.
//!
//! ```
//! use batchwise_estimate::noise::{Measurement, Target, measure_pair};
//! // The whole set of four gradients of theory §9.1: ‖G_N‖² is 5, and ‖g‖² is 15 on average.
//! let whole = measure_pair(4.0, 1.0, 15.0, 5.0)?;
//! let m = Target::TrainingSet { n_examples: 4.0 }.apply(whole)?;
//! assert!((m.g2 - 5.0).abs() < 1e-12 && (m.tr_sigma - 10.0).abs() < 1e-12);
//! # Ok::<(), batchwise_estimate::noise::NoiseError>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{Measurement, NoiseError, NoiseEstimate, estimate};

/// Whose gradient the noise is counted against.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "target", rename_all = "snake_case"))]
pub enum Target {
    /// The distribution the examples come from.
    Population,
    /// The mean over this training set, from batches drawn without replacement.
    TrainingSet {
        /// N, in the unit of the weights; finite and at least 2.
        n_examples: f64,
    },
}

impl Target {
    /// One measurement for this target.
    ///
    /// # Errors
    /// N out of range; a measurement that is not finite; overflow.
    pub fn apply(&self, m: Measurement) -> Result<Measurement, NoiseError> {
        if !m.is_finite() {
            return Err(NoiseError::BadMeasurement { index: 0 });
        }
        let &Self::TrainingSet { n_examples } = self else { return Ok(m) };
        check_dataset(n_examples)?;
        let share = (n_examples - 1.0) / n_examples;
        super::pair::checked(train_set_g2(m, n_examples), m.tr_sigma * share)
    }

    /// [`estimate`] for this target.
    ///
    /// # Errors
    /// Those of [`estimate`] and of [`apply`](Self::apply).
    pub fn estimate(
        &self,
        measurements: &[Measurement],
        confidence: f64,
    ) -> Result<NoiseEstimate, NoiseError> {
        let corrected = measurements
            .iter()
            .enumerate()
            .map(|(index, m)| {
                self.apply(*m).map_err(|error| match error {
                    NoiseError::BadMeasurement { .. } => NoiseError::BadMeasurement { index },
                    other => other,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        estimate(&corrected, confidence)
    }
}

/// Squared norm of the *training-set* gradient, 𝒢+𝒮/N, from draws without replacement (theory §1.6).
///
/// Use the plain 𝒢 where the population is the target. `n_examples` is N, in the unit of the weights, finite and at
/// least 2; [`Target::apply`] checks it.
#[must_use]
pub fn train_set_g2(m: Measurement, n_examples: f64) -> f64 {
    m.g2 + m.tr_sigma / n_examples
}

/// B_eff = BN/(N−B): the batch of independent draws with the noise that a batch of B out of N has (theory §1.6).
///
/// `None` where B is the whole set, which has no sampling noise, and where the arguments are no sizes.
#[must_use]
pub fn effective_batch(batch: f64, n_examples: f64) -> Option<f64> {
    if !(batch > 0.0 && n_examples.is_finite() && batch < n_examples) {
        return None;
    }
    let effective = batch / (1.0 - batch / n_examples);
    effective.is_finite().then_some(effective)
}

/// Whether a batch is more than a tenth of the data set, so that the noise is visibly below the noise of independent
/// draws and formulas for these mislead (theory §1.6). Sizes that are no numbers count as large.
#[must_use]
pub fn is_large_share(batch: f64, n_examples: f64) -> bool {
    batch.is_nan() || n_examples.is_nan() || batch > n_examples / 10.0
}

fn check_dataset(n_examples: f64) -> Result<(), NoiseError> {
    if n_examples.is_finite() && n_examples >= 2.0 {
        Ok(())
    } else {
        Err(NoiseError::BadDatasetSize { value: n_examples })
    }
}
