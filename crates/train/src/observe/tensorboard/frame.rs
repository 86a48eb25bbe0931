//! How TensorFlow's record files hold one event after the other.
//!
//! From `tensorflow/core/lib/io/record_writer.h`: the length (u64, little endian), its masked CRC-32C (u32), the data,
//! their masked CRC-32C (u32).

use super::super::ObserveError;
use super::crc32c::masked;
use super::event;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Bytes before and after the data.
const HEAD: u64 = 12;
const TAIL: u64 = 4;
/// The most that an opening event may hold; ours has 24.
const LONGEST_OPENING: u64 = 1024;

/// The data with what goes before and after them.
pub(super) fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut frame = Vec::with_capacity(data.len() + (HEAD + TAIL) as usize);
    frame.extend(length);
    frame.extend(masked(&length).to_le_bytes());
    frame.extend(data);
    frame.extend(masked(data).to_le_bytes());
    frame
}

/// Reads a file from frame to frame up to `end`, and returns when it was opened, in seconds since 1970.
///
/// # Errors
/// A first event that opens no file; a broken head; an end inside a frame.
pub(super) fn check(path: &Path, file: &File, end: u64) -> Result<f64, ObserveError> {
    let content = |offset, found: &str, allowed: &str| ObserveError::Content {
        path: path.to_owned(),
        offset,
        found: found.to_owned(),
        allowed: allowed.to_owned(),
    };
    let mut file = BufReader::new(file);
    let mut opened = None;
    let mut offset = 0u64;
    while offset < end {
        let cut = || content(offset, "part of an event", "a whole event");
        if end - offset < HEAD + TAIL {
            return Err(cut());
        }
        let (mut length, mut crc) = ([0; 8], [0; 4]);
        file.read_exact(&mut length).map_err(ObserveError::io("read", path))?;
        file.read_exact(&mut crc).map_err(ObserveError::io("read", path))?;
        if u32::from_le_bytes(crc) != masked(&length) {
            return Err(content(offset, "a length that its checksum does not match", "an event"));
        }
        let length = u64::from_le_bytes(length);
        if end - offset - HEAD - TAIL < length {
            return Err(cut());
        }
        if opened.is_none() {
            let mut data = Vec::new();
            let shown = length.min(LONGEST_OPENING);
            (&mut file).take(shown).read_to_end(&mut data).map_err(ObserveError::io("read", path))?;
            file.read_exact(&mut crc).map_err(ObserveError::io("read", path))?;
            let is_whole = shown == length && u32::from_le_bytes(crc) == masked(&data);
            let time = event::opened_at(&data).filter(|_| is_whole);
            opened = Some(time.ok_or_else(|| content(HEAD, "another event", "one that opens a file"))?);
        } else {
            let skipped = (length + TAIL).try_into().map_err(|_| cut())?;
            file.seek_relative(skipped).map_err(ObserveError::io("read", path))?;
        }
        offset += HEAD + length + TAIL;
    }
    opened.ok_or_else(|| content(0, "nothing", "an event that opens a file"))
}
