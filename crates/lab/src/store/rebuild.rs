//! Making the store anew from the files.

use super::open::{connect, lock};
use super::{OpenSettings, Refreshed, Store, StoreError};
use crate::LabError;
use crate::sweep::Root;
use rusqlite::Connection;
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What [`Store::rebuild`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// The store.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// What was taken in.
    #[serde(flatten)]
    pub taken: Refreshed,
}

impl Store {
    /// Makes the store of `root` anew from the files of all trials and sweeps: a new database beside the old one, which is
    /// renamed over it once it is whole. The old one is not read and may be damaged.
    ///
    /// # Errors
    /// Another program that has the store open; what the system or SQLite says, which leaves the old store.
    pub fn rebuild(root: &Root, settings: &OpenSettings) -> Result<Rebuilt, LabError> {
        let (path, folder) = (root.store(), root.folder());
        fs::create_dir_all(folder).map_err(|source| LabError::io("create", folder, source))?;
        // Found out now, not after all files were read.
        let alone = lock(root, settings.wait, true)?;
        // Nobody else writes this one, because the lock is held.
        let beside = folder.join(".store.sqlite.partial");
        let built = build(root, &beside, settings).and_then(|taken| {
            retire(&path, settings)?;
            fs::rename(&beside, &path).map_err(|source| LabError::io("replace", &path, source))?;
            Ok(taken)
        });
        if built.is_err() {
            let _ = remove(&beside);
        }
        let taken = built?;
        drop(alone);
        let bytes = path.metadata().map_or(0, |metadata| metadata.len());
        Ok(Rebuilt { path, bytes, taken })
    }
}

/// Makes a whole database at `beside`, one file with no journal.
fn build(root: &Root, beside: &Path, settings: &OpenSettings) -> Result<Refreshed, LabError> {
    remove(beside)?;
    let connection = connect(beside, settings.wait)?;
    let held = fs::File::open(beside).map_err(|source| LabError::io("read", beside, source))?;
    let mut store = Store { connection, path: beside.to_owned(), held };
    let taken = store.refresh(root)?;
    let wrong = |source| StoreError::sqlite(beside, source);
    store.connection.execute_batch("PRAGMA optimize; PRAGMA journal_mode = DELETE;").map_err(wrong)?;
    let Store { connection, held, .. } = store;
    connection.close().map_err(|(_, source)| wrong(source))?;
    held.sync_all().map_err(|source| LabError::io("write", beside, source))?;
    Ok(taken)
}

/// Takes the journals of the old store away: they would be played into the new one. Before that the old store takes them
/// in, so that it stays whole until it is replaced.
fn retire(path: &Path, settings: &OpenSettings) -> Result<(), LabError> {
    let taken_in = || -> rusqlite::Result<()> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(settings.wait)?;
        connection.pragma_update(None, "journal_mode", "DELETE")
    };
    if path.exists()
        && let Err(source) = taken_in()
        && let error @ StoreError::Locked { .. } = StoreError::sqlite(path, source)
    {
        // A program that does not keep to our lock.
        return Err(error.into());
    }
    // What is damaged otherwise is of no use.
    ["-wal", "-shm", "-journal"].iter().try_for_each(|suffix| remove_one(&beside(path, suffix)))
}

/// Removes a database and its journals, if they are there.
fn remove(path: &Path) -> Result<(), LabError> {
    ["", "-wal", "-shm", "-journal"].iter().try_for_each(|suffix| remove_one(&beside(path, suffix)))
}

fn remove_one(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(LabError::io("remove", path, source)),
        _ => Ok(()),
    }
}

/// The file whose name ends in `suffix` in addition.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
