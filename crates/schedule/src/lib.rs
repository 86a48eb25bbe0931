//! Learning rates and batch sizes over a run, and how they follow a change of batch size.
//!
//! A schedule here is a pure function of [`Examples`] processed so far, never of steps: changing the
//! batch size changes no schedule by accident. (Schedules that count steps stretch or shrink with the
//! batch; a warmup in steps then lasts longer and a decay never ends.)
//!
//! - [`progress`]: the clock, as types, so that steps are never added to examples.
//! - [`length`]: lengths in examples, tokens, epochs, or parts of the run.
//! - [`lr`]: learning-rate schedules, also as a text.
//! - [`batch`]: batch-size schedules, also as a text, together with the learning rate that follows them.
//! - [`controller`]: batch sizes that follow what a run measures.
//! - [`rules`]: how the learning rate follows a change of batch size.
//! - [`mod@change`]: one change of batch size that changes everything it must.
//! - [`text`]: how those texts are read.
//!
//! The crate never sees a tensor and keeps no state. With the feature `serde` what it describes, and what a controller
//! remembers, can be stored.

#![warn(missing_docs)]

pub mod batch;
pub mod change;
pub mod controller;
pub mod length;
pub mod lr;
pub mod progress;
pub mod rules;
pub mod text;

pub use batch::{BatchSchedule, BatchSpec, Pair};
pub use length::{Length, LengthError, RunLength};
pub use lr::{LrSpec, Schedule};
pub use progress::{Examples, LearningRate, Steps};
pub use rules::{Scaling, scale};
pub use text::SpecError;
