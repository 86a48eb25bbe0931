//! What stands in a plan.

use super::error::{PlanError, line_of, locate};
use super::{Plan, checked};
use crate::trial::Parameter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A plan as it is written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// Name of the sweep: letters, digits, `-`, `_` and `.`; the file's own name unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many seeds, or which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seeds: Option<SeedsFile>,
    /// What trains.
    pub trainer: TrainerFile,
    /// The batch sizes.
    pub batch: BatchFile,
    /// The learning rates.
    pub lr: LrFile,
    /// Further hyper-parameters by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, ParameterFile>,
    /// Points spread over the ranges, in place of their whole grid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<SampleFile>,
    /// How long each run is, and what it is to reach.
    pub run: RunFile,
    /// What trials may take.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: LimitsFile,
    /// When trials are stopped because others are better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prune: Option<PruneFile>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How many seeds, or which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number of seeds such as 3, or a list of seeds such as [1, 2, 3]")]
pub enum SeedsFile {
    /// So many, from 1 on.
    Count(u64),
    /// These.
    List(Vec<u64>),
}

/// What trains: a workload of the program by `model` and `data`, or another program by `command`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainerFile {
    /// The workload's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The data set, as after --data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The optimizer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<String>,
    /// The device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Program and arguments, with placeholders such as `{batch}`; it runs in the plan's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Files that the command is made of: where they change, its trials are others. Unless given, all arguments that are
    /// files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<String>>,
    /// Examples in the training set of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_size: Option<u64>,
    /// What a batch size counts, in the plural, such as `sequences`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// The batch sizes: `values`, or `from` and `to` by `factor`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchFile {
    /// These.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<u64>>,
    /// The smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// From one to the next; 2 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
}

/// The learning rates: `values`; or `from` and `to` by `factor`; or a bracket of `points` around `start`, widened until
/// the best is inside.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrFile {
    /// These.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<f64>>,
    /// The smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<f64>,
    /// The largest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// From one to the next; 2 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The middle of a bracket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<f64>,
    /// Learning rates that a bracket begins with; 3 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<u64>,
    /// How often a bracket is widened at most; 12 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widenings: Option<u64>,
    /// How learning rates follow the batch size from `at_batch`: `none`, `sqrt`, `linear`, or `power` with `exponent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Exponent of the rule `power`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponent: Option<f64>,
    /// The batch size at which the learning rates hold as they stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_batch: Option<u64>,
}

/// A hyper-parameter: one value, a list of values, or a range for `[sample]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a value, a list of values, or a range such as { from = 0.1, to = 1, log = true }"
)]
pub enum ParameterFile {
    /// The same in all trials.
    One(Parameter),
    /// Each in turn.
    Many(Vec<Parameter>),
    /// Anything between.
    Range(RangeFile),
}

/// A range of a hyper-parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeFile {
    /// The smallest.
    pub from: f64,
    /// The largest.
    pub to: f64,
    /// Whether equal ratios are equally likely.
    #[serde(default)]
    pub log: bool,
}

/// Points spread evenly over all ranges at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleFile {
    /// How many.
    pub points: u64,
    /// Where the sequence begins.
    #[serde(default)]
    pub skip: u64,
}

/// How long each run is, and what it is to reach.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The most that a run may take: `10 epochs`, `600000ex`, `5000 steps` or `60 s`.
    pub budget: String,
    /// What ends a run: `accuracy >= 0.9`, `loss <= 0.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Evaluations running that must meet the target; 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<u32>,
    /// What is judged where there is no target: `loss`, `train_loss`, `accuracy`, `metric`, `metric down`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// From one evaluation to the next: `1 epoch`, `5%`, `20000ex`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_every: Option<String>,
    /// Schedule of the learning rate without its peak: `constant`, `warmup 5% then cosine to 0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// A run ends where nothing was better for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<String>,
}

/// What trials may take.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    /// Trials at once; unless given as many as cores and memory allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u64>,
    /// Threads of each trial; 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Memory of all trials together, such as `8GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Seconds of one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Seconds without a line after which a command is taken to hang; 600 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence: Option<f64>,
    /// The most that a command may print, such as `64MiB`, which it is unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// How often a trial is tried again that failed; 2 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u64>,
    /// Which trials come first: `plan` (in the plan's order), `short`, `long`; `long` unless given, which keeps all cores
    /// busy to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

/// Successive halving: at each rung the best part of the runs of a batch size goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruneFile {
    /// The first rung, in examples (`1 epoch`, `20000ex`) or seconds (`20 s`).
    pub first: String,
    /// From one rung to the next, and the part that goes on; 3 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
}

impl PlanFile {
    /// Reads a plan; `file` is what it is called in errors.
    ///
    /// # Errors
    /// Text that is no plan, with line and key.
    pub fn parse(file: &str, text: &str) -> Result<Self, PlanError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            let problem = error.message().trim().replace('\n', "; ");
            PlanError { file: file.to_owned(), line, key: String::new(), problem }
        })
    }

    /// Reads and checks a plan.
    ///
    /// # Errors
    /// Text that is no plan, values that are not allowed, with line and key.
    pub fn read(file: &str, text: &str, name: &str) -> Result<Plan, PlanError> {
        let plan = Self::parse(file, text)?;
        checked::check(&plan, name).map_err(|problem| PlanError {
            file: file.to_owned(),
            line: locate(text, &problem.key),
            key: problem.key,
            problem: problem.problem,
        })
    }

    /// Checks a plan that was put together from flags.
    ///
    /// # Errors
    /// Values that are not allowed, with their key.
    pub fn check(&self, name: &str) -> Result<Plan, PlanError> {
        checked::check(self, name).map_err(|problem| PlanError {
            file: "the flags".to_owned(),
            line: None,
            key: problem.key,
            problem: problem.problem,
        })
    }

    /// The plan as TOML.
    ///
    /// # Errors
    /// Numbers that TOML cannot hold.
    pub fn to_toml(&self) -> Result<String, PlanError> {
        toml::to_string(self).map_err(|error| PlanError {
            file: "the plan".to_owned(),
            line: None,
            key: String::new(),
            problem: error.to_string(),
        })
    }
}
