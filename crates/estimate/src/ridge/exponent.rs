//! The exponent p of LR* ∝ B^p: a straight line through points with errors of their own and a scatter in common.
//!
//! Batch sizes are exact, learning rates are not, so only the latter carry errors. Beside its own error each batch size may
//! lie off the line (the law is no law of nature); that scatter τ is estimated from the residuals (Paule and Mandel
//! 1982) and the interval takes its spread from the residuals too (Knapp and Hartung 2003), with Student's t.

use super::optimum::{Settings, Vertex};
use crate::fieller::student_t_quantile;
use crate::outcome::Outcome;

/// Batch sizes needed for an exponent.
pub(super) const FEWEST: usize = 3;

/// Degrees of freedom that the median variance counts for beside a batch size's own variance.
const BORROWED: f64 = 8.0;

/// Below this a standard error of a logarithm is rounding.
const ROUNDING: f64 = 1e-9;

/// Variances of the learning rates, drawn towards their median: a variance from a few degrees of freedom is itself so
/// uncertain that weights from it alone would make the interval of the exponent too short.
pub(super) fn variances(points: &[Vertex]) -> Vec<f64> {
    let all: Vec<f64> = points.iter().map(|p| p.se * p.se).collect();
    let median = crate::robust::median(&all).unwrap_or(0.0);
    points
        .iter()
        .zip(&all)
        .map(|(p, v)| ((p.df * v + BORROWED * median) / (p.df + BORROWED)).max(ROUNDING * ROUNDING))
        .collect()
}

/// Weighted line through (ln batch, ln learning rate).
struct Line {
    slope: f64,
    /// What each x adds to the slope.
    pull: Vec<f64>,
    /// Weighted sum of the squared residuals.
    squares: f64,
    /// Weighted sum of the squared distances from the mean ln batch.
    spread: f64,
}

impl Line {
    fn through(points: &[Vertex], weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let mean = |f: &dyn Fn(&Vertex) -> f64| {
            points.iter().zip(weights).map(|(p, w)| w / total * f(p)).sum::<f64>()
        };
        let ln_batch = |p: &Vertex| (p.batch as f64).ln();
        let (centre, level) = (mean(&ln_batch), mean(&|p| p.x));
        let spread: f64 = points.iter().zip(weights).map(|(p, w)| w * (ln_batch(p) - centre).powi(2)).sum();
        let pull: Vec<f64> =
            points.iter().zip(weights).map(|(p, w)| w * (ln_batch(p) - centre) / spread).collect();
        let slope = points.iter().zip(&pull).map(|(p, k)| k * p.x).sum::<f64>();
        let residual = |p: &Vertex| p.x - level - slope * (ln_batch(p) - centre);
        let squares = points.iter().zip(weights).map(|(p, w)| w * residual(p).powi(2)).sum();
        Self { slope, pull, squares, spread }
    }
}

/// The exponent with its interval, and the scatter τ of ln LR* about the line. `points` have distinct batch sizes.
pub(super) fn exponent(points: &[Vertex], settings: &Settings) -> (Outcome, Option<f64>) {
    if points.len() < FEWEST {
        let n = points.len();
        return (
            Outcome::not_identified(format!(
                "{n} batch sizes have a bounded best learning rate, at least {FEWEST} are needed"
            )),
            None,
        );
    }
    let own = variances(points);
    let df = (points.len() - 2) as f64;
    let weights = |scatter: f64| own.iter().map(|v| 1.0 / (v + scatter)).collect::<Vec<f64>>();
    let excess = |scatter: f64| Line::through(points, &weights(scatter)).squares - df;
    let mut scatter = 0.0;
    if excess(0.0) > 0.0 {
        let (mut low, mut high) = (0.0, own.iter().fold(1.0, |m: f64, v| m.max(*v)));
        while excess(high) > 0.0 && high < 1e12 {
            high *= 4.0;
        }
        for _ in 0..100 {
            let middle = (low + high) / 2.0;
            if excess(middle) > 0.0 { low = middle } else { high = middle }
        }
        scatter = (low + high) / 2.0;
    }
    let line = Line::through(points, &weights(scatter));
    let t = student_t_quantile(0.5 + settings.options.confidence / 2.0, df);
    let sampling = t * (line.squares / df / line.spread).sqrt();
    let by_shape: f64 = points.iter().zip(&line.pull).map(|(p, k)| k * p.by_shape).sum();
    let half = sampling.hypot(settings.shape_reach() * by_shape);
    let (value, low, high) = (line.slope, line.slope - half, line.slope + half);
    if !(value.is_finite() && low.is_finite() && high.is_finite()) {
        return (Outcome::not_identified("the exponent is beyond the range of floating point numbers"), None);
    }
    (Outcome::Measured { value, low, high }, Some(scatter.sqrt()))
}
