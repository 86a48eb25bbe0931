//! What a run is asked to do.

use super::super::Context;
use crate::LabError;
use batchwise_estimate::time::{TimeCurve, TimePoint};
use batchwise_nn::optim::OptimizerConfig;
use batchwise_schedule::{BatchSpec, Examples, LearningRate, LrSpec, RunLength, Scaling};
use batchwise_train::best::Rules;
use batchwise_train::{Adaptive, Follow, Plan};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The settings of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Examples of one step.
    pub batch: u64,
    /// Examples of one forward and backward pass.
    pub micro_batch: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Schedules of batch size and learning rate; without them the batch is constant, and the learning rate warms up over a
    /// tenth of the run and falls along half a cosine to 0.
    #[serde(default)]
    pub course: Option<CourseRequest>,
    /// Length of the run.
    pub examples: u64,
    /// Seed of initial weights and order.
    pub seed: u64,
    /// How to measure the gradient noise, if at all.
    pub noise: Option<Noise>,
    /// Bytes training may take: the process dies where it would take more.
    pub limit_bytes: Option<u64>,
    /// Where to write the trained weights, as safetensors.
    pub weights: Option<PathBuf>,
    /// What the run writes while it goes on, and when it ends early; without it nothing and never.
    #[serde(default)]
    pub keep: Option<Keep>,
}

/// How the gradient noise of a run is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noise {
    /// Steps from one measurement to the next.
    pub every: u64,
    /// By the norms of single examples also where a batch has several micro-batches.
    pub examples: bool,
    /// Each parameter's in the lines too.
    pub layers: bool,
    /// In the metrics of the optimizer's preconditioner too.
    pub preconditioned: bool,
}

/// What a run writes while it goes on, and when it ends early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keep {
    /// The run's folder: its lines go to `steps.jsonl`, its checkpoints to `checkpoints`.
    pub folder: PathBuf,
    /// An event file for TensorBoard.
    pub tensorboard: Option<PathBuf>,
    /// Examples from one checkpoint to the next.
    pub checkpoint_examples: Option<u64>,
    /// Seconds from one checkpoint to the next.
    pub checkpoint_seconds: Option<f64>,
    /// Whether to go on from the newest whole checkpoint, if there is one.
    pub resume: bool,
    /// Examples from one evaluation on the test set to the next.
    pub evaluate_examples: Option<u64>,
    /// What evaluations are watched for, and when they end the run.
    pub rules: Rules,
    /// Whether the best evaluation's checkpoint is kept, and its weights written to `best.safetensors`.
    pub keep_best: bool,
    /// Examples after which half of an average of the weights has been replaced: the average is followed, evaluated beside
    /// the weights and judged in their place.
    pub average_half_life: Option<f64>,
    /// Seconds of this process after which it stores a checkpoint and ends.
    pub max_seconds: Option<f64>,
    /// Largest norm of the gradient.
    pub clip_norm: Option<f64>,
    /// Batches that may be left out because their loss or gradient is not finite.
    pub skip: u64,
    /// Workers that share every batch, at least 1; without them an ordinary trainer, whose sums round otherwise.
    pub workers: Option<u64>,
    /// Whether the lines go to `steps.csv` and `evaluations.csv` too.
    pub csv: bool,
    /// Whether the phases of the run are timed.
    pub phases: bool,
    /// Where to write a trace of the phases.
    pub trace: Option<PathBuf>,
    /// Examples of the training set that sharpness and curvature are measured on after the run.
    pub generalisation: Option<u64>,
    /// Whether each line has the norm of its last update, which takes a copy of the parameters.
    pub update_norm: bool,
    /// What the data set says of itself; a checkpoint of another one is refused.
    pub data_sha256: String,
    /// Whether the run is kept by what it brings alone: no lines of its own and no checkpoint at its end.
    #[serde(default)]
    pub result_only: bool,
}

/// How batch size and learning rate go over a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CourseRequest {
    /// The learning rate.
    pub lr: LrSpec,
    /// The batch size.
    pub batch: BatchSpec,
    /// Time of a step by batch size, for goodput; empty where it is not known.
    pub step_times: Vec<TimePoint>,
}

impl CourseRequest {
    /// The plan of a run.
    ///
    /// # Errors
    /// Schedules that do not fit the run, as wrong input.
    pub(super) fn plan(
        &self,
        context: &Context<'_>,
        total: Examples,
        usual_peak: f64,
    ) -> Result<Plan, LabError> {
        let train = &context.data.train;
        let run = run_length(train.as_ref(), total);
        let lr = self
            .lr
            .resolve(&run, Some(LearningRate(usual_peak)))
            .map_err(|e| LabError::Input(e.to_string()))?;
        if self.batch.controller(&run).map_err(|e| LabError::Input(e.to_string()))?.is_none() {
            return self.batch.resolve(&run, lr).map(Plan::Fixed).map_err(|e| LabError::Input(e.to_string()));
        }
        let follow = match (self.batch.rule, context.workload.optimizer()) {
            (Some(rule), _) => Follow::Rule(rule),
            (None, OptimizerConfig::Sgd(_)) => Follow::Gain,
            (None, OptimizerConfig::Adam(_) | OptimizerConfig::AdamW(_) | OptimizerConfig::RmsProp(_)) => {
                Follow::RootGain
            }
            (None, _) => Follow::Rule(Scaling::SquareRoot),
        };
        let times = match self.step_times.as_slice() {
            [] => None,
            points => Some(TimeCurve::new(points).map_err(|e| LabError::Input(e.to_string()))?),
        };
        Adaptive::new(&self.batch, &run, lr, follow, times)
            .map(|adaptive| Plan::Adaptive(Box::new(adaptive)))
            .map_err(|e| LabError::Input(e.to_string()))
    }
}

/// What lengths in epochs and tokens need to know of a training set.
pub fn run_length(train: &dyn batchwise_data::Dataset, total: Examples) -> RunLength {
    let schema = train.schema();
    let tokens = match schema.unit {
        batchwise_data::Unit::Token => schema.input_shape.first().map(|n| *n as f64),
        _ => None,
    };
    RunLength { total, dataset_size: Some(train.len()), tokens_per_example: tokens }
}
