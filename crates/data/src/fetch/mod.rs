//! Fetching data sets from the Hugging Face hub into the data directory.
//!
//! ```no_run
//! use batchwise_data::fetch::{Request, fetch};
//!
//! let request = Request::new("mnist", "data".as_ref())?;
//! let fetched = fetch(&request, &mut |_progress| ())?;
//! let splits = batchwise_data::open("mnist", Some("data".as_ref()));
//! # Ok::<(), batchwise_data::fetch::FetchError>(())
//! ```
//!
//! - **Pinned.** A revision is resolved to its commit first, and every file is of that commit. The commit, and the size
//!   and checksum of each file, stand in [`MANIFEST`] beside the files. The short names of the [`CATALOG`] come without
//!   a commit: the first fetch makes the pin. A branch that has moved since is told ([`Fetched::moved_to`]) and
//!   followed only if asked ([`Request::update`]).
//! - **Checked.** Every file has the checksum that the hub lists, or it is not there. Fetching again checks the files
//!   and fetches the damaged ones alone.
//! - **Whole or not there.** Files gather in a staging folder, which takes its place by one rename. A fetch that was
//!   killed goes on where it stopped.
//! - **One at a time.** A second process waits for the first and then finds its work done.
//! - **On guard.** The names, sizes and redirects that a server gives are checked, and no symbolic link is followed.

mod cache;
mod catalog;
mod client;
mod digest;
mod download;
mod error;
mod hub;
mod manifest;
mod names;
mod request;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use catalog::{CATALOG, CatalogEntry};
pub use digest::Checksum;
pub use error::FetchError;
pub use hub::{RemoteFile, parse_listing};
pub use manifest::{Damage, FetchedFile, MANIFEST, Manifest, read_manifest, verify};
pub use request::{DEFAULT_ENDPOINT, Patience, Request, Token};

use cache::Cache;
use client::Client;

/// More files than a folder should hold.
const MAX_FILES: usize = 1 << 20;

/// What happens while a data set is fetched.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// Another process fetches the same data set: waiting for it.
    Waiting {
        /// The file that it has locked.
        lock: &'a Path,
    },
    /// The branch names another commit than the one that was fetched before, which is kept.
    Moved {
        /// The branch.
        revision: &'a str,
        /// The commit that is kept.
        kept: &'a str,
        /// The commit that it names now.
        newest: &'a str,
    },
    /// A file that was fetched before is not as it was: it is fetched again.
    Damaged {
        /// The file, what is there and what should be there.
        damage: &'a Damage,
    },
    /// The files are known.
    Plan {
        /// The commit that is fetched.
        commit: &'a str,
        /// How many files it has that are wanted.
        files: usize,
        /// Their size in all.
        bytes: u64,
    },
    /// Bytes of a file have arrived.
    Bytes {
        /// The file's path.
        file: &'a str,
        /// Bytes that are there.
        done: u64,
        /// Its size.
        total: u64,
    },
    /// A file is whole and has its checksum, whether it was fetched now or before.
    File {
        /// The file.
        file: &'a FetchedFile,
    },
    /// A try failed; the next one follows after a pause.
    Retry {
        /// The address, without its query.
        url: &'a str,
        /// What went wrong.
        reason: &'a str,
        /// The number of the next try in a row.
        attempt: u32,
        /// The pause.
        wait: Duration,
    },
}

/// A data set that is in place, whole and checked.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its folder.
    pub dir: PathBuf,
    /// Its commit.
    pub commit: String,
    /// Its files, sorted by path.
    pub files: Vec<FetchedFile>,
    /// How many of them came over the network now: 0 if all was there before.
    pub n_downloaded: usize,
    /// The commit that the branch names now, if it is another one.
    pub moved_to: Option<String>,
}

