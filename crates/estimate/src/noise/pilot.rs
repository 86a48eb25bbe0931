//! Effective rank and alignment, which the planner needs, from the spread of a few pilot measurements.
//!
//! The formulas of theory §1.3, turned round. Var(𝒮) = 2 tr(Σ²)/(n−1) gives r = 2𝒮̄²/((n−1)Var 𝒮). The squared norm of
//! the batch gradient, N_b = 𝒢+𝒮/B, is independent of 𝒮 for Gaussian examples and has variance
//! 4GᵀΣG/B + 2 tr(Σ²)/B²; less the part that Var(𝒮) tells, this leaves GᵀΣG, and α. For other examples r is what makes
//! the planner's formula true of 𝒮, which is what planning needs.
//!
//! Intervals: a variance from K measurements is taken as χ² with K−1 degrees of freedom; differences and quotients
//! of such follow by variance estimates recovery (Zou and Donner 2008, Statist. Med. 27:1693), quotients on the log
//! scale. They hold for Gaussian examples with r(n−1) of 50 or more.
//!
//! ```
//! use batchwise_estimate::noise::{Measurement, shape_from_pilots};
//! // tr Σ = 100 ± 2 in 51 micro-batches of 1: r = 2·100²/(50·2²) = 100.
//! let pilots: Vec<_> = (0..40)
//!     .map(|k| {
//!         let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
//!         Measurement { g2: 4.0 + if k % 4 < 2 { 1.0 } else { -1.0 }, tr_sigma: 100.0 + 2.0 * sign }
//!     })
//!     .collect();
//! let shape = shape_from_pilots(&pilots, 51.0, 1.0, 0.95)?;
//! assert_eq!(shape.effective_rank.holds(100.0), Some(true));
//! # Ok::<(), batchwise_estimate::noise::NoiseError>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{Measurement, NoiseError, Shape, estimate};
use crate::chi_square::chi_square_quantile;
use crate::fieller::{Ratio, student_t_quantile};
use crate::outcome::Outcome;

/// What pilot measurements say about the [`Shape`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct PilotShape {
    /// φ.
    pub phi: Ratio,
    /// r = (tr Σ)²/tr Σ².
    pub effective_rank: Outcome,
    /// α = GᵀΣG/(‖G‖² tr Σ); an upper bound where the noise along the gradient is not separated from the rest.
    pub alignment: Outcome,
}

impl PilotShape {
    /// The numbers to plan with: point estimates, and the bound of α where it is one. `None` if φ or r has none, or α
    /// neither.
    #[must_use]
    pub fn shape(&self) -> Option<Shape> {
        Some(Shape {
            phi: self.phi.value()?,
            effective_rank: self.effective_rank.value()?,
            alignment: self.alignment.value().or(self.alignment.high())?,
        })
    }
}

/// Effective rank and alignment from K measurements of batches of B = `batch` in micro-batches of b = `micro_batch`.
///
/// # Errors
/// Sizes that make no two micro-batches; those of [`estimate`].
pub fn shape_from_pilots(
    pilots: &[Measurement],
    batch: f64,
    micro_batch: f64,
    confidence: f64,
) -> Result<PilotShape, NoiseError> {
    let n = batch / micro_batch;
    if !(batch.is_finite() && micro_batch > 0.0 && n.is_finite() && n >= 2.0) {
        return Err(NoiseError::BadSizes { batch, micro_batch });
    }
    let means = estimate(pilots, confidence)?;
    let (g2, tr_sigma) = (
        Band::of_mean(means.g2, means.g2_standard_error, pilots.len(), confidence),
        Band::of_mean(means.tr_sigma, means.tr_sigma_standard_error, pilots.len(), confidence),
    );
    let spread = Band::of_variance(pilots.iter().map(|m| m.tr_sigma), confidence);
    let of_norm = Band::of_variance(pilots.iter().map(|m| m.g2 + m.tr_sigma / batch), confidence);
    let effective_rank = match (tr_sigma, spread) {
        (Some(mean), Some(spread)) => rank(mean, spread, n),
        _ => Outcome::not_identified("the measurements of tr Σ have no spread"),
    };
    let alignment = match (g2, tr_sigma, spread, of_norm) {
        (Some(g2), Some(tr_sigma), Some(spread), Some(of_norm)) => {
            let of_noise = spread.times((n - 1.0) / batch / batch);
            alignment(of_norm.minus(of_noise).times(batch / 4.0), g2, tr_sigma)
        }
        _ => Outcome::not_identified("the measurements have no spread"),
    };
    Ok(PilotShape { phi: means.phi, effective_rank, alignment })
}

