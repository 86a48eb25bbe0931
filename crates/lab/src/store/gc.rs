//! What may be removed: trials that no sweep names and that brought nothing, checkpoints of trials that are done, and files
//! that were never finished. Never a trial of a sweep, never a result.

use super::Store;
use crate::LabError;
use crate::sweep::Root;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What was written to within this time may be in use, by a runner that we do not see (on a cluster, say).
    pub untouched_for: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { untouched_for: Duration::from_secs(3600) }
    }
}

/// Why something may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A trial that no sweep names and that has no result.
    NoSweep,
    /// Checkpoints of a trial that is done.
    Done,
    /// A file that was never finished.
    Partial,
}

impl Why {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoSweep => "a trial without result that no sweep names",
            Self::Done => "checkpoints of a trial that is done",
            Self::Partial => "a file that was never finished",
        }
    }
}

/// A file or folder that may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Where it is.
    pub path: PathBuf,
    /// Why it may go.
    pub why: Why,
    /// What it takes on the disk.
    pub bytes: u64,
    /// The trial that goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<String>,
}

/// All that may go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Garbage {
    /// What it is, by path.
    pub items: Vec<Item>,
    /// What all of it takes on the disk.
    pub bytes: u64,
    /// What else might go, but was written to a short while ago.
    pub n_too_young: u64,
}

/// Finds what may go, and leaves it.
///
/// # Errors
/// Folders that cannot be read; a sweep whose file cannot be read, because it is not known then what it names.
pub fn find(root: &Root, settings: &Settings) -> Result<Garbage, LabError> {
    let mut named = BTreeSet::new();
    for sweep in root.sweep_names()? {
        named.extend(root.read_sweep(&sweep)?.trials);
    }
    let mut found = Vec::new();
    partial_files(root.folder(), &mut found)?;
    for folder in folders(&root.sweeps())? {
        partial_files(&folder, &mut found)?;
    }
    partial_files(&root.runs(), &mut found)?;
    for id in root.trial_names()? {
        let folder = root.trial(&id);
        let has_result = folder.path("result.json").exists() || folder.differs();
        if !has_result && !named.contains(&id) {
            found.push((folder.folder().to_owned(), Why::NoSweep, Some(id)));
            continue;
        }
        partial_files(folder.folder(), &mut found)?;
        let checkpoints = folder.path("checkpoints");
        if folder.path("result.json").exists() && checkpoints.is_dir() {
            found.push((checkpoints, Why::Done, None));
        }
    }
    let mut garbage = Garbage::default();
    for (path, why, trial) in found {
        let (bytes, touched) = extent(&path);
        let age = SystemTime::now().duration_since(touched).unwrap_or_default();
        if age < settings.untouched_for {
            garbage.n_too_young += 1;
            continue;
        }
        garbage.bytes += bytes;
        garbage.items.push(Item { path, why, bytes, trial });
    }
    garbage.items.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(garbage)
}

/// Finds what may go, and removes it, from the store too. Nothing is removed while a runner works here.
///
/// # Errors
/// As [`find`]; a runner that works here; what cannot be removed, after what could be.
pub fn remove(root: &Root, store: &mut Store, settings: &Settings) -> Result<Garbage, LabError> {
    let path = root.folder().join("runner.lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let runner = opened.map_err(|source| LabError::io("create", &path, source))?;
    match runner.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let folder = root.folder().display();
            return Err(LabError::Input(format!(
                "a sweep is running in {folder}: nothing was removed; wait until it ends, or stop it"
            )));
        }
        Err(TryLockError::Error(source)) => return Err(LabError::io("lock", &path, source)),
    }
    let garbage = find(root, settings)?;
    for item in &garbage.items {
        take_away(&item.path).map_err(|source| LabError::io("remove", &item.path, source))?;
        if let Some(id) = &item.trial {
            store.forget(id)?;
        }
    }
    Ok(garbage)
}

/// Removes a file, or a folder with all in it. A folder gets the name of an unfinished one first, so that half of it is
/// never taken for a whole one.
fn take_away(path: &Path) -> std::io::Result<()> {
    if !path.symlink_metadata()?.is_dir() {
        return fs::remove_file(path);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_partial(&name) {
        return fs::remove_dir_all(path);
    }
    let going = path.with_file_name(format!(".{name}.partial"));
    fs::rename(path, &going)?;
    fs::remove_dir_all(going)
}

fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".partial")
}

