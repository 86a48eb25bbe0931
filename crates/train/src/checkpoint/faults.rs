//! Saves that fail, stop and lose power at each of their operations.

use super::files::{Files, Op, Stop};
use super::{CheckpointError, Manifest, Snapshot, Store};
use candle_core::{Device, Tensor};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Large enough for several writes.
fn snapshot(examples: u64) -> Snapshot {
    let values: Vec<f32> = (0..600_000).map(|i| (i as f32 + 0.5) * examples as f32).collect();
    let weight = Tensor::from_vec(values, (600, 1000), &Device::Cpu).unwrap();
    let mut manifest = Manifest::new(json!({"seed": 1}), "data");
    (manifest.examples, manifest.state) = (examples, json!({"phi": 0.1 * examples as f64}));
    Snapshot::new(manifest, BTreeMap::from([("parameters/weight".to_owned(), weight)]))
}

fn equal(a: &Snapshot, b: &Snapshot) -> bool {
    let bits = |snapshot: &Snapshot| -> Vec<u32> {
        let weight: Vec<f32> =
            snapshot.tensors["parameters/weight"].flatten_all().unwrap().to_vec1().unwrap();
        weight.into_iter().map(f32::to_bits).collect()
    };
    a.manifest == b.manifest && bits(a) == bits(b)
}

const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// A folder with one checkpoint.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let _ = Store::open(folder.path()).unwrap().save(&snapshot(1), false).unwrap();
    folder
}

/// Saves over what is there, keeping one, past a gate.
fn save(
    folder: &Path,
    gate: impl FnMut(Op, &Path) -> Result<(), Stop> + Send + 'static,
) -> Result<(), CheckpointError> {
    let mut store = Store::open_with(folder, Files::gated(Box::new(gate))).unwrap().keep(ONE);
    store.save(&snapshot(2), false).map(|_| ())
}

/// The operations of a save that nothing stops.
fn operations() -> Vec<Op> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    save(folder().path(), move |op, _| {
        log.lock().unwrap().push(op);
        Ok(())
    })
    .unwrap();
    std::mem::take(&mut *seen.lock().unwrap())
}

