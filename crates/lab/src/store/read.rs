//! Rows of tables as the types of trials.

use super::StoreError;
use crate::LabError;
use crate::trial::{Attempt, AttemptEnd, State, TrialRecord};
use rusqlite::{Result as Sql, Row};
use serde::de::DeserializeOwned;
use std::path::Path;

/// The columns of a trial that [`RawTrial::of`] takes, in its order.
pub(super) const TRIAL: &str = "trials.key, trials.id, trials.spec, trials.state, trials.result, trials.measured, \
    trials.failed_at, trials.failed_kind, trials.failed_reason, trials.differs";

/// The columns of an attempt that [`RawAttempt::of`] takes, in its order.
pub(super) const ATTEMPT: &str = "trial, log, begun_at, ended_at, end_kind, reason";

/// The row of a trial, before its texts are read.
pub(super) struct RawTrial {
    pub(super) key: i64,
    id: String,
    spec: String,
    state: String,
    result: Option<String>,
    measured: Option<String>,
    failed: RawEnd,
    differs: bool,
}

impl RawTrial {
    pub(super) fn of(row: &Row<'_>) -> Sql<Self> {
        Ok(Self {
            key: row.get(0)?,
            id: row.get(1)?,
            spec: row.get(2)?,
            state: row.get(3)?,
            result: row.get(4)?,
            measured: row.get(5)?,
            failed: RawEnd::of(row, 6)?,
            differs: row.get(9)?,
        })
    }

    pub(super) fn record(self, path: &Path, attempts: Vec<Attempt>) -> Result<TrialRecord, LabError> {
        Ok(TrialRecord {
            spec: json(path, &self.spec)?,
            state: named::<State>(path, &self.state)?,
            result: optional_json(path, self.result.as_deref())?,
            measured: optional_json(path, self.measured.as_deref())?,
            failed: self.failed.end(path)?,
            attempts,
            id: self.id,
            differs: self.differs,
        })
    }
}

/// The row of an attempt, before its texts are read.
pub(super) struct RawAttempt {
    /// Key of its trial.
    pub(super) trial: i64,
    log: String,
    at: Option<i64>,
    end: RawEnd,
}

impl RawAttempt {
    pub(super) fn of(row: &Row<'_>) -> Sql<Self> {
        Ok(Self { trial: row.get(0)?, log: row.get(1)?, at: row.get(2)?, end: RawEnd::of(row, 3)? })
    }

    pub(super) fn attempt(self, path: &Path) -> Result<Attempt, LabError> {
        Ok(Attempt { log: self.log, at: number(self.at.unwrap_or(0)), end: self.end.end(path)? })
    }
}

/// Three columns that tell how something ended.
struct RawEnd {
    at: Option<i64>,
    kind: Option<String>,
    reason: Option<String>,
}

impl RawEnd {
    fn of(row: &Row<'_>, first: usize) -> Sql<Self> {
        Ok(Self { at: row.get(first)?, kind: row.get(first + 1)?, reason: row.get(first + 2)? })
    }

    fn end(self, path: &Path) -> Result<Option<AttemptEnd>, LabError> {
        let Some(kind) = self.kind else { return Ok(None) };
        let (at, reason) = (number(self.at.unwrap_or(0)), self.reason.unwrap_or_default());
        Ok(Some(AttemptEnd { at, kind: named(path, &kind)?, reason }))
    }
}

/// A count, which is never below 0.
pub(super) fn number(n: i64) -> u64 {
    n.max(0) as u64
}

/// A value whose JSON the store at `path` holds.
fn json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, LabError> {
    serde_json::from_str(text).map_err(|error| damaged(path, error.to_string()))
}

/// As above, where there may be none.
pub(super) fn optional_json<T: DeserializeOwned>(
    path: &Path,
    text: Option<&str>,
) -> Result<Option<T>, LabError> {
    text.map(|text| json(path, text)).transpose()
}

/// A value that the store holds by its name.
fn named<T: DeserializeOwned>(path: &Path, name: &str) -> Result<T, LabError> {
    let value = serde_json::Value::String(name.to_owned());
    serde_json::from_value(value).map_err(|error| damaged(path, error.to_string()))
}

fn damaged(path: &Path, reason: String) -> LabError {
    StoreError::Damaged { path: path.to_owned(), reason }.into()
}
