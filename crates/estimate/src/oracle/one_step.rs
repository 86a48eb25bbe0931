//! One step on a quadratic: what a batch of B costs and gains (McCandlish et al. 2018, §2; theory §1.1).
//!
//! *How large may the learning rate be at batch size B, and how much lower is the loss after the step?* The batch
//! gradient ĝ has mean G and covariance Σ/B. On a loss with Hessian H, one step of size ε lowers the loss on average by
//!
//! ΔL(ε) = ε‖G‖² − ½ε²(GᵀHG + tr(HΣ)/B)
//!
//! which is largest at **ε_opt(B) = ε_max/(1 + B_noise/B)**, where it is **ΔL_opt(B) = ΔL_max/(1 + B_noise/B)**, with
//! ε_max = ‖G‖²/GᵀHG, ΔL_max = ‖G‖⁴/(2GᵀHG) and **B_noise = tr(HΣ)/GᵀHG** (eqs 2.4 to 2.8). Without H all that can be
//! had is **B_simple = tr Σ/‖G‖²** (eq 2.9), equal to B_noise only where H is a multiple of the identity.
//!
//! It holds exactly where the loss is quadratic. It is greedy: it says what is best for one step, not for a run.
//! Where GᵀHG ≤ 0 (a saddle) the best step is not bounded by the curvature, and the answer is `None`.
//!
//! ```
//! use batchwise_estimate::oracle::OneStep;
//!
//! // ‖G‖² = 1, tr Σ = 100, GᵀHG = 2, tr(HΣ) = 32: B_simple = 100, B_noise = 16.
//! let step = OneStep { g2: 1.0, tr_sigma: 100.0, g_h_g: 2.0, tr_h_sigma: 32.0 };
//! assert_eq!((step.b_simple(), step.b_noise()), (Some(100.0), Some(16.0)));
//! // At B = B_noise the best step is half the largest, and gains half as much.
//! assert_eq!(step.best_learning_rate(16.0), step.max_learning_rate().map(|e| e / 2.0));
//! assert_eq!(step.best_gain(16.0), step.max_gain().map(|g| g / 2.0));
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::error::{OracleError, all_finite, answer, length};
use super::matrix::{Symmetric, dot};

/// The four numbers of which one step of SGD is made.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct OneStep {
    /// ‖G‖², the squared norm of the true gradient.
    pub g2: f64,
    /// tr Σ, the variance of one example's gradient.
    pub tr_sigma: f64,
    /// GᵀHG, the curvature along the gradient.
    pub g_h_g: f64,
    /// tr(HΣ), the curvature that the noise meets.
    pub tr_h_sigma: f64,
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl OneStep {
    /// Itself, if all of it is finite.
    pub(super) fn whole(self) -> Result<Self, OracleError> {
        for part in [self.g2, self.tr_sigma, self.g_h_g, self.tr_h_sigma] {
            answer("a part of the one-step gain", part)?;
        }
        Ok(self)
    }

    /// B_simple = tr Σ/‖G‖², in examples. `None` where the gradient is zero.
    #[must_use]
    pub fn b_simple(&self) -> Option<f64> {
        finite(self.tr_sigma / self.g2)
    }

    /// B_noise = tr(HΣ)/GᵀHG, in examples. `None` where the curvature along the gradient is not above 0.
    #[must_use]
    pub fn b_noise(&self) -> Option<f64> {
        (self.g_h_g > 0.0).then(|| finite(self.tr_h_sigma / self.g_h_g)).flatten()
    }

    /// ε_max = ‖G‖²/GᵀHG, the best learning rate without noise.
    #[must_use]
    pub fn max_learning_rate(&self) -> Option<f64> {
        (self.g_h_g > 0.0).then(|| finite(self.g2 / self.g_h_g)).flatten()
    }

    /// ΔL_max = ‖G‖⁴/(2GᵀHG), the most that one step can gain, in loss.
    #[must_use]
    pub fn max_gain(&self) -> Option<f64> {
        self.max_learning_rate().and_then(|e| finite(e * self.g2 / 2.0))
    }

    /// ε_opt(B) = ‖G‖²/(GᵀHG + tr(HΣ)/B) = ε_max/(1 + B_noise/B).
    ///
    /// `None` where `batch` is no positive number, or no curvature bounds the step.
    #[must_use]
    pub fn best_learning_rate(&self, batch: f64) -> Option<f64> {
        let curvature = self.g_h_g + self.tr_h_sigma / batch;
        (batch > 0.0 && curvature > 0.0).then(|| finite(self.g2 / curvature)).flatten()
    }

    /// ΔL_opt(B) = ΔL_max/(1 + B_noise/B), the expected fall of the loss at [`best_learning_rate`](Self::best_learning_rate).
    #[must_use]
    pub fn best_gain(&self, batch: f64) -> Option<f64> {
        self.best_learning_rate(batch).and_then(|e| finite(e * self.g2 / 2.0))
    }

    /// ΔL(ε) = ε‖G‖² − ½ε²(GᵀHG + tr(HΣ)/B): the expected fall of the loss; negative where the step is too large.
    ///
    /// `None` where `batch` is no positive number, or the answer no finite one.
    #[must_use]
    pub fn gain(&self, batch: f64, learning_rate: f64) -> Option<f64> {
        let curvature = self.g_h_g + self.tr_h_sigma / batch;
        (batch > 0.0).then(|| finite(learning_rate * (self.g2 - learning_rate * curvature / 2.0))).flatten()
    }
}

