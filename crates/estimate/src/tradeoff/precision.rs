//! How well a design would tell B_c, before it is run.

use super::curve::share;

/// Standard error of ln B_c from runs at `batches` (one each; repeat a batch size for more seeds) whose ln S scatters by
/// `run_sd`: σ/√Σ(w_i−w̄)², w_i = B_c/(B_c+B_i) (theory.md §3.2).
///
/// The seven octaves from B_c/8 to 8B_c give 1.36σ; four octaves up to B_c/8 give 13.7σ: what matters is to try batch
/// sizes on both sides of B_c. `None` where the batch sizes do not tell (fewer than two distinct ones), or an argument is
/// not finite and above 0 (`run_sd` may be 0).
///
/// ```
/// use batchwise_estimate::tradeoff::ln_standard_error;
/// let octaves: Vec<f64> = (-3..=3).map(|k| 1000.0 * 2f64.powi(k)).collect();
/// let se = ln_standard_error(1000.0, &octaves, 0.05).unwrap();
/// assert!((se / 0.05 - 1.36).abs() < 0.005);
/// ```
#[must_use]
pub fn ln_standard_error(b_crit: f64, batches: &[f64], run_sd: f64) -> Option<f64> {
    let positive = |v: &f64| v.is_finite() && *v > 0.0;
    if !(positive(&b_crit) && batches.iter().all(positive) && run_sd.is_finite() && run_sd >= 0.0) {
        return None;
    }
    let u = b_crit.ln();
    let se = run_sd * ln_error(batches.iter().map(|b| (share(u, b.ln()), 1.0)));
    se.is_finite().then_some(se)
}

/// 1/√Σ p(w−w̄)² over (w, p), p the precision of ln S there; +∞ where the w do not differ.
pub(super) fn ln_error(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let (total, first) = points.clone().fold((0.0, 0.0), |(n, sum), (w, p)| (n + p, sum + p * w));
    let mean = first / total;
    let spread: f64 = points.map(|(w, p)| p * (w - mean) * (w - mean)).sum();
    if spread > 0.0 { 1.0 / spread.sqrt() } else { f64::INFINITY }
}
