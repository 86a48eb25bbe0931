//! B_noise: the noise scale weighted by curvature, with the products supplied by the caller (theory §1.7).
//!
//! McCandlish et al. 2018, eq. 2.8: with learning rate tuned, the progress of a step is ΔL_max/(1+B_noise/B), where
//! B_noise = tr(HΣ)/(GᵀHG). It equals the simple noise scale only where H is a multiple of the identity. Every inner
//! product of §1.2 becomes an H-product: with q_jj = g_jᵀHg_j of the micro-batches and q̄ = ḡᵀHḡ of the batch,
//!
//! 𝒢_H = (W²q̄−Σw_j²q_jj)/(W²−Σw_j²), 𝒮_H = (Σw_j q_jj−W q̄)/(n−1),
//!
//! unbiased for GᵀHG and tr(HΣ) where H comes from examples that are independent of the measured ones. Each product is
//! one Hessian-vector product, or (L(θ+hv)−2L(θ)+L(θ−hv))/h².
//!
//! H is indefinite: a GᵀHG that is not separated from 0 says nothing, not even a bound, because its sign is open.
//!
//! ```
//! use batchwise_estimate::noise::{MicroProduct, estimate_curvature, measure_curvature};
//! // H = diag(2, 1), gradients (1±1, 0±1): GᵀHG = 2 and tr(HΣ) = 3 per example, planted exactly.
//! let corners = [[2.0, 1.0], [0.0, -1.0], [2.0, -1.0], [0.0, 1.0]];
//! let q = |g: [f64; 2]| 2.0 * g[0] * g[0] + g[1] * g[1];
//! let micro = corners.map(|g| MicroProduct { weight: 1.0, q: q(g) });
//! let m = measure_curvature(&micro, q([1.0, 0.0]))?;
//! assert!((m.tr_h_sigma - 4.0).abs() < 1e-12 && (m.g_h_g - 1.0).abs() < 1e-12); // 3·4/3 and 2−4/4
//! assert_eq!(estimate_curvature(&[m], 0.95)?.b_noise.grade(), "not_identified");
//! # Ok::<(), batchwise_estimate::noise::NoiseError>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::pair::ProductSums;
use super::{Measurement, NoiseError, estimate};
use crate::fieller::Ratio;

/// One micro-batch's share: weight in examples, and g_jᵀHg_j of its mean gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct MicroProduct {
    /// Examples in the micro-batch; finite and above 0.
    pub weight: f64,
    /// q_jj = g_jᵀHg_j; finite, of either sign.
    pub q: f64,
}

/// One measurement of the two parts of B_noise at one θ. Never divide the two of a single measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct CurvatureMeasurement {
    /// 𝒢_H: unbiased for GᵀHG.
    pub g_h_g: f64,
    /// 𝒮_H: unbiased for tr(HΣ), per example.
    pub tr_h_sigma: f64,
}

/// Means, standard errors and B_noise over K independent measurements at frozen θ.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct CurvatureEstimate {
    /// Mean of 𝒢_H.
    pub g_h_g: f64,
    /// Its standard error, from the spread; `None` with one measurement.
    pub g_h_g_standard_error: Option<f64>,
    /// Mean of 𝒮_H.
    pub tr_h_sigma: f64,
    /// Its standard error, from the spread; `None` with one measurement.
    pub tr_h_sigma_standard_error: Option<f64>,
    /// K.
    pub n_measurements: usize,
    /// B_noise in the unit of the weights: measured, or not identified. Never a bound.
    pub b_noise: Ratio,
}

/// The two parts from the products of one batch: `batch_q` = ḡᵀHḡ.
///
/// # Errors
/// Fewer than two micro-batches; a weight out of range; a product that is not finite; overflow.
pub fn measure_curvature(micro: &[MicroProduct], batch_q: f64) -> Result<CurvatureMeasurement, NoiseError> {
    let mut sums = ProductSums::default();
    for m in micro {
        sums.push(m.weight, m.q)?;
    }
    let m = sums.finish(batch_q)?;
    Ok(CurvatureMeasurement { g_h_g: m.g2, tr_h_sigma: m.tr_sigma })
}

/// B_noise with its Fieller interval, over K independent measurements at one θ with one H.
///
/// Where the interval of GᵀHG includes 0, or GᵀHG is not positive (no step along the gradient has a best length), B_noise
/// is not identified, and the outcome says which.
///
/// # Errors
/// No measurement, one that is not finite, a confidence outside (0, 1), overflow.
pub fn estimate_curvature(
    measurements: &[CurvatureMeasurement],
    confidence: f64,
) -> Result<CurvatureEstimate, NoiseError> {
    let parts: Vec<Measurement> =
        measurements.iter().map(|m| Measurement { g2: m.g_h_g, tr_sigma: m.tr_h_sigma }).collect();
    let of_parts = estimate(&parts, confidence)?;
    let b_noise = match of_parts.phi {
        Ratio::LowerBound { .. } | Ratio::WholeLine => Ratio::not_identified(
            "the curvature along the gradient is not separated from 0: unavailable; more measurements are needed",
        ),
        Ratio::NotIdentified { .. } if measurements.len() > 1 && of_parts.g2 < 0.0 => {
            Ratio::not_identified("the curvature along the gradient is not positive: unavailable")
        }
        other => other,
    };
    Ok(CurvatureEstimate {
        g_h_g: of_parts.g2,
        g_h_g_standard_error: of_parts.g2_standard_error,
        tr_h_sigma: of_parts.tr_sigma,
        tr_h_sigma_standard_error: of_parts.tr_sigma_standard_error,
        n_measurements: of_parts.n_measurements,
        b_noise,
    })
}
