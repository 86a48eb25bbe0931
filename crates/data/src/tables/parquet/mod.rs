//! Reading one Parquet file.
//!
//! Row group by row group, column by column: what is held is the columns as numbers, categories by number, and images
//! as pixels, so that an epoch decodes nothing. Encoded images are let go with their row group.

mod decode;
mod images;
mod metadata;
mod pages;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;

use super::table::{Categories, Column, ColumnRules, Table, Values, check_names, is_missing, short};
use crate::map::MappedFile;
use crate::{At, DataError};
use images::ImageRows;
pub(crate) use images::Images;
use metadata::{Field, Kind, fields};

/// Values read at a time.
const CHUNK: usize = 8_192;
/// Values in a table for each byte of its file, beyond [`ALWAYS_ALLOWED`]: repeated values take next to nothing, but a
/// table with something in it is not all repetition.
const MAX_RATIO: u64 = 1_024;
/// Values in any table.
const ALWAYS_ALLOWED: u64 = 1 << 20;

/// Reads the columns of a Parquet file that `rules` want.
pub(crate) fn read_parquet(path: &Path, rules: &ColumnRules) -> Result<Table, DataError> {
    // The reader of pages is not ours, and made for files that mean well.
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

/// Checks all that the footer and the page headers say of sizes; the number of rows.
fn check_sizes(
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
            pages::check_pages(map, start, start.saturating_add(len)).map_err(|bad| {
                fault(At::Byte(bad.at), format!("{} of {}", bad.what, what()), bad.found, bad.expected)
            })?;
        }
    }
    if n_rows == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok(n_rows as usize)
}

/// One column while it is read.
enum Cells {
    /// So many missing values of bytes that may be text or images.
    Unknown(usize),
    Numbers(Vec<f64>),
    Categories(Categories),
    Images(ImageRows),
}

impl Cells {
    fn new(field: &Field) -> Cells {
        match &field.kind {
            Kind::Number | Kind::Unsigned => Cells::Numbers(Vec::new()),
            Kind::Bool | Kind::Text => Cells::Categories(Categories::default()),
            Kind::Classes(names) => Cells::Categories(Categories::declared(names.clone())),
            Kind::Bytes => Cells::Unknown(0),
            Kind::Image => Cells::Images(ImageRows::default()),
        }
    }

    fn push_number(&mut self, number: Option<f64>) -> Result<(), Bad> {
        match (self, number) {
            (Cells::Numbers(numbers), None) => numbers.push(f64::NAN),
            (Cells::Numbers(_), Some(number)) if number.is_infinite() => {
                return Err((number.to_string(), "a finite number".to_owned()));
            }
            (Cells::Numbers(numbers), Some(number)) => numbers.push(number),
            // -1 says that a row has no class.
            (Cells::Categories(classes), None | Some(-1.0)) => classes.push_missing(),
            (Cells::Categories(classes), Some(number)) => match number {
                class if 0.0 <= class && class < classes.names.len() as f64 && class.fract() == 0.0 => {
                    classes.codes.push(class as u32);
                }
                _ => return Err((number.to_string(), format!("0..{}, the classes", classes.names.len()))),
            },
            (Cells::Unknown(_) | Cells::Images(_), _) => {}
        }
        Ok(())
    }

    fn push_bool(&mut self, value: Option<bool>) -> Result<(), Bad> {
        if let Cells::Categories(categories) = self {
            match value {
                None => categories.push_missing(),
                Some(value) => categories.push(if value { "true" } else { "false" }),
            }
        }
        Ok(())
    }

    fn push_bytes(&mut self, bytes: Option<&[u8]>, n_file_bytes: usize) -> Result<(), Bad> {
        if let (Cells::Unknown(n), Some(bytes)) = (&*self, bytes) {
            *self = match image::guess_format(bytes) {
                Ok(_) => Cells::Images(ImageRows::missing(*n)),
                Err(_) => {
                    let mut categories = Categories::default();
                    (0..*n).for_each(|_| categories.push_missing());
                    Cells::Categories(categories)
                }
            };
        }
        match (self, bytes) {
            (Cells::Unknown(n), _) => *n += 1,
            (Cells::Categories(categories), None) => categories.push_missing(),
            (Cells::Categories(categories), Some(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|error| {
                    let at = error.valid_up_to();
                    (format!("byte {:#04x} at byte {at} of the text", bytes[at]), "UTF-8".to_owned())
                })?;
                match text.trim() {
                    text if is_missing(text) => categories.push_missing(),
                    text => categories.push(text),
                }
            }
            (Cells::Images(images), bytes) => images.push(bytes, n_file_bytes)?,
            (Cells::Numbers(_), _) => {}
        }
        Ok(())
    }
}

/// What was found, and what is allowed.
type Bad = (String, String);

/// Reads one column of one row group.
fn read_chunk(
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

fn unreadable(path: &Path, what: &str, error: impl std::fmt::Display) -> DataError {
    DataError::Format {
        path: path.to_owned(),
        at: At::File,
        what: what.to_owned(),
        found: format!("unreadable ({error})"),
        expected: "as Parquet defines it".to_owned(),
    }
}
