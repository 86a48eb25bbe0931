//! Probes in child processes, the advice procedure, sweeps of trials, and their reports.
//!
//! Implement [`Workload`] for your model; [`advise`] then measures memory, step time, gradient noise and a
//! learning rate, joins them into one recommendation, and confirms it by short trainings. Every measurement
//! runs in a child process ([`process`]), so one that is killed for memory takes nothing with it.
//!
//! A [`plan`] declares many trials; the [`runner`] runs them to the end whatever happens, with workloads or with any
//! program that prints lines; [`sweep`] says what they show together, and [`store`] answers questions about all of them.
//!
//! The crate prints nothing: it reports through callbacks, and the program decides what to show.

#![warn(missing_docs)]

pub mod advice;
pub mod advise;
pub mod bytes;
mod error;
pub mod fit;
mod hash;
pub mod output;
pub mod plan;
pub mod probe;
pub mod process;
mod prose;
pub mod provenance;
pub mod report;
pub mod runner;
pub mod simulate;
pub mod store;
pub mod sweep;
pub mod trial;
pub mod workload;

pub use error::LabError;
pub use hash::file_sha256;
pub use workload::Workload;
