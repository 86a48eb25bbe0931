//! The batch size and learning rate that a group leads to.

use super::types::{Choice, ChosenRate};
use crate::fit::decide::with_decision;
use crate::fit::{Answer, Settings, Source};
use batchwise_estimate::grade::Grade;
use serde_json::Value;

/// Joins the answers of the other kinds. What to measure next comes second, where the decision names it.
pub(super) fn choice(answers: &[&Answer], settings: &Settings) -> (Choice, Option<String>) {
    let undecided = |why: String| Choice {
        grade: Grade::NotIdentified.name().to_owned(),
        lines: vec![("batch size".to_owned(), format!("not identified: {why}"))],
        ..Choice::default()
    };
    if answers.is_empty() {
        return (undecided("no run has a result".to_owned()), None);
    }
    let list = Value::Array(answers.iter().map(|answer| answer.json.clone()).collect());
    let source = Source::of_bytes("the sweep", list.to_string().into_bytes());
    let (answer, decision) = match with_decision(vec![source], settings) {
        Ok(found) => found,
        Err(error) => return (undecided(error.found), None),
    };
    let next = answer.json.get("next_measurement").and_then(Value::as_str).map(str::to_owned);
    let lines = answer.lines.iter().filter(|line| line.0 != "measure next").cloned().collect();
    let choice = Choice {
        batch_size: answer.json.get("batch_size").and_then(Value::as_u64),
        learning_rate: answer.json.get("learning_rate").and_then(rate),
        grade: answer.json.get("grade").and_then(Value::as_str).unwrap_or_default().to_owned(),
        decision,
        lines,
    };
    (choice, next)
}

fn rate(value: &Value) -> Option<ChosenRate> {
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    Some(ChosenRate {
        value: number("lr")?,
        low: number("low"),
        high: number("high"),
        extrapolated: value.get("extrapolated").and_then(Value::as_bool).unwrap_or(false),
        how: value.get("how").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}
