//! Steps to a target loss on the noisy quadratic model, and the learning rate that needs fewest of them.
//!
//! The loss of SGD is monotone in t exactly where every mode starts above where it settles; bisection is then exact.
//! Where it is not, and for heavy ball and averaging, the *first* passage counts: a run may dip below the target and
//! come back, and a bisection would miss it.
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

use serde::{Deserialize, Serialize};

use super::error::{OracleError, positive};
use super::optimizer::{Optimizer, Setting};
use super::quadratic::Quadratic;
use super::reach::Reach;
use super::run::single_steps;
use crate::search::golden;

/// A constant learning rate that reaches a target in the fewest steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

/// Modes times steps that a scan goes through before it gives up (some seconds).
pub const SCAN_BUDGET: u64 = 1_000_000_000;

/// Learning rates from the limit of stability down are tried at this ratio, before the best is searched between them.
const GRID: f64 = 1.25;

/// How far below the limit of stability the grid goes.
const DEPTH: f64 = 1e-12;

/// The grid ends where the steps are this many times the fewest: beyond, they grow as 1/η.
const ENOUGH: f64 = 4.0;

const GOLDEN_STEPS: usize = 32;

/// Halvings to the ends of the range of best learning rates: 0.25 shrinks to 4e-9.
const END_STEPS: usize = 26;

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
    /// `None` where no learning rate reaches the target within `limit` steps.
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
        let at = |learning_rate: f64| -> Option<Tuned> {
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
        let Some(coarse) = best else { return Ok(None) };
        let middle = coarse.learning_rate.ln();
        let cost = |log: f64| at(log.exp()).map_or(f64::INFINITY, |t| t.crossing);
        let found = golden(middle - GRID.ln(), middle + GRID.ln(), GOLDEN_STEPS, cost);
        let fine = at(found.exp()).filter(|fine| fine.crossing <= coarse.crossing);
        let best = fine.unwrap_or(coarse);
        let as_few = |log: f64| at(log.exp()).is_some_and(|t| t.steps <= best.steps);
        let end = |outside: f64| {
            let (mut inside, mut outside) = (best.learning_rate.ln(), outside);
            for _ in 0..END_STEPS {
                let middle = (inside + outside) / 2.0;
                if as_few(middle) { inside = middle } else { outside = middle }
            }
            inside.exp()
        };
        // A few whole steps may be a range wider than the grid's.
        let beyond = |sign: f64| {
            let mut log = best.learning_rate.ln() + sign * GRID.ln();
            while as_few(log) && log.exp() < cap && log.exp() > cap * DEPTH {
                log += sign * GRID.ln();
            }
            log
        };
        Ok(Some(Tuned { lowest: end(beyond(-1.0)), highest: end(beyond(1.0)), ..best }))
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
