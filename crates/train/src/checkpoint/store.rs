//! A folder of checkpoints.

use super::files::Files;
use super::names::Name;
use super::read::{self, Loaded, model_differs};
use super::write::{self, Written};
use super::{CheckpointError, Refused, Snapshot};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// The file whose lock says that the folder is in use.
const LOCK: &str = "lock";
const KEEP: NonZeroUsize = NonZeroUsize::new(2).expect("it is not 0");

/// A folder of checkpoints, in use by one run at a time.
///
/// It holds files named `checkpoint-SERIAL-EXAMPLES.safetensors`, and `…-best.safetensors` where one was marked; other
/// files are left alone. The lock ends with the process, however that ends; a file system that knows no locks goes without.
/// Whoever only reads one file needs no store: [`Snapshot::load`].
pub struct Store {
    folder: PathBuf,
    keep: NonZeroUsize,
    files: Files,
    /// Those that were found damaged: they do not count among the kept.
    damaged: BTreeSet<PathBuf>,
    _lock: Option<File>,
}

/// What a save did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Saved {
    /// The new file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its checksum, in hex: of all its bytes but the digits of the checksum in it.
    pub sha256: String,
    /// Older checkpoints that it took the place of.
    pub removed: Vec<PathBuf>,
    /// Those that were to go and could not be removed; the next save tries again.
    pub not_removed: Vec<PathBuf>,
}

/// The newest checkpoint that is whole.
#[derive(Debug)]
pub struct Latest {
    /// What it holds.
    pub snapshot: Snapshot,
    /// Its file.
    pub path: PathBuf,
    /// Its checksum, as in [`Saved::sha256`].
    pub sha256: String,
    /// Newer ones that are damaged and were passed over, the newest first. The user should hear of them.
    pub refused: Vec<Refused>,
}

impl Store {
    /// Opens a folder, which is made where there is none.
    ///
    /// # Errors
    /// As [`Store::open`], and a folder that cannot be made.
    pub fn create(folder: &Path) -> Result<Self, CheckpointError> {
        fs::create_dir_all(folder).map_err(|source| failed("create", folder, source))?;
        Self::open(folder)
    }

