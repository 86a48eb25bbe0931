//! Which learning rates to try next.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::grid::Edge;
use super::optimum::BestAtBatch;
use crate::outcome::Outcome;

/// What to run next at one batch size.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Next {
    /// The best learning rate is well enough known.
    Enough,
    /// The grid ends too early.
    Extend {
        /// On which side.
        edge: Edge,
        /// Learning rates to try, going outwards.
        learning_rates: Vec<f64>,
    },
    /// The best lies between learning rates that are too far apart.
    Refine {
        /// Learning rates to try, ascending.
        learning_rates: Vec<f64>,
    },
    /// The grid is fine enough: only the noise is in the way.
    MoreSeeds {
        /// Learning rates to repeat, ascending.
        learning_rates: Vec<f64>,
    },
}

/// A grid finer than this factor is not refined: the noise is the limit.
const FINE: f64 = 1.3;
/// Ratio of a grid that has one learning rate only.
const FIRST_RATIO: f64 = 2.0;
/// Rates by which an edge is moved.
const OUTWARDS: i32 = 2;

/// What to run next, from the learning rates tried so far at that batch size and the answer they gave.
///
/// At an edge: two more on that side, by the grid's own (median) ratio. Where every run failed: two more below. With an
/// interval wider than the factor `wanted` (high/low; 2 is usual): the middles of the gaps beside the best, or the
/// best and its neighbours again where those gaps are below a factor of 1.3. Rates that are not finite and above 0 are left
/// out; without any the answer is to extend by nothing.
#[must_use]
pub fn next_learning_rates(tried: &[f64], best: &BestAtBatch, wanted: f64) -> Next {
    let mut x: Vec<f64> = tried.iter().filter(|r| r.is_finite() && **r > 0.0).map(|r| r.ln()).collect();
    x.sort_by(f64::total_cmp);
    x.dedup();
    let gaps: Vec<f64> = x.windows(2).map(|w| w[1] - w[0]).collect();
    let ratio = crate::robust::median(&gaps).unwrap_or(FIRST_RATIO.ln());
    let rates = |all: Vec<f64>| -> Vec<f64> {
        all.into_iter().map(f64::exp).filter(|r| r.is_finite() && *r > 0.0).collect()
    };
    let outwards = |edge: Edge| {
        let (from, step) = match edge {
            Edge::Low => (x.first(), -ratio),
            Edge::High => (x.last(), ratio),
        };
        let all =
            from.map_or(Vec::new(), |from| (1..=OUTWARDS).map(|k| from + step * f64::from(k)).collect());
        Next::Extend { edge, learning_rates: rates(all) }
    };
    if let Some(edge) = best.at_edge {
        return outwards(edge);
    }
    let Some(centre) = best.learning_rate.value().or(best.grid_best) else {
        return outwards(Edge::Low);
    };
    if let Outcome::Measured { low, high, .. } = best.learning_rate
        && high / low <= wanted
    {
        return Next::Enough;
    }
    let at =
        x.iter().enumerate().min_by(|a, b| (a.1 - centre.ln()).abs().total_cmp(&(b.1 - centre.ln()).abs()));
    let Some((at, _)) = at else { return outwards(Edge::Low) };
    let near = &x[at.saturating_sub(1)..=(at + 1).min(x.len() - 1)];
    let middles: Vec<f64> =
        near.windows(2).filter(|w| w[1] - w[0] > FINE.ln()).map(|w| (w[0] + w[1]) / 2.0).collect();
    if x.len() < 2 {
        return outwards(Edge::High);
    }
    if middles.is_empty() {
        Next::MoreSeeds { learning_rates: rates(near.to_vec()) }
    } else {
        Next::Refine { learning_rates: rates(middles) }
    }
}
