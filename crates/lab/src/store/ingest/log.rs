//! What the logs of a trial's attempts say.

use super::{Ingested, count, json};
use crate::LabError;
use crate::store::StoreError;
use crate::store::log_reader::{LogReader, NumberedLine, Position};
use crate::trial::{AttemptEnd, LogLine};
use rusqlite::{Connection, Result as Sql, params};
use std::path::{Path, PathBuf};

/// Where an attempt stands whose log was not met this time.
const NOWHERE: i64 = -1;

/// Takes the places of a trial's attempts, before those whose logs are there get theirs.
pub(super) fn take_places(connection: &Connection, trial: i64) -> Sql<usize> {
    connection.execute("UPDATE attempts SET position = ?2 WHERE trial = ?1", [trial, NOWHERE])
}

/// Forgets the attempts whose logs are gone.
pub(super) fn forget_without_place(connection: &Connection, trial: i64) -> Sql<usize> {
    let gone = "(SELECT key FROM attempts WHERE trial = ?1 AND position = ?2)";
    connection
        .execute(&format!("DELETE FROM metrics WHERE trial = ?1 AND attempt IN {gone}"), [trial, NOWHERE])?;
    connection.execute("DELETE FROM attempts WHERE trial = ?1 AND position = ?2", [trial, NOWHERE])
}

/// Reads the new lines of a log into the tables.
pub(super) fn ingest(
    connection: &Connection,
    path: &Path,
    log: PathBuf,
    trial: i64,
    (key, from): (i64, Position),
) -> Result<Ingested, LabError> {
    let wrong = |source| StoreError::sqlite(path, source);
    let mut reader = LogReader::open(log, from)?;
    if reader.is_anew {
        forget_lines(connection, trial, key).map_err(wrong)?;
    }
    let before = reader.position;
    let mut lines = 0;
    loop {
        let rows = reader.rows()?;
        if rows.is_empty() {
            break;
        }
        lines += write_lines(connection, trial, key, &rows).map_err(wrong)?;
    }
    if reader.position != before {
        let measured = reader.end.clone().flatten().as_ref().map(json).transpose()?;
        finish_attempt(connection, key, &reader, measured.as_deref()).map_err(wrong)?;
    }
    Ok(Ingested { lines, bad_lines: reader.position.bad_lines - before.bad_lines })
}

/// Writes the row of an attempt but for what its log says; returns its key and how far the log was read.
pub(super) fn write_attempt(
    connection: &Connection,
    trial: i64,
    log: &str,
    end: Option<&AttemptEnd>,
    place: i64,
) -> Sql<(i64, Position)> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO attempts (trial, log, position, ended_at, end_kind, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (trial, log) DO UPDATE SET position = ?3, ended_at = ?4, end_kind = ?5, reason = ?6
         RETURNING key, read_bytes, read_lines, bad_lines",
    )?;
    let (at, kind, reason) =
        (end.map(|end| count(end.at)), end.map(|end| end.kind.name()), end.map(|end| end.reason.as_str()));
    upsert.query_row(params![trial, log, place, at, kind, reason], |row| {
        let number = |column| row.get::<_, i64>(column).map(|n| n.max(0) as u64);
        Ok((row.get(0)?, Position { bytes: number(1)?, lines: number(2)?, bad_lines: number(3)? }))
    })
}

fn finish_attempt(
    connection: &Connection,
    key: i64,
    reader: &LogReader,
    measured: Option<&str>,
) -> Sql<usize> {
    let position = reader.position;
    let mut update = connection.prepare_cached(
        "UPDATE attempts SET read_bytes = ?2, read_lines = ?3, bad_lines = ?4,
             begun_at = coalesce(begun_at, ?5), measured = CASE WHEN ?6 THEN ?7 ELSE measured END
         WHERE key = ?1",
    )?;
    update.execute(params![
        key,
        count(position.bytes),
        count(position.lines),
        count(position.bad_lines),
        reader.begin.as_ref().map(|begin| count(begin.at)),
        reader.end.is_some(),
        measured,
    ])
}

/// Writes lines of a log; returns how many were new.
fn write_lines(connection: &Connection, trial: i64, attempt: i64, rows: &[NumberedLine]) -> Sql<u64> {
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO metrics VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    let mut n = 0;
    for NumberedLine { number, line } in rows {
        let number = count(*number);
        n += match line {
            LogLine::Step { examples, steps, seconds, train_loss, micro_norm2, batch_norm2, micro_batch } => {
                insert.execute(params![
                    trial,
                    attempt,
                    number,
                    "step",
                    count(*examples),
                    count(*steps),
                    seconds,
                    train_loss,
                    None::<f64>,
                    None::<f64>,
                    micro_norm2,
                    batch_norm2,
                    micro_batch.map(count),
                ])?
            }
            LogLine::Evaluation { seconds, evaluation } => insert.execute(params![
                trial,
                attempt,
                number,
                "evaluation",
                count(evaluation.examples),
                count(evaluation.steps),
                seconds,
                evaluation.train_loss,
                evaluation.loss,
                evaluation.metric,
                None::<f64>,
                None::<f64>,
                None::<i64>,
            ])?,
            LogLine::Begin(_) | LogLine::Text { .. } | LogLine::End(_) => 0,
        } as u64;
    }
    Ok(n)
}

/// Forgets what was read of a log that was cut.
fn forget_lines(connection: &Connection, trial: i64, attempt: i64) -> Sql<()> {
    connection.execute("DELETE FROM metrics WHERE trial = ?1 AND attempt = ?2", [trial, attempt])?;
    connection
        .execute("UPDATE attempts SET begun_at = NULL, measured = NULL WHERE key = ?1", [attempt])
        .map(drop)
}
