//! Why a checkpoint is not saved, not loaded or not taken.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Why a checkpoint is not saved, not loaded or not taken.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is no whole checkpoint.
    #[error("`{}` is no whole checkpoint: {what}{} is {found}, but must be {allowed}", path.display(), At(*offset))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes from its start, where that is known.
        offset: Option<u64>,
        /// Which part of it, such as a tensor or a key of the manifest.
        what: String,
        /// What is there.
        found: String,
        /// What would be right.
        allowed: String,
    },
    /// A whole checkpoint of a later version of this program.
    #[error(
        "`{}` was written by {program} in schema {found}, but this program knows schemas 1 to {allowed}: use that program or a later one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Who wrote it.
        program: String,
        /// Its schema.
        found: u64,
        /// The latest schema that is known here.
        allowed: u32,
    },
    /// A checkpoint of another run.
    #[error("the checkpoint is of another {what}: {key} is {found} there, and {expected} here")]
    Differs {
        /// `data set`, `model` or `configuration`.
        what: &'static str,
        /// The first thing that differs.
        key: String,
        /// What the checkpoint has.
        found: String,
        /// What this run has.
        expected: String,
    },
    /// Something that a checkpoint cannot hold.
    #[error("a checkpoint cannot hold {name}: it is {found}, but must be {allowed}")]
    Unstorable {
        /// The tensor, or the key of a state.
        name: String,
        /// What it is.
        found: String,
        /// What a checkpoint can hold.
        allowed: &'static str,
    },
    /// There are checkpoints, but none of them is whole.
    #[error("none of the {} checkpoints in `{}` is whole: {}", refused.len(), folder.display(), Reasons(refused))]
    NoneWhole {
        /// The folder.
        folder: PathBuf,
        /// Each of them and why, the newest first.
        refused: Vec<Refused>,
    },
    /// Another store, of this process or of another, has the folder open.
    #[error("`{}` is in use by another run, which must end first", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// A setting that is not allowed.
    #[error("{name} is {found}, but must be {allowed}")]
    Config {
        /// Which setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A tensor that cannot be copied to or from the host.
    #[error("tensor `{name}` cannot be copied: {source}")]
    Tensor {
        /// Its name.
        name: String,
        /// What the device said.
        source: candle_core::Error,
    },
}

impl CheckpointError {
    /// Whether the file itself is at fault, so that an older checkpoint is the way on: damage, or a disk that cannot read
    /// it. No right to read, too little memory and a checkpoint of a later program are for the user to settle: the file may be whole.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Io { source, .. } => {
                !matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::OutOfMemory)
            }
            _ => false,
        }
    }

    pub(super) fn damaged(
        path: &std::path::Path,
        offset: impl Into<Option<u64>>,
        what: impl Into<String>,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            offset: offset.into(),
            what: what.into(),
            found: found.into(),
            allowed: allowed.into(),
        }
    }
}

/// A checkpoint that was passed over.
#[derive(Debug)]
pub struct Refused {
    /// Its file.
    pub path: PathBuf,
    /// Why; it names the file too.
    pub reason: CheckpointError,
}

struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, " at byte {offset}"))
    }
}

struct Reasons<'a>(&'a [Refused]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, refused) in self.0.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "; " }, refused.reason)?;
        }
        Ok(())
    }
}
