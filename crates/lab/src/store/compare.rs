//! In what trials differ: their configurations and what they brought.

use crate::LabError;
use crate::trial::TrialRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// In what trials differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The trials.
    pub trials: Vec<String>,
    /// The settings that are not the same for all, by name.
    pub configuration: Vec<Setting>,
    /// How many settings are the same for all.
    pub n_same: u64,
    /// What they brought.
    pub results: Vec<Outcome>,
}

/// A setting of each trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name, with dots between the levels.
    pub name: String,
    /// Its value in each trial; null where it has none.
    pub values: Vec<Value>,
}

/// A number that each trial brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// What it is in each trial; null where it is not known.
    pub values: Vec<Option<f64>>,
    /// How much more it is than in the first trial; null where either is not known.
    pub differences: Vec<Option<f64>>,
}

/// Compares two trials or more.
///
/// # Errors
/// Fewer than two; a configuration that JSON cannot hold.
pub fn compare(trials: &[TrialRecord]) -> Result<Comparison, LabError> {
    if trials.len() < 2 {
        return Err(LabError::Input("two trials or more are needed to compare".to_owned()));
    }
    let mut settings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (index, trial) in trials.iter().enumerate() {
        let spec =
            serde_json::to_value(&trial.spec).map_err(|error| LabError::protocol(error.to_string()))?;
        let mut leaves = Vec::new();
        flatten("", spec, &mut leaves);
        for (name, value) in leaves {
            let values = settings.entry(name).or_insert_with(|| vec![Value::Null; trials.len()]);
            if let Some(place) = values.get_mut(index) {
                *place = value;
            }
        }
    }
    let n_all = settings.len();
    let differ = |values: &[Value]| values.windows(2).any(|pair| pair.first() != pair.last());
    let configuration: Vec<Setting> = settings
        .into_iter()
        .filter(|(_, values)| differ(values))
        .map(|(name, values)| Setting { name, values })
        .collect();
    let results = OUTCOMES.iter().map(|(name, get)| outcome(name, trials.iter().map(get).collect()));
    Ok(Comparison {
        trials: trials.iter().map(|trial| trial.id.clone()).collect(),
        n_same: (n_all - configuration.len()) as u64,
        configuration,
        // What nobody brought says nothing.
        results: results.filter(|outcome| outcome.values.iter().any(Option::is_some)).collect(),
    })
}

type Get = fn(&TrialRecord) -> Option<f64>;

/// What is compared of the results.
const OUTCOMES: [(&str, Get); 13] = [
    ("examples", |trial| trial.result.as_ref().map(|result| result.examples as f64)),
    ("steps", |trial| trial.result.as_ref().map(|result| result.steps as f64)),
    ("train_loss", |trial| trial.result.as_ref()?.train_loss),
    ("loss", |trial| trial.result.as_ref()?.loss),
    ("metric", |trial| trial.result.as_ref()?.metric),
    ("examples_to_target", |trial| Some(trial.result.as_ref()?.reached?.examples.value)),
    ("steps_to_target", |trial| Some(trial.result.as_ref()?.reached?.steps.value)),
    ("seconds_to_target", |trial| trial.measured.as_ref()?.seconds_to_target),
    ("seconds", |trial| trial.measured.as_ref().map(|measured| measured.seconds)),
    ("wall_seconds", |trial| trial.measured.as_ref().map(|measured| measured.wall_seconds)),
    ("step_seconds", |trial| trial.measured.as_ref()?.step_seconds),
    ("peak_bytes", |trial| Some(trial.measured.as_ref()?.peak_bytes? as f64)),
    ("noise_scale", |trial| trial.measured.as_ref()?.noise_scale),
];

fn outcome(name: &str, values: Vec<Option<f64>>) -> Outcome {
    let first = values.first().copied().flatten();
    let differences = values.iter().map(|value| Some((*value)? - first?)).collect();
    Outcome { name: name.to_owned(), values, differences }
}

/// The leaves of a value by their paths. A list is a leaf.
fn flatten(path: &str, value: Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(&path, value, leaves);
            }
        }
        leaf => leaves.push((path.to_owned(), leaf)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sample;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_listed() {
        let mut trials = [sample::record(8, 0.1, 1), sample::record(16, 0.1, 1)];
        trials[1].spec.parameters.insert("momentum".to_owned(), crate::trial::Parameter::Number(0.9));
        trials[1].result = None;
        trials[1].measured = None;
        let comparison = compare(&trials).unwrap();
        let names: Vec<&str> = comparison.configuration.iter().map(|setting| setting.name.as_str()).collect();
        assert_eq!(names, ["batch", "parameters.momentum"]);
        assert_eq!(comparison.configuration[1].values, [Value::Null, json!(0.9)]);
        let loss = comparison.results.iter().find(|outcome| outcome.name == "loss").unwrap();
        assert_eq!((loss.values[1], loss.differences.as_slice()), (None, &[Some(0.0), None][..]));
        assert!(comparison.results.iter().all(|outcome| outcome.name != "noise_scale"), "nobody measured it");
        assert!(compare(&trials[..1]).unwrap_err().to_string().contains("two trials"));
    }
}
