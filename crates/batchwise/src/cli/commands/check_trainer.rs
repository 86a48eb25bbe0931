//! `check trainer`: whether another program speaks the trainer protocol, and what a sweep would take from it.

use crate::cli::arguments::CheckTrainerArguments;
use crate::cli::{Options, show};
use batchwise_lab::runner::{self, PROTOCOL, Report, Request};
use batchwise_lab::sweep::Root;
use batchwise_lab::trial::{Judge, LogLine, Measured, TrainerSpec, TrialResult, TrialSpec, VERSION};
use batchwise_lab::{LabError, bytes};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Serialize)]
struct Found {
    ok: bool,
    protocol: u32,
    /// Why it cannot be used, if it cannot.
    problem: Option<String>,
    /// Records of the first run.
    records: usize,
    /// Lines that were no records.
    other_lines: usize,
    /// Whether two runs with the same seed brought the same result; none where the first brought none.
    repeats: Option<bool>,
    result: Option<TrialResult>,
    measured: Option<Measured>,
}

pub(super) fn run(options: &Options, arguments: &CheckTrainerArguments) -> Result<(), LabError> {
    let judge: Judge = arguments.judge.parse().map_err(LabError::Input)?;
    let scratch = Scratch::create()?;
    let spec = TrialSpec {
        version: VERSION,
        trainer: TrainerSpec::Command { command: arguments.command.clone(), files: BTreeMap::new() },
        batch: arguments.batch,
        learning_rate: arguments.lr,
        seed: options.seed,
        parameters: arguments.parameters().map_err(LabError::Input)?,
        schedule: "constant".to_owned(),
        examples: arguments.examples,
        seconds: None,
        evaluate_examples: Some((arguments.examples / 10).max(1)),
        judge,
        target: None,
        confirm: 1,
        patience_examples: None,
        pruning: None,
        code: "1".to_owned(),
    };
    let first = once(&spec, &scratch.0.join("first"), arguments.time_limit)?;
    let mut found = first;
    if found.ok {
        let second = once(&spec, &scratch.0.join("second"), arguments.time_limit)?;
        found.repeats = Some(second.result == found.result);
    }
    if options.json {
        show::json(&found);
    } else {
        print(&found);
    }
    match found.problem {
        None => Ok(()),
        Some(problem) => Err(LabError::NoAdvice(format!("a sweep cannot use this trainer: {problem}"))),
    }
}

/// A folder that goes with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn create() -> Result<Self, LabError> {
        let path = std::env::temp_dir().join(format!("batchwise-check-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|source| LabError::Io {
            action: "create",
            path: path.clone(),
            source,
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn once(spec: &TrialSpec, root: &Path, seconds: f64) -> Result<Found, LabError> {
    let root = Root::new(root);
    let id = spec.id()?;
    let folder = root.trial(&id);
    folder.create(spec)?;
    let here =
        std::env::current_dir().map_err(|error| LabError::Input(format!("the current folder: {error}")))?;
    let request = Request {
        root: root.folder().to_owned(),
        trial: id,
        runner: None,
        data_dir: None,
        folder: here,
        micro_batch: spec.batch,
        threads: 1,
        limit_bytes: None,
        seconds: Some(seconds),
        silence: seconds,
        output: 64 << 20,
        pilot: None,
    };
    let no_workload = |_: &TrialSpec, _: Option<&Path>| Err(LabError::Input("no workload".to_owned()));
    let report = runner::attempt(&request, &no_workload, &mut |_| {})?;
    let problem = match report {
        Report::Ended(end) => Some(end.reason),
        Report::Result { .. } | Report::Pilot(_) => None,
    };
    let record = folder.record()?;
    let (mut records, mut other_lines) = (0, 0);
    if let Some(log) = folder.logs()?.first() {
        for line in folder.log(log)? {
            match line {
                LogLine::Step { .. } | LogLine::Evaluation { .. } => records += 1,
                LogLine::Text { .. } => other_lines += 1,
                LogLine::Begin(_) | LogLine::End(_) => {}
            }
        }
    }
    Ok(Found {
        ok: problem.is_none(),
        protocol: PROTOCOL,
        problem,
        records,
        other_lines,
        repeats: None,
        result: record.result,
        measured: record.measured,
    })
}

fn print(found: &Found) {
    let mut rows = vec![
        ("protocol", format!("version {}", found.protocol)),
        ("records", found.records.to_string()),
        ("other lines", format!("{} (kept in the log, not judged)", found.other_lines)),
    ];
    if let (Some(result), Some(measured)) = (&found.result, &found.measured) {
        let maybe =
            |value: Option<f64>| value.map_or_else(|| "not told".to_owned(), |value| format!("{value:.6}"));
        rows.push(("examples", format!("{} in {} steps", result.examples, result.steps)));
        rows.push(("loss", maybe(result.loss)));
        rows.push(("train_loss", maybe(result.train_loss)));
        rows.push(("metric", maybe(result.metric)));
        rows.push((
            "seconds",
            format!("{:.3} of training, {:.3} in all", measured.seconds, measured.wall_seconds),
        ));
        rows.push(("memory", measured.peak_bytes.map_or_else(|| "not known".to_owned(), bytes::human)));
        let noise = measured.noise_scale.map_or_else(
            || "not told: micro_norm2, batch_norm2 and micro_batch would give it".to_owned(),
            |scale| format!("{scale:.1} examples"),
        );
        rows.push(("noise scale", noise));
    }
    if let Some(repeats) = found.repeats {
        let words = if repeats {
            "yes: the same result twice with one seed"
        } else {
            "no: two runs with one seed differ"
        };
        rows.push(("repeats", words.to_owned()));
    }
    for (name, value) in rows {
        show::line(&format!("{name:>12}  {value}"));
    }
    if found.problem.is_none() {
        show::line("\nA sweep can use this trainer.");
    }
}
