//! The winner's curse: the best of k tries looks better than it is.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;

/// Mean of the smallest of `k` standard normal draws: 0 for 1, −0.846 for 3, −1.163 for 5, −1.539 for 10.
///
/// ∫₀^∞ Q(z)^k − (1 − (1 − Q(z))^k) dz with Q the normal tail, by Simpson's rule (1e-7); 0 draws count as 1.
#[must_use]
pub fn expected_minimum(k: u64) -> f64 {
    // E min = −∫₀^∞ P(min < −z) dz + ∫₀^∞ P(min > z) dz, with P(min > z) = Q(z)^k.
    const PANELS: usize = 2000;
    const REACH: f64 = 12.0;
    if k <= 1 {
        return 0.0;
    }
    let k = k as f64;
    let upper = |z: f64| 0.5 * erfc(z / std::f64::consts::SQRT_2);
    let at = |z: f64| {
        let tail = upper(z);
        // 1 − (1 − tail)^k without cancellation.
        (k * tail.ln()).exp() + (k * (-tail).ln_1p()).exp_m1()
    };
    let width = REACH / PANELS as f64;
    let sum: f64 = (0..=PANELS)
        .map(|i| {
            let weight = if i == 0 || i == PANELS { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
            weight * at(width * i as f64)
        })
        .sum();
    sum * width / 3.0
}

/// By which share the smallest of `k` results is too low, when all `k` learning rates are equally good and the results scatter
/// by the factor e^±`sigma` (theory.md §3.1: σ = 5 % gives 4.1, 5.6 and 7.4 % for k = 3, 5, 10).
///
/// In [0, 1). The share is that of the typical (geometric mean) result; a `sigma` that is not finite and above 0 gives 0.
///
/// ```
/// use batchwise_estimate::ridge::expected_minimum_bias;
/// let shares = [3, 5, 10].map(|k| (1000.0 * expected_minimum_bias(k, 0.05)).round() / 10.0);
/// assert_eq!(shares, [4.1, 5.6, 7.4]);
/// ```
#[must_use]
pub fn expected_minimum_bias(k: u64, sigma: f64) -> f64 {
    if sigma.is_finite() && sigma > 0.0 { -(sigma * expected_minimum(k)).exp_m1() } else { 0.0 }
}

/// The smallest of `k` results, less its luck: `minimum` / (1 − [`expected_minimum_bias`]).
///
/// An upper limit of the correction: it holds where the `k` learning rates are equally good, and over-corrects where most of
/// them are clearly worse. The fitted value of [`BestAtBatch`](super::BestAtBatch) needs none, and running the winner
/// again with fresh seeds is better than both. `None` where no finite number comes out.
#[must_use]
pub fn corrected_minimum(minimum: f64, k: u64, sigma: f64) -> Option<f64> {
    let corrected = minimum / (1.0 - expected_minimum_bias(k, sigma));
    corrected.is_finite().then_some(corrected)
}

/// Trials given to one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Effort {
    /// Batch size.
    pub batch: u64,
    /// Configurations tried (learning rates and other settings; not seeds of one configuration).
    pub trials: u64,
}

/// Whether all batch sizes were tuned equally hard (theory.md §3.1: "equal k for all B").
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum EffortCheck {
    /// Every batch size had the same number of trials: luck favours none.
    Equal {
        /// That number.
        trials: u64,
    },
    /// Some were tuned harder, and look better for it.
    Unequal {
        /// The largest number of trials.
        most: u64,
        /// The batch sizes that had fewer, in the order given.
        fewer: Vec<Effort>,
    },
    /// There is nothing to compare.
    Empty,
}

/// Checks that the batch sizes had equally many trials; entries of one batch size are added up.
#[must_use]
pub fn check_equal_effort(efforts: &[Effort]) -> EffortCheck {
    let mut sums: Vec<Effort> = Vec::new();
    for e in efforts {
        match sums.iter_mut().find(|s| s.batch == e.batch) {
            Some(s) => s.trials = s.trials.saturating_add(e.trials),
            None => sums.push(*e),
        }
    }
    let Some(most) = sums.iter().map(|e| e.trials).max() else {
        return EffortCheck::Empty;
    };
    let fewer: Vec<Effort> = sums.into_iter().filter(|e| e.trials < most).collect();
    if fewer.is_empty() { EffortCheck::Equal { trials: most } } else { EffortCheck::Unequal { most, fewer } }
}
