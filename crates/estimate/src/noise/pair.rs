//! One measurement from squared norms: the weighted pair of U-statistics (theory §1.2).

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{Measurement, NoiseError};
use crate::twofold::Twofold;

/// One micro-batch's share: weight in examples, squared norm of its MEAN gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct MicroNorm {
    /// Examples (or tokens, where the loss is per token) in the micro-batch; finite and above 0.
    pub weight: f64,
    /// ‖g_j‖² of the mean gradient of the micro-batch, accumulated in f64; finite and at least 0.
    pub norm2: f64,
}

/// Weighted U-statistics of theory §1.2; `batch_norm2` = ‖Σw_j g_j/W‖², W = Σw_j.
///
/// 𝒢 = (W²‖ḡ‖²−Σw_j²‖g_j‖²)/(W²−Σw_j²), 𝒮 = (Σw_j‖g_j‖²−W‖ḡ‖²)/(n−1): unbiased for disjoint micro-batches of
/// independent examples at ONE θ with a MEAN loss. Equal weights give McCandlish's eq. A.2. The sums are those of
/// [`NormSums`].
///
/// # Errors
/// Fewer than two micro-batches; a weight or norm out of range; overflow.
pub fn measure(micro: &[MicroNorm], batch_norm2: f64) -> Result<Measurement, NoiseError> {
    if micro.len() < 2 {
        return Err(NoiseError::TooFewMicroBatches { found: micro.len() });
    }
    let mut sums = NormSums::new();
    for norm in micro {
        sums.push(*norm)?;
    }
    sums.finish(batch_norm2)
}

/// [`measure`] for equal micro-batches, from the mean of their squared norms.
///
/// With n = `batch`/`micro_batch`: 𝒢 = (n N_b−N_s)/(n−1) and 𝒮 = b·n/(n−1)·(N_s−N_b), where N_s is
/// `micro_norm2`, the MEAN over all n micro-batches of ‖g_j‖² (never one of them alone: trap 5 of theory §0), and
/// N_b is `batch_norm2` = ‖ḡ‖².
///
/// ```
/// // Theory §9.1: four gradients with mean squared norm 15, squared norm of their mean 5.
/// let m = batchwise_estimate::noise::measure_pair(32.0, 8.0, 15.0, 5.0)?;
/// assert!((m.g2 - 5.0 / 3.0).abs() < 1e-12 && (m.tr_sigma - 320.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), batchwise_estimate::noise::NoiseError>(())
/// ```
///
/// # Errors
/// Sizes that are no whole number (within rounding, 1e-9 relative) of at least two micro-batches; a norm out of
/// range; overflow.
pub fn measure_pair(
    batch: f64,
    micro_batch: f64,
    micro_norm2: f64,
    batch_norm2: f64,
) -> Result<Measurement, NoiseError> {
    let n = batch / micro_batch;
    let is_legal = batch.is_finite() && micro_batch.is_finite() && micro_batch > 0.0 && n.is_finite();
    if !(is_legal && n.round() >= 2.0 && (n - n.round()).abs() <= 1e-9 * n) {
        return Err(NoiseError::BadSizes { batch, micro_batch });
    }
    if !is_norm(micro_norm2) {
        return Err(NoiseError::BadNorm { index: 0, value: micro_norm2 });
    }
    if !is_norm(batch_norm2) {
        return Err(NoiseError::BadBatchNorm { value: batch_norm2 });
    }
    let mut sums = ProductSums::default();
    sums.push_equal(n.round(), micro_batch, micro_norm2);
    sums.finish(batch_norm2)
}

/// The sums of [`measure`] as they grow, one micro-batch at a time: for a program that keeps no list.
///
/// Each sum is carried in two floating-point numbers, so nothing is lost in adding or in the last subtraction; what
/// remains is the rounding of the norms themselves, a relative 1e-16·φ/B of 𝒢. Where φ/B nears 1e8 and more, feed
/// inner products to [`Stream`](super::Stream) instead.
///
/// ```
/// use batchwise_estimate::noise::{MicroNorm, NormSums};
/// let mut sums = NormSums::new();
/// for norm2 in [1.0, 13.0, 17.0, 29.0] {
///     sums.push(MicroNorm { weight: 1.0, norm2 })?;
/// }
/// assert!((sums.finish(5.0)?.g2 - 5.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), batchwise_estimate::noise::NoiseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NormSums(ProductSums);

