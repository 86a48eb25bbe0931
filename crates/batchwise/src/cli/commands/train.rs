//! `train`: one run, its log, its weights and `train.json`.

use super::{Session, output};
use crate::cli::arguments::{ScheduleName, TrainArguments};
use crate::cli::show::{self, Progress};
use crate::cli::{Cli, Options};
use batchwise_lab::advice::SpeedPoint;
use batchwise_lab::advise::{self, Subject};
use batchwise_lab::probe::trial;
use batchwise_lab::provenance::Provenance;
use batchwise_lab::report::course;
use batchwise_lab::{LabError, bytes};
use batchwise_schedule::batch::{BatchShape, Bounds};
use batchwise_schedule::controller::Policy;
use batchwise_schedule::lr::{Level, Segment, Shape};
use batchwise_schedule::{Examples, LearningRate, Length};
use serde::Serialize;
use std::fs::File;
use std::io::{Seek, Write};

/// What `train.json` holds.
#[derive(Debug, Serialize)]
struct TrainResult {
    schema: u32,
    /// At the beginning.
    batch_size: u64,
    /// Over the run, as a text.
    batch_schedule: String,
    /// Each change of the batch size.
    changes: Vec<trial::BatchChange>,
    micro_batch: u64,
    /// The peak.
    learning_rate: f64,
    /// Over the run, as a text.
    learning_rate_schedule: String,
    examples: u64,
    steps: u64,
    seconds: f64,
    train_loss: Option<f64>,
    test_loss: Option<f64>,
    test_loss_error: Option<f64>,
    test_accuracy: Option<f64>,
    test_accuracy_error: Option<f64>,
    diverged: Option<String>,
    memory: Memory,
    weights_sha256: String,
    provenance: Provenance,
}

#[derive(Debug, Serialize)]
struct Memory {
    /// Most bytes that training took at once, beside the data set.
    peak_bytes: Option<u64>,
    /// What the data set holds itself.
    data_bytes: u64,
    /// What was allowed, if the user said.
    limit_bytes: Option<u64>,
}

pub(super) fn run(cli: &Cli, options: &Options, arguments: &TrainArguments) -> Result<(), LabError> {
    let session = Session::open(cli, options)?;
    let mut progress = Progress::new(options);
    let n = session.data.train.len();
    let examples = arguments.examples.unwrap_or_else(|| n.saturating_mul(arguments.epochs.unwrap_or(1)));
    let subject = session.subject()?;
    let mut plan = Course::of(&session, &subject, arguments, examples)?;
    let output = output(options, &format!("train-{}", session.workload.model_name()))?;
    let micro_batch = micro_batch(&session, options, arguments, plan.largest, &mut progress)?;
    plan.measure_steps(&session, &subject, options, &mut progress)?;
    let provenance = session.provenance()?;
    output.write_json("provenance.json", &provenance)?;
    let request = trial::Request {
        batch: plan.request.batch.base,
        micro_batch,
        learning_rate: plan.peak,
        course: Some(plan.request.clone()),
        examples,
        seed: options.seed,
        tap: arguments.tap,
        limit_bytes: options.memory,
        weights: Some(output.path("weights.safetensors")),
    };
    // The child opens the data itself.
    drop(session);
    let log_path = output.path("steps.jsonl");
    let mut log = File::create(&log_path).map_err(|source| LabError::Io {
        action: "create",
        path: log_path.clone(),
        source,
    })?;
    let mut log_fault = None;
    let mut lines: Vec<trial::StepLine> = Vec::new();
    let outcome = advise::train(&subject, request.clone(), &mut |event| progress.on(event), &mut |line| {
        if let Ok(line) = serde_json::from_value(line.clone()) {
            lines.push(line);
        }
        if log_fault.is_none()
            && let Err(source) = append(&mut log, &line)
        {
            log_fault = Some(source);
        }
    });
    progress.finish();
    if let Some(source) = log_fault {
        return Err(LabError::Io { action: "write", path: log_path, source });
    }
    let outcome = outcome?;
    let result = TrainResult {
        schema: batchwise_lab::advice::SCHEMA,
        batch_size: request.batch,
        batch_schedule: plan.request.batch.to_string(),
        changes: outcome.changes,
        micro_batch: request.micro_batch,
        learning_rate: request.learning_rate,
        learning_rate_schedule: plan.request.lr.to_string(),
        examples: outcome.examples,
        steps: outcome.steps,
        seconds: outcome.seconds,
        train_loss: outcome.train_loss,
        test_loss: outcome.test_loss,
        test_loss_error: outcome.test_loss_error,
        test_accuracy: outcome.test_accuracy,
        test_accuracy_error: outcome.test_accuracy_error,
        diverged: outcome.diverged,
        memory: Memory {
            peak_bytes: outcome.peak_bytes,
            data_bytes: subject.data_bytes,
            limit_bytes: options.memory,
        },
        weights_sha256: outcome.weights_sha256,
        provenance,
    };
    output.write("course.svg", course::course(&drawn(&result, &lines)).as_bytes())?;
    let path = output.write_json("train.json", &result)?;
    if options.json {
        show::json(&result);
    } else {
        print(&result);
        show::line(&format!("\nResult: {}", path.display()));
    }
    match result.diverged {
        // The result is kept, and says so; a script must not take it for a success.
        Some(how) => Err(LabError::NoAdvice(how)),
        None => Ok(()),
    }
}

