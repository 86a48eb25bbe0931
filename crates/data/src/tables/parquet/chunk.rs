//! Reading one column of one row group.

use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::reader::RowGroupReader;

use super::cells::Cells;
use super::metadata::{Field, Kind};
use super::{Bad, unreadable};
use crate::{At, DataError};

/// Values read at a time.
const CHUNK: usize = 8_192;
/// Reads one column of one row group.
pub(super) fn read_chunk(
    path: &Path,
    group: &dyn RowGroupReader,
    field: &Field,
    cells: &mut Cells,
    first_row: usize,
    n_rows: usize,
    n_file_bytes: usize,
) -> Result<(), DataError> {
    let what = format!("column `{}`", field.name);
    let chunk = Chunk { path, what: &what, max_level: field.max_level, first_row, n_rows };
    let reader = group.get_column_reader(field.leaf).map_err(|error| unreadable(path, &what, error))?;
    // Floats that are NaN are missing, as in text.
    match (reader, &field.kind) {
        (ColumnReader::BoolColumnReader(reader), _) => {
            chunk.read::<BoolType>(reader, |value| cells.push_bool(value.copied()))
        }
        (ColumnReader::Int32ColumnReader(reader), Kind::Unsigned) => chunk
            .read::<Int32Type>(reader, |value| {
                cells.push_number(value.map(|value| f64::from(value.cast_unsigned())))
            }),
        (ColumnReader::Int32ColumnReader(reader), _) => {
            chunk.read::<Int32Type>(reader, |value| cells.push_number(value.map(|value| f64::from(*value))))
        }
        (ColumnReader::Int64ColumnReader(reader), Kind::Unsigned) => chunk
            .read::<Int64Type>(reader, |value| {
                cells.push_number(value.map(|value| value.cast_unsigned() as f64))
            }),
        (ColumnReader::Int64ColumnReader(reader), _) => {
            chunk.read::<Int64Type>(reader, |value| cells.push_number(value.map(|value| *value as f64)))
        }
        (ColumnReader::FloatColumnReader(reader), _) => {
            chunk.read::<FloatType>(reader, |value| cells.push_number(value.map(|value| f64::from(*value))))
        }
        (ColumnReader::DoubleColumnReader(reader), _) => {
            chunk.read::<DoubleType>(reader, |value| cells.push_number(value.copied()))
        }
        (ColumnReader::ByteArrayColumnReader(reader), _) => chunk.read::<ByteArrayType>(reader, |value| {
            // An array that was never set has no data to ask for.
            let bytes = value.map(|value| if value.is_empty() { &[][..] } else { value.data() });
            cells.push_bytes(bytes, n_file_bytes)
        }),
        _ => Err(unreadable(path, &what, "of a type that the schema does not give it")),
    }
}

/// Where a part of a column is.
struct Chunk<'a> {
    path: &'a Path,
    what: &'a str,
    /// The definition level of what is not missing.
    max_level: i16,
    first_row: usize,
    n_rows: usize,
}

impl Chunk<'_> {
    /// Gives each value to `push`, `None` for what is missing.
    fn read<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        mut push: impl FnMut(Option<&T::T>) -> Result<(), Bad>,
    ) -> Result<(), DataError> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let mut row = 0;
        while row < self.n_rows {
            values.clear();
            levels.clear();
            let n = CHUNK.min(self.n_rows - row);
            let read = reader.read_records(n, Some(&mut levels), None, &mut values);
            let (n_records, _, _) = read.map_err(|error| self.unreadable(row, error))?;
            if n_records == 0 {
                return Err(self.unreadable(row, "at its end before the row group is"));
            }
            let mut there = values.iter();
            for k in 0..n_records {
                let is_there = self.max_level == 0 || levels.get(k) == Some(&self.max_level);
                let value = if is_there {
                    Some(there.next().ok_or_else(|| self.unreadable(row, "short of values"))?)
                } else {
                    None
                };
                push(value).map_err(|(found, expected)| DataError::Format {
                    path: self.path.to_owned(),
                    at: At::Row((self.first_row + row + k) as u64),
                    what: self.what.to_owned(),
                    found,
                    expected,
                })?;
            }
            row += n_records;
        }
        Ok(())
    }

    fn unreadable(&self, row: usize, error: impl std::fmt::Display) -> DataError {
        DataError::Format {
            path: self.path.to_owned(),
            at: At::Row((self.first_row + row) as u64),
            what: self.what.to_owned(),
            found: format!("unreadable ({error})"),
            expected: "pages as Parquet defines them".to_owned(),
        }
    }
}
