//! What is measured along the ridge, checked and sorted.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One training run at one batch size and learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct RidgePoint {
    /// Batch size, at least 1.
    pub batch: u64,
    /// Learning rate (the peak of the schedule), finite and above 0.
    pub learning_rate: f64,
    /// Seed of the run. Runs of one batch size that share a seed share its luck, which then cancels. `None`: a repeat of its
    /// own.
    pub seed: Option<u64>,
    /// Loss at the end, or steps to the target. `None`, NaN or +∞: the run diverged or never reached the target; it then bounds
    /// the best learning rate and is never averaged in.
    pub value: Option<f64>,
}

/// What the value of a [`RidgePoint`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Goal {
    /// Loss after a fixed budget; fitted as it is. A run without a value diverged: its learning rate is too large.
    Loss,
    /// Steps (or examples) to a target, above 0; fitted in the logarithm. A run without a value never reached the target: its
    /// learning rate is too large, or too small.
    Steps,
}

/// How to fit the ridge.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Options {
    /// What the values are.
    pub goal: Goal,
    /// Confidence of every interval, two-sided; in (0, 1).
    pub confidence: f64,
}

impl Default for Options {
    /// Losses, 95 %.
    fn default() -> Self {
        Self { goal: Goal::Loss, confidence: 0.95 }
    }
}

/// Input that no ridge can be fitted to. `index` is the position in the input, from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RidgeError {
    /// No runs at all.
    #[error("there are no runs")]
    Empty,
    /// A batch size of 0.
    #[error("run {index} has batch size 0; at least 1 is needed")]
    Batch {
        /// Which run.
        index: usize,
    },
    /// A learning rate that none can be.
    #[error("run {index} has learning rate {value}; a finite number above 0 is needed")]
    LearningRate {
        /// Which run.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// A value that none can be.
    #[error(
        "run {index} has the value {value}; {allowed} is needed (nothing, where the run diverged or never arrived)"
    )]
    Value {
        /// Which run.
        index: usize,
        /// The value found.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The same run twice.
    #[error("run {index} repeats batch size {batch}, learning rate {learning_rate} and seed {seed}")]
    Twice {
        /// Which run.
        index: usize,
        /// Its batch size.
        batch: u64,
        /// Its learning rate.
        learning_rate: f64,
        /// Its seed.
        seed: u64,
    },
    /// A confidence that none can be.
    #[error("the confidence is {0}; a number between 0 and 1 is needed")]
    Confidence(f64),
}

/// All runs at one learning rate of one batch size.
pub(super) struct Rung {
    /// ln(learning rate).
    pub(super) x: f64,
    /// The learning rate itself.
    pub(super) rate: f64,
    /// Seeds and values (steps in the logarithm), divided by the scale of the batch size.
    pub(super) values: Vec<(Option<u64>, f64)>,
    /// Runs that diverged or never arrived.
    pub(super) failed: u64,
}

impl Rung {
    pub(super) fn mean(&self) -> f64 {
        self.values.iter().map(|v| v.1 / self.values.len() as f64).sum()
    }
}

/// All runs at one batch size, ascending in the learning rate.
pub(super) struct Ladder {
    pub(super) batch: u64,
    pub(super) rungs: Vec<Rung>,
    /// The values were divided by this, so that no sum of squares leaves the range.
    pub(super) scale: f64,
}

/// Checks the runs and sorts them by batch size and learning rate.
pub(super) fn ladders(points: &[RidgePoint], options: &Options) -> Result<Vec<Ladder>, RidgeError> {
    if !(options.confidence > 0.0 && options.confidence < 1.0) {
        return Err(RidgeError::Confidence(options.confidence));
    }
    if points.is_empty() {
        return Err(RidgeError::Empty);
    }
    let mut seen = BTreeSet::new();
    let mut batches: BTreeMap<u64, BTreeMap<u64, Rung>> = BTreeMap::new();
    for (index, p) in points.iter().enumerate() {
        if p.batch == 0 {
            return Err(RidgeError::Batch { index });
        }
        let rate = p.learning_rate;
        if !(rate.is_finite() && rate > 0.0) {
            return Err(RidgeError::LearningRate { index, value: rate });
        }
        let value = p.value.filter(|v| !v.is_nan() && *v != f64::INFINITY);
        match (options.goal, value) {
            (Goal::Loss, Some(v)) if !v.is_finite() => {
                return Err(RidgeError::Value { index, value: v, allowed: "a finite loss" });
            }
            (Goal::Steps, Some(v)) if v <= 0.0 || !v.is_finite() => {
                return Err(RidgeError::Value { index, value: v, allowed: "a number of steps above 0" });
            }
            _ => {}
        }
        // The bits of positive floating point numbers are in their order.
        let key = rate.to_bits();
        if let Some(seed) = p.seed
            && !seen.insert((p.batch, key, seed))
        {
            return Err(RidgeError::Twice { index, batch: p.batch, learning_rate: rate, seed });
        }
        let rung = batches.entry(p.batch).or_default().entry(key).or_insert_with(|| Rung {
            x: rate.ln(),
            rate,
            values: Vec::new(),
            failed: 0,
        });
        match value {
            Some(v) => rung.values.push((p.seed, if options.goal == Goal::Steps { v.ln() } else { v })),
            None => rung.failed += 1,
        }
    }
    Ok(batches.into_iter().map(|(batch, rungs)| Ladder::new(batch, rungs.into_values().collect())).collect())
}

impl Ladder {
    fn new(batch: u64, mut rungs: Vec<Rung>) -> Self {
        let all = rungs.iter().flat_map(|r| &r.values);
        let largest = all.fold(0.0_f64, |m, v| m.max(v.1.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        rungs.iter_mut().flat_map(|r| &mut r.values).for_each(|v| v.1 /= scale);
        Self { batch, rungs, scale }
    }
}
