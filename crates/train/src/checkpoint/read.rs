//! Reading one file: its checksum is proven before any of it is used.

use super::files::Files;
use super::format::{self, DIGITS_AT, Entry, Header, LENGTH, N_DIGITS};
use super::manifest::model_of;
use super::{CheckpointError, Manifest, Snapshot};
use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Bytes of one read.
const BLOCK: usize = 1 << 20;

/// A checkpoint that was read, and what names its content.
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    pub(super) sha256: String,
}

/// Reads a whole file.
pub(super) fn load(path: &Path) -> Result<Loaded, CheckpointError> {
    let mut input = Input::open(&mut Files::default(), path)?;
    let header = input.header()?;
    let values: Vec<Vec<u8>> =
        header.entries.iter().map(|entry| input.take(entry.end - entry.start)).collect::<Result<_, _>>()?;
    input.finish(&header)?;
    let manifest = Manifest::parse(&header.manifest, path)?;
    let tensors = header.entries.into_iter().zip(values).map(|(Entry { name, dtype, shape, .. }, values)| {
        let tensor = Tensor::from_raw_buffer(&values, dtype, &shape, &Device::Cpu);
        match tensor {
            Ok(tensor) => Ok((name, tensor)),
            Err(source) => Err(CheckpointError::Tensor { name, source }),
        }
    });
    let snapshot = Snapshot { manifest, tensors: tensors.collect::<Result<_, _>>()? };
    if let Some((found, allowed)) = model_differs(&snapshot) {
        return Err(CheckpointError::damaged(path, None, "`model` of its manifest", found, allowed));
    }
    Ok(Loaded { snapshot, sha256: header.sha256 })
}

/// Reads a file as [`load`] does, but keeps its manifest and checksum only.
pub(super) fn prove(files: &mut Files, path: &Path) -> Result<(Manifest, String), CheckpointError> {
    let mut input = Input::open(files, path)?;
    let header = input.header()?;
    let mut block = vec![0; BLOCK];
    while input.left != 0 {
        let n = input.left.min(BLOCK as u64) as usize;
        input.fill(&mut block[..n])?;
    }
    input.finish(&header)?;
    Ok((Manifest::parse(&header.manifest, path)?, header.sha256))
}

/// Where a manifest and its tensors tell of different models: both.
pub(super) fn model_differs(snapshot: &Snapshot) -> Option<(String, String)> {
    let (said, is) = (&snapshot.manifest.model, model_of(&snapshot.tensors));
    let i = (0..said.len().max(is.len())).find(|i| said.get(*i) != is.get(*i))?;
    let describe =
        |model: Option<&super::ModelTensor>| model.map_or("no more".to_owned(), ToString::to_string);
    Some((describe(said.get(i)), describe(is.get(i))))
}

/// A file that is being read, and hashed as it passes by.
struct Input<'a> {
    file: File,
    path: &'a Path,
    hash: Sha256,
    len: u64,
    left: u64,
}

impl<'a> Input<'a> {
    fn open(files: &mut Files, path: &'a Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Io { action: "read", path: path.to_owned(), source };
        // A pipe is not even opened: that would wait for a writer.
        let kind = std::fs::metadata(path).map_err(failed)?;
        if !kind.is_file() {
            let found = if kind.is_dir() { "a folder" } else { "no regular file" };
            return Err(CheckpointError::damaged(path, None, "it", found, "a file"));
        }
        let file = files.open(path)?;
        let len = file.metadata().map_err(failed)?.len();
        if len < LENGTH {
            let found = format!("{len} bytes");
            return Err(CheckpointError::damaged(path, None, "its size", found, "at least 8 bytes"));
        }
        Ok(Self { file, path, hash: Sha256::new(), len, left: len })
    }

    /// Reads without hashing.
    fn read(&mut self, to: &mut [u8]) -> Result<(), CheckpointError> {
        let offset = self.len - self.left;
        self.file.read_exact(to).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => {
                let found = format!("less than the {} bytes it had when opened", self.len);
                CheckpointError::damaged(self.path, offset, "its size", found, "constant")
            }
            _ => CheckpointError::Io { action: "read", path: self.path.to_owned(), source },
        })?;
        self.left -= to.len() as u64;
        Ok(())
    }

    fn fill(&mut self, to: &mut [u8]) -> Result<(), CheckpointError> {
        self.read(to)?;
        self.hash.update(&*to);
        Ok(())
    }

    /// The next `n` bytes, of which there are so many.
    fn take(&mut self, n: u64) -> Result<Vec<u8>, CheckpointError> {
        let no_room = |_| CheckpointError::Io {
            action: "find memory for",
            path: self.path.to_owned(),
            source: ErrorKind::OutOfMemory.into(),
        };
        let n = usize::try_from(n).map_err(|_| no_room(()))?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(n).map_err(|_| no_room(()))?;
        bytes.resize(n, 0);
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn header(&mut self) -> Result<Header, CheckpointError> {
        let mut length = [0; LENGTH as usize];
        self.fill(&mut length)?;
        let n = format::header_len(length, self.len, self.path)?;
        let mut header = vec![0; n as usize];
        self.read(&mut header)?;
        let parsed = format::parse(&header, self.len, self.path)?;
        let digits = (DIGITS_AT - LENGTH) as usize;
        header[digits..digits + N_DIGITS].fill(b'0');
        self.hash.update(&header);
        Ok(parsed)
    }

    /// Whether what passed by is what the header says.
    fn finish(self, header: &Header) -> Result<(), CheckpointError> {
        let found = format::hex(&self.hash.finalize());
        if found == header.sha256 {
            return Ok(());
        }
        let allowed = format::brief(&header.sha256);
        Err(CheckpointError::damaged(self.path, DIGITS_AT, "its SHA-256", found, allowed))
    }
}
