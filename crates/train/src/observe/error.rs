//! Why an observer fails.

use std::path::{Path, PathBuf};

/// Why an observer fails.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The file system refuses.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is to be continued has lost its end.
    #[error(
        "{} is {found} bytes long, but the checkpoint was made when it had {expected}: restore the file, or start a new one",
        path.display()
    )]
    Shorter {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The length at the checkpoint, in bytes.
        expected: u64,
    },
    /// A file that is to be continued is not what this observer wrote. It is left as it was.
    #[error("{} holds {found} at byte {offset}, but must hold {allowed} there", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is there.
        found: String,
        /// What should be.
        allowed: String,
    },
    /// A value that the file cannot hold.
    #[error("{name} is {found}, but must be {allowed}")]
    Value {
        /// Of what.
        name: &'static str,
        /// The value.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// An observer from elsewhere.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl ObserveError {
    /// Turns what the system says into an error that names the file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
