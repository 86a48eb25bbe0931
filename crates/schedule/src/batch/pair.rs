//! The batch size and the learning rate of a run, together.

use super::BatchSchedule;
use crate::lr::Schedule;
use crate::progress::{Examples, LearningRate};
use crate::rules::{Scaling, scale};
use serde::{Deserialize, Serialize};

/// The batch size over a run with the learning rate that follows it.
///
/// The learning rate of a step is what its schedule says over the step's examples, carried by the rule from the first batch
/// size to the step's. With the linear rule η/B, with the square root η/√B, is therefore that of the schedule at the first
/// batch size, exactly, also where bounds and rounding keep the batch from following.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    batch: BatchSchedule,
    lr: Schedule,
    rule: Scaling,
}

/// One optimizer step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
        Walk { pair: self, total: total.0, epoch: epoch.filter(|e| 0 < *e), at: 0 }
    }

    /// The steps in progress at these places, ascending and below `total`, each with its number counted from 0; those that two
    /// places share come once. Stretches of one batch size are not walked through.
    #[must_use]
    pub fn steps_at(&self, places: &[Examples], total: Examples, epoch: Option<u64>) -> Vec<(u64, Step)> {
        let epoch = epoch.filter(|e| 0 < *e);
        let (mut at, mut count) = (0u64, 0u64);
        let mut found: Vec<(u64, Step)> = Vec::new();
        for place in places.iter().filter(|p| p.0 < total.0) {
            while at <= place.0 {
                let batch = self.batch.at(Examples(at));
                let epoch_end = epoch.map_or(u64::MAX, |e| (at / e).saturating_add(1).saturating_mul(e));
                let end = total.0.min(epoch_end);
                let stretch = self.batch.constant_until(Examples(at)).0.min(end) - at;
                let steps = stretch.div_ceil(batch);
                let next = at.saturating_add(steps.saturating_mul(batch)).min(end);
                if place.0 < next {
                    let k = (place.0 - at) / batch;
                    let start = Examples(at + k * batch);
                    let stop = Examples(start.0.saturating_add(batch).min(end));
                    if found.last().is_none_or(|last| last.0 < count + k) {
                        let learning_rate = self.learning_rate(start, stop);
                        found.push((count + k, Step { start, end: stop, batch, learning_rate }));
                    }
                    break;
                }
                (at, count) = (next, count + steps);
            }
        }
        found
    }

    /// How many steps those are, without walking through stretches of one batch size.
    #[must_use]
    pub fn count_steps(&self, total: Examples, epoch: Option<u64>) -> u64 {
        let epoch = epoch.filter(|e| 0 < *e);
        let (mut at, mut count) = (0u64, 0u64);
        while at < total.0 {
            let size = self.batch.at(Examples(at));
            let epoch_end = epoch.map_or(u64::MAX, |e| (at / e).saturating_add(1).saturating_mul(e));
            let end = total.0.min(epoch_end);
            let stretch = self.batch.constant_until(Examples(at)).0.min(end) - at;
            // Every step that begins within the stretch; the last may reach beyond it.
            let steps = stretch.div_ceil(size);
            count += steps;
            at = at.saturating_add(steps.saturating_mul(size)).min(end);
        }
        count
    }
}

/// The steps of a run.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    pair: &'a Pair,
    total: u64,
    epoch: Option<u64>,
    at: u64,
}

impl Iterator for Walk<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.total <= self.at {
            return None;
        }
        let start = Examples(self.at);
        let batch = self.pair.batch(start);
        let epoch_end = self.epoch.map_or(u64::MAX, |e| (self.at / e).saturating_add(1).saturating_mul(e));
        let end = Examples(self.at.saturating_add(batch).min(epoch_end).min(self.total));
        self.at = end.0;
        Some(Step { start, end, batch, learning_rate: self.pair.learning_rate(start, end) })
    }
}
