//! What can be wrong with the store.

use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

/// What can be wrong with the store. The trials' files are the truth, so none of these loses a result.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another program is writing to it, or keeps it from being replaced, for longer than was waited.
    #[error("{} is in use by another program: wait until that is done, and try again", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// It is no database, is damaged, or is the database of another program.
    #[error(
        "{} is no store that can be read ({reason}): it holds nothing but a copy, delete it or make it anew by `runs rebuild`",
        path.display()
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer version of the program wrote it.
    #[error(
        "{} is of version {found}, but this program knows up to {known}: use the newer program, or make it anew by `runs rebuild`",
        path.display()
    )]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that is known.
        known: i64,
    },
    /// The database, the disk, or a mistake of ours.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts out what SQLite said of the store at `path`.
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, reason: source.to_string() }
            }
            _ => Self::Sqlite { path, source },
        }
    }

    /// Whether the user can do something about it.
    #[must_use]
    pub fn is_for_the_user(&self) -> bool {
        !matches!(self, Self::Sqlite { .. })
    }
}
