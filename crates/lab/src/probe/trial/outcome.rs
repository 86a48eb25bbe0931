//! What comes out of a run.

use super::Timing;
use batchwise_estimate::fieller::Ratio;
use batchwise_schedule::controller::Reason;
use batchwise_train::best::{Evaluated, Stop};
use batchwise_train::generalisation::{Eigenvalue, Gap, Sharpness};
use batchwise_train::observe::EvaluationRecord;
use batchwise_train::{Evaluation, target};
use serde::{Deserialize, Serialize};

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Examples processed.
    pub examples: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds of training, without evaluation.
    pub seconds: f64,
    /// Mean loss afterwards on the first examples of the training set, at most 10,000 (1000 sequences of text); null
    /// where training diverged.
    pub train_loss: Option<f64>,
    /// Mean loss on the test set.
    pub test_loss: Option<f64>,
    /// Standard error of that loss from the size of the test set alone.
    pub test_loss_error: Option<f64>,
    /// Share of the test set classified right, where targets are classes.
    pub test_accuracy: Option<f64>,
    /// Standard error of the accuracy from the size of the test set alone.
    pub test_accuracy_error: Option<f64>,
    /// Most bytes that training took at once; null where they are not counted.
    pub peak_bytes: Option<u64>,
    /// Hash of the parameters in name order.
    pub weights_sha256: String,
    /// Where and how training diverged, if it did.
    pub diverged: Option<String>,
    /// Each change of the batch size.
    #[serde(default)]
    pub changes: Vec<BatchChange>,
    /// Why the run ended before its end, if it did so in good order: it was asked to, or its time was over. A checkpoint
    /// holds where it was.
    #[serde(default)]
    pub stopped: Option<Stopped>,
    /// Why evaluations ended the run, if they did.
    #[serde(default)]
    pub ended: Option<Stop>,
    /// The best evaluation, where the run was evaluated on its way.
    #[serde(default)]
    pub best: Option<Evaluated>,
    /// The average of the weights on the test set, where one was followed.
    #[serde(default)]
    pub average: Option<Evaluation>,
    /// What the noise cost, where steps with and without a measurement can be compared.
    #[serde(default)]
    pub noise_cost: Option<NoiseCost>,
    /// Where the time went, if it was asked for.
    #[serde(default)]
    pub timing: Option<Timing>,
    /// How the trained model generalises, if it was asked for.
    #[serde(default)]
    pub generalisation: Option<Generalisation>,
    /// Whether and when the target was reached, if there was one.
    #[serde(default)]
    pub target: Option<target::Outcome>,
    /// Batches left out because their loss or gradient was not finite.
    #[serde(default)]
    pub skipped: u64,
    /// Where the run went on from a checkpoint: the examples it had.
    #[serde(default)]
    pub resumed_at: Option<u64>,
    /// The evaluations on the way, in order, where the run is kept by what it brings alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evaluations: Vec<EvaluationRecord>,
    /// Seconds of one evaluation on the test set, where there was one.
    #[serde(default)]
    pub evaluation_seconds: Option<f64>,
    /// What was passed over on resuming: newer checkpoints that are damaged.
    #[serde(default)]
    pub damaged: Vec<String>,
}

/// How a trained model generalises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generalisation {
    /// Between training and test set.
    pub gap: Gap,
    /// By one step of ascent.
    pub sharpness: Sharpness,
    /// Of the Hessian.
    pub top_eigenvalue: Eigenvalue,
    /// Of the gradient noise at the peak learning rate and the first batch size; null for other optimizers than SGD.
    pub temperature: Option<f64>,
}

/// What measuring the noise cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoiseCost {
    /// By how much a step that measures takes longer than one that does not, as a share of the latter.
    pub per_measurement: f64,
    /// The same as a share of the whole training.
    pub of_training: f64,
    /// Steps that measured.
    pub n_measured: u64,
    /// Steps that did not.
    pub n_others: u64,
}

/// Why a run ended in good order before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The user said so.
    Asked,
    /// Its seconds were over.
    Time,
    /// Others were better at the same rung.
    Pruned,
}

/// A change of the batch size in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchChange {
    /// Examples processed before.
    pub examples: u64,
    /// The batch size before.
    pub before: u64,
    /// The batch size after.
    pub after: u64,
    /// φ at the change, where the batch size follows it.
    pub phi: Option<Ratio>,
    /// Why, where it follows measurements.
    pub reason: Option<Reason>,
}
