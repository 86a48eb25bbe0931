//! One training run from start to end, with its evaluation.

use super::learning_rate::schedule;
use super::{Context, Emit, progress};
use crate::LabError;
use crate::output::write_whole;
use crate::process::{self, Message};
use batchwise_data::Loader;
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::time::{TimeCurve, TimePoint};
use batchwise_nn::meter::Meter;
use batchwise_nn::optim::OptimizerConfig;
use batchwise_nn::{fingerprint, memory};
use batchwise_schedule::controller::Reason;
use batchwise_schedule::{BatchSpec, Examples, LearningRate, LrSpec, RunLength, Scaling};
use batchwise_train::{Adaptive, Follow, Plan, Run, Tap, Trainer, evaluate, evaluate_on};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

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
    /// Whether to measure the gradient noise of each step.
    pub tap: bool,
    /// Bytes training may take: the process dies where it would take more.
    pub limit_bytes: Option<u64>,
    /// Where to write the trained weights, as safetensors.
    pub weights: Option<PathBuf>,
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
    fn plan(&self, context: &Context<'_>, total: Examples, usual_peak: f64) -> Result<Plan, LabError> {
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

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Examples processed.
    pub examples: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds of training, without evaluation.
    pub seconds: f64,
    /// Mean loss afterwards on the first examples of the training set, at most 10,000; null where training
    /// diverged.
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

/// One line of the log of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    /// Examples processed.
    pub examples: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Examples of the last step.
    pub batch: u64,
    /// Its batch size as planned: the last batch of an epoch may hold less.
    #[serde(default)]
    pub batch_size: u64,
    /// Seconds since the first step began.
    #[serde(default)]
    pub seconds: f64,
    /// Mean loss per example since the last line.
    pub loss: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// 𝒢 summed over the steps since the last line, with the tap.
    pub g2: Option<f64>,
    /// 𝒮, likewise.
    pub tr_sigma: Option<f64>,
    /// φ over the last readings, where the batch size follows it.
    #[serde(default)]
    pub phi: Option<Ratio>,
}

/// Lines in the log of a run, about.
const LINES: u64 = 200;
/// The training loss is taken on so many examples, at most.
const TRAIN_LOSS_ON: u64 = 10_000;

/// Trains and evaluates. Divergence is an outcome, not an error.
///
/// # Errors
/// A workload that cannot be built, sizes of 0, data and device errors.
pub fn run(context: &Context<'_>, request: &Request, emit: Emit<'_>) -> Result<Outcome, LabError> {
    let total = Examples(request.examples);
    let plan = match &request.course {
        Some(course) => course.plan(context, total, request.learning_rate)?,
        None => Plan::constant(request.batch, schedule(request.learning_rate, total)),
    };
    let run = Run {
        plan,
        micro_batch: request.micro_batch,
        total,
        optimizer: context.workload.optimizer(),
        seed: request.seed,
        tap: if request.tap { Tap::Norms } else { Tap::Off },
    };
    // Without a meter the peak stays unknown, which is no reason not to train.
    let meter = Meter::new(&context.device).ok();
    let base = match &meter {
        None => 0,
        Some(meter) => {
            let base = meter.live()?;
            meter.set_limit(request.limit_bytes.map_or(u64::MAX, |limit| base.saturating_add(limit)));
            memory::allocate_workspaces();
            meter.reset_peak()?;
            base
        }
    };
    let mut trainer = Trainer::new(context.task(request.seed)?, Arc::clone(&context.data.train), run)?;
    let start = Instant::now();
    let (diverged, changes) = train(&mut trainer, request, emit)?;
    context.device.synchronize()?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_bytes = match &meter {
        None => None,
        Some(meter) => Some(meter.peak()?.saturating_sub(base)),
    };

    // What follows is not training and takes little; its memory is not the user's concern.
    if let Some(meter) = &meter {
        meter.set_limit(u64::MAX);
    }
    if let Some(path) = &request.weights {
        write_whole(path, &trainer.task().parameters.to_safetensors()?)?;
    }
    let named = trainer.task().parameters.named();
    let weights_sha256 =
        fingerprint::sha256(named.iter().map(|(name, var)| (name.as_str(), var.as_tensor())))?;
    let mut outcome = Outcome {
        examples: trainer.progress().0,
        steps: trainer.steps().0,
        seconds,
        train_loss: None,
        test_loss: None,
        test_loss_error: None,
        test_accuracy: None,
        test_accuracy_error: None,
        peak_bytes,
        weights_sha256,
        diverged,
        changes,
    };
    if outcome.diverged.is_none() {
        progress(emit, request.examples, request.examples, "evaluating");
        // Evaluation has no gradients, so it may take larger batches than training at the same memory.
        let batch = request.micro_batch.clamp(1, 256);
        let mut loader = Loader::sequential(Arc::clone(&context.data.train), context.device.clone())?;
        let judged = context.data.train.len().min(TRAIN_LOSS_ON);
        let on_train = evaluate_on(trainer.task(), &mut loader, 0..judged, batch)?;
        let on_test = evaluate(trainer.task(), &context.data.test, batch)?;
        if on_train.loss.is_finite() && on_test.loss.is_finite() {
            outcome.train_loss = Some(on_train.loss);
            outcome.test_loss = Some(on_test.loss);
            outcome.test_loss_error = on_test.loss_error;
            outcome.test_accuracy = on_test.accuracy;
            outcome.test_accuracy_error = on_test.accuracy_error();
        } else {
            outcome.diverged = Some("the loss after training is not finite".to_owned());
        }
    }
    Ok(outcome)
}

