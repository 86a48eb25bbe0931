//! `runs list`: the trials of the folder, or of one sweep.

use super::{digits, open};
use crate::cli::arguments::RunsList;
use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_lab::store::Filter;
use batchwise_lab::trial::{EndOfTrial, State, TrialRecord};

pub(super) fn run(options: &Options, arguments: &RunsList) -> Result<(), LabError> {
    let (_, store) = open(options)?;
    let filter = Filter { sweep: arguments.sweep.as_deref(), state: arguments.state.map(Into::into) };
    let trials = store.records(&filter)?;
    if options.json {
        show::json(&trials);
        return Ok(());
    }
    if !trials.is_empty() {
        let head = HEAD.map(str::to_owned).to_vec();
        show::table(&[vec![head], trials.iter().map(row).collect()].concat());
    }
    show::line(&summary(&trials));
    Ok(())
}

pub(super) const HEAD: [&str; 11] =
    ["trial", "state", "batch", "lr", "seed", "parameters", "examples", "loss", "metric", "seconds", "end"];

/// A trial under [`HEAD`].
pub(super) fn row(trial: &TrialRecord) -> Vec<String> {
    let (spec, result) = (&trial.spec, trial.result.as_ref());
    vec![
        trial.id.clone(),
        trial.state.name().to_owned(),
        spec.batch.to_string(),
        digits(Some(spec.learning_rate)),
        spec.seed.to_string(),
        trial.spec.parameters_in_words(),
        result.map_or(String::new(), |result| result.examples.to_string()),
        digits(result.and_then(|result| result.loss)),
        digits(result.and_then(|result| result.metric)),
        digits(trial.measured.as_ref().map(|measured| measured.seconds)),
        end(trial),
    ]
}

/// How the trial ended, in a word.
fn end(trial: &TrialRecord) -> String {
    let word = match (&trial.result, &trial.failed) {
        (Some(result), _) => match result.end {
            EndOfTrial::Finished => "finished",
            EndOfTrial::Target => "target",
            EndOfTrial::Patience => "patience",
            EndOfTrial::Diverged { .. } => "diverged",
            EndOfTrial::Pruned { .. } => "pruned",
        },
        (None, Some(end)) => end.kind.name(),
        (None, None) => "",
    };
    if trial.differs { format!("{word}, differs") } else { word.to_owned() }
}

/// How many trials stand where.
pub(super) fn summary(trials: &[TrialRecord]) -> String {
    let states = [State::Waiting, State::Done, State::Failed, State::Cancelled];
    let counts = states.map(|state| (state, trials.iter().filter(|trial| trial.state == state).count()));
    let some = counts.iter().filter(|(_, n)| 0 < *n).map(|(state, n)| format!("{n} {}", state.name()));
    match trials.len() {
        0 => "no trial".to_owned(),
        1 => format!("1 trial: {}", trials.iter().map(|trial| trial.state.name()).collect::<String>()),
        n => format!("{n} trials: {}", some.collect::<Vec<_>>().join(", ")),
    }
}
