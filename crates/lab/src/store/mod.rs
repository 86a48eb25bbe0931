//! The store: a database of what the files of all trials and sweeps say.
//!
//! The files are the truth ([`crate::trial`], [`crate::sweep`]). The store repeats them so that many can be asked at once:
//! [`Store::ingest`] takes in one trial, [`Store::refresh`] all that changed since the last time, and
//! [`Store::rebuild`] makes the store anew, whatever state it is in. What it answers is what the files would:
//! [`Store::record`] equals [`crate::trial::TrialFolder::record`].

pub mod compare;
mod error;
pub mod export;
pub mod gc;
mod ingest;
mod log_reader;
mod open;
mod query;
mod read;
mod rebuild;
mod refresh;
mod schema;
mod signature;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use ingest::Ingested;
pub use open::{OpenSettings, Store};
pub use query::{BestEvaluation, Filter, Kind, Metric};
pub use rebuild::Rebuilt;
pub use refresh::{Refreshed, Skipped};