/// The run as a picture.
fn drawn(result: &TrainResult, lines: &[trial::StepLine]) -> course::Course {
    let point = |line: &trial::StepLine| course::Point {
        examples: line.examples as f64,
        batch: line.batch_size as f64,
        learning_rate: line.learning_rate,
        phi: line.phi.clone(),
    };
    let title = format!("lr {}, batch {}", result.learning_rate_schedule, result.batch_schedule);
    course::Course { title, points: lines.iter().map(point).collect() }
}

/// Appends a whole line, or on a full disk none.
fn append(log: &mut File, line: &serde_json::Value) -> std::io::Result<()> {
    let end = log.stream_position()?;
    let text = format!("{line}\n");
    log.write_all(text.as_bytes()).inspect_err(|_| {
        // Cutting a file needs no room; what was half written is taken back.
        let _ = log.set_len(end);
    })
}

/// Batch size and learning rate over the run.
struct Course {
    request: trial::CourseRequest,
    /// The peak learning rate.
    peak: f64,
    /// The largest batch that can occur.
    largest: u64,
}

impl Course {
    /// Checked here, so that what is wrong is said before anything is measured.
    fn of(
        session: &Session,
        subject: &Subject,
        arguments: &TrainArguments,
        examples: u64,
    ) -> Result<Self, LabError> {
        let mut lr = arguments.lr.clone().unwrap_or_default();
        let peak = lr.peak.map_or(subject.usual_learning_rate, |peak| peak.0);
        lr.peak = Some(LearningRate(peak));
        match (lr.segments.is_empty(), arguments.schedule) {
            (true, None | Some(ScheduleName::Cosine)) => {
                lr = lr
                    .warmup(Length::Fraction(0.1))
                    .then(Segment::rest(Shape::Cosine { to: Level::Rate(0.0) }));
            }
            (true, Some(ScheduleName::Constant)) | (false, None) => {}
            (false, Some(_)) => {
                return Err(LabError::Input(
                    "--lr says how the learning rate goes already: leave --schedule out".to_owned(),
                ));
            }
        }
        let mut batch = arguments.batch.clone();
        let run = trial::run_length(session.data.train.as_ref(), Examples(examples));
        let schedule = lr.resolve(&run, None).map_err(|e| LabError::Input(e.to_string()))?;
        let is_adaptive = matches!(batch.shape, BatchShape::Adaptive(_));
        if is_adaptive && batch.bounds.max == Bounds::default().max {
            // Beyond a tenth of the data set nothing that is measured holds.
            batch.bounds.max = (subject.train_examples / advise::LARGEST_PART).max(batch.base);
        }
        let largest = if is_adaptive {
            batch.controller(&run).map_err(|e| LabError::Input(e.to_string()))?;
            batch.bounds.max
        } else {
            let pair = batch.resolve(&run, schedule).map_err(|e| LabError::Input(e.to_string()))?;
            pair.steps(Examples(examples), None).map(|step| step.batch).max().unwrap_or(batch.base)
        };
        let request = trial::CourseRequest { lr, batch, step_times: Vec::new() };
        Ok(Self { request, peak, largest: largest.min(subject.train_examples.max(1)) })
    }

