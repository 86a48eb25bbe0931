//! What can go wrong while a data set is fetched.

use std::path::PathBuf;

use super::Checksum;

/// Why a data set could not be fetched: what, where, found and allowed.
///
/// Addresses are shown without their query, which may hold a signature, and never with a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Something in the [`Request`](super::Request) is outside its range.
    #[error("{field} is `{found}`, allowed is {allowed}")]
    Setting {
        /// Which part of the request.
        field: &'static str,
        /// The value found.
        found: String,
        /// The values allowed.
        allowed: String,
    },
    /// The server answered with a status that a further try would not change, or did so at each try.
    #[error("`{url}` answers with status {status}: {hint}")]
    Status {
        /// The address, without its query.
        url: String,
        /// The status.
        status: u16,
        /// What to do about it.
        hint: &'static str,
    },
    /// No answer came, or none that could be used, at any try.
    #[error(
        "cannot fetch `{url}`: {reason} (tried {attempts} times; what has arrived is kept, fetch again to go on)"
    )]
    Unreachable {
        /// The address, without its query.
        url: String,
        /// What went wrong at the last try.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A redirect that is not followed.
    #[error("`{url}` redirects to `{to}`, which is not followed: {reason}")]
    Redirect {
        /// The address, without its query.
        url: String,
        /// Where it leads, without its query.
        to: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// The server's description of the data set is not what the interface promises.
    #[error("`{url}`: {what} is {found}, allowed is {expected}")]
    Listing {
        /// The address, without its query.
        url: String,
        /// What was looked at.
        what: String,
        /// What was found.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// The server lists a file under a name that is not safe to write.
    #[error("the file `{name}` of `{repository}` is refused: {reason}; nothing was written")]
    UnsafeName {
        /// The data set on the hub.
        repository: String,
        /// The name.
        name: String,
        /// Why it is refused.
        reason: String,
    },
    /// No file of the data set is asked for.
    #[error("no file of `{repository}` at {commit} is among {wanted}; it holds: {listed}")]
    Nothing {
        /// The data set on the hub.
        repository: String,
        /// The commit.
        commit: String,
        /// Which files are wanted.
        wanted: String,
        /// Some of the files that there are.
        listed: String,
    },
    /// A file is longer or shorter than the server's own list says.
    #[error("`{file}` is announced with {expected} bytes, but the server sends {found}")]
    Size {
        /// The file within the data set.
        file: String,
        /// Bytes that are sent: the least that is known.
        found: u64,
        /// Bytes in the list.
        expected: u64,
    },
    /// A file does not have the checksum that it should have. It has been deleted.
    #[error("`{}` has {found}, expected is {expected}; it was deleted, fetch again", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Its checksum.
        found: Checksum,
        /// The checksum that it should have.
        expected: Checksum,
    },
    /// The folder is there, but it was not fetched from this data set.
    #[error("`{}` is in the way: {reason}; move it away or fetch into another folder", dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
        /// What is the matter with it.
        reason: String,
    },
    /// A symbolic link where the cache keeps its files: it could lead anywhere.
    #[error("`{}` is a symbolic link, allowed within the cache are files and folders", path.display())]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// The manifest of a fetched data set is damaged.
    #[error("`{}`: {what} is {found}, allowed is {expected}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What was looked at.
        what: String,
        /// What was found.
        found: String,
        /// What is allowed.
        expected: String,
    },
    /// The operating system refused to read in the cache.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// The operating system refused to write into the cache, for instance because the disk is full.
    #[error("cannot write `{}` at byte {offset}: {source}; what was written is kept, fetch again to go on", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Bytes that had been written.
        offset: u64,
        /// The refusal.
        source: std::io::Error,
    },
}
