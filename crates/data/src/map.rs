//! Files mapped into memory: as large as the disk, while the memory they take is the system's to give and take back.

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::{At, DataError};

/// The bytes of a file, which the system reads when they are looked at.
///
/// The file must not be cut while it is mapped: looking at what is gone ends the process. [`MappedFile::check`] finds
/// a file that was cut before it is read further.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    file: File,
    map: Mmap,
}

impl MappedFile {
    /// Maps the whole file.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`]; [`DataError::Empty`] for an empty file, which cannot be mapped.
    pub(crate) fn open(path: &Path) -> Result<MappedFile, DataError> {
        let refused = |source| DataError::Read { path: path.to_owned(), offset: 0, source };
        // Opening a pipe may wait for ever.
        if !std::fs::metadata(path).map_err(refused)?.is_file() {
            return Err(refused(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no file")));
        }
        let file = File::open(path).map_err(refused)?;
        if file.metadata().map_err(refused)?.len() == 0 {
            return Err(DataError::Empty { path: path.to_owned() });
        }
        #[expect(unsafe_code, reason = "there is no safe way to map a file")]
        // SAFETY: the bytes are only read, as bytes, of which every value is valid. Should another process write to the
        // file meanwhile, values change; should it cut the file, the system ends this process (SIGBUS) rather than hand
        // out memory that is not there. Both are documented at the type, and `check` sees the cut before a batch reads.
        let map = unsafe { Mmap::map(&file) }.map_err(refused)?;
        Ok(MappedFile { path: path.to_owned(), file, map })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses a file that has become shorter than it was when it was mapped. Costs one system call: for each batch, not
    /// for each row.
    ///
    /// # Errors
    ///
    /// [`DataError::Format`], [`DataError::Read`].
    pub(crate) fn check(&self) -> Result<(), DataError> {
        let metadata = self.file.metadata();
        let refused = |source| DataError::Read { path: self.path.clone(), offset: 0, source };
        let (found, expected) = (metadata.map_err(refused)?.len(), self.map.len() as u64);
        if expected <= found {
            return Ok(());
        }
        Err(DataError::Format {
            path: self.path.clone(),
            at: At::Byte(found),
            what: "the size of a file in use".to_owned(),
            found: format!("{found} bytes"),
            expected: format!("the {expected} bytes that it had when it was opened"),
        })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_cut_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [7; 5000]).unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        assert_eq!((mapped.len(), mapped[4999]), (5000, 7));
        mapped.check().unwrap();
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let message = mapped.check().unwrap_err().to_string();
        assert!(message.contains("byte 100") && message.contains("5000"), "{message}");

        std::fs::write(&path, []).unwrap();
        assert!(matches!(MappedFile::open(&path).unwrap_err(), DataError::Empty { .. }));
        assert!(matches!(MappedFile::open(dir.path()).unwrap_err(), DataError::Read { .. }));
        if cfg!(unix) {
            assert!(matches!(MappedFile::open(Path::new("/dev/null")).unwrap_err(), DataError::Read { .. }));
        }
    }
}
