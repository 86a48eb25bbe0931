//! Writing one file.

use super::files::Files;
use super::format::{self, DIGITS_AT, Entry};
use super::{CheckpointError, Snapshot};
use candle_core::{CpuStorage, Device, Storage, Tensor};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::Path;

/// Bytes of one write.
const BLOCK: usize = 1 << 20;
/// Values that are turned into bytes at a time.
const VALUES: usize = 1 << 14;

/// What was written: its length, and its checksum in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Writes and syncs a file of this name.
pub(super) fn write(files: &mut Files, path: &Path, snapshot: &Snapshot) -> Result<Written, CheckpointError> {
    let entries = format::layout(&snapshot.tensors)?;
    let head = format::head(&snapshot.manifest, &entries)?;
    let file = files.create(path)?;
    let mut out = Output { files, file, path, block: Vec::new(), hash: Sha256::new(), bytes: 0 };
    out.push(&head)?;
    for Entry { name, .. } in &entries {
        out.tensor(name, &snapshot.tensors[name])?;
    }
    out.finish()
}

/// A file that is being written, and hashed as it passes by.
struct Output<'a> {
    files: &'a mut Files,
    file: File,
    path: &'a Path,
    block: Vec<u8>,
    hash: Sha256,
    bytes: u64,
}

impl Output<'_> {
    fn push(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.block.extend_from_slice(bytes);
        if BLOCK <= self.block.len() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CheckpointError> {
        if self.block.is_empty() {
            return Ok(());
        }
        self.hash.update(&self.block);
        self.bytes += self.block.len() as u64;
        self.files.write(&mut self.file, self.path, &self.block)?;
        self.block.clear();
        Ok(())
    }

    fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<(), CheckpointError> {
        let failed = |source| CheckpointError::Tensor { name: name.to_owned(), source };
        let host = tensor.to_device(&Device::Cpu).and_then(|host| host.contiguous()).map_err(failed)?;
        let (storage, layout) = host.storage_and_layout();
        let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
            return Err(failed(candle_core::Error::Msg("it is not dense on the host".to_owned())));
        };
        match storage {
            CpuStorage::U8(values) => {
                values[start..end].chunks(BLOCK).try_for_each(|values| self.push(values))
            }
            CpuStorage::U32(values) => self.values(&values[start..end], |v| v.to_le_bytes()),
            CpuStorage::I16(values) => self.values(&values[start..end], |v| v.to_le_bytes()),
            CpuStorage::I32(values) => self.values(&values[start..end], |v| v.to_le_bytes()),
            CpuStorage::I64(values) => self.values(&values[start..end], |v| v.to_le_bytes()),
            CpuStorage::BF16(values) => self.values(&values[start..end], |v| v.to_le_bytes()),
            CpuStorage::F16(values) => self.values(&values[start..end], |v| v.to_le_bytes()),
            CpuStorage::F32(values) => self.values(&values[start..end], |v| v.to_le_bytes()),
            CpuStorage::F64(values) => self.values(&values[start..end], |v| v.to_le_bytes()),
            _ => Err(failed(candle_core::Error::Msg(format!("a checkpoint holds no {:?}", host.dtype())))),
        }
    }

    fn values<T: Copy, const N: usize>(
        &mut self,
        values: &[T],
        bytes_of: impl Fn(T) -> [u8; N],
    ) -> Result<(), CheckpointError> {
        let mut bytes = vec![[0; N]; VALUES.min(values.len())];
        for values in values.chunks(VALUES) {
            bytes.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = bytes_of(*value));
            self.push(bytes[..values.len()].as_flattened())?;
        }
        Ok(())
    }

    /// Puts the checksum in its place and syncs.
    fn finish(mut self) -> Result<Written, CheckpointError> {
        self.flush()?;
        let sha256 = format::hex(&self.hash.finalize());
        self.files.patch(&mut self.file, self.path, DIGITS_AT, sha256.as_bytes())?;
        self.files.sync_file(&self.file, self.path)?;
        Ok(Written { bytes: self.bytes, sha256 })
    }
}
