//! A layer that adds up the time of each phase.

use super::stack::{self, Left};
use super::{Phase, PhaseTable};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The time of each phase so far: a handle, of which clones share the same times.
#[derive(Debug, Clone)]
pub struct Phases {
    totals: Arc<Mutex<Totals>>,
}

impl Phases {
    /// No time yet; the clock starts now.
    pub fn new() -> Self {
        Self { totals: Arc::new(Mutex::new(Totals::new())) }
    }

    /// The layer to install. It asks for spans of all levels and for no events, whatever other layers ask for.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let layer = PhaseLayer { id: stack::unique(), totals: Arc::clone(&self.totals) };
        layer.with_filter(filter_fn(|metadata| metadata.is_span()))
    }

    /// The times up to now, those of spans that are still open left out.
    pub fn table(&self) -> PhaseTable {
        self.lock().table()
    }

    /// The same, and all times start anew.
    pub fn take(&self) -> PhaseTable {
        std::mem::replace(&mut *self.lock(), Totals::new()).table()
    }

    fn lock(&self) -> MutexGuard<'_, Totals> {
        lock(&self.totals)
    }
}

impl Default for Phases {
    fn default() -> Self {
        Self::new()
    }
}

/// The sums stay right when a thread that holds them panics: nothing there can.
fn lock(totals: &Mutex<Totals>) -> MutexGuard<'_, Totals> {
    totals.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Totals {
    since: Instant,
    /// In the order in which phases were first left. There are few: a name is a place in the program.
    phases: Vec<Total>,
    threads: BTreeSet<u64>,
}

#[derive(Debug)]
struct Total {
    name: &'static str,
    count: u64,
    inclusive: Duration,
    exclusive: Duration,
}

impl Totals {
    fn new() -> Self {
        Self { since: Instant::now(), phases: Vec::new(), threads: BTreeSet::new() }
    }

    fn add(&mut self, left: &Left) {
        self.threads.insert(stack::thread());
        let at = self.phases.iter().position(|total| total.name == left.name).unwrap_or_else(|| {
            let (count, none) = (0, Duration::ZERO);
            self.phases.push(Total { name: left.name, count, inclusive: none, exclusive: none });
            self.phases.len() - 1
        });
        let total = &mut self.phases[at];
        total.count += 1;
        total.exclusive += left.exclusive;
        if left.is_outermost {
            // A phase within itself is in the outer one's time already.
            total.inclusive += left.inclusive;
        }
    }

    fn table(&self) -> PhaseTable {
        let sum: Duration = self.phases.iter().map(|total| total.exclusive).sum();
        let mut phases: Vec<Phase> = self
            .phases
            .iter()
            .map(|total| Phase {
                name: total.name.to_owned(),
                count: total.count,
                inclusive_seconds: total.inclusive.as_secs_f64(),
                exclusive_seconds: total.exclusive.as_secs_f64(),
                share: if sum.is_zero() { 0.0 } else { total.exclusive.as_secs_f64() / sum.as_secs_f64() },
            })
            .collect();
        phases.sort_by(|a, b| {
            b.exclusive_seconds.total_cmp(&a.exclusive_seconds).then_with(|| a.name.cmp(&b.name))
        });
        PhaseTable {
            phases,
            elapsed_seconds: self.since.elapsed().as_secs_f64(),
            n_threads: self.threads.len() as u64,
        }
    }
}

/// Times spans into shared totals.
struct PhaseLayer {
    id: u64,
    totals: Arc<Mutex<Totals>>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for PhaseLayer {
    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(metadata) = context.metadata(id) {
            stack::enter(self.id, id.into_u64(), metadata.name());
        }
    }

    fn on_exit(&self, id: &span::Id, _: Context<'_, S>) {
        if let Some(left) = stack::leave(self.id, id.into_u64()) {
            lock(&self.totals).add(&left);
        }
    }
}
