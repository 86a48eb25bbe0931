//! The three-parameter check: ln S = ln S_min + ln(1 + (B_c/B)^α), Zhang et al. 2024 (theory.md §3.2, M3).

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::MODEL_ERROR;
use super::curve::{rise, share};
use crate::fieller::student_t_quantile;
use crate::outcome::Outcome;
use crate::search::golden;

/// The curve with a free exponent beside the hyperbola, whose exponent is 1.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ThreeParameter {
    /// The exponent α; its interval in the F form, scale from its own residuals.
    pub alpha: Outcome,
    /// BIC of the hyperbola less that of this curve: above 0 speaks for a free exponent.
    pub delta_bic: f64,
    /// The same where both are granted departures of [`MODEL_ERROR`] per batch size: above 6 the hyperbola is refused.
    ///
    /// Without it the noise-free noisy quadratic model, whose steps the hyperbola describes to 6 %, would be refused
    /// with a ΔBIC of 17 (theory.md §3.3 says such residuals are no evidence of a bug).
    pub delta_bic_granted: f64,
    /// Largest relative residual of a batch size about this curve.
    pub misfit: f64,
}

impl ThreeParameter {
    /// Whether the hyperbola must be refused: the exponent is not 1, and it matters (theory.md §8.3: ΔBIC > 6).
    #[must_use]
    pub fn refuses_the_hyperbola(&self) -> bool {
        self.delta_bic_granted > 6.0 && self.alpha.holds(1.0) == Some(false)
    }
}

/// ln S of one batch size: x = ln B, y, and the variance that the seeds explain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) variance: f64,
}

/// Fewest batch sizes for three parameters and a scale.
const FEWEST: usize = 5;
const ALPHA: (f64, f64) = (0.2, 5.0);
/// No departure of a batch size from a curve is taken for smaller or larger than these (in ln S).
const SMALLEST: f64 = 1e-6;
const LARGEST: f64 = 20.0;

/// `None` below 5 batch sizes. `runs` counts the runs behind the points.
pub(super) fn three_parameter(points: &[Point], runs: usize, confidence: f64) -> Option<ThreeParameter> {
    let n = points.len();
    if n < FEWEST {
        return None;
    }
    let ln_n = (n as f64).ln();
    let bic = |least: f64| likelihood(points, least, false) - likelihood(points, least, true) - ln_n;
    let (delta_bic, delta_bic_granted) = (bic(SMALLEST), bic(MODEL_ERROR));
    let few = n as f64 - 3.0;
    let (tau, fit) = moment(points, few, SMALLEST);
    let alpha = fit.alpha;
    let misfit = fit.residuals.iter().fold(0.0_f64, |m, r| m.max(r.abs())).exp_m1();
    let seeded = points.iter().all(|p| p.variance > 0.0) && tau <= SMALLEST;
    let t = student_t_quantile(0.5 + confidence / 2.0, if seeded { runs as f64 - 3.0 } else { few });
    let limit = fit.squares + t * t;
    let end = |outermost: f64| {
        let at = |alpha: f64| descend(points, tau, (fit.u, alpha.ln()), false);
        if at(outermost).squares <= limit {
            return None;
        }
        let (mut inner, mut outer) = (alpha, outermost);
        for _ in 0..14 {
            let middle = (inner * outer).sqrt();
            if at(middle).squares <= limit {
                inner = middle;
            } else {
                outer = middle;
            }
        }
        Some(inner)
    };
    let alpha = match (end(ALPHA.0), end(ALPHA.1)) {
        (Some(low), Some(high)) => Outcome::Measured { value: alpha, low, high },
        (Some(low), None) => Outcome::LowerBound { low },
        (None, Some(high)) => Outcome::UpperBound { high },
        (None, None) => Outcome::not_identified("every exponent from 0.2 to 5 agrees with the runs"),
    };
    let all = [delta_bic, delta_bic_granted, misfit];
    all.iter().all(|v| v.is_finite()).then_some(ThreeParameter {
        alpha,
        delta_bic,
        delta_bic_granted,
        misfit,
    })
}

/// The curve of one exponent: weighted sum of squares, and the residuals.
struct About {
    u: f64,
    alpha: f64,
    squares: f64,
    residuals: Vec<f64>,
}

/// The hyperbola, or the curve of the best exponent where it is `free`, at τ.
fn best(points: &[Point], tau: f64, free: bool) -> About {
    let middle = points.get(points.len() / 2).map_or(0.0, |p| p.x);
    descend(points, tau, (middle, 0.0), free)
}

