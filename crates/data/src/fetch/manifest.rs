//! What a fetched folder holds and where it came from, kept beside its files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::digest::Hasher;
use super::hub::quoted;
use super::request::is_commit;
use super::{Checksum, FetchError, cache, names};

/// The file's name.
pub const MANIFEST: &str = "batchwise-fetch.json";
const FORMAT: u32 = 1;
/// A million files with long names.
const MAX_BYTES: u64 = 1 << 30;

/// What was fetched: the pin of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file.
    pub format: u32,
    /// The address of the hub.
    pub endpoint: String,
    /// The data set on the hub, as `owner/name`.
    pub repository: String,
    /// The revision that was asked for.
    pub revision: String,
    /// The commit that it named then: every file is of this commit.
    pub commit: String,
    /// The folder of the repository that the files were in.
    pub folder: Option<String>,
    /// Endings that were asked for; empty is what the crate can read.
    pub include: Vec<String>,
    /// The files, sorted by name.
    pub files: Vec<FetchedFile>,
}

/// One file of a fetched data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedFile {
    /// Its path within the folder, with `/` between its parts.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its checksum.
    #[serde(flatten)]
    pub checksum: Checksum,
}

/// A file that is not as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its path within the folder.
    pub path: String,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
}

impl Manifest {
    pub(super) const FORMAT: u32 = FORMAT;

    /// The manifest as text.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("text and numbers can be written as JSON");
        json.push(b'\n');
        json
    }
}

/// Reads the manifest of a folder; `None` if the folder has none, as it was not fetched.
///
/// # Errors
///
/// [`FetchError::Manifest`], [`FetchError::Read`], [`FetchError::SymbolicLink`].
pub fn read_manifest(dir: &Path) -> Result<Option<Manifest>, FetchError> {
    let path = dir.join(MANIFEST);
    if cache::kind(&path)?.is_none() {
        return Ok(None);
    }
    let refused = |source| FetchError::Read { path: path.clone(), source };
    let fault = |what: &str, found: &str, expected: &str| FetchError::Manifest {
        path: path.clone(),
        what: what.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    let mut json = Vec::new();
    File::open(&path).map_err(refused)?.take(MAX_BYTES).read_to_end(&mut json).map_err(refused)?;
    let parsed: Result<Manifest, _> = serde_json::from_slice(&json);
    let manifest = parsed.map_err(|error| fault("the content", &error.to_string(), "a manifest"))?;
    if manifest.format != FORMAT {
        return Err(fault("the format", &manifest.format.to_string(), &FORMAT.to_string()));
    }
    if !is_commit(&manifest.commit) {
        return Err(fault("the commit", &quoted(&manifest.commit), "40 hexadecimal digits"));
    }
    for file in &manifest.files {
        if let Some(reason) = names::fault(&file.path) {
            return Err(fault("a file", &quoted(&file.path), &format!("a safe name ({reason})")));
        }
        if !file.checksum.is_valid() {
            let what = format!("the checksum of {}", quoted(&file.path));
            return Err(fault(&what, &quoted(&file.checksum.to_string()), "hexadecimal digits"));
        }
    }
    if let Some(path) = names::clash(manifest.files.iter().map(|file| file.path.as_str())) {
        return Err(fault("a file", &quoted(path), "a name that meets no other"));
    }
    Ok(Some(manifest))
}

/// Compares every file of a fetched folder with its manifest; what is not as it was fetched.
///
/// # Errors
///
/// [`FetchError::Read`] where a file is there but cannot be read.
pub fn verify(dir: &Path, manifest: &Manifest) -> Result<Vec<Damage>, FetchError> {
    let mut damages = Vec::new();
    for file in &manifest.files {
        if let Some(found) = damage(dir, file)? {
            let expected = format!("{} bytes with {}", file.bytes, file.checksum);
            damages.push(Damage { path: file.path.clone(), found, expected });
        }
    }
    Ok(damages)
}

/// What is wrong with one file; `None` if nothing is.
pub(super) fn damage(dir: &Path, file: &FetchedFile) -> Result<Option<String>, FetchError> {
    let path = match cache::lookup(dir, &file.path) {
        Ok(Some(path)) => path,
        Ok(None) => return Ok(Some("no file".to_owned())),
        Err(FetchError::SymbolicLink { .. }) => return Ok(Some("a symbolic link".to_owned())),
        Err(error) => return Err(error),
    };
    let refused = |source| FetchError::Read { path: path.clone(), source };
    let mut opened = File::open(&path).map_err(refused)?;
    let metadata = opened.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Ok(Some("a folder".to_owned()));
    }
    if metadata.len() != file.bytes {
        return Ok(Some(format!("{} bytes", metadata.len())));
    }
    let mut hasher = Hasher::new(&file.checksum, file.bytes);
    hasher.read(&mut opened, &path, file.bytes)?;
    let found = hasher.finish();
    Ok((found != file.checksum).then(|| found.to_string()))
}