fn stop(kind: ErrorKind, written: usize) -> Result<(), Stop> {
    Err(Stop { written, error: Error::from(kind) })
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// After whatever happened: one of the two is there, whole, with nothing refused, and the next save succeeds.
fn recovers(folder: &Path, must_be_new: bool) -> u64 {
    let mut store = Store::open(folder).unwrap().keep(ONE);
    assert!(names(folder).iter().all(|name| !name.ends_with(".tmp")));
    let latest = store.load_latest().unwrap().expect("a checkpoint");
    assert!(latest.refused.is_empty(), "{:?}", latest.refused);
    let examples = latest.snapshot.manifest.examples;
    assert!(equal(&latest.snapshot, &snapshot(examples)));
    assert!(examples == 2 || (examples == 1 && !must_be_new), "{examples}");
    let saved = store.save(&snapshot(3), false).unwrap();
    assert!(saved.not_removed.is_empty());
    assert_eq!(names(folder).len(), 2, "{:?}", names(folder)); // The new one and the lock.
    assert!(equal(&store.load_latest().unwrap().unwrap().snapshot, &snapshot(3)));
    examples
}

#[test]
fn the_old_one_goes_only_after_the_new_one_is_read_back_and_lasts() {
    let mut operations = operations();
    operations.retain(|op| !matches!(op, Op::Write(_)));
    assert_eq!(operations, [Op::Create, Op::SyncFile, Op::Open, Op::Rename, Op::SyncFolder, Op::Remove]);
}

/// How many bytes an operation may have written when it stops.
fn parts(op: &Op) -> Vec<usize> {
    match op {
        Op::Write(n) => vec![0, n / 2, *n],
        _ => vec![0],
    }
}

#[test]
fn an_operation_that_fails_costs_nothing_but_the_save() {
    let operations = operations();
    // Three blocks and the checksum.
    assert_eq!(operations.iter().filter(|op| matches!(op, Op::Write(_))).count(), 4, "{operations:?}");
    for (k, op) in operations.iter().enumerate() {
        let other = [ErrorKind::PermissionDenied, ErrorKind::NotFound][k % 2];
        for kind in [ErrorKind::StorageFull, other] {
            for written in parts(op) {
                let folder = folder();
                let mut n = 0;
                let result = save(folder.path(), move |_, _| {
                    n += 1;
                    if n == k + 1 { stop(kind, written) } else { Ok(()) }
                });
                match (op, result) {
                    // That an old one stays is no fault of the new one.
                    (Op::Remove, result) => result.unwrap(),
                    (_, Err(CheckpointError::Io { source, path, .. })) => {
                        assert_eq!(source.kind(), kind);
                        assert!(path.starts_with(folder.path()));
                        // Nothing is left behind, and nothing old is gone.
                        let left = names(folder.path());
                        assert!(left.iter().all(|name| !name.ends_with(".tmp")), "{op:?}: {left:?}");
                        assert!(left.contains("checkpoint-000001-1.safetensors"), "{op:?}: {left:?}");
                    }
                    (_, other) => panic!("{op:?} {kind}: {other:?}"),
                }
                recovers(folder.path(), matches!(op, Op::SyncFolder | Op::Remove));
            }
        }
    }
}

#[test]
fn a_process_that_is_killed_leaves_the_old_one_or_the_new_one() {
    let operations = operations();
    let mut found = BTreeSet::new();
    for (k, op) in operations.iter().enumerate() {
        for written in parts(op) {
            let folder = folder();
            let mut n = 0;
            let result = save(folder.path(), move |_, _| {
                n += 1;
                // The dead do nothing more, not even tidy up.
                if n <= k {
                    Ok(())
                } else {
                    stop(ErrorKind::Interrupted, if n == k + 1 { written } else { 0 })
                }
            });
            assert_eq!(result.is_ok(), *op == Op::Remove);
            found.insert(recovers(folder.path(), matches!(op, Op::SyncFolder | Op::Remove)));
        }
    }
    assert_eq!(found, BTreeSet::from([1, 2]));
}

/// What a disk would hold after a loss of power: values that were not synced are cut, names that were not synced are undone.
#[derive(Default)]
struct Disk {
    n: usize,
    unsynced: BTreeSet<PathBuf>,
    renamed: Option<(PathBuf, PathBuf)>,
    removed: Vec<(PathBuf, Vec<u8>)>,
}

#[test]
fn a_loss_of_power_leaves_the_old_one_or_the_new_one() {
    let n_operations = operations().len();
    for k in 0..=n_operations {
        for undo_names in [false, true] {
            let folder = folder();
            let disk = Arc::new(Mutex::new(Disk::default()));
            let shared = Arc::clone(&disk);
            let _ = save(folder.path(), move |op, path| {
                let mut disk = shared.lock().unwrap();
                disk.n += 1;
                if k < disk.n {
                    return stop(ErrorKind::Interrupted, 0);
                }
                match op {
                    Op::Create | Op::Write(_) => {
                        disk.unsynced.insert(path.to_owned());
                    }
                    Op::SyncFile => {
                        disk.unsynced.remove(path);
                    }
                    Op::Rename => {
                        let from = PathBuf::from(format!("{}.tmp", path.display()));
                        // A name can reach the disk before values do.
                        if disk.unsynced.remove(&from) {
                            disk.unsynced.insert(path.to_owned());
                        }
                        disk.renamed = Some((from, path.to_owned()));
                    }
                    Op::SyncFolder => disk.renamed = None,
                    Op::Remove => disk.removed.push((path.to_owned(), fs::read(path).unwrap())),
                    Op::Open => {}
                }
                Ok(())
            });
            let mut disk = disk.lock().unwrap();
            for path in std::mem::take(&mut disk.unsynced) {
                let file = fs::File::options().write(true).open(&path).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
            if undo_names && let Some((from, to)) = disk.renamed.take() {
                fs::rename(to, from).unwrap();
            }
            if undo_names {
                // A removal need not last.
                disk.removed.drain(..).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
            }
            recovers(folder.path(), k == n_operations);
        }
    }
}

#[test]
fn a_file_that_reads_back_otherwise_takes_no_place() {
    for offset in [3, 40, 700, -1] {
        let folder = folder();
        let result = save(folder.path(), move |op, path| {
            if op == Op::Open {
                let mut file = fs::File::options().read(true).write(true).open(path).unwrap();
                let at = if offset < 0 { SeekFrom::End(offset) } else { SeekFrom::Start(offset as u64) };
                let (place, mut byte) = (file.seek(at).unwrap(), [0]);
                file.read_exact(&mut byte).unwrap();
                file.seek(SeekFrom::Start(place)).unwrap();
                file.write_all(&[byte[0] ^ 1]).unwrap();
            }
            Ok(())
        });
        assert!(matches!(result, Err(CheckpointError::Damaged { .. })), "{offset}: {result:?}");
        assert_eq!(names(folder.path()).len(), 2);
        assert_eq!(recovers(folder.path(), false), 1);
    }
}

#[test]
fn a_save_after_a_failed_one_succeeds_in_the_same_store() {
    let folder = folder();
    let mut n = 0;
    let gate = move |op, _: &Path| {
        n += usize::from(op == Op::SyncFile);
        if op == Op::SyncFile && n == 1 { stop(ErrorKind::StorageFull, 0) } else { Ok(()) }
    };
    let mut store = Store::open_with(folder.path(), Files::gated(Box::new(gate))).unwrap();
    assert!(store.save(&snapshot(2), false).is_err());
    let _ = store.save(&snapshot(2), false).unwrap();
    drop(store);
    recovers(folder.path(), true);
}
