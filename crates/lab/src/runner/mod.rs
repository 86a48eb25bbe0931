//! Runs trials: each in a child process with a folder of its own, as many at once as cores and memory allow.
//!
//! Two sides meet here. The child's: [`attempt()`] makes one attempt at one trial, of a workload of this program or of
//! another program that prints lines. The runner's: [`run()`] asks a plan for trials, starts children, and takes in how
//! they end. All that either must remember lies in files, so both may be killed at any moment.

mod attempt;
mod child;
mod command;
mod control;
mod event;
mod lock;
mod mark;
mod pilots;
mod predict;
mod request;
mod rungs;
mod settings;
mod strays;
mod sweep;
mod tuned;
mod workload;

pub use attempt::attempt;
pub use command::{PROTOCOL, shepherd};
pub use control::Control;
pub use event::{Event, Row, Table};
pub use predict::{Cost, Known, Pilots, makespan};
pub use request::{News, Pilot, Report, Request};
pub use settings::Settings;
pub use sweep::{Prediction, PredictionCheck, Swept, check_predictions, dry_run, run};
pub use workload::Make;
