//! What the user wants of a sweep that runs elsewhere: files in its folder, which the runner looks at now and then.

use crate::LabError;
use crate::output::write_whole;
use crate::sweep::Root;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The wishes for one sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    folder: PathBuf,
}

impl Control {
    /// Of the sweep with this name.
    #[must_use]
    pub fn new(root: &Root, sweep: &str) -> Self {
        Self { folder: root.sweep(sweep).join("control") }
    }

    /// No further trial begins, and those that can store where they are stop.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn pause(&self) -> Result<(), LabError> {
        self.set("pause")
    }

    /// Trials begin again.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn resume(&self) -> Result<(), LabError> {
        self.unset("pause")
    }

    /// The sweep, or one trial of it, is given up.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn cancel(&self, trial: Option<&str>) -> Result<(), LabError> {
        match trial {
            None => self.set("cancel"),
            Some(trial) => self.set(&format!("cancel-{trial}")),
        }
    }

    /// A trial comes before all others.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn first(&self, trial: &str) -> Result<(), LabError> {
        self.set(&format!("first-{trial}"))
    }

    pub(super) fn is_paused(&self) -> bool {
        self.has("pause")
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.has("cancel")
    }

    pub(super) fn is_trial_cancelled(&self, trial: &str) -> bool {
        self.has(&format!("cancel-{trial}"))
    }

    pub(super) fn is_first(&self, trial: &str) -> bool {
        self.has(&format!("first-{trial}"))
    }

    /// Whether there is any wish at all.
    pub(super) fn is_any(&self) -> bool {
        self.folder.exists()
    }

    /// A cancelled sweep that is asked for again is wanted again.
    pub(super) fn begin(&self) -> Result<(), LabError> {
        self.unset("cancel")
    }

    /// A trial that was given up is wanted again.
    pub(super) fn want(&self, trial: &str) -> Result<(), LabError> {
        self.unset(&format!("cancel-{trial}"))
    }

    fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    fn set(&self, name: &str) -> Result<(), LabError> {
        fs::create_dir_all(&self.folder).map_err(|source| LabError::io("create", &self.folder, source))?;
        write_whole(&self.folder.join(name), b"")
    }

    fn unset(&self, name: &str) -> Result<(), LabError> {
        let path: &Path = &self.folder.join(name);
        match fs::remove_file(path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(LabError::io("remove", path, source)),
            _ => Ok(()),
        }
    }
}
