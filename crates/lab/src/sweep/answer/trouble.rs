//! Trials that went wrong in some way.

use super::trial::Trial;
use super::types::{Fate, Trouble};
use crate::trial::EndOfTrial;

/// Those that failed, were given up, diverged, were stopped early, took several attempts, or do not repeat.
pub(super) fn troubles(trials: &[Trial<'_>]) -> Vec<Trouble> {
    let mut all: Vec<Trouble> = trials.iter().filter_map(trouble).collect();
    // What the user can mend comes first.
    all.sort_by_key(|t| match t.fate {
        Fate::Failed => 0,
        _ if t.differs => 1,
        Fate::Cancelled => 2,
        Fate::Diverged => 4,
        Fate::Pruned => 5,
        _ => 3,
    });
    all
}

fn trouble(trial: &Trial<'_>) -> Option<Trouble> {
    let record = trial.record;
    let ends: Vec<(String, String)> = record
        .attempts
        .iter()
        .filter_map(|attempt| attempt.end.as_ref())
        .map(|end| (end.kind.name().to_owned(), end.reason.clone()))
        .collect();
    let usual = matches!(trial.fate, Fate::Reached | Fate::NotReached | Fate::Finished | Fate::Waiting);
    if usual && ends.is_empty() && record.attempts.len() < 2 && !record.differs {
        return None;
    }
    Some(Trouble {
        trial: record.id.clone(),
        label: record.spec.label(),
        fate: trial.fate,
        reason: reason(trial),
        attempts: record.attempts.len() as u64,
        ends,
        differs: record.differs,
    })
}

fn reason(trial: &Trial<'_>) -> String {
    let record = trial.record;
    let given_up = record.failed.as_ref().filter(|_| trial.result().is_none());
    let mut reason = match (given_up, trial.result().map(|result| &result.end)) {
        (Some(end), _) => format!("{}: {}", end.kind.name().replace('_', " "), end.reason),
        (None, Some(EndOfTrial::Diverged { why })) => why.clone(),
        (None, Some(EndOfTrial::Pruned { rung })) => format!("others were better at rung {rung}"),
        _ => String::new(),
    };
    if record.differs {
        if !reason.is_empty() {
            reason.push_str("; ");
        }
        reason.push_str("attempts brought different results: this training does not repeat");
    }
    reason
}
