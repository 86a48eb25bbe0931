//! Trials as a table.

use super::table::{Cell, Column, Kind};
use crate::trial::{EndOfTrial, Measured, Parameter, Reached, TrialRecord, TrialResult};
use std::collections::BTreeSet;

type Get = fn(&TrialRecord) -> Cell;

/// The columns before those of the named hyper-parameters.
const CONFIGURATION: [(&str, Kind, Get); 5] = [
    ("trial", Kind::Text, |trial| Cell::Text(trial.id.clone())),
    ("trainer", Kind::Text, |trial| Cell::Text(trial.spec.trainer.name())),
    ("batch", Kind::Integer, |trial| Cell::count(trial.spec.batch)),
    ("learning_rate", Kind::Number, |trial| Cell::Number(trial.spec.learning_rate)),
    ("seed", Kind::Unsigned, |trial| Cell::Unsigned(trial.spec.seed)),
];

/// The columns after them.
const REST: [(&str, Kind, Get); 33] = [
    ("schedule", Kind::Text, |trial| Cell::Text(trial.spec.schedule.clone())),
    ("budget_examples", Kind::Integer, |trial| Cell::count(trial.spec.examples)),
    ("target", Kind::Text, |trial| trial.spec.target.map(|target| target.to_string()).into()),
    ("code", Kind::Text, |trial| Cell::Text(trial.spec.code.clone())),
    ("state", Kind::Text, |trial| Cell::Text(trial.state.name().to_owned())),
    ("end", Kind::Text, |trial| Cell::from(trial.result.as_ref().map(|result| how(&result.end).to_owned()))),
    ("end_detail", Kind::Text, |trial| trial.result.as_ref().and_then(|result| detail(&result.end)).into()),
    ("examples", Kind::Integer, |trial| result(trial, |result| Some(result.examples))),
    ("steps", Kind::Integer, |trial| result(trial, |result| Some(result.steps))),
    ("train_loss", Kind::Number, |trial| result(trial, |result| result.train_loss)),
    ("loss", Kind::Number, |trial| result(trial, |result| result.loss)),
    ("metric", Kind::Number, |trial| result(trial, |result| result.metric)),
    ("reached_value", Kind::Number, |trial| reached(trial, |reached| reached.value)),
    ("reached_examples", Kind::Number, |trial| reached(trial, |reached| reached.examples.value)),
    ("reached_examples_low", Kind::Number, |trial| reached(trial, |reached| reached.examples.low)),
    ("reached_examples_high", Kind::Number, |trial| reached(trial, |reached| reached.examples.high)),
    ("reached_steps", Kind::Number, |trial| reached(trial, |reached| reached.steps.value)),
    ("reached_steps_low", Kind::Number, |trial| reached(trial, |reached| reached.steps.low)),
    ("reached_steps_high", Kind::Number, |trial| reached(trial, |reached| reached.steps.high)),
    ("weights_sha256", Kind::Text, |trial| result(trial, |result| result.weights_sha256.clone())),
    ("seconds", Kind::Number, |trial| measured(trial, |measured| Some(measured.seconds))),
    ("seconds_to_target", Kind::Number, |trial| measured(trial, |measured| measured.seconds_to_target)),
    ("wall_seconds", Kind::Number, |trial| measured(trial, |measured| Some(measured.wall_seconds))),
    ("step_seconds", Kind::Number, |trial| measured(trial, |measured| measured.step_seconds)),
    ("evaluation_seconds", Kind::Number, |trial| measured(trial, |measured| measured.evaluation_seconds)),
    ("peak_bytes", Kind::Integer, |trial| measured(trial, |measured| measured.peak_bytes)),
    ("noise_scale", Kind::Number, |trial| measured(trial, |measured| measured.noise_scale)),
    ("attempts", Kind::Integer, |trial| Cell::count(trial.attempts.len() as u64)),
    ("failed_at", Kind::Integer, |trial| trial.failed.as_ref().map(|end| end.at).into()),
    ("failed_kind", Kind::Text, |trial| trial.failed.as_ref().map(|end| end.kind.name().to_owned()).into()),
    ("failed_reason", Kind::Text, |trial| trial.failed.as_ref().map(|end| end.reason.clone()).into()),
    ("pruning", Kind::Text, |trial| trial.spec.pruning.clone().into()),
    ("differs", Kind::Flag, |trial| Cell::Flag(trial.differs)),
];

