//! The two parts of the gradient noise scale, ‖G‖² and tr Σ, from micro-batch gradient norms.
//!
//! McCandlish et al. 2018 (arXiv 1812.06162), appendix A; theory §1.2, §1.3, §1.5, §1.6.

use serde::{Deserialize, Serialize};

use crate::fieller::{Ratio, fieller};

/// One micro-batch's share: weight in examples, squared norm of its MEAN gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MicroNorm {
    /// Examples (or tokens, where the loss is per token) in the micro-batch; finite and above 0.
    pub weight: f64,
    /// ‖g_j‖² of the mean gradient of the micro-batch, accumulated in f64; finite and at least 0.
    pub norm2: f64,
}

/// One measurement of the two parts of the noise scale at one θ.
///
/// Never divide the two of a single measurement, and never clip either at 0: both bias the noise scale beyond use
/// (traps 2 and 3 of theory §0). Average many, then divide: [`estimate`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// 𝒢: unbiased for ‖G‖², the squared norm of the true gradient. Often negative.
    pub g2: f64,
    /// 𝒮: unbiased for tr Σ, the variance of one example's gradient (per unit of weight).
    pub tr_sigma: f64,
}

/// Mean, interval and outcome over K independent measurements at frozen θ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// Why a noise measurement could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// The spread between micro-batches needs two of them.
    #[error("{found} micro-batches, at least 2 at the same parameters are needed")]
    TooFewMicroBatches {
        /// How many there were.
        found: usize,
    },
    /// A weight that is no positive number.
    #[error("micro-batch {index} has weight {value}, a finite number above 0 is needed")]
    BadWeight {
        /// Position in the slice.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// A squared norm that is negative, infinite or NaN.
    #[error("micro-batch {index} has squared gradient norm {value}, a finite number of at least 0 is needed")]
    BadNorm {
        /// Position in the slice.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// The batch's squared norm is negative, infinite or NaN.
    #[error("the batch has squared gradient norm {value}, a finite number of at least 0 is needed")]
    BadBatchNorm {
        /// The value found.
        value: f64,
    },
    /// Nothing to average.
    #[error("no measurement to average")]
    NoMeasurements,
    /// A measurement that is infinite or NaN.
    #[error("measurement {index} is not finite")]
    BadMeasurement {
        /// Position in the slice.
        index: usize,
    },
    /// A confidence outside (0, 1).
    #[error("confidence {value} is not between 0 and 1")]
    BadConfidence {
        /// The value found.
        value: f64,
    },
    /// The sums overflow f64.
    #[error("the sums of weights and squared norms are beyond the range of floating point numbers")]
    Overflow,
}

/// Weighted U-statistics of theory §1.2; `batch_norm2` = ‖Σw_j g_j/W‖², W = Σw_j.
///
/// 𝒢 = (W²‖ḡ‖²−Σw_j²‖g_j‖²)/(W²−Σw_j²), 𝒮 = (Σw_j‖g_j‖²−W‖ḡ‖²)/(n−1): unbiased for disjoint micro-batches of
/// independent examples at ONE θ with a MEAN loss. Equal weights give McCandlish's eq. A.2.
///
/// # Errors
/// Fewer than two micro-batches; a weight or norm out of range; overflow.
pub fn measure(micro: &[MicroNorm], batch_norm2: f64) -> Result<Measurement, NoiseError> {
    let n = micro.len();
    if n < 2 {
        return Err(NoiseError::TooFewMicroBatches { found: n });
    }
    if !(batch_norm2.is_finite() && batch_norm2 >= 0.0) {
        return Err(NoiseError::BadBatchNorm { value: batch_norm2 });
    }
    let (mut w, mut w2, mut wn, mut w2n) = (0.0, 0.0, 0.0, 0.0);
    for (index, &MicroNorm { weight, norm2 }) in micro.iter().enumerate() {
        if !(weight.is_finite() && weight > 0.0) {
            return Err(NoiseError::BadWeight { index, value: weight });
        }
        if !(norm2.is_finite() && norm2 >= 0.0) {
            return Err(NoiseError::BadNorm { index, value: norm2 });
        }
        w += weight;
        w2 += weight * weight;
        wn += weight * norm2;
        w2n += weight * weight * norm2;
    }
    let g2 = (w * w * batch_norm2 - w2n) / (w * w - w2);
    let tr_sigma = (wn - w * batch_norm2) / (n - 1) as f64;
    if g2.is_finite() && tr_sigma.is_finite() {
        Ok(Measurement { g2, tr_sigma })
    } else {
        Err(NoiseError::Overflow)
    }
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
    if let Some(index) = measurements.iter().position(|m| !(m.g2.is_finite() && m.tr_sigma.is_finite())) {
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

/// Squared norm of the *training-set* gradient, 𝒢+𝒮/N, from draws without replacement (theory §1.6).
///
/// Use the plain 𝒢 where the population is the target. `n_examples` is N, in the unit of the weights.
#[must_use]
pub fn train_set_g2(m: Measurement, n_examples: f64) -> f64 {
    m.g2 + m.tr_sigma / n_examples
}

/// How many measurements K bring both parts to the wanted relative standard error (theory §1.3).
///
/// `phi`, `batch` B and `micro_batch` b in examples (b < B); `effective_rank` r = (tr Σ)²/tr Σ²; `alignment`
/// α = GᵀΣG/(‖G‖² tr Σ) in [0, 1]; `wanted_relative_error` above 0, for example 0.2. Not rounded; +∞ where the
/// arguments are out of range. Gaussian examples are assumed: for planning, never for an error bar.
#[must_use]
pub fn measurements_needed(
    phi: f64,
    batch: f64,
    micro_batch: f64,
    effective_rank: f64,
    alignment: f64,
    wanted_relative_error: f64,
) -> f64 {
    let legal = phi >= 0.0
        && micro_batch > 0.0
        && batch > micro_batch
        && effective_rank > 0.0
        && (0.0..=1.0).contains(&alignment)
        && wanted_relative_error > 0.0;
    if !legal {
        return f64::INFINITY;
    }
    let beta = phi / batch;
    let g2_part = 4.0 * alignment * beta + 2.0 * beta * beta / effective_rank * batch / (batch - micro_batch);
    let tr_sigma_part = 2.0 / (effective_rank * (batch / micro_batch - 1.0));
    let needed = g2_part.max(tr_sigma_part) / (wanted_relative_error * wanted_relative_error);
    if needed.is_nan() { f64::INFINITY } else { needed }
}

fn mean_with_error(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().map(|v| v / n).sum::<f64>();
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let error = (squares / (n * (n - 1.0))).sqrt();
    (mean, error.is_finite().then_some(error))
}
