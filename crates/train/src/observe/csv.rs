//! Records as tables of comma-separated values.

use super::append::{AppendFile, check_lines};
use super::{EvaluationRecord, ObserveError, Observer, Record};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Which rows a [`Csv`] holds. A table has one kind of row, so that no reader meets cells that are empty by design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// A row for each [`Record`], without its groups.
    Steps,
    /// A row for each [`EvaluationRecord`].
    Evaluations,
    /// A row for each parameter group of each [`Record`].
    Groups,
}

impl Table {
    /// The first line: the fields' names. φ has four: its grade, and where they exist its value and interval.
    fn header(self) -> &'static str {
        match self {
            Self::Steps => {
                "examples,steps,epoch,seconds,batch,batch_size,n_micro_batches,loss,learning_rate,gradient_norm,\
                 update_norm,clipped,skipped,g2,tr_sigma,n_readings,phi_grade,phi,phi_low,phi_high,\
                 examples_per_second,data_wait_seconds\n"
            }
            Self::Evaluations => "examples,steps,seconds,set,loss,loss_error,accuracy,accuracy_error\n",
            Self::Groups => "examples,steps,group,g2,tr_sigma,n_readings\n",
        }
    }
}

/// Writes one table: a header, then a row for each record of its kind; other records pass it by.
///
/// As RFC 4180 has it, but for lines that end in a line feed. Numbers are written with as many digits as tell them apart
/// from all others, `inf` and `NaN` where they are not finite; what was not measured is an empty cell.
#[derive(Debug)]
pub struct Csv {
    file: AppendFile,
    table: Table,
}

impl Csv {
    /// Starts a file with its header, in place of any of that name.
    ///
    /// # Errors
    /// A path that cannot be written.
    pub fn create(path: &Path, table: Table) -> Result<Self, ObserveError> {
        let mut file = AppendFile::create(path)?;
        file.append(table.header().as_bytes())?;
        Ok(Self { file, table })
    }

    /// Goes on with a file after the first `length` bytes, as [`Observer::sync`] counted them; what follows is cut off.
    ///
    /// # Errors
    /// No such file; a shorter one; one with another header; a length inside a row.
    pub fn resume(path: &Path, table: Table, length: u64) -> Result<Self, ObserveError> {
        let (file, ()) =
            AppendFile::resume(path, length, |file| check_lines(path, file, length, table.header()))?;
        Ok(Self { file, table })
    }
}

impl Observer for Csv {
    fn record(&mut self, record: &Record) -> Result<(), ObserveError> {
        let mut rows = String::new();
        match self.table {
            Table::Steps => push(&mut rows, &step(record)),
            Table::Groups => {
                for (name, g2, tr_sigma) in record.groups.iter().flatten() {
                    let r = record;
                    let cells = [
                        r.examples.to_string(),
                        r.steps.to_string(),
                        quoted(name),
                        number(*g2),
                        number(*tr_sigma),
                        r.n_readings.to_string(),
                    ];
                    push(&mut rows, &cells);
                }
            }
            Table::Evaluations => {}
        }
        if rows.is_empty() { Ok(()) } else { self.file.append(rows.as_bytes()) }
    }

    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), ObserveError> {
        if self.table != Table::Evaluations {
            return Ok(());
        }
        let cells = [
            record.examples.to_string(),
            record.steps.to_string(),
            number(record.seconds),
            quoted(&record.set),
            number(record.loss),
            optional(record.loss_error),
            optional(record.accuracy),
            optional(record.accuracy_error),
        ];
        let mut row = String::new();
        push(&mut row, &cells);
        self.file.append(row.as_bytes())
    }

    fn sync(&mut self) -> Result<u64, ObserveError> {
        self.file.sync()
    }

    fn path(&self) -> Option<&Path> {
        Some(self.file.path())
    }
}

fn step(record: &Record) -> [String; 22] {
    let phi = record.phi.as_ref();
    [
        record.examples.to_string(),
        record.steps.to_string(),
        number(record.epoch),
        number(record.seconds),
        record.batch.to_string(),
        record.batch_size.to_string(),
        record.n_micro_batches.to_string(),
        number(record.loss),
        number(record.learning_rate),
        optional(record.gradient_norm),
        optional(record.update_norm),
        optional(record.clipped),
        record.skipped.to_string(),
        optional(record.g2),
        optional(record.tr_sigma),
        record.n_readings.to_string(),
        phi.map_or_else(String::new, |phi| phi.grade().to_owned()),
        optional(phi.and_then(|phi| phi.value())),
        optional(phi.and_then(|phi| phi.low())),
        optional(phi.and_then(|phi| phi.high())),
        number(record.examples_per_second),
        number(record.data_wait_seconds),
    ]
}

fn push(rows: &mut String, cells: &[String]) {
    rows.push_str(&cells.join(","));
    rows.push('\n');
}

/// The shortest text that reads back as the same number.
fn number(x: f64) -> String {
    format!("{x:?}")
}

fn optional(x: Option<f64>) -> String {
    x.map(number).unwrap_or_default()
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
