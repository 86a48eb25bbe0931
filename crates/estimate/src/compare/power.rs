//! How many seeds a claim takes, and the chance that it succeeds.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;
use statrs::function::gamma::ln_gamma;

use crate::fieller::student_t_quantile;

/// How two batch sizes are set beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Design {
    /// By seed: the standard deviation meant is that of the differences.
    Paired,
    /// Independent groups of equal size: the standard deviation meant is that of one run.
    Unpaired,
}

impl Design {
    /// Variance of the mean difference of `n` seeds per group, over the variance of one.
    fn variance(self, n: f64) -> f64 {
        match self {
            Self::Paired => 1.0 / n,
            Self::Unpaired => 2.0 / n,
        }
    }

    fn degrees_of_freedom(self, n: f64) -> f64 {
        match self {
            Self::Paired => n - 1.0,
            Self::Unpaired => 2.0 * (n - 1.0),
        }
    }
}

/// Beyond this many seeds nobody trains.
const MOST: u64 = 1_000_000;

/// Seeds per batch size by the normal formula: n ≥ k·sd²(z_{1−α}+z_{power})²/(δ−harm)², k = 2 unpaired, 1 paired
/// (theory.md §5.5: sd = 0.1, δ = 0.2, unpaired, gives 4).
///
/// A first guess that ignores that the spread must be estimated; [`seeds_needed`] does not. `harm` is the true mean
/// harm planned for (0: as good as the reference). `None` where no number of seeds up to a million will do or an
/// argument is out of its range (sd ≥ 0, margin > harm, 0 < α < 0.5, 0 < power < 1). At least 2.
#[must_use]
pub fn normal_seeds(design: Design, sd: f64, margin: f64, harm: f64, alpha: f64, power: f64) -> Option<u64> {
    if !(valid(sd, margin, harm, alpha) && power > 0.0 && power < 1.0) {
        return None;
    }
    let z = |p| student_t_quantile(p, f64::INFINITY);
    let root = sd / (margin - harm) * (z(1.0 - alpha) + z(power)).max(0.0);
    let n = (design.variance(1.0) * root * root).ceil();
    (n <= MOST as f64).then_some((n as u64).max(2))
}

/// Chance that `n` seeds per batch size show non-inferiority, if the true mean harm is `harm` and results are normal
/// with standard deviation `sd`: the non-central t distribution, exact up to the integration (1e-6).
///
/// 0 for fewer than 2 seeds. `None` where an argument is out of its range (sd ≥ 0, margin finite and above `harm`,
/// 0 < α < 0.5).
#[must_use]
pub fn power(design: Design, n: u64, sd: f64, margin: f64, harm: f64, alpha: f64) -> Option<f64> {
    if !valid(sd, margin, harm, alpha) {
        return None;
    }
    if n < 2 {
        return Some(0.0);
    }
    let n = n as f64;
    let df = design.degrees_of_freedom(n);
    let shift = (margin - harm) / (sd * design.variance(n).sqrt());
    Some(if shift.is_finite() { beyond(student_t_quantile(1.0 - alpha, df), df, shift) } else { 1.0 })
}

/// Smallest number of seeds per batch size whose [`power`] reaches `wanted`; `None` as for [`normal_seeds`].
#[must_use]
pub fn seeds_needed(design: Design, sd: f64, margin: f64, harm: f64, alpha: f64, wanted: f64) -> Option<u64> {
    let guess = normal_seeds(design, sd, margin, harm, alpha, wanted)?;
    let enough = |n: u64| power(design, n, sd, margin, harm, alpha).is_some_and(|p| p >= wanted);
    // The normal formula is a few seeds short at most: look just around it.
    let (mut low, mut high) = (guess - 1, guess);
    if enough(low) {
        (low, high) = (1, low);
    }
    let mut stride = 1;
    while !enough(high) {
        (low, high) = (high, high + stride);
        stride *= 2;
        if low > MOST {
            return None;
        }
    }
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

fn valid(sd: f64, margin: f64, harm: f64, alpha: f64) -> bool {
    sd.is_finite()
        && sd >= 0.0
        && harm.is_finite()
        && (margin - harm).is_finite()
        && margin > harm
        && alpha > 0.0
        && alpha < 0.5
}

/// P(T > t) for a non-central t variable: the mean of Φ(shift − t·s) over s = √(χ²/df), by Simpson's rule.
fn beyond(t: f64, df: f64, shift: f64) -> f64 {
    const PANELS: usize = 400;
    let reach = 12.0 / (2.0 * df).sqrt();
    let (from, to) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let norm = std::f64::consts::LN_2 + df / 2.0 * (df / 2.0).ln() - ln_gamma(df / 2.0);
    let width = (to - from) / PANELS as f64;
    let (mut sum, mut whole) = (0.0, 0.0);
    for i in 0..=PANELS {
        let s = from + width * i as f64;
        let weight = if i == 0 || i == PANELS { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
        let power_of_s = if df == 1.0 { 0.0 } else { (df - 1.0) * s.ln() };
        let density = weight * (norm + power_of_s - df * s * s / 2.0).exp();
        whole += density;
        sum += density * 0.5 * erfc((t * s - shift) / std::f64::consts::SQRT_2);
    }
    // Divided by what the rule makes of the density alone, so that a sure success is 1 exactly.
    (sum / whole).clamp(0.0, 1.0)
}
