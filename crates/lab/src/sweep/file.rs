//! Where sweeps and trials lie.
//!
//! ```text
//! <root>/runs/<id>/…          one folder for each trial, shared by all sweeps
//!        sweeps/<name>/plan.toml      the plan as it was given
//!                      sweep.json     its trials so far and how its brackets widened
//!                      report.html
//!        store.sqlite         a cache of the above, which can be made anew
//!        store.sqlite.lock    held by those who have the store open
//!        runner.lock          held by the runner that works here
//! ```

use crate::LabError;
use crate::output::write_whole;
use crate::trial::{TrialFolder, TrialRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder of all sweeps and trials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The root at `folder`, which need not exist.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The folder of the trials.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// The folder of the sweeps.
    #[must_use]
    pub fn sweeps(&self) -> PathBuf {
        self.0.join("sweeps")
    }

    /// The folder of one sweep.
    #[must_use]
    pub fn sweep(&self, name: &str) -> PathBuf {
        self.sweeps().join(name)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store.sqlite")
    }

    /// The folder of one trial.
    #[must_use]
    pub fn trial(&self, id: &str) -> TrialFolder {
        TrialFolder::new(&self.runs(), id)
    }

    /// Names of the trials that have a folder, sorted.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn trial_names(&self) -> Result<Vec<String>, LabError> {
        names(&self.runs(), "trial.json")
    }

    /// Names of the sweeps, sorted.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn sweep_names(&self) -> Result<Vec<String>, LabError> {
        names(&self.sweeps(), "sweep.json")
    }

    /// A sweep by name.
    ///
    /// # Errors
    /// A name that none has; a file that cannot be read.
    pub fn read_sweep(&self, name: &str) -> Result<SweepFile, LabError> {
        let path = self.sweep(name).join("sweep.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| LabError::Input(format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let there = self.sweep_names()?.join(", ");
                let there =
                    if there.is_empty() { "there is none".to_owned() } else { format!("there are {there}") };
                Err(LabError::Input(format!("no sweep `{name}` in {}: {there}", self.0.display())))
            }
            Err(source) => Err(LabError::io("read", &path, source)),
        }
    }

    /// The trials of a sweep, in its order.
    ///
    /// # Errors
    /// A trial whose files cannot be read.
    pub fn records(&self, sweep: &SweepFile) -> Result<Vec<TrialRecord>, LabError> {
        sweep.trials.iter().map(|id| self.trial(id).record()).collect()
    }
}

/// Folders that hold a file of this name.
fn names(folder: &Path, holds: &str) -> Result<Vec<String>, LabError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LabError::io("read", folder, source)),
    };
    let is_one = |entry: &fs::DirEntry| entry.path().join(holds).exists();
    let mut names: Vec<String> =
        entries.flatten().filter(is_one).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// A sweep as it stands in its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepFile {
    /// Version of this form.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// What trains, in words.
    pub trainer: String,
    /// What a batch size counts, in the plural.
    pub unit: String,
    /// Examples in the training set, where they are known.
    pub dataset_examples: Option<u64>,
    /// Names of its trials so far, in the order in which they were asked for.
    pub trials: Vec<String>,
    /// How the learning rates of each group were found.
    pub brackets: Vec<Bracket>,
    /// Whether nothing is left to do.
    pub is_complete: bool,
    /// What ran it: version, device, threads, jobs at once, platform.
    pub machine: BTreeMap<String, String>,
}

/// The learning rates of one batch size and one setting of the other hyper-parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bracket {
    /// The batch size.
    pub batch: u64,
    /// The other hyper-parameters, in words; empty where there are none.
    pub parameters: String,
    /// Learning rates tried, ascending.
    pub rates: Vec<f64>,
    /// How often it had to be widened.
    pub widened: u64,
    /// Whether the best is still the outermost.
    pub at_edge: bool,
}

impl SweepFile {
    /// Writes it into its folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, root: &Root) -> Result<(), LabError> {
        let folder = root.sweep(&self.name);
        fs::create_dir_all(&folder).map_err(|source| LabError::io("create", &folder, source))?;
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| LabError::protocol(error.to_string()))?;
        text.push('\n');
        write_whole(&folder.join("sweep.json"), text.as_bytes())
    }
}
