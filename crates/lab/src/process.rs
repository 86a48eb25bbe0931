//! Probes in child processes that may die without harm.
//!
//! The parent starts its own program again, hands it a request as JSON on standard input, and reads
//! messages as JSON lines from standard output. The child ends when its standard input closes, so it never
//! outlives the parent; the parent's [`cancel`] ends all children.

use crate::LabError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How to start the program again for one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, which lead to [`serve`].
    pub arguments: Vec<String>,
}

/// What a child says, one JSON object per line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// How far it is.
    Progress {
        /// Units of work done.
        done: u64,
        /// Of so many.
        total: u64,
        /// What is being done.
        note: String,
    },
    /// One result of several.
    Point {
        /// The result.
        value: serde_json::Value,
    },
    /// The last result; the child ends.
    Done {
        /// The result.
        value: serde_json::Value,
    },
    /// The child could not do it.
    Failed {
        /// Why.
        text: String,
        /// Whose fault it is.
        kind: FailureKind,
    },
}

/// Whose fault a failure is; it decides the exit status of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The user's input is wrong.
    Input,
    /// The measurements allow no advice.
    NoAdvice,
    /// The program or the machine is at fault.
    Fault,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending<T> {
    /// With a result.
    Done(T),
    /// Killed or aborted, for lack of memory as a rule.
    Died {
        /// Its exit status in words.
        status: String,
        /// The last lines it wrote to standard error.
        last_words: String,
    },
}

/// candle's thread pool waits by spinning, which on few cores takes them from those that compute: a training
/// step of the built-in cnn took up to 1.4 times as long with it.
const SPIN_LIMIT: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";

/// Tells candle's thread pool in a child not to spin, unless the user has said what it is to do.
pub(crate) fn without_spinning(child: &mut Command) {
    if std::env::var_os(SPIN_LIMIT).is_none() {
        child.env(SPIN_LIMIT, "0");
    }
}

/// What a parent writes to a child that is to end in good order.
pub(crate) const STOP: &str = "stop";
/// What it writes, with a rung, to one that is stopped because others are better.
pub(crate) const PRUNE: &str = "prune ";

static CANCELLED: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);
static RUNG: Mutex<Option<f64>> = Mutex::new(None);
static CHILDREN: Mutex<Vec<Arc<Running>>> = Mutex::new(Vec::new());

/// A child that runs.
struct Running {
    child: Mutex<Child>,
    /// Its input, which tells it to stop when it closes.
    stdin: Mutex<Option<ChildStdin>>,
    /// Whether it knows how to end in good order.
    can_stop: bool,
}

/// Ends all children, and makes every later [`run`] fail with [`LabError::Cancelled`].
pub fn cancel() {
    CANCELLED.store(true, SeqCst);
    for running in lock(&CHILDREN).iter() {
        // A child that has ended already cannot be killed, and need not be.
        let _ = lock(&running.child).kill();
    }
}

/// Asks the children that can to end in good order; where there are none, or at the second time, [`cancel`]s.
pub fn interrupt() {
    let children: Vec<_> = lock(&CHILDREN).iter().filter(|running| running.can_stop).cloned().collect();
    if children.is_empty() || ASKED.swap(true, SeqCst) {
        return cancel();
    }
    for running in children {
        if let Some(stdin) = lock(&running.stdin).as_mut() {
            let _ = writeln!(stdin, "{STOP}");
        }
    }
}

/// Asks the attempt that this process makes to end in good order.
pub fn ask_to_stop() {
    ASKED.store(true, SeqCst);
}

/// The child's side of [`interrupt`]: whether it is to end in good order.
pub fn is_asked_to_stop() -> bool {
    ASKED.load(SeqCst)
}

/// The child's side of pruning: the rung at which others were better, once the parent has said so.
pub fn asked_rung() -> Option<f64> {
    *lock(&RUNG)
}

/// Whether [`cancel`] was called.
pub fn is_cancelled() -> bool {
    CANCELLED.load(SeqCst)
}

