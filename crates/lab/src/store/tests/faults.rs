//! A store that is damaged, foreign, newer, held by another program, or of files that cannot be read.

use super::super::{OpenSettings, Store, StoreError};
use super::{dump, sample};
use crate::LabError;
use crate::process::FailureKind;
use crate::sweep::Root;
use rusqlite::Connection;
use std::fs;
use std::time::Duration;

const SHORT: OpenSettings = OpenSettings { wait: Duration::from_millis(50) };

fn root_with_trials() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    let trials = [sample::done(&root, 8, 0.1, 1), sample::failed(&root, 16)];
    sample::sweep(&root, "one", &[&trials[0], &trials[1]]);
    (dir, root)
}

#[test]
fn a_store_that_is_held_is_named_and_later_written() {
    let (_dir, root) = root_with_trials();
    let mut store = Store::open_with(&root, &SHORT).unwrap();
    let other = Connection::open(root.store()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let folder = root.trial(&root.trial_names().unwrap()[0]);
    let error = store.ingest(&folder).unwrap_err();
    assert!(matches!(error, LabError::Store(StoreError::Locked { .. })), "{error}");
    let text = error.to_string();
    assert!(text.contains("store.sqlite is in use by another program"), "{text}");
    assert_eq!(error.kind(), FailureKind::Input);
    assert!(store.refresh(&root).is_err(), "a store that is held is no trial that cannot be read");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(store.refresh(&root).unwrap().trials, 2);
}

#[test]
fn a_store_that_is_open_is_not_replaced() {
    let (_dir, root) = root_with_trials();
    let store = Store::open(&root).unwrap();
    let error = Store::rebuild(&root, &SHORT).unwrap_err();
    assert!(matches!(error, LabError::Store(StoreError::Locked { .. })), "{error}");
    drop(store);
    // Neither is one that is held by a program without our lock.
    let other = Connection::open(root.store()).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM trials").unwrap();
    let error = Store::rebuild(&root, &SHORT).unwrap_err();
    assert!(matches!(error, LabError::Store(StoreError::Locked { .. })), "{error}");
    drop(other);
    Store::rebuild(&root, &SHORT).unwrap();
}

#[test]
fn what_is_no_store_is_refused_and_made_anew() {
    let (_dir, root) = root_with_trials();
    let mut store = Store::open(&root).unwrap();
    store.refresh(&root).unwrap();
    let whole = dump(&store);
    drop(store);
    let database = fs::read(root.store()).unwrap();
    let mut torn = database.clone();
    torn[100..8000].fill(0xff);
    let mut newer = database.clone();
    newer[60..64].copy_from_slice(&99u32.to_be_bytes());
    let mut foreign = database;
    foreign[68..72].copy_from_slice(&1u32.to_be_bytes());
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("text", b"this is no database, whatever its name".repeat(100), "runs rebuild"),
        ("torn", torn, "runs rebuild"),
        ("newer", newer, "version 99"),
        ("foreign", foreign, "database of another program"),
    ];
    for (name, bytes, says) in cases {
        fs::write(root.store(), bytes).unwrap();
        let error = Store::open(&root).and_then(|mut store| store.refresh(&root)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("store.sqlite") && text.contains(says), "{name}: {text}");
        assert_eq!(error.kind(), FailureKind::Input, "{name}");
        let rebuilt = Store::rebuild(&root, &SHORT).unwrap();
        assert_eq!((rebuilt.taken.trials, rebuilt.taken.sweeps), (2, 1), "{name}");
        assert_eq!(dump(&Store::open(&root).unwrap()), whole, "{name}");
        let names = fs::read_dir(root.folder()).unwrap().flatten().map(|entry| entry.file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("partial")), "{name}");
    }
}

#[test]
fn a_journal_of_the_old_store_is_not_played_into_the_new_one() {
    let (_dir, root) = root_with_trials();
    let mut store = Store::open(&root).unwrap();
    store.refresh(&root).unwrap();
    let whole = dump(&store);
    // As after a power cut: the journal is there and nobody has the store open.
    let journal = root.folder().join("store.sqlite-wal");
    let (database, log) = (fs::read(root.store()).unwrap(), fs::read(&journal).unwrap());
    assert!(!log.is_empty());
    drop(store);
    fs::write(root.store(), &database).unwrap();
    fs::write(&journal, &log).unwrap();
    Store::rebuild(&root, &SHORT).unwrap();
    assert!(!journal.exists());
    assert_eq!(dump(&Store::open(&root).unwrap()), whole);
    // The same where the old one cannot be opened, and where somebody deleted it but not its journal.
    let store = Store::open(&root).unwrap();
    let change = "PRAGMA wal_checkpoint(TRUNCATE); UPDATE trials SET trainer = 'old'";
    store.connection.execute_batch(change).unwrap();
    let log = fs::read(&journal).unwrap();
    drop(store);
    for old in [Some(b"no database".repeat(1000)), None] {
        let _ = fs::remove_file(root.store());
        if let Some(old) = old {
            fs::write(root.store(), old).unwrap();
        }
        fs::write(&journal, &log).unwrap();
        Store::rebuild(&root, &SHORT).unwrap();
        assert_eq!(dump(&Store::open(&root).unwrap()), whole);
    }
}

#[test]
fn a_trial_that_cannot_be_read_keeps_no_other_out() {
    let (_dir, root) = root_with_trials();
    fs::create_dir_all(root.runs().join("torn")).unwrap();
    fs::write(root.runs().join("torn/trial.json"), "{").unwrap();
    let rebuilt = Store::rebuild(&root, &SHORT).unwrap();
    assert_eq!(rebuilt.taken.trials, 2);
    let skipped = &rebuilt.taken.skipped[0];
    assert!(skipped.name == "torn" && skipped.reason.contains("torn/trial.json"), "{skipped:?}");
}

#[test]
fn two_may_open_a_new_store_at_once() {
    for _ in 0..5 {
        let (_dir, root) = root_with_trials();
        std::thread::scope(|scope| {
            let work = || Store::open(&root).and_then(|mut store| store.refresh(&root));
            let both = [scope.spawn(work), scope.spawn(work)];
            both.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
        });
        assert_eq!(Store::open(&root).unwrap().n_metrics().unwrap(), (4, 3));
    }
}
