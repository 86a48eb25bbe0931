//! Whether the files of a trial have changed since they were read.

use crate::LabError;
use crate::trial::TrialFolder;
use sha2::{Digest, Sha256};
use std::fs;
use std::time::UNIX_EPOCH;

/// A hash of the names, lengths and times of the files that say something of a trial.
pub(super) fn signature(folder: &TrialFolder) -> Result<i64, LabError> {
    let failed = |source| LabError::io("read", folder.folder(), source);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.folder()).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Files in the making, and folders, say nothing of it.
        if name.starts_with('.') || !(name.ends_with(".json") || name.ends_with(".jsonl")) {
            continue;
        }
        // One that is gone by now is as good as never seen.
        let Ok(metadata) = entry.metadata() else { continue };
        let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let nanos = time.map_or(0, |time| time.as_nanos());
        files.push(format!("{name}\n{}\n{nanos}\n", metadata.len()));
    }
    files.sort();
    let mut hash = Sha256::new();
    files.iter().for_each(|file| hash.update(file));
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    Ok(i64::from_le_bytes(first))
}
