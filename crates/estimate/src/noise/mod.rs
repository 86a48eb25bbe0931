//! The gradient noise scale φ = tr Σ/‖G‖² from the gradients of micro-batches.
//!
//! How noisy is the gradient of one batch? With G the true gradient and Σ the covariance of one example's gradient, the
//! mean gradient of B independent examples is off by E‖ĝ−G‖²/‖G‖² = φ/B: φ is the batch size at which noise and
//! signal are equal, and a first guess at the size beyond which larger batches stop paying (McCandlish et al. 2018,
//! arXiv 1812.06162, eqs. 2.9, 2.10; theory §1.1).
//!
//! # The pair of estimators
//!
//! Take n disjoint micro-batches of b examples at ONE θ with a MEAN loss, N_s the mean of their squared gradient norms,
//! N_b the squared norm of the whole batch's gradient, B = n·b (appendix A.2; theory §1.2). Then
//!
//! - 𝒢 = (n N_b−N_s)/(n−1) is unbiased for ‖G‖², and is often negative;
//! - 𝒮 = b·n/(n−1)·(N_s−N_b) is unbiased for tr Σ, per example.
//!
//! [`measure`] does it for unequal weights, [`measure_pair`] from the two norms, [`NormSums`] and [`Stream`] as the
//! micro-batches arrive.
//!
//! # Many measurements, then one division
//!
//! A single quotient 𝒮/𝒢 is useless: where φ ≫ B its denominator changes sign from batch to batch. So measure K times
//! with different examples, average both parts, divide last, and take the interval of the quotient from the spread
//! of the K pairs ([`estimate`]; [`fieller`](mod@crate::fieller)). The formulas of §1.3 for the variance assume Gaussian
//! examples and serve for planning alone ([`plan`]).
//!
//! # When it fails
//!
//! Parameters that move between micro-batches, batch norm, clipping or averaging quotients, summed losses: see
//! [`Conditions`] and the traps of theory §0, each of which has a test. And φ is not the critical batch size: see
//! [`critical`](crate::critical).
//!
//! ```
//! use batchwise_estimate::noise::{MicroNorm, estimate, measure};
//!
//! // 40 measurements of 8 micro-batches of 64 examples each in one dimension; planted: G = 1, variance 200.
//! let mut state = 1u64;
//! let mut uniform = || {
//!     state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
//!     (state >> 11) as f64 / (1u64 << 53) as f64
//! };
//! let mut measurements = Vec::new();
//! for _ in 0..40 {
//!     // Uniform noise of variance 200/64 in the mean gradient of a micro-batch.
//!     let g: Vec<f64> = (0..8).map(|_| 1.0 + (uniform() - 0.5) * (12.0f64 * 200.0 / 64.0).sqrt()).collect();
//!     let mean = g.iter().sum::<f64>() / 8.0;
//!     let micro: Vec<_> = g.iter().map(|g| MicroNorm { weight: 64.0, norm2: g * g }).collect();
//!     measurements.push(measure(&micro, mean * mean)?);
//! }
//! let phi = estimate(&measurements, 0.95)?.phi;
//! assert!(phi.low().is_some_and(|low| low < 200.0) && phi.high().is_some_and(|high| 200.0 < high));
//! # Ok::<(), batchwise_estimate::noise::NoiseError>(())
//! ```

mod conditions;
mod curvature;
mod ema;
mod error;
mod groups;
mod pair;
mod pilot;
mod planner;
mod preconditioned;
mod stream;
mod target;

pub use conditions::{BatchNorm, Conditions, Standing};
pub use curvature::{
    CurvatureEstimate, CurvatureMeasurement, MicroProduct, estimate_curvature, measure_curvature,
};
pub use ema::Ema;
pub(crate) use ema::effective_measurements;
pub use error::NoiseError;
pub use groups::{GroupEstimate, GroupedEstimate, Groups};
pub use pair::{MicroNorm, NormSums, measure, measure_pair};
pub use pilot::{PilotShape, shape_from_pilots};
pub use planner::{Choice, Plan, PlanError, PlanRow, Shape, measurements_needed, plan};
pub use preconditioned::{
    Form, FormName, IdentityCurvature, InverseCurvature, Preconditioned, PreconditionedEstimate,
};
pub use stream::{Stream, VectorStream};
pub use target::{Target, effective_batch, is_large_share, train_set_g2};

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::fieller::{Ratio, fieller};

