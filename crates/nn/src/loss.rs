//! Losses as a sum and its weight, so that micro-batches add up exactly.

use crate::ops;
use candle_core::{D, DType, Result, Tensor};

/// A loss summed over what it is averaged over, and how much that was.
///
/// The mean over a batch is Σ sum / Σ weight over its micro-batches, whatever their sizes; the mean of
/// their means is not.
#[derive(Debug, Clone)]
pub struct LossSum {
    /// Scalar, with its graph.
    pub sum: Tensor,
    /// Examples (or tokens) in the sum.
    pub weight: f64,
}

/// A loss of a model's output (logits) and the targets.
pub type Loss = fn(&Tensor, &Tensor) -> Result<LossSum>;

/// Cross-entropy of logits (n, classes) against class numbers (n).
///
/// # Errors
/// As [`ops::cross_entropy_sum`].
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    Ok(LossSum { sum: ops::cross_entropy_sum(logits, targets)?, weight: logits.dim(0)? as f64 })
}

/// How many of the rows of `logits` (n, classes) have their largest value at the target.
///
/// # Errors
/// Shapes that do not fit.
pub fn n_correct(logits: &Tensor, targets: &Tensor) -> Result<u64> {
    let hits = logits.argmax(D::Minus1)?.eq(targets)?.to_dtype(DType::U32)?;
    Ok(u64::from(hits.sum_all()?.to_scalar::<u32>()?))
}
