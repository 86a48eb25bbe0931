//! The best learning rate of one grid, without an interval: for a search that looks where to go next.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::parabola::Parabola;

/// One learning rate that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct LrPoint {
    /// The learning rate, finite and above 0 (other points are left out).
    pub learning_rate: f64,
    /// The loss reached, smaller is better; `None`, NaN or infinite: the run diverged.
    pub loss: Option<f64>,
}

/// Where the best learning rate lies, by one grid without repeats.
///
/// [`BestAtBatch`](super::BestAtBatch) is the answer with an interval.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum BestLr {
    /// The grid encloses the best learning rate.
    Interior {
        /// The best learning rate, never beyond the neighbours of the best grid point.
        learning_rate: f64,
        /// Smallest learning rate as good: its fitted loss is within [`EXCESS`] of the best, or within the misfit.
        low: f64,
        /// Largest learning rate as good, by the same measure.
        high: f64,
        /// Fitted loss at the best learning rate, at most the best grid loss.
        loss: f64,
    },
    /// The best grid point is the outermost: extend the grid on that side before any comparison of batch sizes.
    AtEdge {
        /// The side on which the grid ends too early.
        edge: Edge,
        /// The outermost learning rate, the best so far.
        learning_rate: f64,
    },
    /// The losses do not say.
    NotIdentified {
        /// What is missing, as a lower-case clause.
        why: String,
    },
}

/// A side of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Edge {
    /// Smaller learning rates are missing.
    Low,
    /// Larger learning rates are missing.
    High,
}

/// Learning rates whose fitted loss exceeds the best by at most this share of its size count as equally good.
pub const EXCESS: f64 = 0.01;

/// Local quadratic in ln(learning rate) around the smallest loss.
///
/// Uses the best grid point, its two neighbours, and the next on each side while their losses rise at most fourfold as
/// far as the neighbours'. A diverged run bounds from above and is never averaged in: next to the best point it
/// encloses the best on that side, and the answer is then never above the best grid point, because undershooting is
/// far cheaper than overshooting (f = ½ costs 25 % of a step's progress, f = 2 all of it: theory §4.1). Repeats of one
/// learning rate are averaged; one diverged repeat makes it diverged. Ties go to the smaller learning rate.
#[must_use]
pub fn best_learning_rate(points: &[LrPoint]) -> BestLr {
    let grid = tidy(points);
    let finite: Vec<(f64, f64)> = grid.iter().filter_map(|&(x, loss)| loss.map(|l| (x, l))).collect();
    let Some(best) = (0..finite.len()).min_by(|&i, &j| finite[i].1.total_cmp(&finite[j].1)) else {
        return not_identified("no learning rate reached a finite loss");
    };
    if grid.len() < 2 {
        return not_identified("one learning rate was tried, at least 3 are needed");
    }
    if finite.len() >= 2 && finite.iter().all(|p| p.1 == finite[0].1) {
        return not_identified("every learning rate reached the same loss");
    }
    let (x, loss) = finite[best];
    let diverged_above = grid.iter().find(|p| p.0 > x).is_some_and(|p| p.1.is_none());
    if best == 0 {
        return BestLr::AtEdge { edge: Edge::Low, learning_rate: x.exp() };
    }
    if best + 1 == finite.len() && !diverged_above {
        return BestLr::AtEdge { edge: Edge::High, learning_rate: x.exp() };
    }
    let lowest = finite[best - 1].0;
    let highest = if diverged_above { x } else { finite[best + 1].0 };
    let local = neighbourhood(&finite, best, diverged_above);
    let fit = Parabola::through(&local, x).filter(|p| p.bend > 0.0);
    let at = fit.as_ref().map_or(x, |p| (x + p.vertex()).clamp(lowest, highest));
    let fitted = fit.as_ref().map_or(loss, |p| p.at(at - x)).min(loss);
    let (low, high) = match &fit {
        None => (lowest, highest),
        Some(p) => {
            let half = ((EXCESS * loss.abs()).max(p.misfit()) / p.bend).sqrt();
            ((at - half).max(lowest), (at + half).min(highest))
        }
    };
    BestLr::Interior { learning_rate: at.exp(), low: low.exp(), high: high.exp(), loss: fitted }
}

/// (ln learning rate, loss or diverged), ascending, one per learning rate.
fn tidy(points: &[LrPoint]) -> Vec<(f64, Option<f64>)> {
    let mut kept: Vec<&LrPoint> =
        points.iter().filter(|p| p.learning_rate.is_finite() && p.learning_rate > 0.0).collect();
    kept.sort_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate));
    kept.chunk_by(|a, b| a.learning_rate == b.learning_rate)
        .map(|same| {
            let losses: Option<Vec<f64>> = same.iter().map(|p| p.loss.filter(|l| l.is_finite())).collect();
            let mean = losses.map(|l| l.iter().map(|v| v / l.len() as f64).sum());
            (same[0].learning_rate.ln(), mean)
        })
        .collect()
}

/// The 3 to 5 points that the parabola is fitted to (fewer where a side diverged).
fn neighbourhood(finite: &[(f64, f64)], best: usize, diverged_above: bool) -> Vec<(f64, f64)> {
    let last = if diverged_above { best } else { finite.len() - 1 };
    let inner = &finite[best - 1..=(best + 1).min(last)];
    let rise = inner.iter().fold(0.0_f64, |m, p| m.max(p.1 - finite[best].1));
    let near = |i: usize| finite[i].1 - finite[best].1 <= 4.0 * rise;
    let mut local = inner.to_vec();
    if best >= 2 && near(best - 2) {
        local.push(finite[best - 2]);
    }
    if best + 2 <= last && near(best + 2) {
        local.push(finite[best + 2]);
    }
    local
}

fn not_identified(why: &str) -> BestLr {
    BestLr::NotIdentified { why: why.to_owned() }
}
