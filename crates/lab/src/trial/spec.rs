//! All that decides a trial's result.

use super::{Judge, Target, VERSION};
use crate::LabError;
use crate::hash::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// All that decides a trial's result. The micro-batch, the number of threads and the memory limit are not here, because
/// they must not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialSpec {
    /// Version of this form.
    pub version: u32,
    /// What trains.
    pub trainer: TrainerSpec,
    /// Examples of one step.
    pub batch: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Seed of all that is random.
    pub seed: u64,
    /// Further hyper-parameters by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// Schedule of the learning rate, without its peak.
    pub schedule: String,
    /// Examples after which the run ends at the latest.
    pub examples: u64,
    /// Seconds of training, on a command's own clock where it has one, after which it ends at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Examples from one evaluation to the next; without it the trainer decides.
    pub evaluate_examples: Option<u64>,
    /// What is judged.
    pub judge: Judge,
    /// What is to be reached, which ends the run.
    pub target: Option<Target>,
    /// Evaluations running that must meet the target.
    pub confirm: u32,
    /// The run ends where nothing was better for so many examples.
    pub patience_examples: Option<u64>,
    /// The rule by which the run may be stopped early, in words; a run that may be is another trial than one that may
    /// not.
    pub pruning: Option<String>,
    /// Version of the code that trains.
    pub code: String,
}

/// What trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TrainerSpec {
    /// A workload of this program.
    Workload {
        /// Its name.
        model: String,
        /// The data set, as on the command line.
        data: String,
        /// SHA-256 of its training and test part.
        data_sha256: String,
        /// The optimizer's name; without it the workload's own.
        optimizer: Option<String>,
        /// The device.
        device: String,
    },
    /// Another program, which prints lines.
    Command {
        /// Program and arguments, with placeholders such as `{batch}`.
        command: Vec<String>,
        /// SHA-256 of the files that it is made of, by their names in the command.
        files: BTreeMap<String, String>,
    },
}

impl TrainerSpec {
    /// What it is called to people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Workload { model, data, .. } => format!("{model} on {data}"),
            Self::Command { command, .. } => command.join(" "),
        }
    }
}

/// The value of a named hyper-parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// A whole number.
    Integer(i64),
    /// Any other number, finite.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// Anything else.
    Text(String),
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Number(x) => write!(f, "{x}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl TrialSpec {
    /// The trial's name: 16 digits of the SHA-256 of its canonical JSON.
    ///
    /// # Errors
    /// A number that JSON cannot hold.
    pub fn id(&self) -> Result<String, LabError> {
        Ok(hex(&Sha256::digest(self.canonical()?.as_bytes())[..8]))
    }

    /// The configuration as one line of JSON, the same for equal configurations: keys in the order of the fields, those
    /// of maps sorted.
    ///
    /// # Errors
    /// A number that JSON cannot hold.
    pub fn canonical(&self) -> Result<String, LabError> {
        let numbers = self.parameters.values().all(|p| !matches!(p, Parameter::Number(x) if !x.is_finite()));
        if !self.learning_rate.is_finite() || !numbers {
            return Err(LabError::Input("a hyper-parameter of a trial is not finite".to_owned()));
        }
        serde_json::to_string(self).map_err(|error| LabError::protocol(error.to_string()))
    }

    /// Reads a configuration back.
    ///
    /// # Errors
    /// Text that is none, or one of a newer version.
    pub fn read(text: &str) -> Result<Self, LabError> {
        let wrong =
            |error: serde_json::Error| LabError::Input(format!("no configuration of a trial: {error}"));
        let value: serde_json::Value = serde_json::from_str(text).map_err(wrong)?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if u64::from(VERSION) < version => Err(LabError::Input(format!(
                "a trial of version {version}, but this program knows up to {VERSION}"
            ))),
            _ => serde_json::from_value(value).map_err(wrong),
        }
    }

    /// Whether the run may be stopped early at rungs that count examples.
    #[must_use]
    pub fn pruning_counts_examples(&self) -> bool {
        self.pruning.as_deref().is_some_and(|rule| rule.ends_with("examples"))
    }

    /// The further hyper-parameters in words, see [`parameters_in_words`].
    #[must_use]
    pub fn parameters_in_words(&self) -> String {
        parameters_in_words(&self.parameters)
    }

    /// Batch, learning rate, seed and parameters in a few words.
    #[must_use]
    pub fn label(&self) -> String {
        let parameters: String =
            self.parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!("batch {} lr {} seed {}{parameters}", self.batch, short(self.learning_rate), self.seed)
    }
}

/// Hyper-parameters in words, such as `momentum=0.9 width=64`; empty without any. Groups and brackets go by them.
#[must_use]
pub fn parameters_in_words(parameters: &BTreeMap<String, Parameter>) -> String {
    let words: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    words.join(" ")
}

/// Four digits are enough to tell learning rates apart.
fn short(value: f64) -> String {
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    if (1e-3..1e4).contains(&rounded) { format!("{rounded}") } else { format!("{rounded:e}") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A trial of a command.
    pub(crate) fn spec(batch: u64, learning_rate: f64, seed: u64) -> TrialSpec {
        TrialSpec {
            version: VERSION,
            trainer: TrainerSpec::Command { command: vec!["train".to_owned()], files: BTreeMap::new() },
            batch,
            learning_rate,
            seed,
            parameters: BTreeMap::new(),
            schedule: "constant".to_owned(),
            examples: 100_000,
            seconds: None,
            evaluate_examples: Some(1000),
            judge: Judge::LOSS,
            target: Some("loss <= 0.1".parse().unwrap()),
            confirm: 1,
            patience_examples: None,
            pruning: None,
            code: "1".to_owned(),
        }
    }

    #[test]
    fn the_name_follows_from_the_configuration_alone() {
        let one = spec(64, 0.1, 1);
        let again = TrialSpec::read(&one.canonical().unwrap()).unwrap();
        assert_eq!((again.id().unwrap(), &again), (one.id().unwrap(), &one));
        let mut others = vec![spec(32, 0.1, 1), spec(64, 0.2, 1), spec(64, 0.1, 2)];
        let mut other = one.clone();
        other.parameters.insert("momentum".to_owned(), Parameter::Number(0.9));
        others.push(other);
        others.push(TrialSpec { code: "2".to_owned(), ..one.clone() });
        others.push(TrialSpec { pruning: Some("halving".to_owned()), ..one.clone() });
        let mut ids: Vec<String> = others.iter().map(|s| s.id().unwrap()).collect();
        ids.push(one.id().unwrap());
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 7);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(spec(1, f64::NAN, 1).id().is_err());
        let newer = spec(1, 0.1, 1).canonical().unwrap().replace("\"version\":1", "\"version\":9");
        assert!(TrialSpec::read(&newer).unwrap_err().to_string().contains("version 9"));
        assert!(TrialSpec::read("{}").is_err());
    }

    #[test]
    fn labels_are_short() {
        assert_eq!(spec(64, 0.1 * 2f64.sqrt(), 1).label(), "batch 64 lr 0.1414 seed 1");
        assert_eq!(spec(64, 1e-5, 1).label(), "batch 64 lr 1e-5 seed 1");
    }
}
