//! `runs compare`: in what trials differ.

use super::{digits, open};
use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_lab::store::compare::{Outcome, compare};
use batchwise_lab::trial::TrialRecord;
use serde_json::Value;

pub(super) fn run(options: &Options, names: &[String]) -> Result<(), LabError> {
    let (_, store) = open(options)?;
    let mut trials: Vec<TrialRecord> = Vec::new();
    for name in names {
        let id = store.resolve(name)?;
        trials.extend(store.record(&id)?);
    }
    let comparison = compare(&trials)?;
    if options.json {
        show::json(&comparison);
        return Ok(());
    }
    let head = [vec![String::new()], comparison.trials.clone()].concat();
    let mut rows = vec![head];
    for setting in &comparison.configuration {
        let values = setting.values.iter().map(value).collect();
        rows.push([vec![setting.name.clone()], values].concat());
    }
    rows.push(Vec::new());
    let states = trials.iter().map(|trial| trial.state.name().to_owned()).collect();
    rows.push([vec!["state".to_owned()], states].concat());
    rows.extend(comparison.results.iter().map(outcome));
    show::table(&rows);
    show::line(&format!("\n{} settings are the same", comparison.n_same));
    Ok(())
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// A number of each trial, with how much more it is than in the first.
fn outcome(outcome: &Outcome) -> Vec<String> {
    let cell = |(index, (value, difference)): (usize, (&Option<f64>, &Option<f64>))| match difference {
        _ if value.is_none() => "-".to_owned(),
        Some(difference) if 0 < index => {
            let sign = if *difference < 0.0 { "" } else { "+" };
            format!("{} ({sign}{})", digits(*value), digits(Some(*difference)))
        }
        _ => digits(*value),
    };
    let cells = outcome.values.iter().zip(&outcome.differences).enumerate().map(cell);
    std::iter::once(outcome.name.clone()).chain(cells).collect()
}
