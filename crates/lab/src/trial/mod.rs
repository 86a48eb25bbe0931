//! What a trial is, wherever it runs: its configuration, its files, its result.
//!
//! A trial is named by a hash of all that decides its result ([`TrialSpec::id`]) and owns one folder ([`TrialFolder`]).
//! Any number of attempts may be made at it, one after the other or at once: each writes a log of its own ([`LogLine`]),
//! and the first that ends hangs its [`TrialResult`] under the one name that means "done". What varies from run to run
//! (seconds, bytes) stands in the log, so two results of one trial are the same bytes, or training is not deterministic.

mod folder;
mod judge;
mod log;
mod record;
mod result;
mod spec;

pub use folder::{AttemptEnd, AttemptLog, EndKind, Published, TrialFolder, publish};
pub use judge::{Crossing, Field, Judge, Target};
pub use log::{Begin, LogLine, Measured, read_log};
pub use record::{Attempt, State, TrialRecord};
pub use result::{EndOfTrial, Evaluation, Reached, Span, TrialResult};
pub use spec::{Parameter, TrainerSpec, TrialSpec, parameters_in_words};

/// Version of the files of a trial; a newer one is refused.
pub const VERSION: u32 = 1;
