//! Learning-rate schedules and batch-size scaling rules on the clock of examples.
//!
//! A schedule here is a pure function of [`Examples`] processed so far, never of steps: changing the
//! batch size changes no schedule by accident. (Schedules that count steps stretch or shrink with the
//! batch; a warmup in steps then lasts longer and a decay never ends.)
//!
//! - [`progress`]: the clock, as types, so that steps are never added to examples.
//! - [`lr`]: learning-rate schedules.
//! - [`rules`]: how the learning rate follows a change of batch size.
//!
//! The crate never sees a tensor and keeps no state.

#![warn(missing_docs)]

pub mod lr;
pub mod progress;
pub mod rules;

pub use lr::Schedule;
pub use progress::{Examples, LearningRate, Steps};
pub use rules::{Scaling, scale};
