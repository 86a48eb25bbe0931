//! Taking in what changed since the last time.

use super::Store;
use super::signature::signature;
use crate::LabError;
use crate::sweep::Root;
use serde::Serialize;
use std::collections::BTreeMap;

/// What [`Store::refresh`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Refreshed {
    /// Trials that were taken in, because they are new or have changed.
    pub trials: u64,
    /// Sweeps that were taken in, changed or not.
    pub sweeps: u64,
    /// Lines of logs that are new.
    pub lines: u64,
    /// Trials and sweeps that were forgotten, because their files are gone.
    pub forgotten: u64,
    /// What could not be read; all else was taken in.
    pub skipped: Vec<Skipped>,
}

/// A trial or sweep whose files could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Store {
    /// Takes in all trials and sweeps of `root` that are new or have changed, and forgets those whose files are gone.
    ///
    /// # Errors
    /// Folders that cannot be read; another program that holds the store; what SQLite says. A trial or sweep whose files
    /// cannot be read is no error but [`Refreshed::skipped`].
    pub fn refresh(&mut self, root: &Root) -> Result<Refreshed, LabError> {
        let mut refreshed = Refreshed::default();
        self.refresh_trials(root, &mut refreshed)?;
        self.refresh_sweeps(root, &mut refreshed)?;
        Ok(refreshed)
    }

    fn refresh_trials(&mut self, root: &Root, refreshed: &mut Refreshed) -> Result<(), LabError> {
        let known =
            self.rows("SELECT id, signature FROM trials", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut known: BTreeMap<String, i64> = known.into_iter().collect();
        for id in root.trial_names()? {
            let folder = root.trial(&id);
            let before = known.remove(&id);
            let ingested = match signature(&folder) {
                Ok(now) if before == Some(now) => continue,
                Ok(_) => self.ingest(&folder),
                Err(error) => Err(error),
            };
            match ingested {
                Ok(ingested) => {
                    refreshed.trials += 1;
                    refreshed.lines += ingested.lines;
                }
                Err(error) => refreshed.skip(id, error)?,
            }
        }
        for id in known.keys() {
            self.forget(id)?;
            refreshed.forgotten += 1;
        }
        Ok(())
    }

    fn refresh_sweeps(&mut self, root: &Root, refreshed: &mut Refreshed) -> Result<(), LabError> {
        let names = root.sweep_names()?;
        for name in &names {
            match root.read_sweep(name) {
                Ok(sweep) => {
                    self.ingest_sweep(&sweep)?;
                    refreshed.sweeps += 1;
                }
                Err(error) => refreshed.skip(name.clone(), error)?,
            }
        }
        for name in self.sweep_names()? {
            if !names.contains(&name) {
                self.forget_sweep(&name)?;
                refreshed.forgotten += 1;
            }
        }
        Ok(())
    }
}

impl Refreshed {
    /// Leaves out what cannot be read; what is wrong with the store itself is wrong for all.
    fn skip(&mut self, name: String, error: LabError) -> Result<(), LabError> {
        if matches!(error, LabError::Store(_)) {
            return Err(error);
        }
        let reason = error.to_string();
        tracing::warn!(name, reason, "left out of the store");
        self.skipped.push(Skipped { name, reason });
        Ok(())
    }
}