fn rank(mean: Band, spread: Band, n: f64) -> Outcome {
    if mean.low <= 0.0 {
        return Outcome::not_identified("tr Σ is not separated from 0");
    }
    // The relative error of the mean is smaller than that of the variance by √(2n), and is left out.
    let of = |variance: f64| (2.0 * mean.value / (n - 1.0) * (mean.value / variance)).max(1.0);
    measured(of(spread.value), of(spread.high), of(spread.low))
}

fn alignment(along: Band, g2: Band, tr_sigma: Band) -> Outcome {
    if g2.low <= 0.0 || tr_sigma.low <= 0.0 {
        return Outcome::not_identified("‖G‖² or tr Σ is not separated from 0");
    }
    if along.high <= 0.0 {
        return Outcome::UpperBound { high: 0.0 };
    }
    let square = |a: f64, b: f64| (a / b).ln().powi(2);
    let of = |along: f64| (along / g2.value / tr_sigma.value).clamp(0.0, 1.0);
    let below = |part: Band| square(part.value, part.low);
    let above = |part: Band| square(part.high, part.value);
    let high = if along.value > 0.0 {
        of(along.value) * (above(along) + below(g2) + below(tr_sigma)).sqrt().exp()
    } else {
        along.high / g2.low / tr_sigma.low
    };
    if along.low > 0.0 {
        let low = of(along.value) * (-(below(along) + above(g2) + above(tr_sigma)).sqrt()).exp();
        return measured(of(along.value), low, high.min(1.0));
    }
    if high < 1.0 {
        Outcome::UpperBound { high }
    } else {
        Outcome::not_identified("the spread along the gradient is not separated from the rest")
    }
}

fn measured(value: f64, low: f64, high: f64) -> Outcome {
    if value.is_finite() && low.is_finite() && high.is_finite() {
        Outcome::Measured { value, low: low.min(value), high: high.max(value) }
    } else {
        Outcome::not_identified("the spread is beyond the range of floating point numbers")
    }
}

/// A number with the ends of its interval.
#[derive(Clone, Copy)]
struct Band {
    value: f64,
    low: f64,
    high: f64,
}

impl Band {
    fn of_mean(value: f64, error: Option<f64>, k: usize, confidence: f64) -> Option<Self> {
        let half = error? * student_t_quantile(0.5 + confidence / 2.0, k as f64 - 1.0);
        half.is_finite().then_some(Self { value, low: value - half, high: value + half })
    }

    /// The sample variance; `None` where it is 0 or no finite number.
    fn of_variance(values: impl Iterator<Item = f64> + Clone, confidence: f64) -> Option<Self> {
        let k = values.clone().count() as f64;
        let mean = values.clone().map(|v| v / k).sum::<f64>();
        let squares = values.map(|v| (v - mean) * (v - mean)).sum::<f64>();
        if !(k >= 2.0 && squares.is_finite() && squares > 0.0) {
            return None;
        }
        let at = |p: f64| chi_square_quantile(p, k - 1.0).filter(|q| *q > 0.0).map(|q| squares / q);
        let band = Self {
            value: squares / (k - 1.0),
            low: at(0.5 + confidence / 2.0)?,
            high: at(0.5 - confidence / 2.0)?,
        };
        band.high.is_finite().then_some(band)
    }

    fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, low: self.low * factor, high: self.high * factor }
    }

    /// The difference of two independent numbers (variance estimates recovery).
    fn minus(self, other: Self) -> Self {
        let value = self.value - other.value;
        Self {
            value,
            low: value - (self.value - self.low).hypot(other.high - other.value),
            high: value + (self.high - self.value).hypot(other.value - other.low),
        }
    }
}
