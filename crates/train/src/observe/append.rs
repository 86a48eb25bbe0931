//! A file that grows by whole pieces.

use super::ObserveError;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file that grows by whole pieces: each is written by one call, or taken back.
#[derive(Debug)]
pub(super) struct AppendFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole pieces.
    length: u64,
    /// Whether there may be part of a piece after them.
    is_torn: bool,
}

impl AppendFile {
    /// A new file, in place of any of that name.
    pub(super) fn create(path: &Path) -> Result<Self, ObserveError> {
        let file = File::create(path).map_err(ObserveError::io("create", path))?;
        sync_name(path)?;
        Ok(Self { path: path.to_owned(), file, length: 0, is_torn: false })
    }

    /// Opens a file to go on after its first `length` bytes, once `check` has looked at them; only when it is content is
    /// the rest cut off.
    pub(super) fn resume<T>(
        path: &Path,
        length: u64,
        check: impl FnOnce(&File) -> Result<T, ObserveError>,
    ) -> Result<(Self, T), ObserveError> {
        let file =
            File::options().read(true).write(true).open(path).map_err(ObserveError::io("open", path))?;
        let found = file.metadata().map_err(ObserveError::io("read", path))?.len();
        if found < length {
            return Err(ObserveError::Shorter { path: path.to_owned(), found, expected: length });
        }
        let checked = check(&file)?;
        let mut this = Self { path: path.to_owned(), file, length, is_torn: true };
        this.mend()?;
        Ok((this, checked))
    }

    /// The file's name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a piece, or on an error nothing.
    pub(super) fn append(&mut self, piece: &[u8]) -> Result<(), ObserveError> {
        self.mend()?;
        self.is_torn = true;
        match self.file.write_all(piece) {
            Ok(()) => {
                self.is_torn = false;
                self.length += piece.len() as u64;
                Ok(())
            }
            Err(source) => {
                // Cutting a file needs no room. Where even that fails, the next call tries again.
                let _ = self.mend();
                Err(ObserveError::Io { action: "write", path: self.path.clone(), source })
            }
        }
    }

    /// Returns when all pieces are on the disk, with their length in bytes.
    pub(super) fn sync(&mut self) -> Result<u64, ObserveError> {
        self.mend()?;
        self.file.sync_all().map_err(ObserveError::io("sync", &self.path))?;
        Ok(self.length)
    }

    /// Cuts off what is no whole piece.
    fn mend(&mut self) -> Result<(), ObserveError> {
        if self.is_torn {
            self.file.set_len(self.length).map_err(ObserveError::io("cut", &self.path))?;
            self.file.seek(SeekFrom::Start(self.length)).map_err(ObserveError::io("cut", &self.path))?;
            self.is_torn = false;
        }
        Ok(())
    }
}

/// Refuses a file whose first `length` bytes do not begin with `header` or does not end with a line.
pub(super) fn check_lines(
    path: &Path,
    mut file: &File,
    length: u64,
    header: &str,
) -> Result<(), ObserveError> {
    let content = |offset, found, allowed: &str| {
        Err(ObserveError::Content { path: path.to_owned(), offset, found, allowed: allowed.to_owned() })
    };
    let mut start = Vec::new();
    file.take(length.min(header.len() as u64))
        .read_to_end(&mut start)
        .map_err(ObserveError::io("read", path))?;
    if start != header.as_bytes() {
        return content(0, format!("{:?}", String::from_utf8_lossy(&start)), &format!("{header:?}"));
    }
    let Some(last) = length.checked_sub(1) else { return Ok(()) };
    let mut byte = [0];
    file.seek(SeekFrom::Start(last)).map_err(ObserveError::io("read", path))?;
    file.read_exact(&mut byte).map_err(ObserveError::io("read", path))?;
    if byte != *b"\n" {
        return content(last, format!("{:?}", char::from(byte[0])), "the end of a line");
    }
    Ok(())
}

/// Makes a new file's name outlive a power cut, where folders can be synced.
fn sync_name(path: &Path) -> Result<(), ObserveError> {
    if cfg!(unix) {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(ObserveError::io("sync", folder))?;
    }
    Ok(())
}
