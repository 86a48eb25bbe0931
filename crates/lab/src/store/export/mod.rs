//! Trials and their courses as files that other programs read.

mod csv;
mod json_lines;
mod metrics;
#[cfg(feature = "parquet")]
mod parquet;
mod table;
#[cfg(test)]
mod tests;
mod trials;

use super::{Filter, Store, StoreError};
use crate::LabError;
use crate::output::write_whole_by;
use serde::Serialize;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use table::{Column, Sink};

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// One row for each trial: its configuration and what it brought.
    Trials,
    /// One row for each line of a log that holds numbers.
    Metrics,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated values with a header; what is not known is empty.
    Csv,
    /// An object of JSON in each line; what is not known is null.
    JsonLines,
    /// Parquet, every column optional.
    Parquet,
}

impl Format {
    /// The form that a file's name asks for: `.csv`, `.jsonl` or `.parquet`.
    ///
    /// # Errors
    /// Another ending; Parquet in a build without it.
    pub fn of(path: &Path) -> Result<Self, LabError> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl") => Ok(Self::JsonLines),
            Some("parquet") if cfg!(feature = "parquet") => Ok(Self::Parquet),
            Some("parquet") => Err(LabError::Input(
                "this build writes no Parquet: build it with the feature parquet, or write .csv or .jsonl"
                    .to_owned(),
            )),
            _ => Err(LabError::Input(format!(
                "the form of {} is not known: end its name in .csv, .jsonl or .parquet",
                path.display()
            ))),
        }
    }
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Its form.
    pub format: Format,
    /// What its rows are.
    pub what: What,
    /// How many there are.
    pub rows: u64,
}

impl Store {
    /// Writes the trials of a sweep or of all, or the lines of their logs, to a file in the form that its name asks for.
    /// The file is written whole or not at all.
    ///
    /// # Errors
    /// An ending that is not known; a sweep that is not in the store; what the system or SQLite says.
    pub fn export(&self, what: What, sweep: Option<&str>, path: &Path) -> Result<Exported, LabError> {
        let format = Format::of(path)?;
        if let Some(name) = sweep {
            self.need_sweep(name)?;
        }
        let mut rows = 0;
        write_whole_by(path, |file| {
            rows = match what {
                What::Trials => {
                    let records = self.records(&Filter { sweep, state: None })?;
                    let (columns, cells) = trials::table(&records);
                    let mut sink = open(format, columns, file, path)?;
                    let n = cells.len() as u64;
                    let written = cells.into_iter().try_for_each(|row| sink.row(row));
                    written.and_then(|()| sink.finish()).map_err(|source| failed(path, source))?;
                    n
                }
                What::Metrics => {
                    let mut sink = open(format, metrics::columns(), file, path)?;
                    let n =
                        self.each_metric(sweep, |row| sink.row(row).map_err(|source| failed(path, source)))?;
                    sink.finish().map_err(|source| failed(path, source))?;
                    n
                }
            };
            Ok(())
        })?;
        Ok(Exported { path: path.to_owned(), format, what, rows })
    }
}

fn failed(path: &Path, source: io::Error) -> LabError {
    LabError::io("write", path, source)
}

fn open<'a>(
    format: Format,
    columns: Vec<Column>,
    file: &'a mut File,
    path: &Path,
) -> Result<Box<dyn Sink + 'a>, LabError> {
    let opened: io::Result<Box<dyn Sink + 'a>> = match format {
        Format::Csv => csv::Csv::new(columns, file).map(|sink| Box::new(sink) as Box<dyn Sink>),
        Format::JsonLines => Ok(Box::new(json_lines::JsonLines::new(columns, file))),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::Parquet::new(columns, file).map(|sink| Box::new(sink) as Box<dyn Sink>),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(io::Error::from(io::ErrorKind::Unsupported)),
    };
    opened.map_err(|source| failed(path, source))
}
