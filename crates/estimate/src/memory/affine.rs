//! The two numbers of affine memory, with distribution-free intervals.

use serde::{Deserialize, Serialize};

use super::fit::{MemoryError, MemoryPoint, ascending};
use crate::outcome::Outcome;
use crate::robust::median;
use crate::student::student_t_quantile;

/// Peak memory as fixed + m·B over the largest batches that lie on one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// Bytes that do not depend on the batch, with half of what the allocator rounds up by. May be negative: the line of
    /// a phase that overtakes.
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

/// Most batches that pairs are formed of (the largest ones).
const MOST: usize = 200;

/// Slope and intercept by the median over pairs (Theil 1950), with the intervals of Sen (1968).
///
/// The slope is the median of the slopes between all pairs; its interval lies between those pair slopes at which
/// Kendall's τ between batch and residual becomes significant (exact null distribution up to 40 batches, normal beyond).
/// It asks of the errors only that they be independent and symmetric: allocator rounding and relative scatter alike. The
/// intercept is the same after dividing by the batch: M/B = m + fixed·(1/B). Repeats at one batch count by their largest
/// peak.
///
/// Only the longest run of the largest batches that lies within 2 % of one line counts. With 4 batches on it the interval
/// of 91.7 % is the widest that the data can give, so 95 % takes 5; below, the outcome is
/// [`Outcome::NotIdentified`].
///
/// # Errors
/// A batch of 0, fewer than 2 distinct batches, a confidence outside [0.5, 0.999].
pub fn affine(points: &[MemoryPoint], confidence: f64) -> Result<Affine, MemoryError> {
    if !(0.5..=0.999).contains(&confidence) {
        return Err(MemoryError::BadConfidence { found: confidence });
    }
    let sorted = ascending(points)?;
    let all: Vec<(f64, f64)> = sorted.iter().map(|p| (p.batch as f64, p.peak_bytes as f64)).collect();
    let all = &all[all.len().saturating_sub(MOST)..];
    let mut from = all.len() - 2;
    while from > 0 && on_line(&all[from - 1..]) {
        from -= 1;
    }
    let line = &all[from..];
    let divided: Vec<(f64, f64)> = line.iter().map(|&(b, y)| (1.0 / b, y / b)).collect();
    Ok(Affine {
        fixed_bytes: sen(&divided, confidence),
        bytes_per_example: sen(line, confidence),
        segment_from: line[0].0 as u64,
        batches: line.len(),
    })
}

fn on_line(points: &[(f64, f64)]) -> bool {
    let Some(slope) = median(&pair_slopes(points)) else { return false };
    let rest: Vec<f64> = points.iter().map(|(b, y)| y - slope * b).collect();
    let intercept = median(&rest).unwrap_or(0.0);
    points.iter().zip(rest).all(|((_, y), r)| (r - intercept).abs() <= ON_LINE * y)
}

/// Slopes between all pairs, ascending.
fn pair_slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let mut slopes: Vec<f64> = (points.iter().enumerate())
        .flat_map(|(i, p)| points[..i].iter().map(move |q| (p.1 - q.1) / (p.0 - q.0)))
        .filter(|slope| slope.is_finite())
        .collect();
    slopes.sort_by(f64::total_cmp);
    slopes
}

/// Sen's interval of the slope.
fn sen(points: &[(f64, f64)], confidence: f64) -> Outcome {
    let slopes = pair_slopes(points);
    let Some(value) = median(&slopes) else {
        return Outcome::not_identified("no two batches tell a slope");
    };
    let Some(skip) = ranks_outside(points.len(), (1.0 - confidence) / 2.0) else {
        return Outcome::not_identified(format!(
            "{} batches lie on the line of the largest ones, too few for an interval at {} %",
            points.len(),
            100.0 * confidence
        ));
    };
    let last = slopes.len() - 1;
    // Between the ranks, as the confidence lies between theirs.
    let at = |rank: f64| {
        let below = (rank.floor() as usize).min(last);
        let above = (below + 1).min(last);
        slopes[below] + (rank - below as f64) * (slopes[above] - slopes[below])
    };
    let skip = skip.min(last as f64 / 2.0);
    Outcome::Measured { value, low: at(skip).min(value), high: at(last as f64 - skip).max(value) }
}

/// How many of the ascending pair slopes lie outside the interval on either side, for a `tail` probability each; whole
/// numbers are exact, between them it is interpolated. `None` if even all pairs are not wide enough.
fn ranks_outside(batches: usize, tail: f64) -> Option<f64> {
    let n = batches as f64;
    if batches > 40 {
        let sd = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
        let half = student_t_quantile(1.0 - tail, f64::INFINITY) * sd;
        return Some(((n * (n - 1.0) / 2.0 - half) / 2.0).max(0.0));
    }
    // share[k]: probability of k discordant pairs among n in random order, by adding one value after the other.
    let mut share = vec![1.0_f64];
    for size in 2..=batches {
        let mut next = vec![0.0; share.len() + size - 1];
        for (k, p) in share.iter().enumerate() {
            (0..size).for_each(|more| next[k + more] += p / size as f64);
        }
        share = next;
    }
    // The interval from the (k+1)th slope to the (k+1)th from above misses with P(discordant ≤ k) on either side.
    let mut missed = 0.0;
    for (k, p) in share.iter().enumerate() {
        let next = missed + p;
        if next > tail {
            return (k > 0).then(|| k as f64 - 1.0 + (tail - missed) / p);
        }
        missed = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{ranks_outside, sen};
    use crate::outcome::Outcome;

    #[test]
    fn ranks_of_kendalls_distribution() {
        // 4 values: 1/24 in order; 5: 1/120, and 4/120 with one pair swapped.
        assert_eq!(ranks_outside(4, 0.025), None);
        assert_eq!(ranks_outside(4, 1.0 / 24.0 + 1e-12).map(|r| r.round()), Some(0.0));
        let between = ranks_outside(5, 0.025).unwrap();
        assert!((between - (0.025 - 1.0 / 120.0) / (4.0 / 120.0)).abs() < 1e-12, "{between}");
        // The exact and the normal ranks meet.
        let (exact, normal) = (ranks_outside(40, 0.025).unwrap(), ranks_outside(41, 0.025).unwrap());
        assert!(normal - exact > 5.0 && normal - exact < 20.0, "{exact} {normal}");
    }

    #[test]
    fn an_exact_line_has_an_interval_without_width() {
        let points: Vec<(f64, f64)> =
            (1..8).map(|i| (f64::from(1 << i), 5.0 + 3.0 * f64::from(1 << i))).collect();
        assert_eq!(sen(&points, 0.95), Outcome::Measured { value: 3.0, low: 3.0, high: 3.0 });
    }
}
