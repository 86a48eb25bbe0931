//! What observers are told.

use super::number;
use batchwise_estimate::fieller::Ratio;
use serde::{Deserialize, Serialize};

/// A stretch of training, from the record before to this one: one step or many.
///
/// Numbers need not be finite: a run that diverges shows it. In JSON those that are not are the strings `"NaN"`,
/// `"Infinity"` and `"-Infinity"`; `null` is what was not measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Examples processed since the start of the run: the clock of all records.
    pub examples: u64,
    /// Optimizer updates since the start of the run.
    pub steps: u64,
    /// Passes over the training set since the start of the run, with the fraction of the current one.
    #[serde(with = "number")]
    pub epoch: f64,
    /// Seconds trained since the start of the run; those between a kill and a resume do not count.
    #[serde(with = "number")]
    pub seconds: f64,
    /// Examples in the batch of the last step; fewer than `batch_size` at the end of an epoch.
    pub batch: u64,
    /// Batch size of the last step as planned, in examples.
    pub batch_size: u64,
    /// Micro-batches of the last step.
    pub n_micro_batches: u64,
    /// Mean training loss per example since the last record, each step's before its update.
    #[serde(with = "number")]
    pub loss: f64,
    /// Learning rate of the last step.
    #[serde(with = "number")]
    pub learning_rate: f64,
    /// Euclidean norm of the last step's gradient before clipping, if measured.
    #[serde(default, with = "number::optional")]
    pub gradient_norm: Option<f64>,
    /// Euclidean norm of the last step's change of the parameters, if measured.
    #[serde(default, with = "number::optional")]
    pub update_norm: Option<f64>,
    /// Share of the steps since the last record whose gradient was clipped, in [0, 1], where clipping is on.
    #[serde(default, with = "number::optional")]
    pub clipped: Option<f64>,
    /// Steps since the start of the run whose update was not made because loss or gradient was not finite.
    #[serde(default)]
    pub skipped: u64,
    /// Sum since the last record of 𝒢, the unbiased estimate of the squared norm of the true gradient (theory.md §1.2),
    /// if measured.
    #[serde(default, with = "number::optional")]
    pub g2: Option<f64>,
    /// Sum since the last record of 𝒮, the unbiased estimate of tr Σ, the variance of one example's gradient (theory.md
    /// §1.2), if measured.
    #[serde(default, with = "number::optional")]
    pub tr_sigma: Option<f64>,
    /// Readings in those two sums.
    #[serde(default)]
    pub n_readings: u64,
    /// The noise in the metrics of the optimizer's preconditioner, if measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconditioned: Option<PreconditionedSums>,
    /// The noise scale φ in examples, with its interval, if followed.
    #[serde(default)]
    pub phi: Option<Ratio>,
    /// Examples per second since the last record.
    #[serde(with = "number")]
    pub examples_per_second: f64,
    /// Seconds since the last record in which a step waited for data.
    #[serde(with = "number")]
    pub data_wait_seconds: f64,
    /// `g2` and `tr_sigma` by parameter group, as (name, 𝒢, 𝒮), if asked for.
    #[serde(default, with = "number::groups", skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<(String, f64, f64)>>,
}

/// Sums since the last record of the noise in the metrics of the optimizer's preconditioner P, that of the step before
/// each (theory.md §1.1). The two forms are different numbers, for different curvatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PreconditionedSums {
    /// GᵀPG.
    #[serde(with = "number")]
    pub inverse_curvature_g2: f64,
    /// tr(PΣ).
    #[serde(with = "number")]
    pub inverse_curvature_tr_sigma: f64,
    /// GᵀP²G.
    #[serde(with = "number")]
    pub identity_curvature_g2: f64,
    /// tr(P²Σ).
    #[serde(with = "number")]
    pub identity_curvature_tr_sigma: f64,
    /// Readings in these sums.
    pub n_readings: u64,
}

/// How the model does on a set at one point of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Examples trained on since the start of the run.
    pub examples: u64,
    /// Optimizer updates since the start of the run.
    pub steps: u64,
    /// Seconds trained since the start of the run, as in [`Record::seconds`].
    #[serde(with = "number")]
    pub seconds: f64,
    /// On which set: `test`, `train`.
    pub set: String,
    /// Mean loss per example, or per token where the loss is averaged over tokens.
    #[serde(with = "number")]
    pub loss: f64,
    /// Its standard error from the finite number of examples, if known.
    #[serde(default, with = "number::optional")]
    pub loss_error: Option<f64>,
    /// Share of examples classified right, in [0, 1], where targets are classes.
    #[serde(default, with = "number::optional")]
    pub accuracy: Option<f64>,
    /// Its standard error, if known.
    #[serde(default, with = "number::optional")]
    pub accuracy_error: Option<f64>,
}
