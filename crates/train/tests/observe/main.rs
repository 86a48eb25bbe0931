//! What observers write reads back, survives faults and resumes; the phases of a run are timed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod events;
mod faults;
mod files;
mod phases;
mod records;
mod resume;
mod tensorboard;
mod trace;