/// The files and folders in `folder` that were never finished.
fn partial_files(folder: &Path, found: &mut Vec<(PathBuf, Why, Option<String>)>) -> Result<(), LabError> {
    for entry in entries(folder)? {
        if is_partial(&entry.file_name().to_string_lossy()) {
            found.push((entry.path(), Why::Partial, None));
        }
    }
    Ok(())
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, LabError> {
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    Ok(entries(folder)?.into_iter().filter(is_folder).map(|entry| entry.path()).collect())
}

/// What is in a folder; one that is not there holds nothing.
fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, LabError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(LabError::io("read", folder, source)),
    }
}

/// Bytes of a file, or of all files below a folder, and when the last of them was written to. Links are not followed.
fn extent(path: &Path) -> (u64, SystemTime) {
    let Ok(metadata) = path.symlink_metadata() else { return (0, SystemTime::UNIX_EPOCH) };
    let touched = metadata.modified().unwrap_or(SystemTime::now());
    if !metadata.is_dir() {
        return (metadata.len(), touched);
    }
    let inside = entries(path).unwrap_or_default().into_iter().map(|entry| extent(&entry.path()));
    inside.fold((0, touched), |(bytes, last), (more, touched)| (bytes + more, last.max(touched)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sample;
    use crate::trial::Begin;

    const AT_ONCE: Settings = Settings { untouched_for: Duration::ZERO };

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, [0; 100]).unwrap();
    }

    #[test]
    fn only_what_nobody_needs_goes() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let waiting = sample::waiting(&root, 8, 0.1, 1);
        let done = sample::done(&root, 8, 0.1, 2);
        let other_done = sample::done(&root, 8, 0.1, 3);
        let other_waiting = sample::waiting(&root, 8, 0.1, 4);
        sample::sweep(&root, "one", &[&waiting, &done]);
        for folder in [&waiting, &done, &other_done, &other_waiting] {
            write(&folder.path("checkpoints/1/weights.safetensors"));
        }
        write(&waiting.path(".result.json.log-0.partial"));
        write(&root.sweep("one").join(".sweep.json.partial"));
        write(&root.folder().join(".store.sqlite.partial"));
        let mut store = Store::open(&root).unwrap();
        store.refresh(&root).unwrap();
        assert!(store.record(other_waiting.id()).unwrap().is_some());

        assert_eq!(find(&root, &Settings::default()).unwrap().items, []);
        assert_eq!(find(&root, &Settings::default()).unwrap().n_too_young, 6);
        let found = find(&root, &AT_ONCE).unwrap();
        let mut ways: Vec<Why> = found.items.iter().map(|item| item.why).collect();
        ways.sort();
        assert_eq!(ways, [Why::NoSweep, Why::Done, Why::Done, Why::Partial, Why::Partial, Why::Partial]);
        assert!(600 <= found.bytes, "{}", found.bytes);

        let removed = remove(&root, &mut store, &AT_ONCE).unwrap();
        assert_eq!(removed, found);
        assert_eq!(find(&root, &AT_ONCE).unwrap(), Garbage::default());
        assert!(!other_waiting.folder().exists() && store.record(other_waiting.id()).unwrap().is_none());
        assert!(waiting.path("checkpoints/1/weights.safetensors").exists(), "it goes on from there");
        for kept in [&waiting, &done, &other_done] {
            assert_eq!(store.record(kept.id()).unwrap(), Some(kept.record().unwrap()));
        }
    }

    #[test]
    fn nothing_goes_while_a_runner_works_or_a_sweep_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let trial = sample::waiting(&root, 8, 0.1, 1);
        trial.begin(&Begin::default()).unwrap();
        let mut store = Store::open(&root).unwrap();
        let runner = fs::File::create(root.folder().join("runner.lock")).unwrap();
        runner.try_lock().unwrap();
        let error = remove(&root, &mut store, &AT_ONCE).unwrap_err().to_string();
        assert!(error.contains("a sweep is running"), "{error}");
        drop(runner);
        write(&root.sweep("torn").join("sweep.json"));
        remove(&root, &mut store, &AT_ONCE).unwrap_err();
        assert!(trial.path("trial.json").exists());
    }
}
