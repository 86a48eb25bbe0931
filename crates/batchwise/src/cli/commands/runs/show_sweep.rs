//! `runs show SWEEP`: a sweep with its trials.

use super::list::{HEAD, parameters, row, summary};
use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_lab::store::{Filter, Store};
use batchwise_lab::sweep::SweepFile;
use batchwise_lab::trial::TrialRecord;
use serde::Serialize;

#[derive(Serialize)]
struct Sweep<'a> {
    sweep: &'a SweepFile,
    trials: &'a [TrialRecord],
}

/// Shows a sweep: its trials by batch size and hyper-parameters, those of a group by learning rate and seed. What the
/// trials say together goes here.
pub(super) fn show_sweep(options: &Options, store: &Store, sweep: &SweepFile) -> Result<(), LabError> {
    let mut trials = store.records(&Filter { sweep: Some(&sweep.name), state: None })?;
    if options.json {
        show::json(&Sweep { sweep, trials: &trials });
        return Ok(());
    }
    trials.sort_by(|a, b| {
        let (a, b) = ((group(a), a), (group(b), b));
        let rates = a.1.spec.learning_rate.total_cmp(&b.1.spec.learning_rate);
        a.0.cmp(&b.0).then(rates).then(a.1.spec.seed.cmp(&b.1.spec.seed))
    });
    show::line(&format!("{}: {}", sweep.name, sweep.trainer));
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    let mut before = None;
    for trial in &trials {
        let group = Some(group(trial));
        if before != group {
            rows.push(Vec::new());
        }
        before = group;
        rows.push(row(trial));
    }
    show::table(&rows);
    let done = if sweep.is_complete { "complete" } else { "not complete" };
    show::line(&format!("\n{}; the sweep is {done}", summary(&trials)));
    Ok(())
}

/// What a trial shares with those beside it.
fn group(trial: &TrialRecord) -> (u64, String) {
    (trial.spec.batch, parameters(trial))
}
