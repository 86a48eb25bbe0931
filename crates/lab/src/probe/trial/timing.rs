//! The phases of a run, timed.

use super::{Keep, make_folder_of};
use crate::LabError;
use batchwise_train::observe::phases::{ChromeTrace, PhaseTable, Phases, TraceSummary};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tracing::dispatcher::{Dispatch, get_default};
use tracing::subscriber::with_default;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Spans that a trace holds at most: a file of about 100 MB.
const MOST_SPANS: u64 = 1_000_000;

/// Where the time of a run went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// By phase, those of this process.
    pub phases: PhaseTable,
    /// The trace, if one was written.
    pub trace: Option<Trace>,
}

/// A trace that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The file, for Perfetto or `chrome://tracing`.
    pub path: PathBuf,
    /// Spans in it.
    pub n_events: u64,
    /// Spans that came after it had all it may hold.
    pub n_dropped: u64,
}

/// Does `work`, and times its phases where `keep` asks for it.
pub(super) fn timed<T>(
    keep: Option<&Keep>,
    work: impl FnOnce() -> Result<T, LabError>,
) -> Result<(T, Option<Timing>), LabError> {
    let Some(keep) = keep.filter(|keep| keep.phases || keep.trace.is_some()) else {
        return Ok((work()?, None));
    };
    let phases = Phases::new();
    let trace = match &keep.trace {
        None => None,
        Some(path) => {
            make_folder_of(path)?;
            Some((path, ChromeTrace::create(path, MOST_SPANS)?))
        }
    };
    let pass_on = PassOn(get_default(Dispatch::clone));
    let registry = tracing_subscriber::registry()
        .with(phases.layer())
        .with(trace.as_ref().map(|(_, trace)| trace.layer()))
        .with(pass_on);
    let result = with_default(registry, work)?;
    let trace = match trace {
        None => None,
        Some((path, trace)) => {
            let TraceSummary { n_events, n_dropped, .. } = trace.finish()?;
            Some(Trace { path: path.clone(), n_events, n_dropped })
        }
    };
    Ok((result, Some(Timing { phases: phases.table(), trace })))
}

/// Hands events on to where they would have gone: a warning must not be lost because spans are timed.
struct PassOn(Dispatch);

impl<S: tracing::Subscriber> Layer<S> for PassOn {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if self.0.enabled(event.metadata()) {
            self.0.event(event);
        }
    }
}
