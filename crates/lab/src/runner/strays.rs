//! What earlier runners left behind.

use crate::LabError;
use crate::provenance::now;
use crate::sweep::Root;
use crate::trial::{AttemptEnd, EndKind, LogLine};

/// Names the root to all processes of a sweep.
pub(super) const ROOT: &str = "BATCHWISE_ROOT";
/// Names the runner to all processes of a sweep.
pub(super) const RUNNER: &str = "BATCHWISE_RUNNER";

/// Names the attempt to all that it starts.
pub(super) const ATTEMPT: &str = "BATCHWISE_ATTEMPT";

/// Ends what runs for earlier runners of this root: they are gone, since this one holds the lock.
pub(super) fn end_strays(root: &Root, runner: &str) {
    let folder = root.folder().display();
    // Pilots have a root of their own below.
    let (of_root, below) = (format!("{ROOT}={folder}"), format!("{ROOT}={folder}/"));
    let own = format!("{RUNNER}={runner}");
    for (pid, environment) in environments() {
        let has = |wanted: &dyn Fn(&[u8]) -> bool| environment.split(|byte| *byte == 0).any(wanted);
        let is_of_root = has(&|v| v == of_root.as_bytes() || v.starts_with(below.as_bytes()));
        if is_of_root && has(&|v| v.starts_with(RUNNER.as_bytes())) && !has(&|v| v == own.as_bytes()) {
            end(pid);
        }
    }
}

/// Ends every process whose environment holds a variable of which `is_mark` says so.
pub(super) fn end_marked(is_mark: impl Fn(&[u8]) -> bool) {
    for (pid, environment) in environments() {
        if environment.split(|byte| *byte == 0).any(&is_mark) {
            end(pid);
        }
    }
}

/// The environments of other processes that may be read, where the system shows them.
fn environments() -> impl Iterator<Item = (i32, Vec<u8>)> {
    let own = std::process::id().to_string();
    std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(move |entry| {
        let name = entry.file_name();
        let name = name.to_str().filter(|name| *name != own)?;
        let pid = name.parse().ok()?;
        Some((pid, std::fs::read(entry.path().join("environ")).ok()?))
    })
}

fn end(pid: i32) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
}

/// Records of a trial's open attempts that their runner is gone. Attempts that no runner asked for are left alone.
///
/// # Errors
/// Files that cannot be read or written.
pub(super) fn close_attempts(root: &Root, trial: &str) -> Result<(), LabError> {
    let folder = root.trial(trial);
    for log in folder.logs()? {
        if folder.end(&log)?.is_some() {
            continue;
        }
        let lines = folder.log(&log)?;
        if matches!(lines.last(), Some(LogLine::End(_))) && folder.result()?.is_some() {
            continue;
        }
        let has_runner = match lines.first() {
            Some(LogLine::Begin(begin)) => begin.runner.is_some(),
            // Killed before its first line was whole.
            _ => true,
        };
        if has_runner {
            let reason = "the runner ended while it was going on".to_owned();
            folder.write_end(&log, &AttemptEnd { at: now(), kind: EndKind::RunnerGone, reason })?;
        }
    }
    Ok(())
}
