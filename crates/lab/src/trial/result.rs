//! What a trial brought: the same bytes whenever it is run again.

use super::Field;
use serde::{Deserialize, Serialize};

/// What a trial brought. No clock and no memory: those differ from run to run and stand in the logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Version of this form.
    pub version: u32,
    /// Name of the trial.
    pub trial: String,
    /// How it ended.
    pub end: EndOfTrial,
    /// Examples processed.
    pub examples: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Mean loss on the training set at the end.
    pub train_loss: Option<f64>,
    /// Mean loss on the test set at the end.
    pub loss: Option<f64>,
    /// Accuracy, or the trainer's metric, at the end.
    pub metric: Option<f64>,
    /// When the target was reached, if it was.
    pub reached: Option<Reached>,
    /// Every evaluation, in order.
    pub evaluations: Vec<Evaluation>,
    /// SHA-256 of the weights, where they are known.
    pub weights_sha256: Option<String>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum EndOfTrial {
    /// At the end of its budget.
    Finished,
    /// At its target.
    Target,
    /// Because nothing got better.
    Patience,
    /// Its loss or gradient was no longer finite.
    Diverged {
        /// Where and how.
        why: String,
    },
    /// Stopped early, because others were better at the same rung.
    Pruned {
        /// The rung: examples, or seconds where rungs are in seconds.
        rung: f64,
    },
}

/// When a target was reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Examples.
    pub examples: Span,
    /// Steps.
    pub steps: Span,
    /// The value that reached it.
    pub value: f64,
}

/// A number that lies between two evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// At the last evaluation that had not reached it; 0 where the first did.
    pub low: f64,
    /// At the evaluation that reached it.
    pub high: f64,
    /// The best single number between them.
    pub value: f64,
}

/// One evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Evaluation {
    /// Examples processed.
    pub examples: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Mean loss on the training set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// Mean loss on the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Accuracy, or the trainer's metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<f64>,
}

impl Evaluation {
    /// One of its numbers.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<f64> {
        match field {
            Field::Loss => self.loss,
            Field::TrainLoss => self.train_loss,
            Field::Metric => self.metric,
        }
    }
}

impl TrialResult {
    /// One of the numbers at the end.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<f64> {
        match field {
            Field::Loss => self.loss,
            Field::TrainLoss => self.train_loss,
            Field::Metric => self.metric,
        }
    }

    /// Whether the run was not finite at some point.
    #[must_use]
    pub fn has_diverged(&self) -> bool {
        matches!(self.end, EndOfTrial::Diverged { .. })
    }
}
