//! Steps to a target loss on the noisy quadratic model, and the learning rate that needs fewest of them.
//!
//! The loss of SGD is monotone in t exactly where every mode starts above where it settles; bisection is then exact.
//! Where it is not, and for heavy ball and averaging, the *first* passage counts: a run may dip below the target and
//! come back, and a bisection would miss it.
//!
//! Tuned steps to a loss of 0.1 on the paper's model with K = 100 (computed here; theory §3.3 has the second column):
//!
//! | B | SGD | heavy ball, μ = 0.9 | averaging, γ = 0.9 |
//! |---|---|---|---|
//! | 1 | 1719 | 1700 | 1482 |
//! | 16 | 124 | 103 | 52 |
//! | 64 | 51 | 35 | 40 |
//! | 512 | 32 | 23 | 38 |
//!
//! Momentum is of use where the batch is large (1 % fewer steps at B = 1, 28 % at 512), averaging where it is small.
//!
//! ```
//! use batchwise_estimate::oracle::{Optimizer, Quadratic};
//!
//! let world = Quadratic::zhang(100)?;
//! let tuned = world.best_learning_rate(Optimizer::Sgd, 16.0, 0.1, 1_000_000)?.unwrap();
//! assert_eq!(tuned.steps, 124);
//! // Steps are whole, so the best learning rate is a range: here some 7 % wide.
//! assert!((tuned.lowest / 0.700 - 1.0).abs() < 0.01 && tuned.highest > 0.74);
//! # Ok::<(), batchwise_estimate::oracle::OracleError>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::error::{OracleError, positive};
use super::optimizer::{Optimizer, Setting};
use super::quadratic::Quadratic;
use super::reach::Reach;
use super::run::single_steps;
use crate::search::golden;

/// A constant learning rate that reaches a target in the fewest steps.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Tuned {
    /// B, in examples.
    pub batch: f64,
    /// The best learning rate: where the crossing is earliest. It moves smoothly with the batch.
    pub learning_rate: f64,
    /// The smallest learning rate that needs as few whole steps; the one of theory §3.3's table.
    pub lowest: f64,
    /// The largest learning rate that needs as few whole steps.
    pub highest: f64,
    /// S, the steps to the target at all three.
    pub steps: u64,
    /// Where the loss crosses the target, on a straight line between the last two steps.
    pub crossing: f64,
}

impl Tuned {
    /// E = B·S, the examples processed to the target.
    #[must_use]
    pub fn examples(&self) -> f64 {
        self.batch * self.steps as f64
    }
}

/// Modes times steps that a scan goes through before it gives up: a second or two.
pub const SCAN_BUDGET: u64 = 200_000_000;

/// Learning rates from the limit of stability down are tried at this ratio, before the best is searched between them.
const GRID: f64 = 1.25;

/// How far below the limit of stability the grid goes.
const DEPTH: f64 = 1e-12;

/// The grid ends where the steps are this many times the fewest: beyond, they grow as 1/η.
const ENOUGH: f64 = 4.0;

const GOLDEN_STEPS: usize = 24;

/// Steps for which the grid is first tried, and by how much more it is then.
const FIRST_LIMIT: u64 = 1024;
const LIMIT_RATIO: u64 = 8;

/// Halvings to the ends of the range of best learning rates: 0.25 shrinks to 2e-7.
const END_STEPS: usize = 20;

impl Quadratic {
    /// The first step with an expected loss below `target`, among the first `limit`.
    ///
    /// SGD is searched, not scanned, so its limit may be [`MAX_STEPS`](super::MAX_STEPS). The others are scanned, at a
    /// cost of modes × steps, up to `limit` or [`SCAN_BUDGET`], whichever is less: [`Reach::NotWithin`] says how far.
    ///
    /// # Errors
    /// A bad setting, a target that is no positive number, [`OracleError::Overflow`] where a mode's level is beyond a
    /// float.
    pub fn steps_to_target(&self, setting: &Setting, target: f64, limit: u64) -> Result<Reach, OracleError> {
        let setting = setting.check()?;
        let target = positive("target", target)?;
        match setting.optimizer {
            Optimizer::Sgd => Ok(self.curve(&setting)?.first_below(target, limit)),
            Optimizer::HeavyBall { .. } | Optimizer::Averaged { .. } => self.scan(&setting, target, limit),
        }
    }

