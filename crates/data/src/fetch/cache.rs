//! The folders of fetched data sets: made whole in a staging folder, then put in place by one rename.
//!
//! `DATA/.fetch/NAME.lock` is held by the one process that fetches NAME, `DATA/.fetch/NAME/COMMIT` is where it gathers
//! the files, and `DATA/NAME` is the data set. No symbolic link is followed below `DATA`.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{FetchError, FetchedFile, MANIFEST, Manifest, Progress, Request, read_manifest};

/// Where one data set is kept.
pub(super) struct Cache {
    data_dir: PathBuf,
    /// The data set.
    pub(super) target: PathBuf,
    lock: PathBuf,
    /// Holds one staging folder for each commit.
    work_dir: PathBuf,
    /// Where a data set waits while another one takes its place.
    old: PathBuf,
}

impl Cache {
    pub(super) fn new(request: &Request) -> Result<Cache, FetchError> {
        let (data_dir, name) = (request.data_dir.clone(), &request.name);
        fs::create_dir_all(&data_dir).map_err(refused(&data_dir))?;
        let hidden = make_dirs(&data_dir, ".fetch")?;
        Ok(Cache {
            target: data_dir.join(name),
            lock: hidden.join(format!("{name}.lock")),
            work_dir: hidden.join(name),
            old: hidden.join(format!("{name}.old")),
            data_dir,
        })
    }

    /// Waits until no other process fetches this data set. The lock ends with the file, at the latest with the process.
    pub(super) fn lock(&self, on_progress: &mut dyn FnMut(Progress<'_>)) -> Result<File, FetchError> {
        kind(&self.lock)?;
        let lock = File::options().create(true).truncate(false).write(true).open(&self.lock);
        let lock = lock.map_err(refused(&self.lock))?;
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(source)) => return Err(refused(&self.lock)(source)),
            Err(TryLockError::WouldBlock) => (),
        }
        tracing::info!(lock = %self.lock.display(), "another process fetches this data set: waiting");
        on_progress(Progress::Waiting { lock: &self.lock });
        lock.lock().map_err(refused(&self.lock))?;
        Ok(lock)
    }

    /// The manifest of what is in place; `None` if nothing is.
    pub(super) fn installed(&self, repository: &str) -> Result<Option<Manifest>, FetchError> {
        let occupied = |reason: String| FetchError::Occupied { dir: self.target.clone(), reason };
        if kind(&self.target)?.is_none() && kind(&self.old)?.is_some() {
            // A process ended after it had moved the old files away, before the new ones took their place.
            fs::rename(&self.old, &self.target).map_err(refused(&self.target))?;
        }
        match kind(&self.target)? {
            None => return Ok(None),
            Some(metadata) if !metadata.is_dir() => return Err(occupied("it is a file".to_owned())),
            Some(_) => (),
        }
        let manifest = read_manifest(&self.target)?;
        let manifest =
            manifest.ok_or_else(|| occupied(format!("it was not fetched, it has no {MANIFEST}")))?;
        if manifest.repository != repository {
            return Err(occupied(format!("it holds `{}`", manifest.repository)));
        }
        Ok(Some(manifest))
    }

    /// The staging folder of a commit. Those of other commits are removed.
    pub(super) fn staging(&self, commit: &str) -> Result<PathBuf, FetchError> {
        let staging = make_dirs(&self.work_dir, commit)?;
        for entry in entries(&self.work_dir)? {
            if entry != staging {
                remove(&entry)?;
            }
        }
        Ok(staging)
    }

    /// Removes what is left of fetches that did not end.
    pub(super) fn clear(&self) -> Result<(), FetchError> {
        remove(&self.work_dir)?;
        remove(&self.old)
    }

    /// Takes a file from what is in place, where it was found to be good.
    pub(super) fn reuse(&self, staging: &Path, file: &FetchedFile) -> Result<(), FetchError> {
        let (from, to) = (self.target.join(&file.path), destination(staging, &file.path)?);
        // Not every file system has hard links.
        let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop));
        linked.map_err(refused(&to))
    }

    /// Puts the files of the staging folder in place, and nothing else that lies there.
    pub(super) fn install(&self, staging: &Path, manifest: &Manifest) -> Result<(), FetchError> {
        prune(staging, "", &manifest.files)?;
        let path = staging.join(MANIFEST);
        let mut file = File::create_new(&path).map_err(refused(&path))?;
        file.write_all(&manifest.to_json()).and_then(|()| file.sync_all()).map_err(refused(&path))?;
        sync_dirs(staging)?;
        remove(&self.old)?;
        let replaces = kind(&self.target)?.is_some();
        if replaces {
            fs::rename(&self.target, &self.old).map_err(refused(&self.old))?;
        }
        if let Err(source) = fs::rename(staging, &self.target) {
            if replaces {
                fs::rename(&self.old, &self.target).map_err(refused(&self.target))?;
            }
            return Err(refused(&self.target)(source));
        }
        sync_dir(&self.data_dir)?;
        self.clear()
    }
}

