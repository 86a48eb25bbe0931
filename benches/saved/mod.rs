//! Results of the criterion benches that are kept by name, to compare later ones with.

mod compare;
mod estimates;
mod foreign;
mod machine;

pub use compare::{Change, Verdict, compare, report};
pub use estimates::{Estimate, Estimates, Interval, read_since};
pub use foreign::Ticks;
pub use machine::{Machine, commit, utc};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What a run of the benches came to, and where and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Where it ran.
    pub machine: Machine,
    /// The commit of the source, marked where the tree differed from it.
    pub commit: Option<String>,
    /// When, in UTC.
    pub date: String,
    /// Share of the machine that others used meanwhile, where the system tells.
    pub foreign: Option<f64>,
    /// By the name of the bench.
    pub benches: BTreeMap<String, Estimates>,
}

impl Saved {
    /// Reads a file that [`Saved::write`] wrote.
    ///
    /// # Errors
    /// A file that is missing or does not read.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_string_pretty(self)?)
    }
}
