//! Another program as a child that ends with this one.

use super::super::attempt::{Attempt, is_disk};
use super::{LONGEST, PROTOCOL};
use crate::LabError;
use crate::trial::EndKind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 1 << 20;
/// Lines that wait to be read at most: a program that prints faster than it is read has to wait.
const WAITING: usize = 1024;
/// What the program's own name is followed by to become a shepherd.
const SHEPHERD: &str = "shepherd";

/// A trainer that runs.
pub(super) struct Trainer {
    child: Child,
    heard: Receiver<Heard>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    listener: JoinHandle<()>,
}

/// What was heard of a trainer.
pub(super) enum Heard {
    /// A line of its output.
    Line(Vec<u8>),
    /// A line longer than so many bytes.
    TooLong(u64),
    /// The end of its output.
    End,
    /// Nothing for a while.
    Nothing,
}

impl Trainer {
    /// Starts it, in the plan's folder and under a shepherd, so that it dies with this process.
    pub(super) fn start(command: &[String], attempt: &Attempt<'_>) -> Result<Self, LabError> {
        let request = attempt.request;
        let program = std::env::current_exe()
            .map_err(|error| LabError::Protocol(format!("the program cannot find itself: {error}")))?;
        let threads = request.threads.to_string();
        let mut child = Command::new(program)
            .arg(SHEPHERD)
            .arg(std::process::id().to_string())
            .arg("--")
            .args(command)
            .current_dir(&request.folder)
            .env("BATCHWISE_PROTOCOL", PROTOCOL.to_string())
            .env("BATCHWISE_TRIAL", &request.trial)
            .env("BATCHWISE_FOLDER", attempt.folder.folder())
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads)
            // Python holds lines back where it writes to a pipe.
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| LabError::io("start", &request.folder, source))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(LabError::protocol("the trainer has no pipes".to_owned()));
        };
        let (sender, heard) = sync_channel(WAITING);
        std::thread::spawn(move || read_lines(stdout, &sender));
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let words = Arc::clone(&last_words);
        let listener = std::thread::spawn(move || keep_last(stderr, &words));
        Ok(Self { child, heard, last_words, listener })
    }

    /// The next line, if one comes in time.
    pub(super) fn hear(&self, timeout: Duration) -> Heard {
        match self.heard.recv_timeout(timeout) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// How it ended, if it has.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits a while for its end, which its closed output announces.
    pub(super) fn wait(&mut self, most: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + most;
        let mut nap = Duration::from_micros(200);
        while Instant::now() < until {
            if let Some(status) = self.has_ended() {
                return Some(status);
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(20));
        }
        self.has_ended()
    }

    /// Asks it to end, and ends it where it does not.
    pub(super) fn end(&mut self, grace: Duration) -> Option<ExitStatus> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        if self.has_ended().is_none() && !grace.is_zero() {
            let _ = kill(pid, Signal::SIGTERM);
            let until = Instant::now() + grace;
            let mut nap = Duration::from_micros(200);
            while Instant::now() < until && self.has_ended().is_none() {
                std::thread::sleep(nap);
                nap = (nap * 2).min(Duration::from_millis(20));
            }
        }
        let _ = self.child.kill();
        self.child.wait().ok()
    }

    /// The last lines it wrote to standard error, which may take a moment to come.
    pub(super) fn last_words(&self, most: Duration) -> String {
        let until = Instant::now() + most;
        while !self.listener.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Bytes in memory of the trainer and all that it started, where the system tells.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        let pages = group_pages(self.child.id())?;
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten()?;
        Some(pages.saturating_mul(u64::try_from(page).ok()?))
    }
}

/// An early return must not leave it running.
impl Drop for Trainer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pages in memory of a process and its descendants.
fn group_pages(pid: u32) -> Option<u64> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name, which may hold anything, come the state, the parent, and as the 22nd the pages.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |i: usize| fields.get(i).and_then(|field| field.parse::<u64>().ok());
        if let (Some(parent), Some(pages)) = (number(1), number(21)) {
            parents.push((id, parent as u32, pages));
        }
    }
    let mut family = vec![pid];
    let mut pages = parents.iter().find(|process| process.0 == pid)?.2;
    let mut i = 0;
    while i < family.len() {
        for (id, parent, own) in &parents {
            if *parent == family[i] && !family.contains(id) {
                family.push(*id);
                pages += own;
            }
        }
        i += 1;
    }
    Some(pages)
}

/// Most bytes in memory of the largest process among those that have ended, where the system tells.
pub(super) fn peak_of_children() -> Option<u64> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let most = u64::try_from(usage.max_rss()).ok()?;
    // Linux counts KiB.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    (0 < most).then_some(most * unit)
}

fn read_lines(stdout: impl Read, sender: &SyncSender<Heard>) {
    let mut reader = BufReader::with_capacity(1 << 16, stdout);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LONGEST_LINE + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
            }
            Ok(n) if LONGEST_LINE < n as u64 => {
                let _ = sender.send(Heard::TooLong(LONGEST_LINE));
                return;
            }
            // The last line, without its end.
            Ok(_) => {}
        }
        if sender.send(Heard::Line(line)).is_err() {
            return;
        }
    }
}

/// Keeps the last lines of a stream, and only the beginning of long ones.
fn keep_last(stream: impl Read, words: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.push_back(text.trim_end().chars().take(LONGEST).collect());
        if 20 < words.len() {
            words.pop_front();
        }
    }
}

/// The last of many words.
pub(super) fn tail(words: &str) -> String {
    let n = words.chars().count();
    words.chars().skip(n.saturating_sub(LONGEST)).collect()
}

/// What a status other than 0 says.
pub(super) fn in_words(status: ExitStatus, last_words: &str) -> (EndKind, String) {
    let words = match last_words.trim() {
        "" => String::new(),
        words => format!(": {}", tail(words)),
    };
    match (status.signal(), status.code()) {
        _ if is_disk(last_words) => (EndKind::Disk, format!("its disk is full{words}")),
        (Some(signal), _) => (EndKind::Killed, format!("signal {signal} ended it{words}")),
        (_, Some(127)) => (EndKind::Error, format!("it cannot be started{words}")),
        (_, code) => (EndKind::Error, format!("it ended with status {}{words}", code.unwrap_or(-1))),
    }
}

/// What a shepherd does: sees to it that the system ends this process with its parent, then becomes the command.
/// Returns only where that cannot be done.
pub fn shepherd(parent: u32, command: &[String]) -> LabError {
    #[cfg(target_os = "linux")]
    {
        let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
        // It may have gone before the system knew.
        if nix::unistd::getppid().as_raw() as u32 != parent {
            return LabError::protocol("the parent of this trainer is gone".to_owned());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    let Some((program, arguments)) = command.split_first() else {
        return LabError::Input("no command".to_owned());
    };
    let error = Command::new(program).args(arguments).exec();
    LabError::Input(format!("`{program}` cannot be started: {error}"))
}
