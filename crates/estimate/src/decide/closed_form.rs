//! Time and examples to a target in closed form, where a step takes a + cB seconds (theory §8.1).
//!
//! **The question.** If the time of a step and the critical batch were known exactly, which batch reaches the target
//! first, and how much does a wrong one cost?
//!
//! **The formulas.** S(B) = S_min(1+B_c/B) steps of t(B) = a + cB seconds take T(B) = t(B)·S(B). Setting dT/dB = 0
//! gives B_T = √(aB_c/c) and T_min = S_min(√a + √(cB_c))². With z = √(cB_c/a),
//!
//! ```text
//! T(f·B_T)/T_min − 1 = z(f + 1/f − 2)/(1+z)² ≤ (f + 1/f − 2)/4.
//! ```
//!
//! The minimum is flat: a batch wrong by a factor of 2 costs at most 12.5 %, by 4 at most 56 %. As B_T goes with the
//! square root of B_c, a fourfold error in B_c costs no more than a twofold error in the batch.
//!
//! **When it fails.** Where overhead and work overlap (γ > 1 in (a^γ+(cB)^γ)^(1/γ)) the optimum lies lower, down to
//! a/c for γ → ∞, whatever B_c is. Then there is no closed form; [`decide`](super::decide) searches the candidates.
//!
//! ```
//! use batchwise_estimate::decide::{flatness, least_time, time_optimal_batch};
//!
//! let (a, c, critical) = (2e-3, 1e-5, 5000.0); // seconds, seconds per example, examples
//! assert!((time_optimal_batch(a, c, critical) - 1000.0).abs() < 1e-9);
//! // 300 steps at the least: T_min = 300·(√0.002 + √0.05)².
//! assert!((least_time(a, c, critical, 300.0) - 21.6).abs() < 1e-9);
//! // Half the best batch costs 6.9 % here, and 12.5 % where it costs most.
//! assert!((flatness(a, c, critical, 0.5) - 0.069_444).abs() < 1e-6);
//! ```

/// Batch of the least time to target where t = a + cB: √(a·B_c/c) (theory §8.1).
///
/// `overhead` a in seconds, `per_example` c in seconds per example, `critical` B_c in examples. NaN or ∞ where the
/// arguments give no finite answer (c = 0).
#[must_use]
pub fn time_optimal_batch(overhead: f64, per_example: f64, critical: f64) -> f64 {
    (overhead * critical / per_example).sqrt()
}

/// Time to target up to the factor S_min: t(B)(1+B_c/B) (theory §8.1), in seconds per S_min steps.
#[must_use]
pub fn time_to_target_relative(seconds: f64, batch: f64, critical: f64) -> f64 {
    seconds * (1.0 + critical / batch)
}

/// Examples to target in units of E_min: 1 + B/B_c (McCandlish et al. 2018, eq. 2.12; theory §1.1).
#[must_use]
pub fn examples_to_target_relative(batch: f64, critical: f64) -> f64 {
    1.0 + batch / critical
}

/// The least time to target where t = a + cB: S_min(√a + √(cB_c))² (theory §8.1), in seconds.
#[must_use]
pub fn least_time(overhead: f64, per_example: f64, critical: f64, s_min: f64) -> f64 {
    s_min * (overhead.sqrt() + (per_example * critical).sqrt()).powi(2)
}

/// How much longer f times the best batch takes where t = a + cB: z(f+1/f−2)/(1+z)², z = √(cB_c/a) (theory §8.1).
///
/// A share of T_min; `factor` f above 0. 0 where the overhead or the work is nothing.
#[must_use]
pub fn flatness(overhead: f64, per_example: f64, critical: f64, factor: f64) -> f64 {
    let z = (per_example * critical / overhead).sqrt();
    // z/(1+z)² falls to 0 at both ends, also where z itself leaves the range of f64.
    let weight = if z.is_finite() { z / (1.0 + z) / (1.0 + z) } else { 0.0 };
    weight * (factor - 1.0).powi(2) / factor
}
