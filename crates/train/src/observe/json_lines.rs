//! Records as JSON lines.

use super::append::{AppendFile, check_lines};
use super::{EvaluationRecord, ObserveError, Observer, Record};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A line of the file: what it is stands under `kind`, as `step` or `evaluation`, beside the fields of the record.
///
/// ```
/// use batchwise_train::observe::Line;
/// let text = r#"{"kind":"evaluation","examples":512,"steps":2,"seconds":1.5,"set":"test","loss":"NaN"}"#;
/// let Line::Evaluation(record) = serde_json::from_str(text)? else { panic!("not the kind") };
/// assert!(record.loss.is_nan() && record.accuracy.is_none());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// A stretch of training.
    Step(Record),
    /// An evaluation.
    Evaluation(EvaluationRecord),
}

/// Writes every record as one line of JSON, a [`Line`], at once.
#[derive(Debug)]
pub struct JsonLines(AppendFile);

impl JsonLines {
    /// Starts a file, in place of any of that name.
    ///
    /// # Errors
    /// A path that cannot be written.
    pub fn create(path: &Path) -> Result<Self, ObserveError> {
        AppendFile::create(path).map(Self)
    }

    /// Goes on with a file after the first `length` bytes, as [`Observer::sync`] counted them; what follows is cut off.
    ///
    /// # Errors
    /// No such file; a shorter one; a length inside a line.
    pub fn resume(path: &Path, length: u64) -> Result<Self, ObserveError> {
        let (file, ()) = AppendFile::resume(path, length, |file| check_lines(path, file, length, ""))?;
        Ok(Self(file))
    }

    fn line(&mut self, line: &Borrowed<'_>) -> Result<(), ObserveError> {
        let mut text = serde_json::to_vec(line).map_err(|error| ObserveError::Other(error.into()))?;
        text.push(b'\n');
        self.0.append(&text)
    }
}

/// A [`Line`] that is not owned.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Borrowed<'a> {
    Step(&'a Record),
    Evaluation(&'a EvaluationRecord),
}

impl Observer for JsonLines {
    fn record(&mut self, record: &Record) -> Result<(), ObserveError> {
        self.line(&Borrowed::Step(record))
    }

    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), ObserveError> {
        self.line(&Borrowed::Evaluation(record))
    }

    fn sync(&mut self) -> Result<u64, ObserveError> {
        self.0.sync()
    }

    fn path(&self) -> Option<&Path> {
        Some(self.0.path())
    }
}
