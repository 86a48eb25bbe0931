//! What earlier runners left behind.

use crate::LabError;
use crate::provenance::now;
use crate::sweep::Root;
use crate::trial::{AttemptEnd, EndKind, LogLine};

/// Names the root to all processes of a sweep.
pub(super) const ROOT: &str = "BATCHWISE_ROOT";
/// Names the runner to all processes of a sweep.
pub(super) const RUNNER: &str = "BATCHWISE_RUNNER";

/// Ends what runs for earlier runners of this root: they are gone, since this one holds the lock. How many there were.
pub(super) fn end_strays(root: &Root, runner: &str) -> usize {
    use nix::sys::signal::{Signal, kill};
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let of_root = format!("{ROOT}={}", root.folder().display());
    let own = format!("{RUNNER}={runner}");
    let mut n = 0;
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let mut variables = environment.split(|byte| *byte == 0);
        let has = |wanted: &str| variables.clone().any(|variable| variable == wanted.as_bytes());
        let is_stray = has(&of_root) && !has(&own) && variables.any(|v| v.starts_with(RUNNER.as_bytes()));
        if is_stray && pid != std::process::id() as i32 {
            let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
            n += 1;
        }
    }
    n
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