/// Runs one request in a child and returns how it ended; `on_message` sees progress and points. `can_stop` says that the
/// child heeds [`is_asked_to_stop`].
///
/// # Errors
/// The program does not start, answers something else, reports an error, or the run was cancelled. A child
/// that dies is no error: see [`Ending::Died`].
pub fn run<T: DeserializeOwned>(
    command: &ChildCommand,
    request: &impl Serialize,
    can_stop: bool,
    on_message: &mut dyn FnMut(Message),
) -> Result<Ending<T>, LabError> {
    if is_cancelled() {
        return Err(LabError::Cancelled);
    }
    let request = serde_json::to_string(request).map_err(|error| LabError::protocol(error.to_string()))?;
    let mut child = Command::new(&command.program);
    without_spinning(&mut child);
    let mut child = child
        .args(&command.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| LabError::io("start", &command.program, source))?;
    let stdin = child.stdin.take();
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(LabError::protocol("the child has no pipes".to_owned()));
    };
    // A child that dies at once closes the pipe; its end is seen below.
    let mut stdin = stdin;
    if let Some(stdin) = &mut stdin {
        let _ = writeln!(stdin, "{request}");
    }
    let child = Registered::new(Running { child: Mutex::new(child), stdin: Mutex::new(stdin), can_stop });
    let last_words = std::thread::spawn(move || tail(stderr));

    let mut result = None;
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(Message::Done { value }) => result = Some(Ok(value)),
            Ok(Message::Failed { text, kind }) => result = Some(Err(LabError::Probe { text, kind })),
            Ok(message) => on_message(message),
            Err(error) => result = Some(Err(LabError::protocol(format!("{error} in `{line}`")))),
        }
    }
    let status = child.wait();
    let last_words = last_words.join().unwrap_or_default();
    if is_cancelled() {
        return Err(LabError::Cancelled);
    }
    match result {
        Some(Ok(value)) => serde_json::from_value(value)
            .map(Ending::Done)
            .map_err(|error| LabError::protocol(format!("unexpected result: {error}"))),
        Some(Err(error)) => Err(error),
        None => Ok(Ending::Died { status: in_words(status), last_words }),
    }
}

/// The child's side: reads the request, runs `work`, and writes what it emits. Returns when the work is done.
///
/// A thread watches standard input and ends the process when it closes: the parent is gone then.
pub fn serve<R: DeserializeOwned>(
    work: impl FnOnce(R, &mut dyn FnMut(Message)) -> Result<serde_json::Value, LabError>,
) -> Result<(), LabError> {
    let mut line = String::new();
    let stdin = std::io::stdin();
    stdin.read_line(&mut line).map_err(|error| LabError::protocol(error.to_string()))?;
    let request =
        serde_json::from_str(&line).map_err(|error| LabError::protocol(format!("bad request: {error}")))?;
    std::thread::spawn(move || {
        for line in stdin.lock().lines().map_while(Result::ok) {
            if line == STOP {
                ASKED.store(true, SeqCst);
            } else if let Some(rung) = line.strip_prefix(PRUNE) {
                *lock(&RUNG) = rung.parse().ok();
            }
        }
        end_group();
        std::process::exit(1);
    });
    // Written whole or not at all: when the parent is gone the watcher ends the process.
    let mut emit = |message: Message| {
        if let Ok(text) = serde_json::to_string(&message) {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{text}").and_then(|()| out.flush());
        }
    };
    match work(request, &mut emit) {
        Ok(value) => emit(Message::Done { value }),
        Err(error) => emit(Message::Failed { text: error.to_string(), kind: error.kind() }),
    }
    Ok(())
}

/// Ends all processes of this one's group, itself among them, if it leads one: what it started must not outlive it.
fn end_group() {
    use nix::sys::signal::{Signal, killpg};
    use nix::unistd::{getpgrp, getpid};
    if getpgrp() == getpid() {
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    }
}

/// A child that [`cancel`] knows about for as long as this lives.
struct Registered(Arc<Running>);

impl Registered {
    fn new(running: Running) -> Self {
        let running = Arc::new(running);
        lock(&CHILDREN).push(Arc::clone(&running));
        if is_cancelled() {
            let _ = lock(&running.child).kill();
        }
        Self(running)
    }

    fn wait(&self) -> std::io::Result<ExitStatus> {
        lock(&self.0.child).wait()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&CHILDREN).retain(|running| !Arc::ptr_eq(running, &self.0));
        let mut child = lock(&self.0.child);
        // An early return must not leave it running.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last lines of a stream, of whatever bytes; the ends of long lines count as lines.
pub(crate) fn tail(stream: impl Read) -> String {
    let mut lines = VecDeque::new();
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(1 << 16).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        if 20 < lines.len() {
            lines.pop_front();
        }
    }
    Vec::from(lines).join("\n")
}

fn in_words(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