    /// Opens a folder that is there, and removes what an interrupted save left under a temporary name. A folder that
    /// cannot be written opens too: it loads, and does not save.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] where it is no readable folder, [`CheckpointError::InUse`].
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        Self::open_with(folder, Files::default())
    }

    pub(super) fn open_with(folder: &Path, files: Files) -> Result<Self, CheckpointError> {
        let leftovers = scan(folder)?.into_iter().filter(|file| file.is_temporary);
        let lock = lock(folder)?;
        let (folder, damaged) = (folder.to_owned(), BTreeSet::new());
        let mut store = Self { folder, keep: KEEP, files, damaged, _lock: lock };
        for leftover in leftovers {
            if let Err(error) = store.files.remove(&leftover.path) {
                tracing::warn!(%error, "an unfinished checkpoint stays");
            }
        }
        Ok(store)
    }

    /// Keeps the newest so many (2 unless told).
    pub fn keep(mut self, keep: NonZeroUsize) -> Self {
        self.keep = keep;
        self
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The checkpoints' files, the oldest first, proven or not.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] where the folder cannot be read.
    pub fn list(&self) -> Result<Vec<PathBuf>, CheckpointError> {
        Ok(self.checkpoints()?.into_iter().map(|file| file.path).collect())
    }

    /// The newest that was marked as the best, proven or not.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] where the folder cannot be read.
    pub fn best(&self) -> Result<Option<PathBuf>, CheckpointError> {
        Ok(self.checkpoints()?.into_iter().rfind(|file| file.name.is_best).map(|file| file.path))
    }

    /// Saves a checkpoint, so that it lasts and is proven readable, and only then removes older ones: all but the newest
    /// few ([`Store::keep`]) and the newest that `is_best` marked.
    ///
    /// The cost: the file is written once, read back once (from the system's cache, as a rule) and hashed twice.
    ///
    /// # Errors
    /// [`CheckpointError::Unstorable`]; [`CheckpointError::Io`], such as a full disk; [`CheckpointError::Damaged`] where
    /// it does not read back. All checkpoints that were there are then still there, and a next save can succeed.
    pub fn save(&mut self, snapshot: &Snapshot, is_best: bool) -> Result<Saved, CheckpointError> {
        storable(snapshot)?;
        let newest = scan(&self.folder)?.into_iter().map(|file| file.name.serial).max().unwrap_or(0);
        let serial = newest.checked_add(1).ok_or_else(|| CheckpointError::Config {
            name: "the number of the newest checkpoint",
            found: newest.to_string(),
            allowed: "below 2^64 - 1",
        })?;
        let name = Name { serial, examples: snapshot.manifest.examples, is_best };
        let temporary = self.folder.join(name.temporary());
        let path = self.folder.join(name.to_string());
        let written = self.write_and_prove(snapshot, &temporary);
        let written = written.and_then(|written| self.files.rename(&temporary, &path).map(|()| written));
        let Written { bytes, sha256 } = written.inspect_err(|_| {
            // The error that matters is the first; what stays is removed when the folder is opened.
            let _ = self.files.remove(&temporary);
        })?;
        self.files.sync_folder(&self.folder)?;
        let (removed, not_removed) = self.remove_old();
        tracing::debug!(path = %path.display(), bytes, "saved a checkpoint");
        Ok(Saved { path, bytes, sha256, removed, not_removed })
    }

    fn write_and_prove(&mut self, snapshot: &Snapshot, path: &Path) -> Result<Written, CheckpointError> {
        let written = write::write(&mut self.files, path, snapshot)?;
        let (manifest, sha256) = read::prove(&mut self.files, path)?;
        if sha256 != written.sha256 {
            return Err(CheckpointError::damaged(path, None, "its SHA-256", sha256, written.sha256));
        }
        if manifest != snapshot.manifest {
            return Err(CheckpointError::Unstorable {
                name: "the manifest".to_owned(),
                found: "another when read back".to_owned(),
                allowed: "the same",
            });
        }
        Ok(written)
    }

    /// Removes what the newest, which is proven, took the place of. That some stay is no fault of the save.
    fn remove_old(&mut self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let files = self.checkpoints().unwrap_or_else(|error| {
            tracing::warn!(%error, "old checkpoints stay");
            Vec::new()
        });
        let whole = files.iter().rev().filter(|file| !self.damaged.contains(&file.path));
        let best = whole.clone().find(|file| file.name.is_best);
        let kept: BTreeSet<PathBuf> =
            whole.take(self.keep.get()).chain(best).map(|file| file.path.clone()).collect();
        let (mut removed, mut not_removed) = (Vec::new(), Vec::new());
        for file in files.into_iter().filter(|file| !kept.contains(&file.path)) {
            match self.files.remove(&file.path) {
                Ok(()) => removed.push(file.path),
                Err(error) => {
                    tracing::warn!(%error, "an old checkpoint stays");
                    not_removed.push(file.path);
                }
            }
        }
        (removed, not_removed)
    }

    /// The newest checkpoint that is whole, or `None` where there is no checkpoint at all.
    ///
    /// # Errors
    /// [`CheckpointError::NoneWhole`] where there are some but none is whole; [`CheckpointError::Newer`] where the newest
    /// is of a later program, which going back would throw away; [`CheckpointError::Io`] where the folder cannot be read
    /// or there is no right to read a file.
    pub fn load_latest(&mut self) -> Result<Option<Latest>, CheckpointError> {
        let mut refused = Vec::new();
        for path in self.list()?.into_iter().rev() {
            match read::load(&path) {
                Ok(Loaded { snapshot, sha256 }) => {
                    return Ok(Some(Latest { snapshot, path, sha256, refused }));
                }
                Err(reason) if reason.is_damage() => {
                    tracing::warn!(%reason, "passed over a checkpoint");
                    self.damaged.insert(path.clone());
                    refused.push(Refused { path, reason });
                }
                Err(reason) => return Err(reason),
            }
        }
        match refused.is_empty() {
            true => Ok(None),
            false => Err(CheckpointError::NoneWhole { folder: self.folder.clone(), refused }),
        }
    }

    /// Those with their final names, the oldest first.
    fn checkpoints(&self) -> Result<Vec<Listed>, CheckpointError> {
        let mut files = scan(&self.folder)?;
        files.retain(|file| !file.is_temporary);
        files.sort_by_key(|file| file.name);
        Ok(files)
    }
}

/// A file of the store.
struct Listed {
    name: Name,
    is_temporary: bool,
    path: PathBuf,
}

/// All files of the store, in no order.
fn scan(folder: &Path) -> Result<Vec<Listed>, CheckpointError> {
    let failed = |source| failed("list", folder, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let file_name = entry.map_err(failed)?.file_name();
        if let Some((name, is_temporary)) = file_name.to_str().and_then(Name::parse) {
            files.push(Listed { name, is_temporary, path: folder.join(file_name) });
        }
    }
    Ok(files)
}

/// Takes the folder's lock, where there can be one.
fn lock(folder: &Path) -> Result<Option<File>, CheckpointError> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK));
    match file.map(|file| (file.try_lock(), file)) {
        Ok((Ok(()), file)) => Ok(Some(file)),
        Ok((Err(TryLockError::WouldBlock), _)) => Err(CheckpointError::InUse { folder: folder.to_owned() }),
        Ok((Err(TryLockError::Error(error)), _)) | Err(error) => {
            tracing::debug!(%error, folder = %folder.display(), "goes without a lock");
            Ok(None)
        }
    }
}

/// Whether the parts of a snapshot fit each other.
fn storable(snapshot: &Snapshot) -> Result<(), CheckpointError> {
    let refused = |name: &str, (found, _): (String, String), allowed| {
        Err(CheckpointError::Unstorable { name: name.to_owned(), found, allowed })
    };
    if let Some(difference) = model_differs(snapshot) {
        return refused("the manifest's `model`", difference, "what the tensors `parameters/…` are");
    }
    match snapshot.manifest.check_configuration() {
        Err(difference) => {
            refused("the manifest's `configuration_sha256`", difference, "the hash of its configuration")
        }
        Ok(()) => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> CheckpointError {
    CheckpointError::Io { action, path: path.to_owned(), source }
}
