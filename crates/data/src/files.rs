//! Reading whole files whose size has a limit.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{At, DataError};

/// Reads a file of at most `most` bytes.
///
/// # Errors
///
/// [`DataError::Read`]; [`DataError::Format`] for a longer file, of which no more than that is read.
pub(crate) fn read_small(path: &Path, most: u64) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let refused = |offset, source| DataError::Read { path: path.to_owned(), offset, source };
    let file = File::open(path).map_err(|source| refused(0, source))?;
    let result = file.take(most + 1).read_to_end(&mut bytes);
    result.map_err(|source| refused(bytes.len() as u64, source))?;
    if bytes.len() as u64 <= most {
        return Ok(bytes);
    }
    Err(DataError::Format {
        path: path.to_owned(),
        at: At::File,
        what: "the size".to_owned(),
        found: format!("more than {most} bytes"),
        expected: format!("at most {most} bytes"),
    })
}