/// Levenberg and Marquardt's steps in u, and in ln α where it is `free`, from `at`.
fn descend(points: &[Point], tau: f64, mut at: (f64, f64), free: bool) -> About {
    let mut damping = 1e-2;
    let mut here = centred(points, tau, at.1.exp(), at.0).1;
    for _ in 0..100 {
        let before = here;
        let step = gauss_newton(points, tau, at, free, damping);
        let bounds = (ALPHA.0.ln(), ALPHA.1.ln());
        let next =
            (at.0 + step.0.clamp(-2.0, 2.0), (at.1 + step.1.clamp(-0.5, 0.5)).clamp(bounds.0, bounds.1));
        if (next.0 - at.0).abs() + (next.1 - at.1).abs() < 1e-9 {
            break;
        }
        let there = centred(points, tau, next.1.exp(), next.0).1;
        if there <= here {
            (at, here, damping) = (next, there, damping * 0.2);
            if before - here <= 1e-10 * here {
                break;
            }
        } else {
            damping *= 8.0;
            if damping > 1e9 {
                break;
            }
        }
    }
    let alpha = at.1.exp();
    let (s, squares) = centred(points, tau, alpha, at.0);
    let residuals = points.iter().map(|p| p.y - rise(alpha * at.0, alpha * p.x) - s).collect();
    About { u: at.0, alpha, squares, residuals }
}

/// One damped step in (u, ln α); derivatives about their weighted means, for s is at its best throughout.
fn gauss_newton(
    points: &[Point],
    tau: f64,
    (u, ln_alpha): (f64, f64),
    free: bool,
    damping: f64,
) -> (f64, f64) {
    let alpha = ln_alpha.exp();
    let row = |p: &Point| {
        let w = alpha * share(alpha * u, alpha * p.x);
        let by_alpha = if free { w * (u - p.x) } else { 0.0 };
        [1.0 / (p.variance + tau * tau), w, by_alpha, p.y - rise(alpha * u, alpha * p.x)]
    };
    let rows: Vec<[f64; 4]> = points.iter().map(row).collect();
    let mut mean = [0.0; 4];
    for r in &rows {
        mean = [mean[0] + r[0], mean[1] + r[0] * r[1], mean[2] + r[0] * r[2], mean[3] + r[0] * r[3]];
    }
    let (mut h, mut g) = ([0.0; 3], [0.0; 2]);
    for r in &rows {
        let [w, a, y] = [r[1] - mean[1] / mean[0], r[2] - mean[2] / mean[0], r[3] - mean[3] / mean[0]];
        h = [h[0] + r[0] * w * w, h[1] + r[0] * w * a, h[2] + r[0] * a * a];
        g = [g[0] + r[0] * w * y, g[1] + r[0] * a * y];
    }
    let tiny = f64::MIN_POSITIVE;
    let (p, q) = (h[0] * (1.0 + damping) + tiny, h[2] * (1.0 + damping) + tiny);
    if !free {
        return (g[0] / p, 0.0);
    }
    let determinant = p * q - h[1] * h[1];
    let step = ((q * g[0] - h[1] * g[1]) / determinant, (p * g[1] - h[1] * g[0]) / determinant);
    if step.0.is_finite() && step.1.is_finite() { step } else { (0.0, 0.0) }
}

/// The best s, and the weighted sum of squares about it.
fn centred(points: &[Point], tau: f64, alpha: f64, u: f64) -> (f64, f64) {
    let (mut total, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for p in points {
        let (weight, r) = (1.0 / (p.variance + tau * tau), p.y - rise(alpha * u, alpha * p.x));
        // West 1979: the squares about the running mean, without cancellation.
        let step = r - if total > 0.0 { sum / total } else { r };
        squares += weight * step * step * total / (total + weight);
        total += weight;
        sum += weight * r;
    }
    (sum / total, squares)
}

/// −2 ln likelihood, least over τ ≥ `least`.
fn likelihood(points: &[Point], least: f64, free: bool) -> f64 {
    let (mut tau, mut found) = (least.max(0.05), f64::INFINITY);
    for _ in 0..3 {
        let residuals = best(points, tau, free).residuals;
        let value = |ln: f64| {
            let of = |(p, r): (&Point, &f64)| {
                let variance = p.variance + (2.0 * ln).exp();
                r * r / variance + variance.ln()
            };
            points.iter().zip(&residuals).map(of).sum::<f64>()
        };
        let ln = golden(least.ln(), LARGEST.ln(), 40, value);
        let ln = if value(least.ln()) <= value(ln) { least.ln() } else { ln };
        (tau, found) = (ln.exp(), value(ln));
    }
    found
}

/// τ at which the weighted sum of squares is `df` (Paule & Mandel 1982), at least `least`, and the curve there.
fn moment(points: &[Point], df: f64, least: f64) -> (f64, About) {
    let mut tau = 0.05;
    for _ in 0..3 {
        let residuals = best(points, tau, true).residuals;
        let excess = |tau: f64| {
            let of = |(p, r): (&Point, &f64)| r * r / (p.variance + tau * tau);
            points.iter().zip(&residuals).map(of).sum::<f64>() > df
        };
        if !excess(least) {
            return (least, best(points, least, true));
        }
        let (mut low, mut high) = (least.ln(), LARGEST.ln());
        for _ in 0..40 {
            let middle = (low + high) / 2.0;
            if excess(middle.exp()) {
                low = middle;
            } else {
                high = middle;
            }
        }
        tau = high.exp();
    }
    (tau, best(points, tau, true))
}
