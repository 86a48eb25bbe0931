//! Taking in what the files of a trial or of a sweep say.

mod log;
mod sweep;
mod trial;

use super::signature::signature;
use super::{Store, StoreError};
use crate::LabError;
use crate::trial::TrialFolder;
use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

/// What was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Ingested {
    /// Lines of logs that are new in the table of metrics.
    pub lines: u64,
    /// Lines of logs that were met for the first time and are none.
    pub bad_lines: u64,
}

impl Store {
    /// Takes in all that the files of a trial say, as one transaction. What was taken in before is not read again: a log
    /// only grows. Doing it again changes nothing.
    ///
    /// # Errors
    /// Files that cannot be read or are none; another program that holds the store; what SQLite says.
    pub fn ingest(&mut self, folder: &TrialFolder) -> Result<Ingested, LabError> {
        // Before the files: what changes while they are read is taken in the next time.
        let signature = signature(folder)?;
        let trial = trial::Files::read(folder)?;
        let mut ingested = Ingested::default();
        let (connection, path) = (&mut self.connection, &self.path);
        let wrong = |source| StoreError::sqlite(path, source);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
        let key = trial.write(&transaction, folder.id()).map_err(wrong)?;
        log::take_places(&transaction, key).map_err(wrong)?;
        for ((name, end), place) in trial.logs.iter().zip(0..) {
            let attempt = log::write_attempt(&transaction, key, name, end.as_ref(), place).map_err(wrong)?;
            let n = log::ingest(&transaction, path, folder.path(name), key, attempt)?;
            ingested.lines += n.lines;
            ingested.bad_lines += n.bad_lines;
        }
        log::forget_without_place(&transaction, key).map_err(wrong)?;
        trial.finish(&transaction, path, key, signature)?;
        transaction.commit().map_err(wrong)?;
        if 0 < ingested.bad_lines {
            tracing::warn!(trial = folder.id(), lines = ingested.bad_lines, "lines of a log are none");
        }
        Ok(ingested)
    }

    /// Forgets a trial, whose files are gone.
    ///
    /// # Errors
    /// Another program that holds the store; what SQLite says.
    pub fn forget(&mut self, id: &str) -> Result<(), LabError> {
        let forget = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let of = "(SELECT key FROM trials WHERE id = ?1)";
            transaction.execute(&format!("DELETE FROM metrics WHERE trial = {of}"), [id])?;
            transaction.execute("DELETE FROM trials WHERE id = ?1", [id])?;
            transaction.commit()
        };
        forget(&mut self.connection).map_err(|source| self.wrong(source).into())
    }
}

/// A number for SQLite, whose whole numbers end at 2⁶³ − 1. No count that is real lies beyond.
fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn json<T: Serialize>(value: &T) -> Result<String, LabError> {
    serde_json::to_string(value).map_err(|error| LabError::protocol(error.to_string()))
}