/// The columns, with one for each hyper-parameter that any trial has, and the rows.
pub(super) fn table(trials: &[TrialRecord]) -> (Vec<Column>, Vec<Vec<Cell>>) {
    let names: BTreeSet<&String> = trials.iter().flat_map(|trial| trial.spec.parameters.keys()).collect();
    let parameters: Vec<(&String, Kind)> =
        names.into_iter().map(|name| (name, kind_of(trials, name))).collect();
    let fixed = |&(name, kind, _): &(&str, Kind, Get)| Column::new(name, kind);
    let named = parameters.iter().map(|(name, kind)| Column::new(format!("parameter_{name}"), *kind));
    let columns = CONFIGURATION.iter().map(fixed).chain(named).chain(REST.iter().map(fixed)).collect();
    let row = |trial: &TrialRecord| {
        let named = parameters.iter().map(|(name, kind)| match trial.spec.parameters.get(*name) {
            Some(value) => cell(value, *kind),
            None => Cell::Null,
        });
        let before = CONFIGURATION.iter().map(|(_, _, get)| get(trial));
        before.chain(named).chain(REST.iter().map(|(_, _, get)| get(trial))).collect()
    };
    (columns, trials.iter().map(row).collect())
}

/// The narrowest kind that holds all values of a hyper-parameter.
fn kind_of(trials: &[TrialRecord], name: &str) -> Kind {
    let values = || trials.iter().filter_map(|trial| trial.spec.parameters.get(name));
    if values().all(|value| matches!(value, Parameter::Integer(_))) {
        Kind::Integer
    } else if values().all(|value| matches!(value, Parameter::Integer(_) | Parameter::Number(_))) {
        Kind::Number
    } else if values().all(|value| matches!(value, Parameter::Flag(_))) {
        Kind::Flag
    } else {
        Kind::Text
    }
}

fn cell(value: &Parameter, kind: Kind) -> Cell {
    match (value, kind) {
        (Parameter::Integer(n), Kind::Integer) => Cell::Integer(*n),
        (Parameter::Integer(n), Kind::Number) => Cell::Number(*n as f64),
        (Parameter::Number(x), Kind::Number) => Cell::Number(*x),
        (Parameter::Flag(flag), Kind::Flag) => Cell::Flag(*flag),
        (value, _) => Cell::Text(value.to_string()),
    }
}

fn result<T>(trial: &TrialRecord, get: impl Fn(&TrialResult) -> Option<T>) -> Cell
where
    Cell: From<Option<T>>,
{
    trial.result.as_ref().and_then(get).into()
}

fn reached(trial: &TrialRecord, get: impl Fn(Reached) -> f64) -> Cell {
    result(trial, |result| result.reached.map(&get))
}

fn measured<T>(trial: &TrialRecord, get: impl Fn(&Measured) -> Option<T>) -> Cell
where
    Cell: From<Option<T>>,
{
    trial.measured.as_ref().and_then(get).into()
}

fn how(end: &EndOfTrial) -> &'static str {
    match end {
        EndOfTrial::Finished => "finished",
        EndOfTrial::Target => "target",
        EndOfTrial::Patience => "patience",
        EndOfTrial::Diverged { .. } => "diverged",
        EndOfTrial::Pruned { .. } => "pruned",
    }
}

fn detail(end: &EndOfTrial) -> Option<String> {
    match end {
        EndOfTrial::Diverged { why } => Some(why.clone()),
        EndOfTrial::Pruned { rung } => Some(rung.to_string()),
        _ => None,
    }
}
