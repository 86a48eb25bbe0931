//! What a save does to the file system, one operation at a time.

use super::CheckpointError;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// Of an empty file.
    Create,
    /// Of so many bytes.
    Write(usize),
    SyncFile,
    /// To read.
    Open,
    Rename,
    SyncFolder,
    Remove,
}

impl Op {
    /// What an error calls it.
    fn action(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write(_) => "write",
            Self::SyncFile | Self::SyncFolder => "sync",
            Self::Open => "read",
            Self::Rename => "rename",
            Self::Remove => "remove",
        }
    }
}

/// An operation that is not to happen.
#[derive(Debug)]
pub(super) struct Stop {
    /// The bytes of a write that still reach the file.
    pub(super) written: usize,
    pub(super) error: io::Error,
}

/// Asked before each operation.
pub(super) type Gate = Box<dyn FnMut(Op, &Path) -> Result<(), Stop> + Send>;

/// The operations; a gate, if there is one, may stop each.
#[derive(Default)]
pub(super) struct Files {
    gate: Option<Gate>,
}

impl Files {
    /// Each operation passes a gate first.
    #[cfg(test)]
    pub(super) fn gated(gate: Gate) -> Self {
        Self { gate: Some(gate) }
    }

    pub(super) fn create(&mut self, path: &Path) -> Result<File, CheckpointError> {
        self.run(Op::Create, path, || File::create(path))
    }

    pub(super) fn write(
        &mut self,
        file: &mut File,
        path: &Path,
        bytes: &[u8],
    ) -> Result<(), CheckpointError> {
        let op = Op::Write(bytes.len());
        let result = match self.pass(op, path) {
            Ok(()) => file.write_all(bytes),
            // As a disk does that fills.
            Err(stop) => file.write_all(&bytes[..stop.written.min(bytes.len())]).and(Err(stop.error)),
        };
        result.map_err(|source| failed(op, path, source))
    }

    /// Overwrites what is at `offset`.
    pub(super) fn patch(
        &mut self,
        file: &mut File,
        path: &Path,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), CheckpointError> {
        let sought = file.seek(SeekFrom::Start(offset));
        sought.map_err(|source| failed(Op::Write(bytes.len()), path, source))?;
        self.write(file, path, bytes)
    }

    pub(super) fn sync_file(&mut self, file: &File, path: &Path) -> Result<(), CheckpointError> {
        self.run(Op::SyncFile, path, || file.sync_all())
    }

    pub(super) fn open(&mut self, path: &Path) -> Result<File, CheckpointError> {
        self.run(Op::Open, path, || File::open(path))
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), CheckpointError> {
        self.run(Op::Rename, to, || fs::rename(from, to))
    }

    /// Makes the names in a folder last.
    pub(super) fn sync_folder(&mut self, path: &Path) -> Result<(), CheckpointError> {
        // Elsewhere a folder cannot be opened, and its names need no sync.
        self.run(Op::SyncFolder, path, || if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) })
    }

    pub(super) fn remove(&mut self, path: &Path) -> Result<(), CheckpointError> {
        self.run(Op::Remove, path, || fs::remove_file(path))
    }

    fn run<T>(
        &mut self,
        op: Op,
        path: &Path,
        operation: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, CheckpointError> {
        let result = self.pass(op, path).map_err(|stop| stop.error).and_then(|()| operation());
        result.map_err(|source| failed(op, path, source))
    }

    fn pass(&mut self, op: Op, path: &Path) -> Result<(), Stop> {
        self.gate.as_mut().map_or(Ok(()), |gate| gate(op, path))
    }
}

fn failed(op: Op, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io { action: op.action(), path: path.to_owned(), source }
}
