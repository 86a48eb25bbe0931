//! Linear regression with Gaussian inputs: gradient, noise and one step in closed form (theory §9.2, derived).
//!
//! *What do the noise scales look like on a problem where the noise comes from the data, not from a formula?*
//! x ~ N(0, H), y = xᵀw* + ξ with Var ξ = σ², δ = w − w*, loss ½(y − xᵀw)². With q = δᵀHδ:
//!
//! G = Hδ, Σ = Hδδᵀ H + (q+σ²)H (by Isserlis' theorem), and so
//!
//! **B_simple = 1 + (q+σ²)tr H/‖Hδ‖²**, **B_noise = 1 + (q+σ²)tr(H²)/δᵀH³δ**.
//!
//! The expected loss ½(q+σ²) is a quadratic, so the one-step formulas of [`OneStep`] are exact here, for any batch from
//! 1 on. Far from w* the noise shrinks with the gradient and both scales stay where they are (q grows as ‖Hδ‖² does);
//! near it σ² is all that is left, and they grow without bound: one reason why noise scales rise during training.
//!
//! ```
//! use batchwise_estimate::oracle::{LinearRegression, Symmetric};
//!
//! let h = Symmetric::diagonal(&[1.0, 0.5])?;
//! let far = LinearRegression::new(h.clone(), vec![2.0, -2.0], 0.25)?.one_step()?;
//! let near = LinearRegression::new(h, vec![0.1, -0.1], 0.25)?.one_step()?;
//! // q = 6, ‖Hδ‖² = 5: B_simple = 1 + 6.25·1.5/5.
//! assert!((far.b_simple().unwrap() - 2.875).abs() < 1e-12);
//! assert!(near.b_simple() > Some(25.0));
//! # Ok::<(), batchwise_estimate::oracle::OracleError>(())
//! ```

use super::error::{OracleError, all_finite, answer, length, not_negative};
use super::matrix::{Symmetric, dot};
use super::one_step::{LocalQuadratic, OneStep};
use crate::random::LARGEST_NORMAL;

/// Linear regression at a distance δ from the truth.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearRegression {
    covariance: Symmetric,
    factor: Vec<Vec<f64>>,
    deviation: Vec<f64>,
    noise: f64,
}

impl LinearRegression {
    /// From the inputs' covariance H (positive definite), the deviation δ = w − w* and the variance σ² of the labels'
    /// noise.
    ///
    /// # Errors
    /// H not positive definite, δ of another length or not finite, σ² negative or not finite;
    /// [`OracleError::Overflow`] where the gradient of an example may be beyond a float.
    pub fn new(covariance: Symmetric, deviation: Vec<f64>, noise: f64) -> Result<Self, OracleError> {
        all_finite("deviation", &deviation)?;
        length("deviation", deviation.len(), covariance.dimension())?;
        not_negative("label noise", noise)?;
        let factor = covariance.cholesky()?;
        // |x_i| and |residual| at the largest normal draw; they bound H and Hδ too.
        let input: Vec<f64> = factor.iter().map(|row| LARGEST_NORMAL * sum_of_sizes(row)).collect();
        let sizes: Vec<f64> = deviation.iter().map(|d| d.abs()).collect();
        let residual = dot(&input, &sizes) + LARGEST_NORMAL * noise.sqrt();
        answer("the gradient of an example", input.iter().fold(0.0, |a: f64, &x| a.max(x)) * residual)?;
        Ok(Self { covariance, factor, deviation, noise })
    }

    /// δ = w − w*.
    #[must_use]
    pub fn deviation(&self) -> &[f64] {
        &self.deviation
    }

    /// H, both the inputs' covariance and the Hessian.
    #[must_use]
    pub fn hessian(&self) -> &Symmetric {
        &self.covariance
    }

    /// σ².
    #[must_use]
    pub fn label_noise(&self) -> f64 {
        self.noise
    }

    /// The lower factor of H.
    pub(super) fn factor(&self) -> &[Vec<f64>] {
        &self.factor
    }

    /// The expected loss ½(δᵀHδ + σ²).
    ///
    /// # Errors
    /// [`OracleError::Overflow`].
    pub fn loss(&self) -> Result<f64, OracleError> {
        answer("the loss", (self.covariance.form(&self.deviation) + self.noise) / 2.0)
    }

    /// The gradient G = Hδ, always finite.
    #[must_use]
    pub fn gradient(&self) -> Vec<f64> {
        self.covariance.times(&self.deviation)
    }

    /// G, H and Σ = GGᵀ + (q+σ²)H as matrices.
    ///
    /// # Errors
    /// [`OracleError::Overflow`].
    pub fn local(&self) -> Result<LocalQuadratic, OracleError> {
        let g = self.gradient();
        let scale = 2.0 * self.loss()?;
        let rows: Vec<Vec<f64>> = (0..g.len())
            .map(|i| (0..g.len()).map(|j| g[i] * g[j] + scale * self.covariance.at(i, j)).collect())
            .collect();
        let sigma = Symmetric::from_rows(&rows)
            .map_err(|_| OracleError::Overflow { what: "the covariance of the gradient" })?;
        LocalQuadratic::new(g, self.covariance.clone(), sigma)
            .map_err(|_| OracleError::Overflow { what: "the gradient" })
    }

    /// The four numbers of one step, from the closed forms.
    ///
    /// # Errors
    /// [`OracleError::Overflow`].
    pub fn one_step(&self) -> Result<OneStep, OracleError> {
        let g = self.gradient();
        let scale = 2.0 * self.loss()?;
        let (g2, g_h_g) = (dot(&g, &g), self.covariance.form(&g));
        OneStep {
            g2,
            tr_sigma: g2 + scale * self.covariance.trace(),
            g_h_g,
            tr_h_sigma: g_h_g + scale * self.covariance.trace_of_product(&self.covariance),
        }
        .whole()
    }
}

fn sum_of_sizes(values: &[f64]) -> f64 {
    values.iter().map(|v| v.abs()).sum()
}