/// Fetches a data set, or checks the one that was fetched before.
///
/// # Errors
///
/// Any [`FetchError`]. What has arrived stays in the staging folder, and the next call goes on from there; what was in
/// place before stays in place.
pub fn fetch(request: &Request, on_progress: &mut dyn FnMut(Progress<'_>)) -> Result<Fetched, FetchError> {
    request.check()?;
    let client = Client::new(request)?;
    let cache = Cache::new(request)?;
    let _lock = cache.lock(on_progress)?;
    let installed = cache.installed(&request.repository)?;
    let pin = pin(&client, request, installed.as_ref(), on_progress)?;
    if let Some(manifest) = installed.as_ref()
        && manifest.commit == pin.commit
        && manifest.folder == request.folder
        && manifest.include == request.include
    {
        let damages = verify(&cache.target, manifest)?;
        if damages.is_empty() {
            cache.clear()?;
            return Ok(fetched(&cache, manifest.clone(), 0, pin.moved_to));
        }
        for damage in &damages {
            tracing::warn!(file = damage.path, found = damage.found, expected = damage.expected, "damaged");
            on_progress(Progress::Damaged { damage });
        }
    }
    let listed = hub::files(&client, &request.repository, &pin.commit, on_progress)?;
    let wanted = select(request, &pin.commit, listed)?;
    let n_bytes = wanted.iter().map(|(_, file)| file.bytes).sum();
    on_progress(Progress::Plan { commit: &pin.commit, files: wanted.len(), bytes: n_bytes });
    let staging = cache.staging(&pin.commit)?;
    let mut n_downloaded = 0;
    for (path, file) in &wanted {
        let is_there = manifest::damage(&staging, file)?.is_none();
        if !is_there {
            if let Some(left) = cache::lookup(&staging, &file.path)? {
                cache::remove(&left)?;
            }
            if installed.is_some() && manifest::damage(&cache.target, file)?.is_none() {
                cache.reuse(&staging, file)?;
            } else {
                let url = hub::file_url(&client, &request.repository, &pin.commit, path);
                download::download(&client, &url, file, &staging, on_progress)?;
                n_downloaded += 1;
            }
        }
        on_progress(Progress::File { file });
    }
    let manifest = Manifest {
        format: Manifest::FORMAT,
        endpoint: request.endpoint.clone(),
        repository: request.repository.clone(),
        revision: pin.revision,
        commit: pin.commit,
        folder: request.folder.clone(),
        include: request.include.clone(),
        files: wanted.into_iter().map(|(_, file)| file).collect(),
    };
    cache.install(&staging, &manifest)?;
    Ok(fetched(&cache, manifest, n_downloaded, pin.moved_to))
}

/// Which commit is to be fetched.
struct Pin {
    /// The revision that names it.
    revision: String,
    commit: String,
    /// The commit that the revision names now, if that is not followed.
    moved_to: Option<String>,
}

fn pin(
    client: &Client,
    request: &Request,
    installed: Option<&Manifest>,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Pin, FetchError> {
    let before = installed
        .filter(|manifest| request.revision.as_ref().is_none_or(|revision| *revision == manifest.revision));
    let revision = match before {
        // A commit that was asked for by its name does not move: an update follows the branch.
        Some(manifest) if !(request.update && request::is_commit(&manifest.revision)) => {
            manifest.revision.as_str()
        }
        _ => request.revision(),
    };
    let at =
        |commit: &str, moved_to| Pin { revision: revision.to_owned(), commit: commit.to_owned(), moved_to };
    if request::is_commit(revision) {
        return Ok(at(revision, None));
    }
    let Some(manifest) = before.filter(|_| !request.update) else {
        return Ok(at(&hub::commit(client, &request.repository, revision, true, on_progress)?, None));
    };
    // The files are there, so that it is no fault if the hub is not: one try, for news of the branch.
    let newest = match hub::commit(client, &request.repository, revision, false, on_progress) {
        Ok(newest) if newest != manifest.commit => newest,
        Ok(_) => return Ok(at(&manifest.commit, None)),
        Err(error) => {
            tracing::warn!(%error, "cannot tell whether the branch has moved");
            return Ok(at(&manifest.commit, None));
        }
    };
    tracing::warn!(revision, kept = manifest.commit, newest, "the branch has moved");
    on_progress(Progress::Moved { revision, kept: &manifest.commit, newest: &newest });
    Ok(at(&manifest.commit, Some(newest)))
}

/// The files that are asked for: their path in the repository, and what they will be here. Their names are safe.
fn select(
    request: &Request,
    commit: &str,
    listed: Vec<RemoteFile>,
) -> Result<Vec<(String, FetchedFile)>, FetchError> {
    let repository = request.repository.clone();
    let unsafe_name = |name: &str, reason: String| FetchError::UnsafeName {
        repository: repository.clone(),
        name: name.chars().take(200).flat_map(char::escape_debug).collect(),
        reason,
    };
    let mut wanted = Vec::new();
    for RemoteFile { path, bytes, checksum } in &listed {
        let Some(here) = request.wants(path) else { continue };
        if let Some(reason) = names::fault(path).or_else(|| names::fault(here)) {
            return Err(unsafe_name(path, reason));
        }
        let file = FetchedFile { path: here.to_owned(), bytes: *bytes, checksum: checksum.clone() };
        wanted.push((path.clone(), file));
    }
    wanted.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
    if let Some(path) = names::clash(wanted.iter().map(|(_, file)| file.path.as_str())) {
        return Err(unsafe_name(path, "it meets another file of the list".to_owned()));
    }
    let overflows = wanted.iter().try_fold(0u64, |sum, (_, file)| sum.checked_add(file.bytes)).is_none();
    if MAX_FILES < wanted.len() || overflows {
        let found = format!("{} files", wanted.len());
        let allowed = format!("at most {MAX_FILES} files, of less than 2^64 bytes in all");
        return Err(FetchError::Setting { field: "number of wanted files", found, allowed });
    }
    if wanted.is_empty() {
        let names = listed.iter().take(10).map(|file| hub::quoted(&file.path)).collect::<Vec<_>>().join(", ");
        let listed = match listed.len() {
            0 => "no file".to_owned(),
            n @ 1..=10 => format!("{names} ({n} files)"),
            n => format!("{names}, ... ({n} files)"),
        };
        return Err(FetchError::Nothing {
            repository,
            commit: commit.to_owned(),
            wanted: request.wanted(),
            listed,
        });
    }
    Ok(wanted)
}

fn fetched(cache: &Cache, manifest: Manifest, n_downloaded: usize, moved_to: Option<String>) -> Fetched {
    let Manifest { commit, files, .. } = manifest;
    Fetched { dir: cache.target.clone(), commit, files, n_downloaded, moved_to }
}
