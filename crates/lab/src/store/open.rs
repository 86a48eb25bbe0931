//! Opening the store.

use super::StoreError;
use super::schema::{MIGRATIONS, migrate};
use crate::LabError;
use crate::sweep::Root;
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The store of one root: a database that holds what the files of its trials and sweeps say, so that questions about all
/// of them are answered without reading them all. It may be deleted at any time.
///
/// Any number of programs may have it open; one writes at a time and the others wait for it.
#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    /// Shared by all that have the store open, so that nobody replaces it meanwhile.
    pub(super) held: File,
}

/// How to open the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSettings {
    /// How long to wait for another program that writes.
    pub wait: Duration,
}

impl Default for OpenSettings {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10) }
    }
}

/// Between two looks at a lock.
const PAUSE: Duration = Duration::from_millis(20);

impl Store {
    /// Opens the store of `root`, creating it where there is none, with the settings of every day.
    ///
    /// # Errors
    /// As [`Store::open_with`].
    pub fn open(root: &Root) -> Result<Self, LabError> {
        Self::open_with(root, &OpenSettings::default())
    }

    /// Opens the store of `root`, creating it where there is none.
    ///
    /// # Errors
    /// A file that is no store, is damaged or of a newer version; another program that holds it for longer than may be
    /// waited; what the system says.
    pub fn open_with(root: &Root, settings: &OpenSettings) -> Result<Self, LabError> {
        let path = root.store();
        let folder = root.folder();
        fs::create_dir_all(folder).map_err(|source| LabError::io("create", folder, source))?;
        let held = lock(root, settings.wait, false)?;
        let connection = connect(&path, settings.wait)?;
        Ok(Self { connection, path, held })
    }

    /// The database's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What SQLite said, about this store.
    pub(super) fn wrong(&self, source: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, source)
    }
}

/// A connection to the database at `path`, brought to the newest version.
pub(super) fn connect(path: &Path, wait: Duration) -> Result<Connection, StoreError> {
    let wrong = |source| StoreError::sqlite(path, source);
    let mut connection = Connection::open(path).map_err(wrong)?;
    connection.busy_timeout(wait).map_err(wrong)?;
    connection.set_prepared_statement_cache_capacity(64);
    journal_ahead(&connection, path, wait)?;
    // With a journal ahead a power cut costs the last transactions at worst, and those are in the files.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(wrong)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(wrong)?;
    migrate(&mut connection, path, MIGRATIONS)?;
    Ok(connection)
}

/// Turns the write-ahead log on. SQLite does not wait for others here, as it does elsewhere.
fn journal_ahead(connection: &Connection, path: &Path, wait: Duration) -> Result<(), StoreError> {
    let until = Instant::now() + wait;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Ok(()) => return Ok(()),
            Err(source) => match StoreError::sqlite(path, source) {
                StoreError::Locked { .. } if Instant::now() < until => std::thread::sleep(PAUSE),
                error => return Err(error),
            },
        }
    }
}

/// Takes the lock on the place of the store: shared to use what is there, alone to replace it. It is held until the
/// file is closed.
pub(super) fn lock(root: &Root, wait: Duration, alone: bool) -> Result<File, LabError> {
    let store = root.store();
    let path = store.with_extension("sqlite.lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|source| LabError::io("create", &path, source))?;
    let until = Instant::now() + wait;
    loop {
        match if alone { file.try_lock() } else { file.try_lock_shared() } {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: store }.into()),
            Err(TryLockError::Error(source)) => return Err(LabError::io("lock", &path, source)),
        }
    }
}
