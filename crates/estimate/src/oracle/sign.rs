//! Sign descent, the closed form behind Adam's learning rate (Li et al. 2024, "Surge", theorem 2; theory §4.2).
//!
//! *Why does the best learning rate of Adam not keep growing with the batch?* Adam far from its ε steps along the sign
//! of the gradient. With per-example mean μ_i and deviation σ_i of coordinate i, the sign of a batch's gradient has
//! mean E_i(B) = erf(√(B/2)·μ_i/σ_i) and variance 1 − E_i², so the step that lowers a quadratic loss most is
//!
//! **ε_opt(B) = Σ E_iμ_i / (Σ(1−E_i²)H_ii + ΣΣ E_iE_jH_ij)**
//!
//! exactly, for Gaussian gradients with independent coordinates. For small B (B ≪ πσ²/2μ² in every coordinate) it is
//! the Surge curve **ε_peak·2/(√(B_n/B)+√(B/B_n))**: it grows as √B, peaks at B_n and then *falls*; for B → ∞ it
//! levels at Σ|μ_i|/ΣΣ sgn μ_i sgn μ_j H_ij. The peak is real only where B_n itself is inside the small-B range, and
//! there is none where H is diagonal ([`SurgePeak`]). Some copies of the paper's eq 14 leave out H_ij in
//! B_n = (π/2)ΣH_ii/Σ_{i≠j}(μ_iμ_j/σ_iσ_j)H_ij; the derivation requires it.
//!
//! ```
//! use batchwise_estimate::oracle::{SignDescent, Symmetric};
//!
//! let h = Symmetric::from_rows(&[vec![1.0, 0.2, 0.1], vec![0.2, 0.8, -0.1], vec![0.1, -0.1, 0.5]])?;
//! let world = SignDescent::new(vec![0.02, -0.01, 0.03], vec![1.0, 0.5, 2.0], h)?;
//! let (one, four) = (world.best_learning_rate(1.0)?.unwrap(), world.best_learning_rate(4.0)?.unwrap());
//! assert!((one - 3.64235949857e-4).abs() < 1e-14);
//! assert!((four / one - 2.0).abs() < 1e-2, "the square-root rule at small B");
//! # Ok::<(), batchwise_estimate::oracle::OracleError>(())
//! ```

use std::f64::consts::{FRAC_1_SQRT_2, PI};

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use statrs::function::erf::erf;

use super::error::{OracleError, all_finite, all_positive, length, positive};
use super::matrix::Symmetric;

/// Sign descent on a quadratic with independent Gaussian gradient coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct SignDescent {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    hessian: Symmetric,
}

/// Where the small-batch form of the best learning rate peaks.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum SurgePeak {
    /// It peaks and falls.
    At {
        /// B_n, in examples.
        batch: f64,
        /// ε_peak, the learning rate there.
        learning_rate: f64,
    },
    /// The sum over i≠j is 0 (a diagonal H): B_n is infinite, and the form is the square-root rule for every B.
    Never,
    /// The sum over i≠j, or the trace of H, is negative: the small-batch form has no peak and no meaning beyond small B.
    Void,
}

impl SurgePeak {
    /// The Surge curve at this batch size: ε_peak·2/(√(B_n/B)+√(B/B_n)). `None` where there is no peak or no positive B.
    #[must_use]
    pub fn learning_rate(&self, batch: f64) -> Option<f64> {
        let Self::At { batch: b_n, learning_rate } = *self else { return None };
        let ratio = (batch / b_n).sqrt();
        (batch > 0.0 && ratio.is_finite() && ratio > 0.0)
            .then(|| learning_rate * 2.0 / (ratio.recip() + ratio))
            .filter(|e| e.is_finite())
    }
}

impl SignDescent {
    /// Per-example mean μ and deviation σ of each gradient coordinate, and the Hessian H.
    ///
    /// # Errors
    /// An empty list, a mean that is not finite, a deviation that is no positive number, other lengths.
    pub fn new(mean: Vec<f64>, deviation: Vec<f64>, hessian: Symmetric) -> Result<Self, OracleError> {
        all_finite("mean", &mean)?;
        all_positive("deviation", &deviation)?;
        length("deviation", deviation.len(), mean.len())?;
        length("Hessian", hessian.dimension(), mean.len())?;
        Ok(Self { mean, deviation, hessian })
    }