/// Runs to the end, or to the step where the loss is no longer finite, and says so.
fn train(
    trainer: &mut Trainer,
    request: &Request,
    emit: Emit<'_>,
) -> Result<(Option<String>, Vec<BatchChange>), LabError> {
    let every = (request.examples / LINES).max(1);
    let start = Instant::now();
    let (mut loss_sum, mut weight, mut next_line) = (0.0, 0.0, every);
    let mut noise: Option<(f64, f64)> = None;
    let (mut changes, mut size, mut why) = (Vec::new(), None::<u64>, None::<Reason>);
    loop {
        if process::is_cancelled() {
            return Err(LabError::Cancelled);
        }
        let step = match trainer.step() {
            Ok(None) => return Ok((None, changes)),
            Ok(Some(step)) => step,
            Err(error) if error.is_divergence() => return Ok((Some(error.to_string()), changes)),
            Err(error) => return Err(error.into()),
        };
        if step.step.0 == 0 {
            memory::allocate_workspaces();
        }
        if let Some(before) = size.replace(step.batch_size).filter(|before| *before != step.batch_size) {
            let examples = step.progress.0 - step.batch;
            changes.push(BatchChange {
                examples,
                before,
                after: step.batch_size,
                phi: step.phi.clone(),
                reason: why.take(),
            });
        }
        why = step.verdict.map(|verdict| verdict.reason).or(why);
        loss_sum += step.loss * step.batch as f64;
        weight += step.batch as f64;
        if let Some(reading) = &step.noise {
            let (g2, s) = noise.unwrap_or_default();
            noise = Some((g2 + reading.total.g2, s + reading.total.tr_sigma));
        }
        if step.progress.0 < next_line && step.progress.0 < request.examples {
            continue;
        }
        next_line = step.progress.0 + every;
        let line = StepLine {
            examples: step.progress.0,
            steps: step.step.0 + 1,
            batch: step.batch,
            batch_size: step.batch_size,
            seconds: start.elapsed().as_secs_f64(),
            loss: loss_sum / weight,
            learning_rate: step.learning_rate.0,
            g2: noise.map(|noise| noise.0),
            tr_sigma: noise.map(|noise| noise.1),
            phi: step.phi.clone(),
        };
        progress(emit, line.examples, request.examples, note(&line));
        if let Ok(value) = serde_json::to_value(&line) {
            emit(Message::Point { value });
        }
        (loss_sum, weight, noise) = (0.0, 0.0, None);
    }
}

/// What the live view shows of a line.
fn note(line: &StepLine) -> String {
    let phi = line.phi.as_ref().and_then(|phi| match phi {
        Ratio::Measured { value, .. } => Some(format!(", φ {value:.0}")),
        Ratio::LowerBound { low } => Some(format!(", φ ≥ {low:.0}")),
        Ratio::WholeLine | Ratio::NotIdentified { .. } => None,
    });
    let batch = if phi.is_some() { format!(", batch {}", line.batch) } else { String::new() };
    format!("loss {:.3}{batch}{}", line.loss, phi.unwrap_or_default())
}
