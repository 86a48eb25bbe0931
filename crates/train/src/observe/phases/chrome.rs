//! A trace of all spans, for Perfetto.

use super::super::ObserveError;
use super::super::append::AppendFile;
use super::stack::{self, Left};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{Subscriber, span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Bytes that are kept before they are written.
const CHUNK: usize = 1 << 16;

/// Writes every span as an event to a file that `chrome://tracing` and <https://ui.perfetto.dev> open.
///
/// The file is the array form of the Trace Event Format: complete events (`"ph":"X"`), times in microseconds since the
/// trace was begun. Events are written as they come, 64 KiB at a time, so that a long run takes no more memory than a short
/// one. The viewers also open the file of a run that was killed; [`ChromeTrace::finish`], or dropping this, closes it
/// properly.
///
/// ```
/// use batchwise_train::observe::phases::ChromeTrace;
/// use tracing_subscriber::layer::SubscriberExt;
/// # let path = std::env::temp_dir().join(format!("batchwise-trace-{}.json", std::process::id()));
/// let trace = ChromeTrace::create(&path, 1_000_000)?;
/// let subscriber = tracing_subscriber::registry().with(trace.layer());
/// tracing::subscriber::with_default(subscriber, || tracing::trace_span!("forward").in_scope(|| ()));
/// assert_eq!(trace.finish()?.n_events, 1);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), batchwise_train::observe::ObserveError>(())
/// ```
#[derive(Debug)]
pub struct ChromeTrace {
    writer: Arc<Mutex<Writer>>,
}

/// What a trace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSummary {
    /// Spans in the file.
    pub n_events: u64,
    /// Spans that came after the file had all it may hold.
    pub n_dropped: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
}

impl ChromeTrace {
    /// Starts a trace of up to `max_events` spans (about 100 bytes each, six or more a step), in place of any file of that
    /// name.
    ///
    /// # Errors
    /// A path that cannot be written.
    pub fn create(path: &Path, max_events: u64) -> Result<Self, ObserveError> {
        let mut file = AppendFile::create(path)?;
        file.append(b"[")?;
        let writer = Writer {
            file,
            origin: Instant::now(),
            chunk: Vec::with_capacity(2 * CHUNK),
            threads: BTreeSet::new(),
            max_events,
            n_written: 0,
            n_in_chunk: 0,
            n_dropped: 0,
            is_first: true,
            failure: None,
            closed: None,
        };
        Ok(Self { writer: Arc::new(Mutex::new(writer)) })
    }

    /// The layer to install. It asks for spans of all levels and for no events, whatever other layers ask for.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let layer = TraceLayer { id: stack::unique(), writer: Arc::clone(&self.writer) };
        layer.with_filter(filter_fn(|metadata| metadata.is_span()))
    }

    /// Closes the file: from now on spans pass it by, and it is valid JSON.
    ///
    /// # Errors
    /// What the file system refused, now or earlier. The file then holds the events up to there.
    pub fn finish(self) -> Result<TraceSummary, ObserveError> {
        lock(&self.writer).close()
    }
}

impl Drop for ChromeTrace {
    fn drop(&mut self) {
        if let Err(error) = lock(&self.writer).close() {
            tracing::warn!("the trace is not whole: {error}");
        }
    }
}

fn lock(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Writer {
    file: AppendFile,
    origin: Instant,
    /// Whole events that are not yet written.
    chunk: Vec<u8>,
    /// Those that have been named.
    threads: BTreeSet<u64>,
    max_events: u64,
    n_written: u64,
    n_in_chunk: u64,
    n_dropped: u64,
    is_first: bool,
    failure: Option<ObserveError>,
    closed: Option<TraceSummary>,
}

/// One event of the format; a viewer wants all of these.
#[derive(Serialize)]
struct Event<'a, T> {
    name: &'a str,
    cat: &'a str,
    ph: &'a str,
    ts: f64,
    dur: f64,
    pid: u32,
    tid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<T>,
}

/// The name that a viewer shows for a thread.
#[derive(Serialize)]
struct ThreadName {
    name: String,
}

impl Writer {
    fn span(&mut self, left: &Left, target: &str) {
        if self.closed.is_some() {
            return;
        }
        if self.failure.is_some() || self.max_events <= self.n_written + self.n_in_chunk {
            self.n_dropped += 1;
            return;
        }
        let (pid, tid) = (std::process::id(), stack::thread());
        if self.threads.insert(tid) {
            let name = std::thread::current().name().map_or_else(|| format!("thread {tid}"), str::to_owned);
            let (args, zero) = (Some(ThreadName { name }), 0.0);
            self.push(&Event { name: "thread_name", cat: "", ph: "M", ts: zero, dur: zero, pid, tid, args });
        }
        let (ts, dur) = (left.start.saturating_duration_since(self.origin), left.inclusive);
        self.push(&Event {
            name: left.name,
            cat: target,
            ph: "X",
            ts: microseconds(ts),
            dur: microseconds(dur),
            pid,
            tid,
            args: None::<()>,
        });
        self.n_in_chunk += 1;
        if CHUNK <= self.chunk.len() {
            self.flush();
        }
    }

    fn push<T: Serialize>(&mut self, event: &Event<'_, T>) {
        let end = self.chunk.len();
        self.chunk.extend(if self.is_first { &b"\n"[..] } else { b",\n" });
        match serde_json::to_writer(&mut self.chunk, event) {
            Ok(()) => self.is_first = false,
            Err(error) => {
                self.chunk.truncate(end);
                self.failure.get_or_insert(ObserveError::Other(error.into()));
            }
        }
    }

    fn flush(&mut self) {
        match self.file.append(&self.chunk) {
            Ok(()) => self.n_written += self.n_in_chunk,
            Err(error) => {
                self.n_dropped += self.n_in_chunk;
                self.failure.get_or_insert(error);
            }
        }
        self.n_in_chunk = 0;
        self.chunk.clear();
    }

    fn close(&mut self) -> Result<TraceSummary, ObserveError> {
        if let Some(summary) = self.closed {
            return Ok(summary);
        }
        self.flush();
        // Tried after a failure too: the few bytes may fit where a chunk did not.
        if let Err(error) = self.file.append(b"\n]\n") {
            self.failure.get_or_insert(error);
        }
        let bytes = self.file.sync();
        let (n_events, n_dropped) = (self.n_written, self.n_dropped);
        self.closed = Some(TraceSummary { n_events, n_dropped, bytes: *bytes.as_ref().unwrap_or(&0) });
        match self.failure.take() {
            Some(error) => Err(error),
            None => bytes.map(|bytes| TraceSummary { n_events, n_dropped, bytes }),
        }
    }
}

fn microseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

/// Writes spans to a shared file.
struct TraceLayer {
    id: u64,
    writer: Arc<Mutex<Writer>>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for TraceLayer {
    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(metadata) = context.metadata(id) {
            stack::enter(self.id, id.into_u64(), metadata.name());
        }
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(left) = stack::leave(self.id, id.into_u64()) {
            let target = context.metadata(id).map_or("", |metadata| metadata.target());
            lock(&self.writer).span(&left, target);
        }
    }
}
