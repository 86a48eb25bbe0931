//! `train`: one run, its log, its weights and `train.json`.

use super::{Session, output};
use crate::cli::arguments::TrainArguments;
use crate::cli::show::{self, Progress};
use crate::cli::{Cli, Options};
use batchwise_lab::advise;
use batchwise_lab::probe::trial;
use batchwise_lab::provenance::Provenance;
use batchwise_lab::{LabError, bytes};
use serde::Serialize;
use std::fs::File;
use std::io::{Seek, Write};

/// What `train.json` holds.
#[derive(Debug, Serialize)]
struct TrainResult {
    schema: u32,
    batch_size: u64,
    micro_batch: u64,
    learning_rate: f64,
    schedule: trial::ScheduleKind,
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
    if let Some(lr) = arguments.lr.filter(|lr| !(lr.is_finite() && 0.0 <= *lr)) {
        return Err(LabError::Input(format!("--lr is {lr}, but must be finite and not negative")));
    }
    let session = Session::open(cli, options)?;
    let output = output(options, &format!("train-{}", session.workload.model_name()))?;
    let mut progress = Progress::new(options);
    let micro_batch = micro_batch(&session, options, arguments, &mut progress)?;
    let subject = session.subject()?;
    let provenance = session.provenance()?;
    output.write_json("provenance.json", &provenance)?;
    let n = session.data.train.len();
    let examples = arguments.examples.unwrap_or_else(|| n.saturating_mul(arguments.epochs.unwrap_or(1)));
    let request = trial::Request {
        batch: arguments.batch,
        micro_batch,
        learning_rate: arguments.lr.unwrap_or(subject.usual_learning_rate),
        schedule: arguments.schedule.into(),
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
    let outcome = advise::train(&subject, request.clone(), &mut |event| progress.on(event), &mut |line| {
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
        micro_batch: request.micro_batch,
        learning_rate: request.learning_rate,
        schedule: request.schedule,
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

/// Appends a whole line, or on a full disk none.
fn append(log: &mut File, line: &serde_json::Value) -> std::io::Result<()> {
    let end = log.stream_position()?;
    let text = format!("{line}\n");
    log.write_all(text.as_bytes()).inspect_err(|_| {
        // Cutting a file needs no room; what was half written is taken back.
        let _ = log.set_len(end);
    })
}

fn micro_batch(
    session: &Session,
    options: &Options,
    arguments: &TrainArguments,
    progress: &mut Progress,
) -> Result<u64, LabError> {
    match (arguments.micro_batch, options.memory) {
        (Some(micro_batch), _) => Ok(micro_batch.min(arguments.batch)),
        (None, None) => Ok(arguments.batch),
        (None, Some(_)) => {
            let settings = session.settings(options, None, Some(arguments.batch));
            let subject = session.subject()?;
            advise::micro_batch(&subject, &settings, arguments.batch, &mut |event| progress.on(event))
        }
    }
}

fn print(result: &TrainResult) {
    let known =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    let percent = |value: Option<f64>| known(value.map(|value| 100.0 * value), 2);
    let mut rows = vec![
        ("examples", format!("{} in {} steps of {}", result.examples, result.steps, result.batch_size)),
        ("micro-batch", result.micro_batch.to_string()),
        ("learning rate", format!("{:.3e}", result.learning_rate)),
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
    for (name, value) in rows {
        show::line(&format!("{name:>20}  {value}"));
    }
}
