//! The critical batch size by branched training (Merrill et al. 2025; theory.md §4.5).
//!
//! **The question.** From one checkpoint of a run at batch size B and learning rate η, how far may the batch grow before
//! the loss suffers? Branches train on for Δ examples at (kB, f(k)η), f(k) = k for SGD and √k for Adam.
//!
//! **The formula.** k* is the largest k with L_k ≤ L_k′ + ε for every k′ < k; L is the smoothed final loss. The batch lies in
//! [k*B, next k·B], point at the geometric mean. The paper: ε = 0.01, Δ = 2 billion tokens.
//!
//! **When it fails.** A fixed ε knows nothing of the noise between seeds; put a paired non-inferiority test in its place
//! ([`branched_by`]). It assumes that the run recovers within Δ: report k* at Δ and 2Δ ([`Branched::agrees`]). What is
//! found is the largest batch that costs nothing, which is less than the B_c of the hyperbola, where examples double.
//!
//! ```
//! use batchwise_estimate::tradeoff::branched::{Branch, branched};
//! let losses = [(1.0, 2.50), (2.0, 2.503), (4.0, 2.507), (8.0, 2.55)];
//! let branches = losses.map(|(multiplier, loss)| Branch { multiplier, loss });
//! let found = branched(256.0, &branches, 0.01)?;
//! assert_eq!(found.k_star, 4.0);
//! assert_eq!((found.batch.low(), found.batch.high()), (Some(1024.0), Some(2048.0)));
//! # Ok::<(), batchwise_estimate::tradeoff::branched::BranchedError>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// One branch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Branch {
    /// k: batch size over the checkpoint's, finite and above 0.
    pub multiplier: f64,
    /// Final loss, smoothed ([`smoothed`]); infinite or NaN: the branch diverged, and is worse than any other.
    pub loss: f64,
}

/// How far the batch may grow.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Branched {
    /// The largest multiplier that is not worse than any smaller one.
    pub k_star: f64,
    /// B* in examples: bounded by the next multiplier; a lower bound where no larger one was tried; an upper bound where
    /// already the first step up is worse, for then B* may be below the checkpoint's batch.
    pub batch: Outcome,
    /// Multipliers below `k_star` that were worse than a smaller one: signs of noise.
    pub out_of_order: Vec<f64>,
}

/// Branches that cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BranchedError {
    /// Nothing to compare.
    #[error("{found} branches; at least 2 are needed")]
    TooFew {
        /// How many there were.
        found: usize,
    },
    /// A number out of range.
    #[error("{field} is {found}; {allowed} is needed")]
    BadNumber {
        /// Which number.
        field: &'static str,
        /// The value found.
        found: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// One multiplier twice.
    #[error("multiplier {multiplier} stands twice")]
    Duplicate {
        /// The multiplier.
        multiplier: f64,
    },
}

/// The rule of the paper with tolerance `epsilon` (in the unit of the loss). `batch` is the checkpoint's batch size.
///
/// # Errors
/// Fewer than 2 branches, a batch, multiplier or tolerance out of range, a multiplier twice.
pub fn branched(batch: f64, branches: &[Branch], epsilon: f64) -> Result<Branched, BranchedError> {
    if !(epsilon.is_finite() && epsilon >= 0.0) {
        return Err(bad("the tolerance", epsilon, "a finite number of at least 0"));
    }
    let multipliers: Vec<f64> = branches.iter().map(|b| b.multiplier).collect();
    branched_by(batch, &multipliers, |k, smaller| {
        branches[k].loss.is_finite()
            && (!branches[smaller].loss.is_finite() || branches[k].loss <= branches[smaller].loss + epsilon)
    })
}

/// The same with any comparison: `not_worse(i, j)` says whether `multipliers[i]` is shown to be no worse than the smaller
/// `multipliers[j]`, for example by a paired non-inferiority test over seeds with the same order of examples.
///
/// # Errors
/// Fewer than 2 multipliers, a batch or multiplier out of range, a multiplier twice.
pub fn branched_by(
    batch: f64,
    multipliers: &[f64],
    not_worse: impl Fn(usize, usize) -> bool,
) -> Result<Branched, BranchedError> {
    let positive = |v: f64| v.is_finite() && v > 0.0;
    if !positive(batch) {
        return Err(bad("the batch size", batch, "a finite number above 0"));
    }
    if let Some(&found) = multipliers.iter().find(|k| !(positive(**k) && positive(**k * batch))) {
        return Err(bad("a multiplier", found, "a finite number above 0 whose batch size is one too"));
    }
    if multipliers.len() < 2 {
        return Err(BranchedError::TooFew { found: multipliers.len() });
    }
    let mut order: Vec<usize> = (0..multipliers.len()).collect();
    order.sort_by(|&i, &j| multipliers[i].total_cmp(&multipliers[j]));
    if let Some(pair) = order.windows(2).find(|p| multipliers[p[0]] == multipliers[p[1]]) {
        return Err(BranchedError::Duplicate { multiplier: multipliers[pair[0]] });
    }
    let passes = |at: usize| order[..at].iter().all(|&smaller| not_worse(order[at], smaller));
    let best = (1..order.len()).rev().find(|&at| passes(at)).unwrap_or(0);
    let size = |at: usize| multipliers[order[at]] * batch;
    let outcome = match (best, order.len() - 1) {
        (0, _) => Outcome::UpperBound { high: size(1) },
        (best, last) if best == last => Outcome::LowerBound { low: size(best) },
        (best, _) => {
            let (low, high) = (size(best), size(best + 1));
            let value = (low.sqrt() * high.sqrt()).clamp(low, high);
            Outcome::Measured { value, low, high }
        }
    };
    Ok(Branched {
        k_star: multipliers[order[best]],
        batch: outcome,
        out_of_order: (1..best).filter(|&at| !passes(at)).map(|at| multipliers[order[at]]).collect(),
    })
}

impl Branched {
    /// Whether the interval of another length of training meets this one: k* at Δ and at 2Δ should agree.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        let below = |a: &Outcome, b: &Outcome| match (a.high(), b.low()) {
            (Some(high), Some(low)) => high < low,
            _ => false,
        };
        !below(&self.batch, &other.batch) && !below(&other.batch, &self.batch)
    }
}

/// Exponential average of the last losses with weight `alpha` on the newest (the paper: 0.5); `None` for none, or where one
/// is not finite, or `alpha` is outside (0, 1].
#[must_use]
pub fn smoothed(losses: &[f64], alpha: f64) -> Option<f64> {
    if !(alpha > 0.0 && alpha <= 1.0) || losses.iter().any(|l| !l.is_finite()) {
        return None;
    }
    losses.iter().copied().reduce(|average, loss| (1.0 - alpha) * average + alpha * loss)
}

fn bad(field: &'static str, found: f64, allowed: &'static str) -> BranchedError {
    BranchedError::BadNumber { field, found, allowed }
}
