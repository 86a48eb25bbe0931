//! What a change of batch size costs in examples and saves in steps, once B_c is known.

/// Example efficiency of batch size `to` relative to `from`: (B_c+from)/(B_c+to) = E(from)/E(to).
///
/// This is Pollux's EFFICIENCY with φ for B_c (Qiao et al. 2021; theory.md §6): 1 at `to` = `from`, and falling in `to`.
/// (An early adaptdl had the scale as `batch · initial batch`, upside down: theory.md §0, trap 10.) `None` unless all three are
/// finite, `b_crit` at least 0 and the batch sizes above 0.
///
/// ```
/// use batchwise_estimate::tradeoff::efficiency;
/// assert_eq!(efficiency(1000.0, 64.0, 64.0), Some(1.0));
/// // From far below B_c up to B_c: twice the examples.
/// assert!((efficiency(1000.0, 1e-9, 1000.0).unwrap() - 0.5).abs() < 1e-9);
/// ```
#[must_use]
pub fn efficiency(b_crit: f64, from: f64, to: f64) -> Option<f64> {
    let (bc, from, to) = scaled(b_crit, from, to)?;
    Some((bc + from) / (bc + to)).filter(|v| v.is_finite())
}

/// Steps at batch size `to` over those at `from`: (1+B_c/to)/(1+B_c/from) = S(to)/S(from).
///
/// Between from/to (perfect scaling, B_c ≫ both) and 1 (saturated). Its inverse is AdaScale's gain r with φ for B_c (Johnson
/// et al. 2020; theory.md §4.3). Arguments and `None` as in [`efficiency()`].
#[must_use]
pub fn steps_factor(b_crit: f64, from: f64, to: f64) -> Option<f64> {
    let (bc, from, to) = scaled(b_crit, from, to)?;
    Some((to + bc) / (from + bc) * (from / to)).filter(|v| v.is_finite())
}

/// Checked, and divided by the largest so that no sum overflows.
fn scaled(b_crit: f64, from: f64, to: f64) -> Option<(f64, f64, f64)> {
    let sound = b_crit.is_finite() && b_crit >= 0.0 && [from, to].iter().all(|b| b.is_finite() && *b > 0.0);
    let unit = b_crit.max(from).max(to);
    sound.then(|| (b_crit / unit, from / unit, to / unit))
}

/// Batch size for a noise scale that changes: B(s) = √(r·B_noise(s)), r the examples paid for a step saved.
///
/// McCandlish et al. 2018, App. D (theory.md §1.8). `None` unless both are finite and above 0.
#[must_use]
pub fn adaptive_batch(examples_per_step: f64, b_noise: f64) -> Option<f64> {
    let sound = [examples_per_step, b_noise].iter().all(|v| v.is_finite() && *v > 0.0);
    sound.then(|| examples_per_step.sqrt() * b_noise.sqrt())
}

/// γ = (∫√B_noise ds)²/∫B_noise ds over the progress s in [0, 1]: what an adapted batch size leaves of the cost, ≤ 1.
///
/// With γ the trade-off becomes (S/S_min−1)(E/E_min−1) = γ instead of 1, S_min = ∫ds, E_min = ∫B_noise ds (McCandlish et al. 2018,
/// App. D; theory.md §1.8): 1 for a constant noise scale, 24/25 for B_noise ∝ √s. So adapting saves about 4 % there. By Simpson's
/// rule in t = s^¼, which is smooth where the noise scale grows as a power of s. `None` where the curve is not finite and
/// at least 0 throughout, or 0 everywhere.
///
/// ```
/// use batchwise_estimate::tradeoff::adaptive_gain;
/// assert!((adaptive_gain(|s| 1000.0 * s.sqrt()).unwrap() - 24.0 / 25.0).abs() < 1e-9);
/// ```
#[must_use]
pub fn adaptive_gain(b_noise: impl Fn(f64) -> f64) -> Option<f64> {
    const PANELS: usize = 2000;
    let mut values = Vec::with_capacity(PANELS + 1);
    for i in 0..=PANELS {
        let t = i as f64 / PANELS as f64;
        let value = b_noise(t.powi(4));
        if !(value.is_finite() && value >= 0.0) {
            return None;
        }
        let simpson = if i == 0 || i == PANELS { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
        values.push((simpson * 4.0 * t.powi(3) / (3.0 * PANELS as f64), value));
    }
    gain(values.into_iter())
}

/// [`adaptive_gain`] of measured points (progress, B_noise), straight lines between them.
///
/// At least 2 points, progress ascending and finite, B_noise finite and at least 0; else `None`.
#[must_use]
pub fn adaptive_gain_of_points(points: &[(f64, f64)]) -> Option<f64> {
    let sound = points.len() >= 2
        && points.iter().all(|p| p.0.is_finite() && p.1.is_finite() && p.1 >= 0.0)
        && points.windows(2).all(|p| p[0].0 < p[1].0);
    if !sound {
        return None;
    }
    let largest = points.iter().fold(0.0_f64, |m, p| m.max(p.1));
    let length = points[points.len() - 1].0 / 2.0 - points[0].0 / 2.0;
    let (mut roots, mut whole) = (0.0, 0.0);
    for pair in points.windows(2) {
        let share = (pair[1].0 / 2.0 - pair[0].0 / 2.0) / length;
        let (a, b) = ((pair[0].1 / largest).sqrt(), (pair[1].1 / largest).sqrt());
        // ∫√ of a straight line from a² to b²: (2/3)(a²+ab+b²)/(a+b).
        roots += if a + b > 0.0 { share * 2.0 / 3.0 * (a * a + a * b + b * b) / (a + b) } else { 0.0 };
        whole += share * (a * a + b * b) / 2.0;
    }
    Some(roots * roots / whole).filter(|v| v.is_finite())
}

fn gain(weighted: impl Iterator<Item = (f64, f64)> + Clone) -> Option<f64> {
    let largest = weighted.clone().fold(0.0_f64, |m, v| m.max(v.1));
    let (roots, whole) =
        weighted.fold((0.0, 0.0), |(r, w), (s, v)| (r + s * (v / largest).sqrt(), w + s * (v / largest)));
    Some(roots * roots / whole).filter(|v| v.is_finite())
}