/// What is at `path`, if anything is; a symbolic link is refused.
pub(super) fn kind(path: &Path) -> Result<Option<Metadata>, FetchError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(FetchError::SymbolicLink { path: path.to_owned() }),
        Ok(metadata) => Ok(Some(metadata)),
        Err(source) if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(FetchError::Read { path: path.to_owned(), source }),
    }
}

/// The path of a file below `dir`, if it is there; no part of it is a symbolic link.
pub(super) fn lookup(dir: &Path, path: &str) -> Result<Option<PathBuf>, FetchError> {
    let mut at = dir.to_owned();
    for part in path.split('/') {
        at.push(part);
        if kind(&at)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

/// Where to write a file below `dir`, whose folders are made.
pub(super) fn destination(dir: &Path, path: &str) -> Result<PathBuf, FetchError> {
    let folder = match path.rsplit_once('/') {
        Some((folders, _)) => make_dirs(dir, folders)?,
        None => dir.to_owned(),
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    Ok(folder.join(name))
}

/// Makes `dir` and the folders `path` below it.
fn make_dirs(dir: &Path, path: &str) -> Result<PathBuf, FetchError> {
    let mut at = dir.to_owned();
    make_dir(&at)?;
    for part in path.split('/') {
        at.push(part);
        make_dir(&at)?;
    }
    Ok(at)
}

fn make_dir(path: &Path) -> Result<(), FetchError> {
    match kind(path) {
        Ok(Some(metadata)) if metadata.is_dir() => Ok(()),
        Ok(Some(_)) => Err(FetchError::Occupied { dir: path.to_owned(), reason: "it is a file".to_owned() }),
        Ok(None) => fs::create_dir(path).or_else(|source| match source.kind() {
            // Another process was quicker.
            ErrorKind::AlreadyExists => Ok(()),
            _ => Err(refused(path)(source)),
        }),
        Err(error) => Err(error),
    }
}

/// Removes a file, a link or a folder, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), FetchError> {
    let removed = match fs::symlink_metadata(path) {
        // The library removes links as links here, wherever they lead.
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(source) => Err(source),
    };
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(refused(path)(source)),
        _ => Ok(()),
    }
}

/// Removes whatever lies below `dir` and is not among `files`. `prefix` is the path of `dir` with a `/` at its end.
fn prune(dir: &Path, prefix: &str, files: &[FetchedFile]) -> Result<(), FetchError> {
    for entry in entries(dir)? {
        let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = format!("{prefix}{name}");
        // The files are sorted by path.
        let at = files.partition_point(|file| file.path < path);
        let is_dir = kind(&entry).is_ok_and(|kind| kind.is_some_and(|metadata| metadata.is_dir()));
        let inside = format!("{path}/");
        let first_inside = files.partition_point(|file| file.path < inside);
        if is_dir && files.get(first_inside).is_some_and(|file| file.path.starts_with(&inside)) {
            prune(&entry, &inside, files)?;
        } else if is_dir || files.get(at).is_none_or(|file| file.path != path) {
            remove(&entry)?;
        }
    }
    Ok(())
}

/// Makes the names in `dir` and in the folders below it lasting.
fn sync_dirs(dir: &Path) -> Result<(), FetchError> {
    for entry in entries(dir)? {
        if kind(&entry)?.is_some_and(|metadata| metadata.is_dir()) {
            sync_dirs(&entry)?;
        }
    }
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> Result<(), FetchError> {
    // Only there can a folder be opened as a file.
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(refused(dir))?;
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, FetchError> {
    let entries = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(|source| FetchError::Read { path: dir.to_owned(), source })
}

fn refused(path: &Path) -> impl Fn(io::Error) -> FetchError {
    move |source| FetchError::Write { path: path.to_owned(), offset: 0, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Checksum;

    #[test]
    fn pruning_leaves_the_listed_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a", "a.part", "b/c", "b/d", "b/e/f", "b.x/g", "z/y", "b-/q"] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), path).unwrap();
        }
        let mut kept = ["a", "b/c", "b/e/f", "b.x/g"];
        kept.sort_unstable();
        let checksum = Checksum::Sha256(String::new());
        let files =
            kept.map(|path| FetchedFile { path: path.to_owned(), bytes: 0, checksum: checksum.clone() });
        prune(dir.path(), "", &files).unwrap();
        for (path, is_kept) in [
            ("a", true),
            ("a.part", false),
            ("b/c", true),
            ("b/d", false),
            ("b/e/f", true),
            ("b.x/g", true),
            ("z", false),
            ("b-", false),
        ] {
            assert_eq!(dir.path().join(path).exists(), is_kept, "{path}");
        }
    }
}
