//! The image files of a folder of classes, in an order that every machine finds.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use crate::{At, DataError};

/// The names of image files end so, in letters of any case.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Entries of one folder that are looked at to tell what is in it.
const MAX_LOOKS: usize = 1_000;

/// One class: its name and its image files, sorted by name.
#[derive(Debug)]
pub(crate) struct ClassFiles {
    pub(crate) name: String,
    pub(crate) paths: Vec<PathBuf>,
}

/// Lists the folders of `dir` that hold images, sorted by name, each with its images.
///
/// Hidden entries are ignored; so are other files, and folders in a class's folder, and the log counts them.
///
/// # Errors
///
/// [`DataError::Read`]; [`DataError::Format`] for a link that leads out of `root`, and a name that is not UTF-8.
pub(crate) fn list_classes(root: &Path, dir: &Path) -> Result<Vec<ClassFiles>, DataError> {
    let root = root.canonicalize().map_err(|source| refused(root, source))?;
    stay_within(&root, dir)?;
    let mut classes = Vec::new();
    let mut n_ignored = 0u64;
    for entry in entries(dir)? {
        let path = entry.path();
        if kind(&root, &entry)? != Kind::Folder {
            n_ignored += 1;
            continue;
        }
        let mut paths = Vec::new();
        for entry in entries(&path)? {
            // Links are followed for their check even where the name tells no image.
            if kind(&root, &entry)? == Kind::File && is_image_name(&entry.path()) {
                paths.push(entry.path());
            } else {
                n_ignored += 1;
            }
        }
        if !paths.is_empty() {
            classes.push(ClassFiles { name: utf8_name(&entry)?, paths });
        }
    }
    if 0 < n_ignored {
        tracing::info!(dir = %dir.display(), n_ignored, "ignored what are no images in folders of classes");
    }
    Ok(classes)
}

/// Whether `dir` holds folders that hold images; looks at no more than some entries of each.
pub(crate) fn has_classes(dir: &Path) -> bool {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().take(MAX_LOOKS);
    let mut folders = entries(dir).map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.any(|folder| entries(&folder).any(|entry| is_image_name(&entry.path())))
}

fn refused(path: &Path, source: std::io::Error) -> DataError {
    DataError::Read { path: path.to_owned(), offset: 0, source }
}

/// The entries of a folder that are not hidden, sorted by name.
fn entries(dir: &Path) -> Result<Vec<DirEntry>, DataError> {
    let all = std::fs::read_dir(dir).map_err(|source| refused(dir, source))?;
    let mut entries = all.collect::<Result<Vec<_>, _>>().map_err(|source| refused(dir, source))?;
    entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    /// Pipes and devices: reading them may never end.
    Other,
}

impl From<std::fs::FileType> for Kind {
    fn from(kind: std::fs::FileType) -> Kind {
        match (kind.is_dir(), kind.is_file()) {
            (true, _) => Kind::Folder,
            (_, true) => Kind::File,
            _ => Kind::Other,
        }
    }
}

/// What an entry is, or what it is a link to.
fn kind(root: &Path, entry: &DirEntry) -> Result<Kind, DataError> {
    let path = entry.path();
    let kind = entry.file_type().map_err(|source| refused(&path, source))?;
    if !kind.is_symlink() {
        return Ok(kind.into());
    }
    let target = stay_within(root, &path)?;
    let metadata = target.metadata().map_err(|source| refused(&path, source))?;
    Ok(metadata.file_type().into())
}

/// Where a path leads to, which must be in `root`: otherwise the set would change with what is elsewhere, and show files
/// that nobody put into it.
fn stay_within(root: &Path, path: &Path) -> Result<PathBuf, DataError> {
    let target = path.canonicalize().map_err(|source| refused(path, source))?;
    if target.starts_with(root) {
        return Ok(target);
    }
    Err(DataError::Format {
        path: path.to_owned(),
        at: At::File,
        what: "the target of the link".to_owned(),
        found: format!("`{}`", target.display()),
        expected: format!("a place in `{}`", root.display()),
    })
}

fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

fn utf8_name(entry: &DirEntry) -> Result<String, DataError> {
    entry.file_name().into_string().map_err(|name| DataError::Format {
        path: entry.path(),
        at: At::File,
        what: "the name of a class".to_owned(),
        found: format!("{name:?}"),
        expected: "UTF-8".to_owned(),
    })
}
