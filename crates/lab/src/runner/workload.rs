//! One attempt at a trial of a workload of this program, in the child.

use super::attempt::{Attempt, Ended};
use super::mark::{Marks, finite};
use super::request::{News, Pilot};
use super::tuned::Tuned;
use crate::probe::trial::{self, CourseRequest, Keep, Noise, Outcome, Stopped};
use crate::probe::{Context, Emit};
use crate::process::{self, Message};
use crate::trial::{EndKind, EndOfTrial, Evaluation, Field, LogLine, Measured, TrainerSpec, TrialSpec};
use crate::{LabError, Workload};
use batchwise_estimate::fieller::Ratio;
use batchwise_nn::device::DeviceSpec;
use batchwise_schedule::{BatchSpec, LearningRate, LrSpec};
use batchwise_train::best::{Rules, Stop};
use batchwise_train::observe::{EvaluationRecord, Record};
use batchwise_train::target::{Metric, Target};
use std::time::Instant;

/// Makes the workload of a trial: the program knows which there are.
pub type Make<'a> = &'a dyn Fn(&TrialSpec, Option<&std::path::Path>) -> Result<Box<dyn Workload>, LabError>;

/// Seconds between checkpoints: what a kill costs at most.
const CHECKPOINT_SECONDS: f64 = 20.0;

/// Runs it.
pub(super) fn run(attempt: &mut Attempt<'_>, make: Make<'_>, start: Instant) -> Result<Ended, LabError> {
    let spec = attempt.spec.clone();
    let TrainerSpec::Workload { device, data_sha256, .. } = &spec.trainer else {
        return Err(LabError::protocol("a command is no workload".to_owned()));
    };
    let device: DeviceSpec =
        device.parse().map_err(|error| LabError::Input(format!("device `{device}`: {error}")))?;
    let device = device.open().map_err(|error| LabError::Input(error.to_string()))?;
    let workload = Tuned::new(make(&spec, attempt.request.data_dir.as_deref())?, &spec.parameters)
        .map_err(LabError::Input)?;
    let data = workload.open()?;
    let clip_norm = workload.clip_norm;
    let context = Context { workload: &workload, data, device, seed: spec.seed };
    let request = request(attempt, &spec, data_sha256, clip_norm)?;
    let before = start.elapsed().as_secs_f64();
    let outcome = trial::run(&context, &request, &mut |message| attempt.hear(message))?;
    let (seconds, wall) = (outcome.seconds, start.elapsed().as_secs_f64());
    if attempt.request.pilot.is_some() {
        return Ok(Ended::Pilot(pilot(&outcome, before, wall)));
    }
    attempt.fail_if_unwritten()?;
    match outcome.stopped {
        Some(Stopped::Asked) => {
            return Ok(Ended::Without(
                EndKind::Stopped,
                format!("stopped after {} examples, and stored where it was", outcome.examples),
            ));
        }
        Some(Stopped::Time) => {
            let limit = attempt.request.seconds.unwrap_or(wall);
            return Ok(Ended::Without(
                EndKind::Time,
                format!("it took more than the {limit} s it was given"),
            ));
        }
        Some(Stopped::Pruned) | None => {}
    }
    let mut marks = Marks::new(&spec);
    for record in &outcome.evaluations {
        marks.observe((evaluation(record), record.seconds));
    }
    let step_seconds = (0 < outcome.steps).then(|| seconds / outcome.steps as f64);
    let measured = Measured {
        seconds,
        seconds_to_target: marks.seconds_to_target(),
        wall_seconds: wall,
        step_seconds,
        evaluation_seconds: outcome.evaluation_seconds,
        peak_bytes: outcome.peak_bytes,
        noise_scale: attempt.phi,
    };
    let last = Evaluation {
        examples: outcome.examples,
        steps: outcome.steps,
        train_loss: finite(outcome.train_loss),
        loss: finite(outcome.test_loss),
        metric: finite(outcome.test_accuracy),
    };
    let rung = process::asked_rung().filter(|_| outcome.stopped == Some(Stopped::Pruned));
    let (end, at_end) = match (outcome.diverged, outcome.ended, rung) {
        (Some(why), ..) => (EndOfTrial::Diverged { why }, last),
        (None, _, Some(rung)) if spec.pruning_counts_examples() => {
            (EndOfTrial::Pruned { rung }, marks.cut(rung.ceil() as u64))
        }
        (None, _, Some(rung)) => (EndOfTrial::Pruned { rung }, last),
        (None, Some(Stop::Target), None) => (EndOfTrial::Target, last),
        (None, Some(_), None) => (EndOfTrial::Patience, last),
        (None, None, None) => (EndOfTrial::Finished, last),
    };
    let is_whole = !matches!(end, EndOfTrial::Pruned { .. });
    let mut result = marks.result(&attempt.request.trial, end, at_end);
    result.weights_sha256 = is_whole.then_some(outcome.weights_sha256);
    Ok(Ended::With(Box::new(result), measured))
}

