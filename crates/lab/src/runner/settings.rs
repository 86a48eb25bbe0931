//! What a sweep runs with.

use crate::process::ChildCommand;
use crate::sweep::Root;
use std::path::PathBuf;

/// What a sweep runs with, beside its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where trials and sweeps lie.
    pub root: Root,
    /// How to start a child that makes an attempt.
    pub child: ChildCommand,
    /// Where a command runs: the plan's folder.
    pub folder: PathBuf,
    /// Where named data sets are.
    pub data_dir: Option<PathBuf>,
    /// Trials at once, at least 1.
    pub jobs: u64,
    /// Bytes that all trials may take together.
    pub memory: u64,
    /// Whether that limit is the user's, and so enforced in each trial.
    pub memory_is_given: bool,
    /// Whether to wait where another runner holds the root.
    pub wait: bool,
    /// Whether trials that were given up are tried again.
    pub retry_failed: bool,
    /// Whether pilots say first what trials will take.
    pub pilots: bool,
    /// What the sweep's file says of the machine: version, device, platform.
    pub machine: std::collections::BTreeMap<String, String>,
    /// What trains, in words.
    pub trainer: String,
    /// What a batch size counts, in the plural.
    pub unit: String,
}