    /// Goodput weighs the noise against the time of a step, which is measured first.
    fn measure_steps(
        &mut self,
        session: &Session,
        subject: &Subject,
        options: &Options,
        progress: &mut Progress,
    ) -> Result<(), LabError> {
        if !matches!(&self.request.batch.shape, BatchShape::Adaptive(spec) if spec.policy == Policy::Goodput)
        {
            return Ok(());
        }
        let settings = session.settings(options, None, Some(self.largest));
        let speed = advise::speed(subject, &settings, &mut |event| progress.on(event))?;
        self.request.step_times = speed.points.iter().map(SpeedPoint::time_point).collect();
        Ok(())
    }
}

fn micro_batch(
    session: &Session,
    options: &Options,
    arguments: &TrainArguments,
    largest: u64,
    progress: &mut Progress,
) -> Result<u64, LabError> {
    match (arguments.micro_batch, options.memory) {
        (Some(micro_batch), _) => Ok(micro_batch.min(largest)),
        (None, None) => Ok(largest),
        (None, Some(_)) => {
            let settings = session.settings(options, None, Some(largest));
            let subject = session.subject()?;
            advise::micro_batch(&subject, &settings, largest, &mut |event| progress.on(event))
        }
    }
}

fn print(result: &TrainResult) {
    let known =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    let percent = |value: Option<f64>| known(value.map(|value| 100.0 * value), 2);
    let mut rows = vec![
        ("examples", format!("{} in {} steps of {}", result.examples, result.steps, result.batch_schedule)),
        ("micro-batch", result.micro_batch.to_string()),
        ("learning rate", result.learning_rate_schedule.clone()),
        (
            "time",
            format!(
                "{:.1} s, {:.0} examples/s",
                result.seconds,
                result.examples as f64 / result.seconds.max(1e-9)
            ),
        ),
        ("train loss", known(result.train_loss, 4)),
        ("test loss", format!("{} ± {}", known(result.test_loss, 4), known(result.test_loss_error, 4))),
        ("peak memory", result.memory.peak_bytes.map_or("–".to_owned(), bytes::human)),
        ("weights", result.weights_sha256.clone()),
    ];
    if result.test_accuracy.is_some() {
        let text = format!("{} ± {} %", percent(result.test_accuracy), percent(result.test_accuracy_error));
        rows.insert(6, ("test accuracy", text));
    }
    if !result.changes.is_empty() {
        rows.insert(1, ("batch", sizes(result)));
    }
    for (name, value) in rows {
        show::line(&format!("{name:>20}  {value}"));
    }
}

/// The sizes a run went through, at most a dozen.
fn sizes(result: &TrainResult) -> String {
    let most = 12;
    let shown = result.changes.iter().take(most).map(|c| {
        let part = 100.0 * c.examples as f64 / result.examples.max(1) as f64;
        format!(" → {} at {part:.0} %", c.after)
    });
    let more = result.changes.len().saturating_sub(most);
    let rest = if 0 < more { format!(" and {more} more changes") } else { String::new() };
    format!("{}{}{rest}", result.batch_size, shown.collect::<String>())
}