fn request(
    attempt: &Attempt<'_>,
    spec: &TrialSpec,
    data_sha256: &str,
    clip_norm: Option<f64>,
) -> Result<trial::Request, LabError> {
    let wrong = |error: &dyn std::fmt::Display| LabError::Input(error.to_string());
    let mut lr: LrSpec = spec.schedule.parse().map_err(|error| wrong(&error))?;
    lr.peak = Some(LearningRate(spec.learning_rate));
    let target = match spec.target {
        None => None,
        Some(target) => {
            let metric = match (target.judge.field, target.judge.more_is_better) {
                (Field::Loss, false) => Metric::Loss,
                (Field::Metric, true) => Metric::Accuracy,
                _ => {
                    return Err(LabError::Input(format!(
                        "`{target}`: a workload is judged by `accuracy >= …` or `loss <= …` on its test set"
                    )));
                }
            };
            Some(Target::new(metric, target.value).map_err(|error| wrong(&error))?)
        }
    };
    let best_by = if spec.judge.field == Field::Metric { Metric::Accuracy } else { Metric::Loss };
    let pilot = attempt.request.pilot;
    let rules = Rules {
        target: target.filter(|_| pilot.is_none()),
        confirm: spec.confirm,
        patience: spec.patience_examples.map(batchwise_schedule::Examples),
        best_by,
    };
    let usual = (spec.examples / 20).max(1);
    let keep = Keep {
        folder: attempt.folder.folder().to_owned(),
        tensorboard: None,
        checkpoint_examples: None,
        checkpoint_seconds: Some(CHECKPOINT_SECONDS),
        resume: pilot.is_none(),
        evaluate_examples: Some(spec.evaluate_examples.unwrap_or(usual)),
        rules,
        keep_best: false,
        average_half_life: None,
        max_seconds: pilot.or(attempt.request.seconds),
        clip_norm,
        skip: 0,
        workers: None,
        csv: false,
        phases: false,
        trace: None,
        generalisation: None,
        update_norm: false,
        data_sha256: data_sha256.to_owned(),
        result_only: true,
    };
    let micro_batch = attempt.request.micro_batch.clamp(1, spec.batch);
    Ok(trial::Request {
        batch: spec.batch,
        micro_batch,
        learning_rate: spec.learning_rate,
        course: Some(CourseRequest { lr, batch: BatchSpec::constant(spec.batch), step_times: Vec::new() }),
        examples: spec.examples,
        seed: spec.seed,
        // Norms of micro-batches cost nothing; a batch of one micro-batch has none of its own.
        noise: (micro_batch < spec.batch).then_some(Noise {
            every: 1,
            examples: false,
            layers: false,
            preconditioned: false,
        }),
        limit_bytes: attempt.request.limit_bytes,
        weights: None,
        keep: Some(keep),
    })
}

fn pilot(outcome: &Outcome, before: f64, wall: f64) -> Pilot {
    let evaluation_seconds = outcome.evaluation_seconds.unwrap_or(0.0);
    let n = outcome.evaluations.len() as f64;
    Pilot {
        examples: outcome.examples,
        seconds: outcome.seconds,
        evaluation_seconds,
        fixed_seconds: before + (wall - before - outcome.seconds - n * evaluation_seconds).max(0.0),
        peak_bytes: outcome.peak_bytes,
        disk_bytes: 0,
    }
}

fn evaluation(record: &EvaluationRecord) -> Evaluation {
    Evaluation {
        examples: record.examples,
        steps: record.steps,
        train_loss: None,
        loss: finite(Some(record.loss)),
        metric: finite(record.accuracy),
    }
}

impl Attempt<'_> {
    /// What the run says on its way, written to the log and passed on.
    fn hear(&mut self, message: Message) {
        let Message::Point { value } = message else { return };
        let news = if let Some(found) = value.get("evaluation") {
            let Ok(record) = serde_json::from_value::<EvaluationRecord>(found.clone()) else { return };
            let evaluation = evaluation(&record);
            self.write(&LogLine::Evaluation { seconds: record.seconds, evaluation });
            let value = evaluation.get(self.spec.judge.field);
            News::At { examples: record.examples, seconds: record.seconds, value }
        } else {
            let Ok(record) = serde_json::from_value::<Record>(value) else { return };
            if let Some(Ratio::Measured { value, .. }) = record.phi {
                self.phi = Some(value);
            }
            self.write(&LogLine::Step {
                examples: record.examples,
                steps: record.steps,
                seconds: record.seconds,
                train_loss: finite(Some(record.loss)),
                micro_norm2: None,
                batch_norm2: None,
                micro_batch: None,
            });
            News::At { examples: record.examples, seconds: record.seconds, value: None }
        };
        self.say(&news);
    }
}

/// Says something to the parent, which need not hear it.
pub(super) fn say(emit: Emit<'_>, news: &News) {
    if let Ok(value) = serde_json::to_value(news) {
        emit(Message::Point { value });
    }
}
