//! What a child is asked to do for a trial, and what it answers.

use crate::trial::{AttemptEnd, Begin};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One attempt at a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The folder of all trials and sweeps.
    pub root: PathBuf,
    /// The trial.
    pub trial: String,
    /// Who asks: none where it was started by hand or by a cluster.
    pub runner: Option<String>,
    /// Where named data sets are.
    pub data_dir: Option<PathBuf>,
    /// Where a command runs: the plan's folder.
    pub folder: PathBuf,
    /// Examples of one forward and backward pass.
    pub micro_batch: u64,
    /// Threads to compute with.
    pub threads: u64,
    /// Bytes that training may take.
    pub limit_bytes: Option<u64>,
    /// Seconds of the attempt.
    pub seconds: Option<f64>,
    /// Seconds without a line after which a command is taken to hang.
    pub silence: f64,
    /// Bytes that a command may print.
    pub output: u64,
    /// A pilot: seconds after which it ends, bringing what it measured and no result.
    pub pilot: Option<f64>,
}

/// The child's last word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// The trial has a result.
    Result {
        /// Whether another attempt had brought other bytes.
        differs: bool,
    },
    /// The attempt ended without one, which is recorded in the trial's folder.
    Ended(AttemptEnd),
    /// What a pilot measured.
    Pilot(Pilot),
}

/// What a short run at the trial's settings takes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Pilot {
    /// Examples processed.
    pub examples: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Seconds of one evaluation on the way.
    pub evaluation_seconds: f64,
    /// Seconds from the start of the process until training began, and from its end to the result.
    pub fixed_seconds: f64,
    /// Most bytes that training took at once.
    pub peak_bytes: Option<u64>,
    /// Bytes that the trial's files take, its checkpoint among them.
    pub disk_bytes: u64,
}

/// What a child says on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum News {
    /// The attempt has begun.
    Begun {
        /// Name of its log.
        log: String,
        /// What stands in its first line.
        begin: Begin,
    },
    /// How far it is.
    At {
        /// Examples processed.
        examples: u64,
        /// Seconds of training.
        seconds: f64,
        /// The judged value of the last evaluation, where this is one.
        value: Option<f64>,
    },
}
