//! The batch size and the learning rate of a run, together.

use super::BatchSchedule;
use crate::lr::Schedule;
use crate::progress::{Examples, LearningRate};
use crate::rules::{Scaling, scale};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// The batch size over a run with the learning rate that follows it.
///
/// The learning rate of a step is what its schedule says over the step's examples, carried by the rule from the first batch
/// size to the step's. With the linear rule η/B, with the square root η/√B, is therefore that of the schedule at the first
/// batch size, exactly, also where bounds and rounding keep the batch from following.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Pair {
    batch: BatchSchedule,
    lr: Schedule,
    rule: Scaling,
}

/// One optimizer step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Step {
    /// Examples processed before it.
    pub start: Examples,
    /// Examples processed after it.
    pub end: Examples,
    /// Its batch size as scheduled; the last batch of an epoch, and of the run, holds less where it must.
    pub batch: u64,
    /// Its learning rate.
    pub learning_rate: LearningRate,
}

impl Step {
    /// η/B, the noise temperature per example of the data set (Smith & Le 2018: g ≈ ηN/B), for the examples it holds.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        self.learning_rate.0 / (self.end.0 - self.start.0).max(1) as f64
    }
}

impl Pair {
    /// A batch size, a learning rate tuned for its first size, and how the one follows the other.
    #[must_use]
    pub fn new(batch: BatchSchedule, lr: Schedule, rule: Scaling) -> Self {
        Self { batch, lr, rule }
    }

    /// A constant batch size with its learning rate.
    #[must_use]
    pub fn constant(batch: u64, lr: Schedule) -> Self {
        Self::new(BatchSchedule::constant(batch), lr, Scaling::Keep)
    }

    /// The batch size of a step that begins after `progress` examples.
    #[must_use]
    pub fn batch(&self, progress: Examples) -> u64 {
        self.batch.at(progress)
    }

    /// The learning rate of the step from `start` to `end`, whose batch size is the one scheduled at `start`.
    #[must_use]
    pub fn learning_rate(&self, start: Examples, end: Examples) -> LearningRate {
        let rate = self.lr.over(start, end);
        let batch = self.batch.at(start);
        // A learning rate of 0 is 0 at any batch size; the rule itself was checked when the pair was made.
        scale(self.rule, rate, self.batch.base(), batch).unwrap_or(rate)
    }

    /// The batch-size schedule.
    #[must_use]
    pub fn batch_schedule(&self) -> &BatchSchedule {
        &self.batch
    }

    /// The learning-rate schedule at the first batch size.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.lr
    }

    /// How the learning rate follows the batch size.
    #[must_use]
    pub fn rule(&self) -> Scaling {
        self.rule
    }

    /// The steps of a run of `total` examples, in order. With `epoch` no batch goes beyond the end of an epoch of so many examples
    /// (0 counts as no epochs).
    #[must_use]
    pub fn steps(&self, total: Examples, epoch: Option<u64>) -> Walk<'_> {
        Walk { pair: self, total, epoch, at: 0 }
    }

    /// The steps in progress at these places, ascending and below `total`, each with its number counted from 0; those that two
    /// places share come once. Stretches of one batch size are not walked through.
    #[must_use]
    pub fn steps_at(&self, places: &[Examples], total: Examples, epoch: Option<u64>) -> Vec<(u64, Step)> {
        let (mut at, mut count) = (0u64, 0u64);
        let mut found: Vec<(u64, Step)> = Vec::new();
        for place in places.iter().filter(|p| p.0 < total.0) {
            let mut stretch = self.stretch(at, total, epoch);
            while stretch.next <= place.0 {
                (at, count) = (stretch.next, count + stretch.steps);
                stretch = self.stretch(at, total, epoch);
            }
            let k = place.0.saturating_sub(at) / stretch.batch;
            if found.last().is_none_or(|last| last.0 < count + k) {
                found.push((count + k, self.step(at + k * stretch.batch, total, epoch)));
            }
        }
        found
    }

    /// How many steps those are, without walking through stretches of one batch size.
    #[must_use]
    pub fn count_steps(&self, total: Examples, epoch: Option<u64>) -> u64 {
        let (mut at, mut count) = (0u64, 0u64);
        while at < total.0 {
            let stretch = self.stretch(at, total, epoch);
            (at, count) = (stretch.next, count + stretch.steps);
        }
        count
    }

    /// The step that begins at `at`.
    fn step(&self, at: u64, total: Examples, epoch: Option<u64>) -> Step {
        let start = Examples(at);
        let batch = self.batch(start);
        let end = Examples(at.saturating_add(batch).min(end(at, total, epoch)));
        Step { start, end, batch, learning_rate: self.learning_rate(start, end) }
    }

    /// Every step from `at` on that begins while the batch size is that at `at`; the last may reach beyond.
    fn stretch(&self, at: u64, total: Examples, epoch: Option<u64>) -> Stretch {
        let batch = self.batch.at(Examples(at));
        let end = end(at, total, epoch);
        let steps = (self.batch.constant_until(Examples(at)).0.min(end) - at).div_ceil(batch);
        Stretch { batch, steps, next: at.saturating_add(steps.saturating_mul(batch)).min(end) }
    }
}

/// Steps of one batch size.
struct Stretch {
    batch: u64,
    steps: u64,
    /// Examples processed after them.
    next: u64,
}

/// The end of the epoch that `at` lies in, or of the run.
fn end(at: u64, total: Examples, epoch: Option<u64>) -> u64 {
    match epoch {
        Some(epoch) if 0 < epoch => total.0.min((at / epoch).saturating_add(1).saturating_mul(epoch)),
        _ => total.0,
    }
}

/// The steps of a run.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    pair: &'a Pair,
    total: Examples,
    epoch: Option<u64>,
    at: u64,
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.total.0 <= self.at {
            return None;
        }
        let step = self.pair.step(self.at, self.total, self.epoch);
        self.at = step.end.0;
        Some(step)
    }
}
