//! The time of each phase, as a table.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The time of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The name of its span.
    pub name: String,
    /// How often it was passed through.
    pub count: u64,
    /// Seconds in it, with the phases within it.
    pub inclusive_seconds: f64,
    /// Seconds in it and in no phase within it.
    pub exclusive_seconds: f64,
    /// Its part of the exclusive time of all phases, in [0, 1].
    pub share: f64,
}

/// The time of all phases; prints as an aligned table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseTable {
    /// By exclusive time, the longest first.
    pub phases: Vec<Phase>,
    /// Seconds since the clock was started.
    pub elapsed_seconds: f64,
    /// Threads that passed through a phase. With more than one the times add up to more than has elapsed.
    pub n_threads: u64,
}

impl PhaseTable {
    /// The phase of that name, if it occurred.
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    /// Seconds of exclusive time in all phases.
    pub fn phase_seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.exclusive_seconds).sum()
    }

    /// Seconds that were spent in no phase; `None` where several threads passed through phases, and there is no such
    /// thing.
    pub fn other_seconds(&self) -> Option<f64> {
        (self.n_threads <= 1).then(|| (self.elapsed_seconds - self.phase_seconds()).max(0.0))
    }
}

impl fmt::Display for PhaseTable {
    /// `each` is the inclusive time of one pass.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["phase", "count", "own s", "share", "with inner s", "each ms"].map(str::to_owned);
        let rows = self.phases.iter().map(|phase| {
            [
                phase.name.clone(),
                phase.count.to_string(),
                format!("{:.3}", phase.exclusive_seconds),
                format!("{:.1} %", 100.0 * phase.share),
                format!("{:.3}", phase.inclusive_seconds),
                format!("{:.3}", 1e3 * phase.inclusive_seconds / phase.count.max(1) as f64),
            ]
        });
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: [usize; 6] = std::array::from_fn(width);
        for row in &rows {
            write!(f, "{:<1$}", row[0], widths[0])?;
            for (cell, width) in row.iter().zip(widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        match self.other_seconds() {
            Some(other) => {
                write!(f, "{:.3} s in all, {other:.3} s of it in no phase", self.elapsed_seconds)
            }
            None => write!(f, "{:.3} s in all, on {} threads", self.elapsed_seconds, self.n_threads),
        }
    }
}
