//! `train`: one run, with its lines, its checkpoints, its weights and `train.json`.

mod course;
mod print;
mod result;
mod resume;

use super::{Session, output};
use crate::cli::arguments::{MetricName, TrainArguments};
use crate::cli::show::{self, Progress};
use crate::cli::{Cli, Options};
use batchwise_data::Target;
use batchwise_lab::output::Output;
use batchwise_lab::probe::trial::{self, Keep, Stopped};
use batchwise_lab::provenance::Provenance;
use batchwise_lab::report::course as picture;
use batchwise_lab::{LabError, advise};
use batchwise_schedule::{Examples, Length};
use batchwise_train::best::Rules;
use batchwise_train::observe::{Line, Record, event_file_name};
use batchwise_train::target::Metric;
use course::{Course, micro_batch};
use result::TrainResult;
use resume::RunFile;
use std::path::Path;
use std::time::SystemTime;

/// Seconds between checkpoints unless the user says otherwise.
const CHECKPOINT_SECONDS: f64 = 300.0;
/// Share of the run between evaluations unless the user says otherwise, where there is something to reach.
const EVALUATE_EVERY: Length = Length::Fraction(0.05);

pub(super) fn run(cli: &Cli, options: &Options, arguments: &TrainArguments) -> Result<(), LabError> {
    match &arguments.resume {
        Some(folder) => resume::run(cli, options, arguments, folder),
        None => start(cli, options, arguments),
    }
}

fn start(cli: &Cli, options: &Options, arguments: &TrainArguments) -> Result<(), LabError> {
    if arguments.workers.is_some() && options.memory.is_some() {
        return Err(LabError::Input(
            "--memory is measured with one worker, but --workers share this machine: leave one of them out"
                .to_owned(),
        ));
    }
    let session = Session::open(cli, options)?;
    let mut progress = Progress::new(options);
    let n = session.data.train.len();
    let examples = arguments.examples.unwrap_or_else(|| n.saturating_mul(arguments.epochs.unwrap_or(1)));
    let subject = session.subject()?;
    let mut plan = Course::of(&session, &subject, arguments, examples)?;
    let output = output(options, &format!("train-{}", session.workload.model_name()))?;
    let micro_batch = micro_batch(&session, options, arguments, plan.largest, &mut progress)?;
    if arguments.noise.is_some_and(|noise| noise.0.preconditioned) && plan.request.batch.base <= micro_batch {
        return Err(LabError::Input(format!(
            "--noise preconditioned is measured from two micro-batches or more: give --micro-batch below {}",
            plan.request.batch.base
        )));
    }
    plan.measure_steps(&session, &subject, options, &mut progress)?;
    let provenance = session.provenance()?;
    output.write_json("provenance.json", &provenance)?;
    let request = trial::Request {
        batch: plan.request.batch.base,
        micro_batch,
        learning_rate: plan.peak,
        course: Some(plan.request),
        examples,
        seed: options.seed,
        noise: arguments.noise.map(|noise| noise.0),
        limit_bytes: options.memory,
        weights: Some(output.path("weights.safetensors")),
        keep: Some(keep(&session, arguments, examples, output.folder(), &provenance)?),
    };
    remove_checkpoints(&output)?;
    let file = RunFile::new(&session.options, request);
    output.write_json("run.json", &file)?;
    go(options, &output, session, file.request, provenance, progress)
}

/// Those of another run that --force overwrites.
fn remove_checkpoints(output: &Output) -> Result<(), LabError> {
    let path = output.path("checkpoints");
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::Io { action: "remove", path, source })
        }
        _ => Ok(()),
    }
}

/// What the run writes, and when it ends early.
fn keep(
    session: &Session,
    arguments: &TrainArguments,
    examples: u64,
    folder: &Path,
    provenance: &Provenance,
) -> Result<Keep, LabError> {
    let length = |option, length: &Length| resolve(session, option, length, examples);
    let rules = rules(session, arguments, examples)?;
    let is_watched = rules.target.is_some() || rules.patience.is_some() || arguments.keep_best.is_some();
    let evaluate = match &arguments.evaluate_every {
        Some(every) => Some(length("--evaluate-every", every)?),
        None if is_watched => Some(length("--evaluate-every", &EVALUATE_EVERY)?),
        None => None,
    };
    let half_life = arguments.ema.as_ref().map(|ema| length("--ema", ema)).transpose()?;
    let (checkpoint_examples, checkpoint_seconds) = checkpoints(session, arguments, examples)?;
    let tensorboard = arguments.tensorboard.as_ref();
    Ok(Keep {
        folder: folder.to_owned(),
        tensorboard: tensorboard.map(|folder| folder.join(event_file_name(SystemTime::now()))),
        checkpoint_examples,
        checkpoint_seconds,
        resume: false,
        evaluate_examples: evaluate,
        rules,
        keep_best: arguments.keep_best.is_some(),
        average_half_life: half_life.map(|examples| examples as f64),
        max_seconds: arguments.max_seconds,
        clip_norm: arguments.clip_norm,
        skip: arguments.skip,
        workers: arguments.workers,
        csv: arguments.csv,
        phases: arguments.phases,
        trace: arguments.trace.clone(),
        generalisation: arguments.generalisation,
        update_norm: arguments.update_norm,
        data_sha256: provenance.data.train_hash.clone(),
        result_only: false,
    })
}

