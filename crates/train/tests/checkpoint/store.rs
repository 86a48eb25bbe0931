//! Which checkpoints stay, and which one a run goes on from.

use crate::{same, snapshot};
use batchwise_train::checkpoint::{CheckpointError, Snapshot, Store};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

fn keep(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// The examples of the checkpoints that are there, in the order of writing.
fn examples(store: &Store) -> Vec<u64> {
    store.list().unwrap().iter().map(|path| Snapshot::load(path).unwrap().manifest.examples).collect()
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn the_newest_stay_and_the_newest_best_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(&folder.path().join("new/ones")).unwrap();
    assert!(store.load_latest().unwrap().is_none());
    let mut save = |n, is_best| {
        let saved = store.save(&snapshot(n), is_best).unwrap();
        assert!(saved.not_removed.is_empty());
        assert!(saved.removed.iter().all(|path| !path.exists()));
        (examples(&store), store.best().unwrap().map(|path| Snapshot::load(&path).unwrap().manifest.examples))
    };
    assert_eq!(save(10, false), (vec![10], None));
    assert_eq!(save(20, true), (vec![10, 20], Some(20)));
    assert_eq!(save(30, false), (vec![20, 30], Some(20)));
    assert_eq!(save(40, false), (vec![20, 30, 40], Some(20)));
    assert_eq!(save(50, false), (vec![20, 40, 50], Some(20)));
    assert_eq!(save(60, true), (vec![50, 60], Some(60)));
    let latest = store.load_latest().unwrap().unwrap();
    assert!(same(&latest.snapshot, &snapshot(60)));
    assert!(latest.refused.is_empty());
}

#[test]
fn the_number_to_keep_is_the_callers() {
    let folder = tempfile::tempdir().unwrap();
    for (n, left) in [(3, vec![3, 4, 5]), (1, vec![5]), (usize::MAX, vec![5, 1, 2, 3, 4, 5])] {
        let mut store = Store::open(folder.path()).unwrap().keep(keep(n));
        for examples in 1..=5 {
            let _ = store.save(&snapshot(examples), false).unwrap();
        }
        assert_eq!(examples(&store), left);
    }
}

#[test]
fn a_damaged_one_is_named_and_the_one_before_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap().keep(keep(3));
    let paths: Vec<_> = (1..=3).map(|n| store.save(&snapshot(n), false).unwrap().path).collect();
    damage(&paths[2]);
    let latest = store.load_latest().unwrap().unwrap();
    assert!(same(&latest.snapshot, &snapshot(2)));
    assert_eq!(latest.path, paths[1]);
    let [refused] = &latest.refused[..] else { panic!("{:?}", latest.refused) };
    assert_eq!(refused.path, paths[2]);
    assert!(refused.reason.to_string().contains("its SHA-256"), "{}", refused.reason);
    fs::write(&paths[1], "").unwrap();
    let latest = store.load_latest().unwrap().unwrap();
    assert_eq!((latest.snapshot.manifest.examples, latest.refused.len()), (1, 2));
    // With none left the run does not start anew in silence.
    damage(&paths[0]);
    let error = store.load_latest().unwrap_err();
    assert!(matches!(&error, CheckpointError::NoneWhole { refused, .. } if refused.len() == 3));
    assert!(error.to_string().starts_with("none of the 3 checkpoints in"), "{error}");
}

#[test]
fn a_run_that_went_back_keeps_no_damaged_one_in_the_place_of_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let _ = store.save(&snapshot(10), false).unwrap();
    damage(&store.save(&snapshot(20), true).unwrap().path);
    assert_eq!(store.load_latest().unwrap().unwrap().snapshot.manifest.examples, 10);
    // Fewer examples than the damaged one, yet the newest.
    let saved = store.save(&snapshot(15), false).unwrap();
    assert_eq!(saved.removed.len(), 1);
    assert_eq!(examples(&store), [10, 15]);
    assert_eq!(store.load_latest().unwrap().unwrap().snapshot.manifest.examples, 15);
}

#[test]
fn leftovers_go_and_what_is_not_its_own_stays() {
    let folder = tempfile::tempdir().unwrap();
    let _ = Store::open(folder.path()).unwrap().save(&snapshot(1), false).unwrap();
    let leftover = folder.path().join("checkpoint-000002-5.safetensors.tmp");
    let others = ["model.safetensors", "checkpoint-2-5.safetensors", "a.tmp", "checkpoint.safetensors.tmp"];
    let others = others.map(|name| folder.path().join(name));
    fs::write(&leftover, "half").unwrap();
    others.iter().for_each(|other| fs::write(other, "x").unwrap());
    let mut store = Store::open(folder.path()).unwrap().keep(keep(1));
    assert!(!leftover.exists());
    let _ = store.save(&snapshot(2), false).unwrap();
    assert!(others.iter().all(|other| other.exists()));
    assert_eq!(examples(&store), [2]);
}

#[test]
fn a_folder_is_in_use_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).err().unwrap();
    assert!(matches!(error, CheckpointError::InUse { .. }), "{error}");
    drop(store);
    assert!(Store::open(folder.path()).is_ok());
}

#[test]
fn folders_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    assert!(matches!(Store::open(&gone), Err(CheckpointError::Io { .. })));
    assert!(!gone.exists());
    let mut store = Store::create(&gone).unwrap();
    let _ = store.save(&snapshot(1), false).unwrap();
    fs::remove_dir_all(&gone).unwrap();
    let error = store.save(&snapshot(2), false).unwrap_err();
    assert!(matches!(&error, CheckpointError::Io { path, .. } if path.starts_with(&gone)), "{error}");
    assert!(store.load_latest().is_err() && store.list().is_err() && store.best().is_err());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Store::create(&file).is_err() && Store::open(&file).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written_opens_but_does_not_save() {
    // Nobody can make a file there.
    let mut store = Store::open(Path::new("/proc/self")).unwrap();
    assert!(store.load_latest().unwrap().is_none());
    let error = store.save(&snapshot(1), false).unwrap_err();
    assert!(matches!(error, CheckpointError::Io { action: "create", .. }), "{error}");
}

#[test]
fn a_folder_in_the_place_of_a_checkpoint_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap().keep(keep(1));
    let _ = store.save(&snapshot(1), false).unwrap();
    let path = folder.path().join("checkpoint-000002-5.safetensors");
    fs::create_dir(&path).unwrap();
    let latest = store.load_latest().unwrap().unwrap();
    assert_eq!((latest.snapshot.manifest.examples, latest.refused.len()), (1, 1));
    let saved = store.save(&snapshot(2), false).unwrap();
    assert_eq!((saved.removed.len(), saved.not_removed), (1, vec![path]));
}

#[test]
fn numbers_end_without_an_overflow() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(format!("checkpoint-{}-5.safetensors", u64::MAX)), "").unwrap();
    let error = Store::open(folder.path()).unwrap().save(&snapshot(1), false).unwrap_err();
    assert!(error.to_string().contains("18446744073709551615, but must be below"), "{error}");
}
