//! `runs show TRIAL`: a trial with all that is known of it.

use super::{ago, digits, named};
use crate::cli::{Options, show};
use batchwise_lab::store::{Kind, Metric, Store};
use batchwise_lab::trial::{Attempt, EndOfTrial, Measured, TrialRecord, TrialResult};
use batchwise_lab::{LabError, bytes};
use serde::Serialize;

/// Evaluations that are shown; all of them stand in the JSON.
const EVALUATIONS: usize = 5;

#[derive(Serialize)]
struct Trial {
    #[serde(flatten)]
    record: TrialRecord,
    sweeps: Vec<String>,
    evaluations: Vec<Metric>,
}

pub(super) fn show_trial(options: &Options, store: &Store, id: &str) -> Result<(), LabError> {
    let record = store.record(id)?;
    let record = record.ok_or_else(|| LabError::Input(format!("there is no trial `{id}`")))?;
    let evaluations = store.curve(id, Kind::Evaluation)?;
    let trial = Trial { record, sweeps: store.sweeps_of(id)?, evaluations };
    if options.json {
        show::json(&trial);
        return Ok(());
    }
    configuration(&trial);
    if let Some(result) = &trial.record.result {
        show::line("\nResult");
        show_result(result, trial.record.differs);
    }
    if let Some(measured) = &trial.record.measured {
        show_measured(measured);
    }
    if let Some(end) = &trial.record.failed {
        named("given up", &format!("{}: {} ({})", end.kind.name(), end.reason, ago(end.at)));
    }
    if !trial.record.attempts.is_empty() {
        show::line("\nAttempts");
        let has_result = trial.record.result.is_some();
        trial.record.attempts.iter().zip(1..).for_each(|(attempt, n)| show_attempt(n, attempt, has_result));
    }
    show_evaluations(&trial.evaluations);
    Ok(())
}

fn configuration(trial: &Trial) {
    let spec = &trial.record.spec;
    named("trial", &trial.record.id);
    named("state", trial.record.state.name());
    if !trial.sweeps.is_empty() {
        named("of sweeps", &trial.sweeps.join(", "));
    }
    show::line("\nConfiguration");
    named("trainer", &spec.trainer.name());
    named("batch", &spec.batch.to_string());
    named("learning rate", &format!("{} ({})", spec.learning_rate, spec.schedule));
    named("seed", &spec.seed.to_string());
    for (name, value) in &spec.parameters {
        named(name, &value.to_string());
    }
    named("examples", &format!("at most {}", spec.examples));
    if let Some(target) = &spec.target {
        let times =
            if 1 < spec.confirm { format!(", {} times running", spec.confirm) } else { String::new() };
        named("target", &format!("{target}{times}"));
    }
    if let Some(pruning) = &spec.pruning {
        named("pruning", pruning);
    }
    named("code", &spec.code);
}

fn show_result(result: &TrialResult, differs: bool) {
    let end = match &result.end {
        EndOfTrial::Finished => "at the end of its budget".to_owned(),
        EndOfTrial::Target => "at its target".to_owned(),
        EndOfTrial::Patience => "because nothing got better".to_owned(),
        EndOfTrial::Diverged { why } => format!("diverged: {why}"),
        EndOfTrial::Pruned { rung } => format!("pruned at {rung}"),
    };
    named("ended", &end);
    named("processed", &format!("{} examples in {} steps", result.examples, result.steps));
    let numbers = [("train loss", result.train_loss), ("loss", result.loss), ("metric", result.metric)];
    for (name, value) in numbers.into_iter().filter(|(_, value)| value.is_some()) {
        named(name, &digits(value));
    }
    if let Some(reached) = &result.reached {
        let (examples, steps) = (reached.examples, reached.steps);
        let between = format!("between {} and {}", digits(Some(examples.low)), digits(Some(examples.high)));
        let text = format!(
            "at {} examples ({between}), {} steps",
            digits(Some(examples.value)),
            digits(Some(steps.value))
        );
        named("target reached", &text);
    }
    if let Some(hash) = &result.weights_sha256 {
        named("weights", hash);
    }
    if differs {
        named("warning", "another attempt brought another result: training is not deterministic");
    }
}

fn show_measured(measured: &Measured) {
    named(
        "seconds",
        &format!(
            "{} trained, {} in all",
            digits(Some(measured.seconds)),
            digits(Some(measured.wall_seconds))
        ),
    );
    let numbers = [
        ("seconds to target", measured.seconds_to_target),
        ("seconds of a step", measured.step_seconds),
        ("noise scale", measured.noise_scale),
    ];
    for (name, value) in numbers.into_iter().filter(|(_, value)| value.is_some()) {
        named(name, &digits(value));
    }
    if let Some(peak) = measured.peak_bytes {
        named("peak memory", &bytes::human(peak));
    }
}

fn show_attempt(n: u64, attempt: &Attempt, has_result: bool) {
    let end = match &attempt.end {
        Some(end) => format!("{}: {}", end.kind.name(), end.reason),
        // Of several such, which one was first is not recorded.
        None if has_result => "it ended with a result, or how it ended is not recorded".to_owned(),
        None => "it goes on, or how it ended is not recorded".to_owned(),
    };
    named(&n.to_string(), &format!("{}, begun {}; {end}", attempt.log, ago(attempt.at)));
}

fn show_evaluations(evaluations: &[Metric]) {
    let last = evaluations.iter().skip(evaluations.len().saturating_sub(EVALUATIONS));
    let row = |line: &Metric| {
        let numbers = [line.seconds.into(), line.train_loss, line.loss, line.metric].map(digits);
        [vec![line.examples.to_string(), line.steps.to_string()], numbers.to_vec()].concat()
    };
    let rows: Vec<Vec<String>> = last.map(row).collect();
    if rows.is_empty() {
        return;
    }
    show::line("\nLast evaluations");
    let head = ["examples", "steps", "seconds", "train loss", "loss", "metric"].map(str::to_owned).to_vec();
    show::table(&[vec![head], rows].concat());
}