    /// E_i(B), the mean sign of a batch's gradient: erf(√(B/2)·μ_i/σ_i).
    ///
    /// # Errors
    /// A batch that is no positive number.
    pub fn mean_sign(&self, batch: f64) -> Result<Vec<f64>, OracleError> {
        // Of these two factors neither is 0, so that a μ/σ that overflows still has a sign: erf(±∞) = ±1.
        let root = positive("batch size", batch)?.sqrt() * FRAC_1_SQRT_2;
        Ok(self.mean.iter().zip(&self.deviation).map(|(m, s)| erf(root * (m / s))).collect())
    }

    /// ε_opt(B). `None` where no curvature bounds the step, or no coordinate has a sign.
    ///
    /// # Errors
    /// A batch that is no positive number.
    pub fn best_learning_rate(&self, batch: f64) -> Result<Option<f64>, OracleError> {
        let sign = self.mean_sign(batch)?;
        Ok(quotient(self.slope(&sign), self.curvature(&sign)))
    }

    /// The expected fall of the loss at this learning rate: εΣE_iμ_i − ½ε²(Σ(1−E_i²)H_ii + ΣΣE_iE_jH_ij).
    ///
    /// `None` where it overflows.
    ///
    /// # Errors
    /// A batch that is no positive number.
    pub fn gain(&self, batch: f64, learning_rate: f64) -> Result<Option<f64>, OracleError> {
        let sign = self.mean_sign(batch)?;
        let gain = learning_rate * (self.slope(&sign) - learning_rate * self.curvature(&sign) / 2.0);
        Ok(gain.is_finite().then_some(gain))
    }

    fn slope(&self, sign: &[f64]) -> f64 {
        sign.iter().zip(&self.mean).map(|(e, m)| e * m).sum()
    }

    fn curvature(&self, sign: &[f64]) -> f64 {
        let spread: f64 = sign.iter().enumerate().map(|(i, e)| (1.0 - e * e) * self.hessian.at(i, i)).sum();
        spread + self.hessian.form(sign)
    }

    /// The limit for B → ∞: Σ|μ_i|/ΣΣ sgn μ_i sgn μ_j H_ij, with sgn 0 = 0 as a sign that is a fair coin.
    ///
    /// `None` where no curvature bounds the step.
    #[must_use]
    pub fn large_batch_limit(&self) -> Option<f64> {
        let sign: Vec<f64> = self.mean.iter().map(|m| if *m == 0.0 { 0.0 } else { m.signum() }).collect();
        quotient(self.slope(&sign), self.curvature(&sign))
    }

    /// The small-batch form stands for B well below this: the smallest πσ_i²/2μ_i², in examples.
    ///
    /// `None` where every mean is 0, so that it stands everywhere. Over a coordinate with the strongest signal it is
    /// the batch at which that sign is right 89 % of the time (E = erf(√π/2) = 0.79).
    #[must_use]
    pub fn small_batch_range(&self) -> Option<f64> {
        let ratios = self.mean.iter().zip(&self.deviation).map(|(m, s)| (s / m) * (s / m) * PI / 2.0);
        ratios.min_by(f64::total_cmp).filter(|r| r.is_finite())
    }

    /// B_n and ε_peak = √(B_n/2π)·Σ(μ_i²/σ_i)/ΣH_ii of the small-batch form.
    #[must_use]
    pub fn peak(&self) -> SurgePeak {
        let ratio: Vec<f64> = self.mean.iter().zip(&self.deviation).map(|(m, s)| m / s).collect();
        let trace = self.hessian.trace();
        let off: f64 = (0..ratio.len())
            .map(|i| {
                let row = self.hessian.row(i).iter().zip(&ratio).enumerate();
                let rest: f64 = row.filter(|(j, _)| *j != i).map(|(_, (h, r))| h * r).sum();
                rest * ratio[i]
            })
            .sum();
        if off == 0.0 && trace > 0.0 {
            return SurgePeak::Never;
        }
        let batch = PI / 2.0 * trace / off;
        let signal: f64 = self.mean.iter().zip(&ratio).map(|(m, r)| m * r).sum();
        let learning_rate = (batch / (2.0 * PI)).sqrt() * signal / trace;
        if off > 0.0 && trace > 0.0 && batch.is_finite() && learning_rate.is_finite() {
            SurgePeak::At { batch, learning_rate }
        } else {
            SurgePeak::Void
        }
    }
}

/// The best step of a gain ε·slope − ½ε²·curvature.
fn quotient(slope: f64, curvature: f64) -> Option<f64> {
    (slope > 0.0 && curvature > 0.0).then(|| slope / curvature).filter(|e| e.is_finite())
}
