//! Signals, and the processes that run in a folder (Linux only).

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

/// Sends a signal to one process alone, not to its group as a terminal does.
pub fn signal(child: &Child, name: &str) {
    let line = format!("kill -{name} {}", child.id());
    let status = Command::new("sh").args(["-c", &line]).status().expect("sh starts");
    assert!(status.success(), "`{line}` failed");
}

/// Waits for the end of a process, and kills it when that takes too long.
pub fn wait(mut child: Child, limit: Duration) -> Output {
    let start = Instant::now();
    while child.try_wait().expect("the process can be asked").is_none() {
        if limit < start.elapsed() {
            child.kill().expect("the process can be killed");
            let left = child.wait_with_output().expect("the process ends");
            panic!("still running after {limit:?}: {}", String::from_utf8_lossy(&left.stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("the process ends")
}

/// The running processes whose working folder this is. A process that has ended has none.
pub fn in_folder(folder: &Path) -> Vec<u32> {
    let folder = folder.canonicalize().expect("the folder is there");
    let processes = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    ids.filter(|id| std::fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd: PathBuf| cwd == folder))
        .collect()
}

/// Waits until something is so.
pub fn wait_until(what: &str, limit: Duration, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "not so after {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
