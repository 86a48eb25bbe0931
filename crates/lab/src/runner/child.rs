//! A child that makes one attempt, seen from the runner.

use super::request::Request;
use super::strays::{self, ATTEMPT, ROOT, RUNNER};
use crate::LabError;
use crate::process::{ChildCommand, Message, PRUNE, STOP, tail, without_spinning};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;

/// Numbers the attempts of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What a child did.
pub(super) enum Heard {
    /// It said something.
    Message(Message),
    /// It said something that is no message.
    Garbage(String),
    /// It ended.
    Ended(Option<ExitStatus>, String),
}

/// A child that runs, with all it starts, in a process group of its own.
pub(super) struct Running {
    group: Pid,
    stdin: Option<ChildStdin>,
}

impl Running {
    /// Starts it; what it does goes to `heard` under `key`.
    pub(super) fn start(
        command: &ChildCommand,
        request: &Request,
        key: usize,
        heard: &Sender<(usize, Heard)>,
    ) -> Result<Self, LabError> {
        let text = serde_json::to_string(request).map_err(|error| LabError::protocol(error.to_string()))?;
        let threads = request.threads.to_string();
        let mark =
            format!("{}.{}", request.runner.as_deref().unwrap_or_default(), NEXT.fetch_add(1, Relaxed));
        let mut child = Command::new(&command.program);
        without_spinning(&mut child);
        let mut child = child
            .args(&command.arguments)
            .env("RAYON_NUM_THREADS", &threads)
            .env(ROOT, &request.root)
            .env(ATTEMPT, &mark)
            .env(RUNNER, request.runner.as_deref().unwrap_or_default())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| LabError::io("start", &command.program, source))?;
        let mut stdin = child.stdin.take();
        if let Some(stdin) = &mut stdin {
            // One that died at once closes the pipe; its end is seen below.
            let _ = writeln!(stdin, "{text}");
        }
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let heard = heard.clone();
        std::thread::spawn(move || listen(child, key, &mark, &heard));
        Ok(Self { group, stdin })
    }

    /// The child's process.
    pub(super) fn pid(&self) -> i32 {
        self.group.as_raw()
    }

    /// Asks it to end in good order.
    pub(super) fn stop(&mut self) {
        self.tell(STOP);
    }

    /// Tells it that others are better at this rung.
    pub(super) fn prune(&mut self, rung: f64) {
        self.tell(&format!("{PRUNE}{rung}"));
    }

    fn tell(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{line}");
        }
    }

    /// Ends it and all it started.
    pub(super) fn kill(&self) {
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}

/// Passes on what a child says, and how it ended.
fn listen(mut child: Child, key: usize, mark: &str, heard: &Sender<(usize, Heard)>) {
    let stderr = child.stderr.take();
    let words = std::thread::spawn(move || stderr.map(tail).unwrap_or_default());
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let said = match serde_json::from_str(&line) {
                Ok(message) => Heard::Message(message),
                Err(_) => Heard::Garbage(line.chars().take(200).collect()),
            };
            if heard.send((key, said)).is_err() {
                break;
            }
        }
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    // Seen, but not yet taken from the system: until then nobody else can have its number, and what it left in its
    // group can be ended safely.
    let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    let _ = killpg(pid, Signal::SIGKILL);
    let status = child.wait().ok();
    // What has left the group still carries the attempt's mark.
    strays::end_marked(|variable| variable == format!("{ATTEMPT}={mark}").as_bytes());
    let _ = heard.send((key, Heard::Ended(status, words.join().unwrap_or_default())));
}
