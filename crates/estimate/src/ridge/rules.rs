//! Small rules of learning rates.

/// The learning rate that a step with momentum amounts to: η/(1−m) (theory.md §3.1; Shallue et al. 2019).
///
/// Compare optimizers with different momentum by this. `None` unless η is finite, m in [0, 1) and the result finite.
///
/// ```
/// let effective = batchwise_estimate::ridge::effective_learning_rate(0.1, 0.9).unwrap();
/// assert!((effective - 1.0).abs() < 1e-12);
/// ```
#[must_use]
pub fn effective_learning_rate(learning_rate: f64, momentum: f64) -> Option<f64> {
    let effective = learning_rate / (1.0 - momentum);
    ((0.0..1.0).contains(&momentum) && effective.is_finite()).then_some(effective)
}

/// Share of the best possible progress of one step that `f` times the best learning rate makes: f(2 − f)
/// (theory.md §4.1).
///
/// ±20 % cost 4 %, half costs 25 %, twice makes none, more goes backwards: a learning rate that is not known well is
/// rounded down. −∞ is given as the smallest finite number, NaN gives 0.
#[must_use]
pub fn progress_share(f: f64) -> f64 {
    if f.is_nan() {
        return 0.0;
    }
    (f * (2.0 - f)).clamp(f64::MIN, f64::MAX)
}

/// A transferred learning rate rounded down to the grid `anchor`·`ratio`^k: what overshoots costs more than what
/// undershoots ([`progress_share`]).
///
/// A value on the grid stays (to 1e-9). `None` unless both rates are finite and above 0, the ratio finite and above 1, and
/// the result above 0.
#[must_use]
pub fn round_down(learning_rate: f64, anchor: f64, ratio: f64) -> Option<f64> {
    let positive = |v: f64| v.is_finite() && v > 0.0;
    if !(positive(learning_rate) && positive(anchor) && ratio.is_finite() && ratio > 1.0) {
        return None;
    }
    let steps = ((learning_rate.ln() - anchor.ln()) / ratio.ln() + 1e-9).floor();
    let rounded = (anchor.ln() + steps * ratio.ln()).exp();
    // On the grid itself the logarithms cost digits.
    let rounded = if (rounded / learning_rate - 1.0).abs() < 1e-9 { learning_rate } else { rounded };
    positive(rounded).then_some(rounded)
}

/// The learning rate at batch size `to` by the power law LR* ∝ B^p from a known one at `from` (theory.md §4.1: p = 1 linear,
/// ½ square root).
///
/// With the runs themselves at hand, [`RidgeFit::at`](super::RidgeFit::at) weighs every law. `None` unless the result is
/// finite and above 0.
///
/// ```
/// let rate = batchwise_estimate::ridge::follow_power(0.1, 64.0, 256.0, 0.5).unwrap();
/// assert!((rate - 0.2).abs() < 1e-12);
/// ```
#[must_use]
pub fn follow_power(learning_rate: f64, from: f64, to: f64, exponent: f64) -> Option<f64> {
    let rate = learning_rate * (to / from).powf(exponent);
    (from > 0.0 && to > 0.0 && rate.is_finite() && rate > 0.0).then_some(rate)
}
