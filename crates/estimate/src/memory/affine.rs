//! The two numbers of affine memory, with intervals.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::fit::{MemoryError, MemoryPoint, ascending, grain};
use crate::outcome::Outcome;
use crate::robust::median;
use crate::student::student_t_quantile;

/// Peak memory as fixed + m·B over the largest batches that lie on one line.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Affine {
    /// Bytes that do not depend on the batch, with the half grain that an allocator rounds up by on average. May be
    /// negative: the line of a phase that overtakes.
    pub fixed_bytes: Outcome,
    /// m: bytes per example.
    pub bytes_per_example: Outcome,
    /// Smallest batch on the line.
    pub segment_from: u64,
    /// Number of batches on the line.
    pub batches: usize,
}

/// Batches within this relative distance of the line lie on it: twice what fragmentation scatters.
const ON_LINE: f64 = 0.02;

/// Most batches that a line is sought among (the largest ones).
const MOST: usize = 200;

/// Fewest batches that tell a line and its error.
const FEWEST: usize = 4;

/// Fixed bytes and bytes per example, with intervals of two-sided `confidence`.
///
/// Only the longest run of the largest batches that lies within 2 % of one line (by the median of the slopes between
/// all pairs, Theil 1950) counts; repeats at one batch count by their largest peak. Through it goes the line of weighted
/// least squares. A peak M has the variance g²/12 + ρ²M²: rounding up to the grain g, which is the power of two that all
/// peaks share (at most 2 MiB), and a relative scatter ρ that is what the residuals have beyond it. The quantile is
/// Student's t, with n−2 degrees of freedom for the estimated part of the variance and none lost for the known part
/// (Satterthwaite 1946). An interval from the pair slopes themselves (Sen 1968) covers 0.88 to 0.93 here instead of
/// 0.95, because batches on a doubling scale scatter unequally.
///
/// Fewer than 4 batches on the line: [`Outcome::NotIdentified`].
///
/// # Errors
/// A batch of 0, fewer than 2 distinct batches, a confidence outside [0.5, 0.999].
pub fn affine(points: &[MemoryPoint], confidence: f64) -> Result<Affine, MemoryError> {
    if !(0.5..=0.999).contains(&confidence) {
        return Err(MemoryError::BadConfidence { found: confidence });
    }
    let sorted = ascending(points)?;
    let sorted = &sorted[sorted.len().saturating_sub(MOST)..];
    let all: Vec<(f64, f64)> = sorted.iter().map(|p| (p.batch as f64, p.peak_bytes as f64)).collect();
    let mut from = all.len() - 2;
    while from > 0 && on_line(&all[from - 1..]) {
        from -= 1;
    }
    let batches = all.len() - from;
    let line = if batches < FEWEST { None } else { weighted(&all[from..], grain(&sorted[from..])) };
    let outcome = |part: fn(&Line) -> (f64, f64)| match &line {
        None => Outcome::not_identified(format!(
            "{batches} of the largest batches lie on one line, {FEWEST} are needed for its error"
        )),
        Some(line) => {
            let (value, error) = part(line);
            let half = student_t_quantile(0.5 + confidence / 2.0, line.freedom) * error;
            Outcome::Measured { value, low: value - half, high: value + half }
        }
    };
    Ok(Affine {
        fixed_bytes: outcome(|line| line.intercept),
        bytes_per_example: outcome(|line| line.slope),
        segment_from: sorted[from].batch,
        batches,
    })
}

fn on_line(points: &[(f64, f64)]) -> bool {
    let slopes: Vec<f64> = (points.iter().enumerate())
        .flat_map(|(i, p)| points[..i].iter().map(move |q| (p.1 - q.1) / (p.0 - q.0)))
        .collect();
    let Some(slope) = median(&slopes) else { return false };
    let rest: Vec<f64> = points.iter().map(|(b, y)| y - slope * b).collect();
    let intercept = median(&rest).unwrap_or(0.0);
    points.iter().zip(rest).all(|((_, y), r)| (r - intercept).abs() <= ON_LINE * y)
}

/// A line with the standard errors of its parts.
struct Line {
    intercept: (f64, f64),
    slope: (f64, f64),
    /// Degrees of freedom of the errors; +∞ where rounding explains the residuals.
    freedom: f64,
}

/// Rounds of weighing by the scatter and measuring it anew.
const ROUNDS: usize = 30;

fn weighted(points: &[(f64, f64)], grain: f64) -> Option<Line> {
    let rest = points.len() as f64 - 2.0;
    let known = grain * grain / 12.0;
    // Scatter relative to each peak, squared; the residuals decide, from equal weights on.
    let mut scatter2 = 1e-4;
    for _ in 0..ROUNDS {
        let (line, weights) = solve(points, known, scatter2)?;
        // Σw(r² − known) = Σw·ρ²M², both over what is left of n degrees of freedom.
        let (mut excess, mut size) = (0.0, 0.0);
        for ((b, y), w) in points.iter().zip(&weights) {
            let residual = y - line.intercept.0 - line.slope.0 * b;
            excess += w * (residual * residual * points.len() as f64 / rest - known);
            size += w * y * y;
        }
        scatter2 = (excess / size).max(0.0);
    }
    let (mut line, _) = solve(points, known, scatter2)?;
    let mean2 = points.iter().map(|p| p.1 * p.1).sum::<f64>() / points.len() as f64;
    let estimated = scatter2 * mean2;
    line.freedom =
        if estimated > 0.0 { rest * ((known + estimated) / estimated).powi(2) } else { f64::INFINITY };
    let all = [line.intercept.0, line.intercept.1, line.slope.0, line.slope.1];
    all.iter().all(|v| v.is_finite()).then_some(line)
}

/// Weighted least squares for the variances known + scatter2·M², and the weights.
fn solve(points: &[(f64, f64)], known: f64, scatter2: f64) -> Option<(Line, Vec<f64>)> {
    let weights: Vec<f64> = points.iter().map(|p| 1.0 / (known + scatter2 * p.1 * p.1)).collect();
    let total: f64 = weights.iter().sum();
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().zip(&weights).map(|(p, w)| w * of(p)).sum::<f64>() / total;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (mut xx, mut xy) = (0.0, 0.0);
    for (p, w) in points.iter().zip(&weights) {
        xx += w * (p.0 - x) * (p.0 - x);
        xy += w * (p.0 - x) * (p.1 - y);
    }
    if xx.is_nan() || xx <= 0.0 {
        return None;
    }
    let slope = xy / xx;
    let line = Line {
        intercept: (y - slope * x, (1.0 / total + x * x / xx).sqrt()),
        slope: (slope, (1.0 / xx).sqrt()),
        freedom: f64::INFINITY,
    };
    Some((line, weights))
}
