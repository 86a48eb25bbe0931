//! What a run shows of itself: its course as files, and where its time goes.
//!
//! A run holds a list of [`Observer`]s and hands each the same [`Record`]s and [`EvaluationRecord`]s. Three write files:
//!
//! | observer | file | read by |
//! |---|---|---|
//! | [`JsonLines`] | one JSON object a line, each with its kind | `jq`, pandas |
//! | [`Csv`] | one table: steps, evaluations, or noise by parameter group | spreadsheets, pandas |
//! | [`TensorBoard`] | an event file, its step being *examples* | TensorBoard |
//!
//! All of them hold whole records only: a write that fails half way, on a full disk say, is taken back. A killed process
//! may still leave half a record behind, and records that its last checkpoint does not know of. So a checkpoint calls
//! [`Observer::sync`] and stores the length, and `resume` cuts the file to it: the resumed run goes on without a gap or
//! a double line.
//!
//! [`phases`] is about time: a table of the seconds per phase, and a trace for Perfetto.
//!
//! ```
//! use batchwise_train::observe::{Csv, JsonLines, Observer, Record, Table};
//! # let folder = std::env::temp_dir().join(format!("batchwise-observe-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! let mut observers: Vec<Box<dyn Observer>> = vec![
//!     Box::new(JsonLines::create(&folder.join("run.jsonl"))?),
//!     Box::new(Csv::create(&folder.join("steps.csv"), Table::Steps)?),
//! ];
//! let record = Record { examples: 256, steps: 1, loss: 2.3, learning_rate: 0.1, ..Record::default() };
//! for observer in &mut observers {
//!     observer.record(&record)?;
//! }
//! // What a checkpoint keeps, and a resumed run gives back.
//! let length = observers[0].sync()?;
//! observers[0] = Box::new(JsonLines::resume(&folder.join("run.jsonl"), length)?);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), batchwise_train::observe::ObserveError>(())
//! ```

mod append;
mod csv;
mod error;
mod json_lines;
mod number;
pub mod phases;
mod record;
mod tensorboard;

pub use csv::{Csv, Table};
pub use error::ObserveError;
pub use json_lines::{JsonLines, Line};
pub use record::{EvaluationRecord, PreconditionedSums, Record};
pub use tensorboard::{TensorBoard, event_file_name};

use std::path::Path;

/// What is told how a run goes: a writer of this module, or anything of the program's own, such as a progress bar.
pub trait Observer: Send {
    /// A stretch of training has passed.
    ///
    /// # Errors
    /// What the observer meets: a full disk, say. The record then left no trace, and the next may be tried.
    fn record(&mut self, record: &Record) -> Result<(), ObserveError>;

    /// An evaluation is done.
    ///
    /// # Errors
    /// As [`Observer::record`].
    fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), ObserveError>;

    /// Returns when everything is on the disk: the length of the file in bytes, for a checkpoint to keep; 0 from an
    /// observer without a file.
    ///
    /// # Errors
    /// A device that does not take what was written.
    fn sync(&mut self) -> Result<u64, ObserveError>;

    /// The file that is written, if any.
    fn path(&self) -> Option<&Path>;
}
