//! What the footer and the page headers say of sizes, checked before any of it is believed.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;

use super::super::message::short;
use super::metadata::Field;
use super::pages::check_pages;
use crate::map::MappedFile;
use crate::{At, DataError};

/// Values in a table for each byte of its file, beyond [`ALWAYS_ALLOWED`]: repeated values take next to nothing, but a
/// table with something in it is not all repetition.
const MAX_RATIO: u64 = 1_024;
/// Values in any table.
const ALWAYS_ALLOWED: u64 = 1 << 20;

/// Checks all that the footer and the page headers say of sizes; the number of rows.
pub(super) fn check_sizes(
    path: &Path,
    map: &MappedFile,
    reader: &SerializedFileReader<File>,
    wanted: &[Field],
) -> Result<usize, DataError> {
    let fault = |at: At, what: String, found: String, expected: String| DataError::Format {
        path: path.to_owned(),
        at,
        what,
        found,
        expected,
    };
    let metadata = reader.metadata();
    let most = (map.len() as u64).saturating_mul(MAX_RATIO).max(ALWAYS_ALLOWED) / wanted.len().max(1) as u64;
    let most = most.min(u64::from(u32::MAX));
    let mut n_rows = 0u64;
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let n =
            u64::try_from(group.num_rows()).ok().and_then(|n| n_rows.checked_add(n)).filter(|n| *n <= most);
        n_rows = n.ok_or_else(|| {
            let what = format!("the number of rows up to row group {number}");
            let found = format!("{} more than {n_rows}", group.num_rows());
            fault(At::File, what, found, format!("at most {most}, for a file of {} bytes", map.len()))
        })?;
        let n_columns = metadata.file_metadata().schema_descr().num_columns();
        if group.num_columns() != n_columns {
            let (what, found) = (format!("columns of row group {number}"), group.num_columns().to_string());
            return Err(fault(At::File, what, found, format!("{n_columns}, as the schema has")));
        }
        for field in wanted {
            let chunk = group.column(field.leaf);
            let what = || format!("column `{}` of row group {number}", field.name);
            if let Some(other) = chunk.file_path() {
                return Err(fault(
                    At::File,
                    what(),
                    format!("in the file {}", short(other)),
                    "in this file".to_owned(),
                ));
            }
            let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            let (start, len) = (u64::try_from(start), u64::try_from(chunk.compressed_size()));
            let (Ok(start), Ok(len)) = (start, len) else {
                return Err(fault(At::File, what(), "before the file".to_owned(), "in the file".to_owned()));
            };
            check_pages(map, start, start.saturating_add(len)).map_err(|bad| {
                fault(At::Byte(bad.at), format!("{} of {}", bad.what, what()), bad.found, bad.expected)
            })?;
        }
    }
    if n_rows == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok(n_rows as usize)
}
