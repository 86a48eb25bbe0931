//! The shape of the valley: how much steeper its right side is.
//!
//! In u = (η^λ − 1)/λ the loss near its minimum is a parabola. λ = 0 (u = ln η) is a valley that is symmetric in the
//! logarithm; λ = 1 is the second-order expansion of one step, ΔL ∝ f(2 − f) with f = η/η_opt (theory.md §1.1), whose
//! right side is the steeper. A parabola in ln η fitted to the latter misplaces its minimum by up to 20 %, always to
//! the same side, which no number of seeds averages out. λ is therefore estimated, from all batch sizes together, and
//! its uncertainty is carried into every interval.

use super::parabola::Parabola;
use super::window::Window;

/// λ before the data speak: normal about the middle of the two theories, which lie two thirds of an sd away.
const PRIOR: (f64, f64) = (0.5, 0.75);

/// λ is looked for on this range first.
const RANGE: (f64, f64) = (-1.0, 2.5);

/// (η^λ − 1)/λ with `x` = ln η.
pub(super) fn bend(x: f64, lambda: f64) -> f64 {
    if lambda.abs() < 1e-9 { x } else { (lambda * x).exp_m1() / lambda }
}

/// ln η again; −∞ or +∞ where no learning rate has this `u`.
pub(super) fn unbend(u: f64, lambda: f64) -> f64 {
    if lambda.abs() < 1e-9 {
        return u;
    }
    let inside = lambda * u;
    if inside > -1.0 { inside.ln_1p() / lambda } else { -f64::INFINITY * lambda.signum() }
}

/// The parabola in u through the window, centred on its best rung.
pub(super) fn fit(window: &Window<'_>, lambda: f64) -> Option<Parabola> {
    let centre = window.centre();
    let bent: Vec<(f64, f64)> = window.points.iter().map(|&(x, y)| (bend(x - centre, lambda), y)).collect();
    bent.iter().all(|p| p.0.is_finite()).then(|| Parabola::through(&bent, 0.0)).flatten()
}

/// Degrees of freedom of the residuals of [`fit`].
pub(super) fn degrees_of_freedom(window: &Window<'_>) -> f64 {
    window.points.len().saturating_sub(3 + window.lost) as f64
}

/// Degrees of freedom behind λ, and the share of one that λ takes from each batch size that it is estimated from.
///
/// Where no valley says anything of λ, its standard deviation is the prior's: known, so to speak.
pub(super) fn spare_degrees_of_freedom(windows: &[Window<'_>]) -> (f64, f64) {
    let telling: Vec<f64> =
        windows.iter().filter(|w| w.rungs.len() > 3).map(degrees_of_freedom).filter(|df| *df > 0.0).collect();
    if telling.is_empty() {
        return (f64::INFINITY, 0.0);
    }
    (telling.iter().sum(), 1.0 / telling.len() as f64)
}

/// Below this the residuals of values of order 1 are rounding.
pub(super) const ROUNDING: f64 = 1e-26;

/// Degrees of freedom that the usual noise counts for beside the noise of one valley, where there are many valleys.
const BORROWED: f64 = 8.0;

/// Mean and standard deviation of λ given all windows: the likelihood of each valley with its own noise, times the prior.
///
/// The noise of a valley from few degrees of freedom is drawn towards the median of all; taken for what it is, it would give
/// the valleys that happen to fit well too much weight, and λ an error that is √(df/(df−2)) too small (derived, and
/// seen in simulation: coverage of the best learning rate 0.91 in place of 0.95 with 2 degrees of freedom each).
pub(super) fn estimate(windows: &[Window<'_>]) -> (f64, f64) {
    // Three learning rates fit any λ.
    let telling: Vec<(&Window<'_>, f64)> = windows
        .iter()
        .filter(|w| w.rungs.len() > 3)
        .map(|w| (w, degrees_of_freedom(w)))
        .filter(|(_, df)| *df > 0.0)
        .collect();
    let squares =
        |w: &Window<'_>, lambda| fit(w, lambda).map(|f| f.squares.max(ROUNDING * w.points.len() as f64));
    let noises: Vec<f64> = telling
        .iter()
        .filter_map(|(w, df)| {
            let all = (0..=14).filter_map(|i| squares(w, RANGE.0 + 0.25 * f64::from(i)));
            all.min_by(f64::total_cmp).map(|s| s / df)
        })
        .collect();
    let usual = crate::robust::median(&noises).unwrap_or(0.0);
    let borrowed = BORROWED * (1.0 - 1.0 / telling.len().max(1) as f64);
    let cost = |lambda: f64| {
        let prior = ((lambda - PRIOR.0) / PRIOR.1).powi(2);
        let data: f64 = telling
            .iter()
            .filter_map(|(w, df)| Some((df + borrowed) * (squares(w, lambda)? + borrowed * usual).ln()))
            .sum();
        prior + data
    };
    let (mut low, mut high) = RANGE;
    let mut answer = PRIOR;
    // Each pass looks closer, until the grid is finer than the answer is uncertain.
    for _ in 0..9 {
        const STEPS: usize = 35;
        let width = (high - low) / STEPS as f64;
        let costs: Vec<(f64, f64)> =
            (0..=STEPS).map(|i| low + width * i as f64).map(|lambda| (lambda, cost(lambda))).collect();
        let Some(best) = costs.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).filter(|b| b.1.is_finite())
        else {
            return PRIOR;
        };
        let weigh = |f: &dyn Fn(f64) -> f64| -> f64 {
            costs.iter().map(|(l, c)| f(*l) * (-(c - best.1) / 2.0).exp()).sum()
        };
        let whole = weigh(&|_| 1.0);
        let mean = weigh(&|l| l) / whole;
        let sd = (weigh(&|l| (l - mean).powi(2)) / whole).sqrt();
        answer = (if sd > width { mean } else { best.0 }, sd);
        if sd > 1.5 * width {
            break;
        }
        (low, high) = (best.0 - 3.0 * width, best.0 + 3.0 * width);
    }
    answer
}
