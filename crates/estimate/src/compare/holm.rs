//! Several batch sizes against one reference.

use super::{CompareError, Comparison, Options, Pair, Verdict, Warning, non_inferiority, seeds_needed};

/// Holm's step-down correction: the p-values that may be compared with α together (Holm 1979).
///
/// In the order given, each at least the one given and at most 1. The chance of any false rejection among them stays
/// at most α, however they depend on each other. A p-value that is not in [0, 1] counts as 1.
///
/// ```
/// let adjusted = batchwise_estimate::compare::holm(&[0.01, 0.04, 0.03]);
/// assert!(adjusted.iter().zip([0.03, 0.06, 0.06]).all(|(a, b)| (a - b).abs() < 1e-12));
/// ```
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let p: Vec<f64> = p_values.iter().map(|&p| if (0.0..=1.0).contains(&p) { p } else { 1.0 }).collect();
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut adjusted = vec![1.0; p.len()];
    let mut floor = 0.0_f64;
    for (rank, &i) in order.iter().enumerate() {
        floor = floor.max(p[i] * (p.len() - rank) as f64).min(1.0);
        adjusted[i] = floor;
    }
    adjusted
}

/// [`non_inferiority`] of several candidates against the same reference, with [`holm`]'s correction.
///
/// A candidate is called non-inferior only if its corrected p-value is below α, so the chance of any wrong such claim is
/// at most α. A candidate without a p-value (one seed) takes no share. `low` and `high` stay those of one candidate
/// alone.
///
/// # Errors
/// As for [`non_inferiority`].
pub fn against_reference(
    candidates: &[Vec<Pair>],
    margin: f64,
    options: &Options,
) -> Result<Vec<Comparison>, CompareError> {
    let mut all: Vec<Comparison> =
        candidates.iter().map(|pairs| non_inferiority(pairs, margin, options)).collect::<Result<_, _>>()?;
    let tested: Vec<usize> = (0..all.len()).filter(|&i| all[i].p_value.is_some()).collect();
    let adjusted = holm(&tested.iter().filter_map(|&i| all[i].p_value).collect::<Vec<_>>());
    for (&i, p) in tested.iter().zip(adjusted) {
        let one = &mut all[i];
        one.p_adjusted = Some(p);
        if one.verdict == Verdict::NonInferior && p >= options.alpha {
            // As many seeds as the strictest of the tests would take.
            let alpha = options.alpha / tested.len() as f64;
            let sd = one.se.map(|se| se * (one.n as f64).sqrt());
            let seeds = sd.and_then(|sd| seeds_needed(one.design, sd, margin, 0.0, alpha, options.power));
            one.verdict = Verdict::Inconclusive { seeds_needed: seeds.map(|s| s.max(one.n + 1)) };
            one.warnings.retain(|w| *w != Warning::WorseWithinMargin);
        }
    }
    Ok(all)
}
