//! What a sweep tells while it runs.

use crate::trial::EndKind;

/// What happens, for whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Something worth a line.
    Note(String),
    /// A trial has a result.
    Done {
        /// The trial in a few words.
        trial: String,
        /// What it brought, in words.
        result: String,
    },
    /// An attempt ended without a result.
    Ended {
        /// The trial in a few words.
        trial: String,
        /// What kind of end.
        kind: EndKind,
        /// The reason in words.
        reason: String,
        /// Whether it is tried again.
        again: bool,
    },
    /// How everything stands; twice a second.
    Table(Table),
}

/// How a sweep stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Trials that run.
    pub running: Vec<Row>,
    /// Trials with a result.
    pub done: usize,
    /// Trials that were given up.
    pub failed: usize,
    /// Trials that wait.
    pub waiting: usize,
    /// Whether more may be asked for.
    pub may_grow: bool,
    /// Whether the user has paused it.
    pub is_paused: bool,
    /// Seconds left for the trials that are known, if that can be said.
    pub seconds_left: Option<f64>,
}

/// A trial that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The trial in a few words.
    pub trial: String,
    /// Examples processed.
    pub examples: u64,
    /// Of so many at most.
    pub of: u64,
    /// The judged value, last.
    pub value: Option<f64>,
    /// Seconds since it was started.
    pub seconds: f64,
    /// Seconds left at most.
    pub seconds_left: Option<f64>,
}
