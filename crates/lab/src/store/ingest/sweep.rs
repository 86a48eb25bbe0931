//! What the file of a sweep says.

use super::json;
use crate::LabError;
use crate::store::Store;
use crate::sweep::SweepFile;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

impl Store {
    /// Takes in a sweep: its name and trials, in the place of what was known of it.
    ///
    /// # Errors
    /// Another program that holds the store; what SQLite says.
    pub fn ingest_sweep(&mut self, sweep: &SweepFile) -> Result<(), LabError> {
        let file = json(sweep)?;
        let write = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = "SELECT file FROM sweeps WHERE name = ?1";
            let before: Option<String> =
                transaction.query_row(before, [&sweep.name], |row| row.get(0)).optional()?;
            if before.as_ref() == Some(&file) {
                return Ok(());
            }
            let key: i64 = transaction.query_row(
                "INSERT INTO sweeps (name, trainer, unit, is_complete, file) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (name) DO UPDATE SET trainer = ?2, unit = ?3, is_complete = ?4, file = ?5
                 RETURNING key",
                params![sweep.name, sweep.trainer, sweep.unit, sweep.is_complete, file],
                |row| row.get(0),
            )?;
            transaction.execute("DELETE FROM sweep_trials WHERE sweep = ?1", [key])?;
            {
                let mut insert =
                    transaction.prepare_cached("INSERT INTO sweep_trials VALUES (?1, ?2, ?3)")?;
                for (trial, position) in sweep.trials.iter().zip(0i64..) {
                    insert.execute(params![key, position, trial])?;
                }
            }
            transaction.commit()
        };
        write(&mut self.connection).map_err(|source| self.wrong(source).into())
    }

    /// Forgets a sweep, whose files are gone.
    ///
    /// # Errors
    /// Another program that holds the store; what SQLite says.
    pub fn forget_sweep(&mut self, name: &str) -> Result<(), LabError> {
        let forgotten = self.connection.execute("DELETE FROM sweeps WHERE name = ?1", [name]);
        forgotten.map(drop).map_err(|source| self.wrong(source).into())
    }
}
