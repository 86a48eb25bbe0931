//! A disk that fills.
#![cfg(unix)]

use crate::records::{KINDS, Kind, full};
use batchwise_train::observe::{ObserveError, phases::ChromeTrace};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use tracing_subscriber::layer::SubscriberExt;

const FOLDER: &str = "BATCHWISE_TEST_FOLDER";

/// Runs a test of this program in a process whose files may not grow beyond a few KiB. A write across that limit writes
/// what fits and then fails, as on a full disk.
fn with_small_files(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 10; exec \"$0\" --exact \"$1\" --ignored")
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn folder() -> std::path::PathBuf {
    std::env::var_os(FOLDER).unwrap().into()
}

/// The most that a file here holds, by trying.
fn limit() -> u64 {
    let path = folder().join("control");
    let error = std::fs::File::create(&path).unwrap().write_all(&[0; 1 << 16]).unwrap_err();
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(0 < length && length < 1 << 16, "{length}: {error}");
    length
}

#[test]
fn on_a_full_disk_a_record_is_whole_or_not_there() {
    with_small_files("faults::in_small_files_records_are_whole");
}

#[test]
#[ignore = "run by the test above, with small files"]
fn in_small_files_records_are_whole() {
    let limit = limit();
    for kind in KINDS {
        let mut observer = kind.create(&folder());
        let path = kind.path(&folder());
        let mut ends = vec![observer.sync().unwrap()];
        let mut n_failed = 0;
        for told in (0..200).flat_map(full) {
            match told.to(observer.as_mut()) {
                Ok(()) => {}
                Err(ObserveError::Io { action: "write", path: named, .. }) => {
                    assert_eq!(named, path);
                    n_failed += 1;
                }
                Err(error) => panic!("{error}"),
            }
            let length = std::fs::metadata(&path).unwrap().len();
            assert_eq!(observer.sync().unwrap(), length, "{kind:?}: a part of a record was left");
            ends.push(length);
        }
        assert!(20 < n_failed, "{kind:?}: {n_failed} of 400 failed");
        let last = *ends.last().unwrap();
        assert!(limit - 1000 < last && last < limit, "{kind:?}: {last} of {limit}");
        drop(observer);
        whole(kind, &path, last);
    }
}

fn whole(kind: Kind, path: &Path, length: u64) {
    if matches!(kind, Kind::TensorBoard) {
        assert!(10 < crate::events::read(path).len());
    } else {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'));
    }
    kind.resume(path.parent().unwrap(), length).unwrap();
}

#[test]
fn on_a_full_disk_a_trace_says_so() {
    with_small_files("faults::in_small_files_a_trace_fails");
}

#[test]
#[ignore = "run by the test above, with small files"]
fn in_small_files_a_trace_fails() {
    let path = folder().join("trace.json");
    let trace = ChromeTrace::create(&path, u64::MAX).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(trace.layer()), || {
        for _ in 0..3000 {
            let _span = tracing::trace_span!("forward").entered();
        }
    });
    assert!(matches!(trace.finish(), Err(ObserveError::Io { action: "write", .. })));
    // What is there is whole: here the empty trace.
    let events: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(events.is_empty());
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("run.jsonl");
    let error = batchwise_train::observe::JsonLines::create(&path).unwrap_err().to_string();
    assert!(error.contains("cannot create") && error.contains("missing"), "{error}");
    let error = ChromeTrace::create(&path, 1).unwrap_err().to_string();
    assert!(error.contains("cannot create"), "{error}");
}
