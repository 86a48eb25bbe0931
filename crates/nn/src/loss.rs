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

/// Cross-entropy with smoothed labels, or with targets that count for nothing: the weight is the number of targets
/// that count. `logits` is (…, classes), `targets` (…).
///
/// # Errors
/// As [`ops::cross_entropy`].
pub fn cross_entropy_with(
    logits: &Tensor,
    targets: &Tensor,
    config: ops::CrossEntropyConfig,
) -> Result<LossSum> {
    let counted = match config.ignore_index {
        None => targets.elem_count(),
        Some(index) => {
            targets.flatten_all()?.to_vec1::<u32>()?.iter().filter(|target| **target != index).count()
        }
    };
    Ok(LossSum { sum: ops::cross_entropy(logits, targets, config)?, weight: counted as f64 })
}

/// Cross-entropy of logits (n, positions, tokens) against the token at each position (n, positions), averaged over
/// positions. Positions with the target `u32::MAX`, which are padding, count for nothing.
///
/// # Errors
/// As [`ops::cross_entropy`].
pub fn next_token(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    cross_entropy_with(
        logits,
        targets,
        ops::CrossEntropyConfig { ignore_index: Some(u32::MAX), ..Default::default() },
    )
}

/// Cross-entropy of logits (n, classes) against a probability for each class (n, classes), as mixtures of examples have
/// (Zhang et al. 2018): −Σ_c p_c·ln softmax(logits)_c.
///
/// # Errors
/// Shapes that differ (naming both).
pub fn soft_cross_entropy(logits: &Tensor, probabilities: &Tensor) -> Result<LossSum> {
    if logits.shape() != probabilities.shape() || logits.rank() != 2 {
        candle_core::bail!(
            "soft_cross_entropy: logits {:?} and probabilities {:?} must both be (n, classes)",
            logits.shape(),
            probabilities.shape()
        );
    }
    let sum = ops::log_softmax(logits, 1)?.mul(probabilities)?.sum_all()?.neg()?;
    Ok(LossSum { sum, weight: logits.dim(0)? as f64 })
}

/// (output − target)², averaged over the numbers of an example and summed over examples, so that the mean over a
/// batch is PyTorch's `mse_loss`.
///
/// # Errors
/// Shapes that differ (naming both) or have no dimension.
pub fn mse(output: &Tensor, target: &Tensor) -> Result<LossSum> {
    by_example("mse", output, target, |x, y| (x - y)?.sqr())
}

/// ½d² where |d| = |output − target| is at most `delta`, and delta·(|d| − delta/2) beyond (Huber 1964), averaged as
/// [`mse`].
///
/// # Errors
/// As [`mse`]; a delta that is not above 0.
pub fn huber(output: &Tensor, target: &Tensor, delta: f64) -> Result<LossSum> {
    if !(0.0 < delta && delta.is_finite()) {
        candle_core::bail!("huber: delta is {delta}, but must be above 0");
    }
    by_example("huber", output, target, |x, y| {
        let d = (x - y)?;
        // With c = d cut to ±delta both branches are c·(d − c/2).
        let cut = d.clamp(-delta, delta)?;
        cut.mul(&(&d - (&cut * 0.5)?)?)
    })
}

/// The cross-entropy of independent yes-or-no targets in [0, 1] against logits, averaged as [`mse`]:
/// max(x, 0) − x·y + ln(1 + e^−|x|), which is finite for every finite logit.
///
/// # Errors
/// As [`mse`].
pub fn bce_with_logits(logits: &Tensor, target: &Tensor) -> Result<LossSum> {
    by_example("bce_with_logits", logits, target, |x, y| {
        let tail = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
        (x.relu()? - x.mul(y)?)? + tail
    })
}

fn by_example(
    name: &str,
    output: &Tensor,
    target: &Tensor,
    loss: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<LossSum> {
    if output.shape() != target.shape() || output.rank() == 0 {
        candle_core::bail!("{name}: output {:?} and target {:?} differ", output.shape(), target.shape());
    }
    let n = output.dim(0)?;
    let numbers = (output.elem_count() / n.max(1)).max(1) as f64;
    Ok(LossSum { sum: (loss(output, target)?.sum_all()? * (1.0 / numbers))?, weight: n as f64 })
}

/// How many of the rows of `logits` (n, classes) have their largest value at the target.
///
/// # Errors
/// Shapes that do not fit.
pub fn n_correct(logits: &Tensor, targets: &Tensor) -> Result<u64> {
    let hits = logits.argmax(D::Minus1)?.eq(targets)?.to_dtype(DType::U32)?;
    Ok(u64::from(hits.sum_all()?.to_scalar::<u32>()?))
}