/// What evaluations are watched for.
fn rules(session: &Session, arguments: &TrainArguments, examples: u64) -> Result<Rules, LabError> {
    let has_classes = matches!(session.data.train.schema().target, Target::Class { .. });
    let named = arguments.keep_best.flatten().map(|name| match name {
        MetricName::Loss => Metric::Loss,
        MetricName::Accuracy => Metric::Accuracy,
    });
    let usual = if has_classes { Metric::Accuracy } else { Metric::Loss };
    let target = arguments.until;
    let best_by = named.or(target.map(|target| target.metric())).unwrap_or(usual);
    let judged = [target.map(|target| target.metric()), Some(best_by)];
    if judged.contains(&Some(Metric::Accuracy)) && !has_classes {
        return Err(LabError::Input(
            "accuracy needs a data set of classes; this one has loss: --until loss=X, --keep-best loss"
                .to_owned(),
        ));
    }
    let patience = arguments
        .patience
        .as_ref()
        .map(|length| resolve(session, "--patience", length, examples))
        .transpose()?;
    Ok(Rules { target, confirm: 1, patience: patience.map(Examples), best_by })
}

/// The examples of what was typed after `option`: at least 1, but 0 is refused.
fn resolve(session: &Session, option: &str, length: &Length, examples: u64) -> Result<u64, LabError> {
    let run = trial::run_length(session.data.train.as_ref(), Examples(examples));
    let found =
        length.resolve(&run).map_err(|error| LabError::Input(format!("{option} {length}: {error}")))?;
    let is_nothing = match length {
        Length::Examples(n) => *n == 0,
        Length::Tokens(n) => *n == 0,
        Length::Epochs(share) | Length::Fraction(share) => *share == 0.0,
    };
    match is_nothing {
        true => Err(LabError::Input(format!("{option} {length}: it must be at least 1 example"))),
        false => Ok(found.0.max(1)),
    }
}

/// Examples or seconds between checkpoints.
fn checkpoints(
    session: &Session,
    arguments: &TrainArguments,
    examples: u64,
) -> Result<(Option<u64>, Option<f64>), LabError> {
    use crate::cli::arguments::CheckpointEvery;
    match &arguments.checkpoint_every {
        None => Ok((None, Some(CHECKPOINT_SECONDS))),
        Some(CheckpointEvery::Seconds(seconds)) => Ok((None, Some(*seconds))),
        Some(CheckpointEvery::Length(length)) => {
            Ok((Some(resolve(session, "--checkpoint-every", length, examples)?), None))
        }
    }
}

/// Runs it, and writes and shows what came out.
fn go(
    options: &Options,
    output: &Output,
    session: Session,
    request: trial::Request,
    provenance: Provenance,
    mut progress: Progress,
) -> Result<(), LabError> {
    let subject = session.subject()?;
    // The child opens the data itself.
    drop(session);
    let outcome = advise::train(&subject, request.clone(), &mut |event| progress.on(event), &mut |_| {});
    progress.finish();
    let outcome = outcome?;
    for damage in &outcome.damaged {
        show::error_line(&format!("passed over a damaged checkpoint: {damage}"));
    }
    let stopped = outcome.stopped;
    if stopped == Some(Stopped::Asked) {
        let (done, folder) = (outcome.examples, output.folder().display());
        return Err(LabError::Stopped(format!(
            "stopped after {done} examples, and stored: go on by train --resume {folder}"
        )));
    }
    let lines = read_lines(output)?;
    let result = TrainResult::new(&request, outcome, &lines, subject.data_bytes, provenance);
    output.write("course.svg", picture::course(&result.drawn(&lines)).as_bytes())?;
    let path = output.write_json("train.json", &result)?;
    if options.json {
        show::json(&result);
    } else {
        print::print(&result);
        show::line(&format!("\nResult: {}", path.display()));
        if stopped == Some(Stopped::Time) {
            show::line(&format!("Its time was over: go on by train --resume {}", output.folder().display()));
        }
    }
    match result.diverged {
        // The result is kept, and says so; a script must not take it for a success.
        Some(how) => Err(LabError::NoAdvice(how)),
        None => Ok(()),
    }
}

/// The lines of the run, those before a resume too.
fn read_lines(output: &Output) -> Result<Vec<Record>, LabError> {
    let path = output.path("steps.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|source| LabError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    let step = |line| match serde_json::from_str(line) {
        Ok(Line::Step(record)) => Some(record),
        _ => None,
    };
    Ok(text.lines().filter_map(step).collect())
}