impl NormSums {
    /// Sums over no micro-batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of micro-batches so far.
    #[must_use]
    pub const fn n_micro_batches(&self) -> usize {
        self.0.n
    }

    /// Sum of the weights so far: W, the examples of the batch.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.0.w.value()
    }

    /// Adds one micro-batch.
    ///
    /// # Errors
    /// A weight or a norm out of range; the sums stay as they were.
    pub fn push(&mut self, micro: MicroNorm) -> Result<(), NoiseError> {
        let index = self.0.n;
        if !is_norm(micro.norm2) {
            check_weight(index, micro.weight)?;
            return Err(NoiseError::BadNorm { index, value: micro.norm2 });
        }
        self.0.push(micro.weight, micro.norm2)
    }

    /// The measurement; `batch_norm2` is ‖ḡ‖² of the weighted mean gradient.
    ///
    /// # Errors
    /// Fewer than two micro-batches; a norm out of range; overflow.
    pub fn finish(&self, batch_norm2: f64) -> Result<Measurement, NoiseError> {
        if self.0.n >= 2 && !is_norm(batch_norm2) {
            return Err(NoiseError::BadBatchNorm { value: batch_norm2 });
        }
        self.0.finish(batch_norm2)
    }
}

fn is_norm(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

pub(super) fn check_weight(index: usize, value: f64) -> Result<(), NoiseError> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(NoiseError::BadWeight { index, value }) }
}

/// The sums for any quadratic form q_jj of the micro-batch gradients: squared norms, or curvatures of either sign.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ProductSums {
    n: usize,
    /// Σw.
    w: Twofold,
    /// Σ_{i<j} w_i w_j, which is (W²−Σw²)/2 without its cancellation.
    pairs: Twofold,
    /// Σwq.
    wq: Twofold,
    /// Σw²q.
    w2q: Twofold,
}

impl ProductSums {
    pub(super) fn push(&mut self, weight: f64, q: f64) -> Result<(), NoiseError> {
        let index = self.n;
        check_weight(index, weight)?;
        if !q.is_finite() {
            return Err(NoiseError::BadProduct { index, value: q });
        }
        let wq = Twofold::product(weight, q);
        self.pairs = self.pairs + self.w * weight.into();
        self.w = self.w + weight.into();
        self.wq = self.wq + wq;
        self.w2q = self.w2q + wq * weight.into();
        self.n += 1;
        Ok(())
    }

    /// Adds `n` micro-batches of the same weight whose mean is `q` to empty sums.
    fn push_equal(&mut self, n: f64, weight: f64, q: f64) {
        let w = Twofold::product(n, weight);
        self.n = n as usize;
        self.w = w;
        self.pairs = Twofold::product(n * (n - 1.0) / 2.0, weight) * weight.into();
        self.wq = w * q.into();
        self.w2q = self.wq * weight.into();
    }

    pub(super) fn finish(&self, of_batch: f64) -> Result<Measurement, NoiseError> {
        if self.n < 2 {
            return Err(NoiseError::TooFewMicroBatches { found: self.n });
        }
        if !of_batch.is_finite() {
            return Err(NoiseError::BadBatchProduct { value: of_batch });
        }
        let whole = self.w * of_batch.into();
        let g2 = (self.w * whole - self.w2q).value() / (2.0 * self.pairs.value());
        let tr_sigma = (self.wq - whole).value() / (self.n - 1) as f64;
        checked(g2, tr_sigma)
    }
}

pub(super) fn checked(g2: f64, tr_sigma: f64) -> Result<Measurement, NoiseError> {
    if g2.is_finite() && tr_sigma.is_finite() {
        Ok(Measurement { g2, tr_sigma })
    } else {
        Err(NoiseError::Overflow)
    }
}
