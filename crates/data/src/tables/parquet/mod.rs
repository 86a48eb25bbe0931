//! Reading one Parquet file.
//!
//! Row group by row group, column by column: what is held is the columns as numbers, categories by number, and images
//! as pixels, so that an epoch decodes nothing. Encoded images are let go with their row group.

mod cells;
mod chunk;
mod images;
mod metadata;
mod pages;
mod sizes;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;

use super::rules::{ColumnRules, check_names};
use super::table::{Column, Table, Values};
use crate::map::MappedFile;
use crate::{At, DataError};
use cells::Cells;
use chunk::read_chunk;
pub(crate) use images::Images;
use metadata::fields;
use sizes::check_sizes;

/// Reads the columns of a Parquet file that `rules` want.
pub(crate) fn read_parquet(path: &Path, rules: &ColumnRules) -> Result<Table, DataError> {
    // The reader of pages is not ours: some bits that are flipped make it panic, in its reader of bits and where a
    // dictionary is missing.
    let read = catch_unwind(AssertUnwindSafe(|| read_file(path, rules)));
    read.unwrap_or_else(|_| Err(unreadable(path, "the file", "something that its reader does not survive")))
}

fn read_file(path: &Path, rules: &ColumnRules) -> Result<Table, DataError> {
    let map = MappedFile::open(path)?;
    let file =
        File::open(path).map_err(|source| DataError::Read { path: path.to_owned(), offset: 0, source })?;
    let reader = SerializedFileReader::new(file).map_err(|error| unreadable(path, "the footer", error))?;
    let fields = fields(path, reader.metadata().file_metadata(), rules)?;
    check_names(path, At::File, &fields.names, rules)?;
    let n_rows = check_sizes(path, &map, &reader, &fields.wanted)?;

    let mut columns: Vec<Cells> = fields.wanted.iter().map(Cells::new).collect();
    let mut first_row = 0;
    for group in 0..reader.num_row_groups() {
        let group_reader =
            reader.get_row_group(group).map_err(|error| unreadable(path, "a row group", error))?;
        let n = usize::try_from(group_reader.metadata().num_rows()).unwrap_or(0);
        for (field, cells) in fields.wanted.iter().zip(&mut columns) {
            read_chunk(path, group_reader.as_ref(), field, cells, first_row, n, map.len())?;
        }
        first_row += n;
    }
    let mut table = Table {
        parts: vec![(path.to_owned(), n_rows)],
        lines: Vec::new(),
        columns: Vec::new(),
        n_rows,
        images: None,
    };
    for (field, cells) in fields.wanted.into_iter().zip(columns) {
        match cells {
            Cells::Images(_) if table.images.is_some() => {
                let expected = format!("one column of images (drop={} leaves this one out)", field.name);
                return Err(table.fault_of_file(
                    format!("column `{}`", field.name),
                    "images".to_owned(),
                    expected,
                ));
            }
            Cells::Images(rows) => table.images = Some(rows.finish(path, field.name)?),
            Cells::Unknown(n) => {
                table.columns.push(Column { name: field.name, values: Values::Numbers(vec![f64::NAN; n]) })
            }
            Cells::Numbers(numbers) => {
                table.columns.push(Column { name: field.name, values: Values::Numbers(numbers) });
            }
            Cells::Categories(categories) => {
                table.columns.push(Column { name: field.name, values: Values::Categories(categories) });
            }
        }
    }
    Ok(table)
}

/// What was found, and what is allowed.
type Bad = (String, String);

fn unreadable(path: &Path, what: &str, error: impl std::fmt::Display) -> DataError {
    DataError::Format {
        path: path.to_owned(),
        at: At::File,
        what: what.to_owned(),
        found: format!("unreadable ({error})"),
        expected: "as Parquet defines it".to_owned(),
    }
}
