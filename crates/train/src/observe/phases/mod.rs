//! Where the time of a run goes.
//!
//! The phases of a run are spans of `tracing` at the level TRACE: `step`, and within it `data` (waiting for a batch),
//! `forward` (with the loss), `backward`, `norms` (those of the whole batch's gradient), `optimizer`, and `exchange` between
//! workers; `evaluation`, and what the caller adds, such as `checkpoint`. What `step` has of its own is all the rest of a
//! step: adding up losses, noise, clipping, the plan. The layers here time every span, whoever opens it. Install them with a registry:
//!
//! - [`Phases`] adds the times up to a [`PhaseTable`].
//! - [`ChromeTrace`] writes each span to a file for `chrome://tracing` and <https://ui.perfetto.dev>.
//!
//! Three things the times do not say. The norms of single micro-batches ([`Tap::Norms`](crate::Tap::Norms)) and of
//! examples ([`Tap::Examples`](crate::Tap::Examples)) are computed inside the backward pass and count as `backward`. A
//! GPU works on while the program does not wait: its time shows in the phase that next reads a result, not in the one that
//! asked for it. A phase within another (the `forward` of an evaluation, were it to have one) counts in the outer one's
//! inclusive time, not in its exclusive time.
//!
//! Without a layer a span costs a look at one number in memory.
//!
//! ```
//! use batchwise_train::observe::phases::Phases;
//! use tracing_subscriber::layer::SubscriberExt;
//! let phases = Phases::new();
//! let subscriber = tracing_subscriber::registry().with(phases.layer());
//! tracing::subscriber::with_default(subscriber, || {
//!     for _ in 0..3 {
//!         let _span = tracing::trace_span!("forward").entered();
//!     }
//! });
//! let table = phases.table();
//! assert_eq!(table.phase("forward").map(|phase| phase.count), Some(3));
//! println!("{table}");
//! ```

mod chrome;
mod stack;
mod table;
mod total;

pub use chrome::{ChromeTrace, TraceSummary};
pub use table::{Phase, PhaseTable};
pub use total::Phases;