    fn scan(&self, setting: &Setting, target: f64, limit: u64) -> Result<Reach, OracleError> {
        let limit = limit.min(SCAN_BUDGET / self.curvature().len() as u64);
        let steps = single_steps(self, setting);
        let mut run = self.run(setting.optimizer)?;
        let mut before = run.loss()?;
        if before < target {
            return Ok(Reach::Reached { steps: 0, crossing: 0.0 });
        }
        while run.steps() < limit {
            run.take(&steps);
            // A loss beyond a float does not come back.
            let Ok(after) = run.loss() else { return Ok(Reach::Unreachable) };
            if after < target {
                return Ok(Reach::at(run.steps(), before, after, target));
            }
            before = after;
        }
        Ok(Reach::NotWithin { steps: limit })
    }

    /// The constant learning rate that reaches `target` in the fewest steps at this batch size.
    ///
    /// A grid of ratio 1.25 from the limit of stability down finds the valley, golden section in ln η its bottom; the
    /// steps it looks at are those of the straight-line crossing, so a plateau of equal whole steps has one best point.
    /// The grid is tried for few steps first, then for more: the cost follows the answer, and `limit` only where there
    /// is none. `None` where no learning rate reaches the target within `limit` steps.
    ///
    /// # Errors
    /// As [`steps_to_target`](Self::steps_to_target).
    pub fn best_learning_rate(
        &self,
        optimizer: Optimizer,
        batch: f64,
        target: f64,
        limit: u64,
    ) -> Result<Option<Tuned>, OracleError> {
        positive("batch size", batch)?;
        positive("target", target)?;
        let cap = self.learning_rate_limit(optimizer)?;
        let at = |learning_rate: f64, limit: u64| -> Option<Tuned> {
            let setting = Setting { optimizer, batch, learning_rate };
            match self.steps_to_target(&setting, target, limit) {
                Ok(Reach::Reached { steps, crossing }) => {
                    let (lowest, highest) = (learning_rate, learning_rate);
                    Some(Tuned { batch, learning_rate, lowest, highest, steps, crossing })
                }
                // No target is reached where the loss overflows.
                Ok(_) | Err(_) => None,
            }
        };
        let mut within = FIRST_LIMIT.min(limit);
        let coarse = loop {
            match best_of_grid(cap, |rate| at(rate, within)) {
                Some(found) => break found,
                None if within == limit => return Ok(None),
                None => within = within.saturating_mul(LIMIT_RATIO).min(limit),
            }
        };
        let cost = |log: f64| at(log.exp(), within).map_or(f64::INFINITY, |t| t.crossing);
        let middle = coarse.learning_rate.ln();
        let found = golden(middle - GRID.ln(), middle + GRID.ln(), GOLDEN_STEPS, cost);
        let fine = at(found.exp(), within).filter(|fine| fine.crossing <= coarse.crossing);
        let best = fine.unwrap_or(coarse);
        let as_few = |rate: f64| at(rate, best.steps).is_some();
        let (lowest, highest) = (end_of(&best, 1.0 / GRID, cap, as_few), end_of(&best, GRID, cap, as_few));
        Ok(Some(Tuned { lowest, highest, ..best }))
    }

    /// [`best_learning_rate`](Self::best_learning_rate) at each of these batch sizes.
    ///
    /// # Errors
    /// As there.
    pub fn tuned(
        &self,
        optimizer: Optimizer,
        batches: &[f64],
        target: f64,
        limit: u64,
    ) -> Result<Vec<Option<Tuned>>, OracleError> {
        batches.iter().map(|&batch| self.best_learning_rate(optimizer, batch, target, limit)).collect()
    }
}

/// The best learning rate of a grid from the limit of stability down, until the steps only grow.
fn best_of_grid(cap: f64, at: impl Fn(f64) -> Option<Tuned>) -> Option<Tuned> {
    let mut best: Option<Tuned> = None;
    let mut learning_rate = cap / GRID.sqrt();
    while learning_rate > cap * DEPTH && learning_rate > f64::MIN_POSITIVE {
        match (at(learning_rate), best) {
            (Some(found), None) => best = Some(found),
            (Some(found), Some(old)) if found.crossing < old.crossing => best = Some(found),
            (Some(found), Some(old)) if found.crossing > ENOUGH * old.crossing => break,
            (None, Some(_)) => break,
            (Some(_), Some(_)) | (None, None) => {}
        }
        learning_rate /= GRID;
    }
    best
}

/// The last learning rate, going up or down from the best by `ratio`, that still needs no more steps than it.
fn end_of(best: &Tuned, ratio: f64, cap: f64, as_few: impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut outside) = (best.learning_rate, best.learning_rate * ratio);
    // A target near the start is reached in one step over a range wider than the grid's.
    while as_few(outside) && outside < cap && outside > cap * DEPTH {
        (inside, outside) = (outside, outside * ratio);
    }
    for _ in 0..END_STEPS {
        let middle = (inside * outside).sqrt();
        if as_few(middle) { inside = middle } else { outside = middle }
    }
    inside
}