/// One measurement of the two parts of the noise scale at one θ.
///
/// Never divide the two of a single measurement, and never clip either at 0: both bias the noise scale beyond use
/// (traps 2 and 3 of theory §0). Average many, then divide: [`estimate`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Measurement {
    /// 𝒢: unbiased for ‖G‖², the squared norm of the true gradient. Often negative.
    pub g2: f64,
    /// 𝒮: unbiased for tr Σ, the variance of one example's gradient (per unit of weight).
    pub tr_sigma: f64,
}

impl Measurement {
    pub(crate) fn is_finite(&self) -> bool {
        self.g2.is_finite() && self.tr_sigma.is_finite()
    }
}

/// Mean, interval and outcome over K independent measurements at frozen θ.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct NoiseEstimate {
    /// Mean of 𝒢 over the measurements.
    pub g2: f64,
    /// Standard error of [`g2`](Self::g2), from the spread; `None` with one measurement.
    pub g2_standard_error: Option<f64>,
    /// Mean of 𝒮 over the measurements.
    pub tr_sigma: f64,
    /// Standard error of [`tr_sigma`](Self::tr_sigma), from the spread; `None` with one measurement.
    pub tr_sigma_standard_error: Option<f64>,
    /// K.
    pub n_measurements: usize,
    /// φ = tr Σ/‖G‖², the simple noise scale, in the unit of the weights.
    pub phi: Ratio,
}

/// Means, standard errors and the noise scale with its Fieller interval over K independent measurements.
///
/// The measurements must share one θ and use different examples; along a training trajectory they are correlated
/// and this interval is too short (theory §1.5). One measurement gives means and no noise scale.
///
/// # Errors
/// No measurement, one that is not finite, or a confidence outside (0, 1).
pub fn estimate(measurements: &[Measurement], confidence: f64) -> Result<NoiseEstimate, NoiseError> {
    if measurements.is_empty() {
        return Err(NoiseError::NoMeasurements);
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(NoiseError::BadConfidence { value: confidence });
    }
    if let Some(index) = measurements.iter().position(|m| !m.is_finite()) {
        return Err(NoiseError::BadMeasurement { index });
    }
    let numerator: Vec<f64> = measurements.iter().map(|m| m.tr_sigma).collect();
    let denominator: Vec<f64> = measurements.iter().map(|m| m.g2).collect();
    let (tr_sigma, tr_sigma_standard_error) = mean_with_error(&numerator);
    let (g2, g2_standard_error) = mean_with_error(&denominator);
    if !(g2.is_finite() && tr_sigma.is_finite()) {
        return Err(NoiseError::Overflow);
    }
    Ok(NoiseEstimate {
        g2,
        g2_standard_error,
        tr_sigma,
        tr_sigma_standard_error,
        n_measurements: measurements.len(),
        phi: fieller(&numerator, &denominator, confidence),
    })
}

/// Adds the measurements of several parameter groups, taken from the same micro-batches, into the total.
///
/// Exact (theory §2): squared norms add over disjoint groups of parameters, so 𝒢 and 𝒮 do. Noise scales of groups
/// must never be averaged. An empty slice gives zeros.
#[must_use]
pub fn add(groups: &[Measurement]) -> Measurement {
    groups.iter().fold(Measurement { g2: 0.0, tr_sigma: 0.0 }, |sum, m| Measurement {
        g2: sum.g2 + m.g2,
        tr_sigma: sum.tr_sigma + m.tr_sigma,
    })
}

/// Mean and its standard error from the spread; squares are taken of values divided by the largest, so that none
/// underflows.
fn mean_with_error(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().map(|v| v / n).sum::<f64>();
    let largest = values.iter().fold(0.0_f64, |m, v| m.max((v - mean).abs()));
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let squares: f64 = values.iter().map(|v| ((v - mean) / scale).powi(2)).sum();
    let error = scale * (squares / (n * (n - 1.0))).sqrt();
    (mean, error.is_finite().then_some(error))
}