/// ΔL(f·ε_opt)/ΔL_opt = f(2−f): the share of the best gain that is left at f times the best learning rate.
///
/// ±20 % costs 4 %; half the rate costs 25 %; twice the rate gains nothing (theory §1.1, §4.1). So round down.
/// `None` where `f` is not finite, or the answer overflows.
///
/// ```
/// use batchwise_estimate::oracle::share_of_best;
/// assert_eq!((share_of_best(0.5), share_of_best(2.0)), (Some(0.75), Some(0.0)));
/// ```
#[must_use]
pub fn share_of_best(f: f64) -> Option<f64> {
    finite(f * (2.0 - f))
}

/// A point of a quadratic loss: the gradient G, its Hessian H and the covariance Σ of one example's gradient.
///
/// ```
/// use batchwise_estimate::oracle::{LocalQuadratic, Symmetric};
///
/// let hessian = Symmetric::diagonal(&[1.0, 0.1])?;
/// let sigma = Symmetric::diagonal(&[4.0, 4.0])?;
/// let here = LocalQuadratic::new(vec![0.2, 0.2], hessian, sigma)?;
/// let plain = here.one_step()?;
/// assert!((plain.b_simple().unwrap() - 100.0).abs() < 1e-12);
/// // A step along H⁻¹ĝ is another optimizer, with a noise scale of its own.
/// let newton = here.preconditioned(&Symmetric::diagonal(&[1.0, 10.0])?)?;
/// assert!((newton.max_learning_rate().unwrap() - 1.0).abs() < 1e-12);
/// # Ok::<(), batchwise_estimate::oracle::OracleError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LocalQuadratic {
    gradient: Vec<f64>,
    hessian: Symmetric,
    covariance: Symmetric,
}

impl LocalQuadratic {
    /// From its three parts.
    ///
    /// # Errors
    /// An empty or non-finite gradient, matrices of another dimension.
    pub fn new(gradient: Vec<f64>, hessian: Symmetric, covariance: Symmetric) -> Result<Self, OracleError> {
        all_finite("gradient", &gradient)?;
        length("Hessian", hessian.dimension(), gradient.len())?;
        length("covariance", covariance.dimension(), gradient.len())?;
        Ok(Self { gradient, hessian, covariance })
    }

    /// The gradient G.
    #[must_use]
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    /// The Hessian H.
    #[must_use]
    pub fn hessian(&self) -> &Symmetric {
        &self.hessian
    }

    /// The covariance Σ of one example's gradient.
    #[must_use]
    pub fn covariance(&self) -> &Symmetric {
        &self.covariance
    }

    /// The step θ ← θ − εĝ.
    ///
    /// # Errors
    /// [`OracleError::Overflow`].
    pub fn one_step(&self) -> Result<OneStep, OracleError> {
        OneStep {
            g2: dot(&self.gradient, &self.gradient),
            tr_sigma: self.covariance.trace(),
            g_h_g: self.hessian.form(&self.gradient),
            tr_h_sigma: self.hessian.trace_of_product(&self.covariance),
        }
        .whole()
    }

    /// The step θ ← θ − εPĝ, for a P that does not depend on this batch (theory §1.1, derived).
    ///
    /// The four numbers become GᵀPG, tr(PΣ), GᵀPHPG and tr(PHPΣ): those of plain SGD in the coordinates P^{−½}θ. So
    /// its [`b_noise`](OneStep::b_noise) is the generalised noise scale tr(PHPΣ)/GᵀPHPG, and its
    /// [`b_simple`](OneStep::b_simple) is tr(PΣ)/GᵀPG, which equals it where H is a multiple of P⁻¹.
    ///
    /// # Errors
    /// A P of another dimension, [`OracleError::Overflow`].
    pub fn preconditioned(&self, p: &Symmetric) -> Result<OneStep, OracleError> {
        length("preconditioner", p.dimension(), self.gradient.len())?;
        let step = p.times(&self.gradient);
        OneStep {
            g2: dot(&self.gradient, &step),
            tr_sigma: p.trace_of_product(&self.covariance),
            g_h_g: self.hessian.form(&step),
            tr_h_sigma: p.around(&self.hessian).trace_of_product(&self.covariance),
        }
        .whole()
    }

    /// tr(P²Σ)/GᵀP²G, what the preconditioned B_noise is where H is a multiple of the identity: the second form, that
    /// of adaptdl's `AdamGradientNoiseScale` (theory §1.1). `None` where PG is zero.
    ///
    /// # Errors
    /// A P of another dimension.
    pub fn preconditioned_flat(&self, p: &Symmetric) -> Result<Option<f64>, OracleError> {
        length("preconditioner", p.dimension(), self.gradient.len())?;
        let step = p.times(&self.gradient);
        Ok(finite(p.around(&self.covariance).trace() / dot(&step, &step)))
    }
}
