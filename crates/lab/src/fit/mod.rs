//! The statistics of batch size for measurements made anywhere: read, fitted, and answered in words, JSON and a picture.
//!
//! Read in the order of the data: [`Source`] → `record`, `object` and `table` (rows with their places) → one file for
//! each kind of measurement, which turns rows into the arguments of `batchwise-estimate` and its result into an
//! answer → `picture`. No formula stands here.

mod columns;
mod error;
mod object;
mod record;
mod source;
mod table;

pub use error::FitError;
pub use source::Source;
pub use table::FileRead;
