//! Reading one CSV file.

use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use super::categories::{Categories, is_missing};
use super::config::{is_separator, not_a_separator};
use super::message::short;
use super::rules::{ColumnRules, check_names};
use super::table::{Column, Table, Values};
use crate::map::MappedFile;
use crate::{At, DataError};

/// Reads the columns of a CSV file that `rules` want.
pub(crate) fn read_csv(path: &Path, rules: &ColumnRules) -> Result<Table, DataError> {
    let file = MappedFile::open(path)?;
    let mut rows = Rows::new(path, &file, rules)?;
    let mut record = ByteRecord::new();
    let Some(line) = rows.next(&mut record)? else {
        return Err(DataError::Empty { path: path.to_owned() });
    };
    let mut names = Vec::new();
    for (number, field) in (1..).zip(&record) {
        let name = text(path, line, &format!("column {number}"), field)?;
        names.push(if name.is_empty() { format!("column {number}") } else { name.to_owned() });
    }
    check_names(path, At::Line(line), &names, rules)?;
    if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(DataError::Format {
            path: path.to_owned(),
            at: At::Line(line),
            what: "the header".to_owned(),
            found: short(&names.join(",")),
            expected: "a line with the names of the columns".to_owned(),
        });
    }
    let mut columns: Vec<Cells> = names.iter().map(|name| Cells::new(name, rules)).collect();
    let mut lines = Vec::new();
    while let Some(line) = rows.next(&mut record)? {
        if record.len() != columns.len() {
            return Err(DataError::Format {
                path: path.to_owned(),
                at: At::Line(line),
                what: "the number of fields".to_owned(),
                found: record.len().to_string(),
                expected: format!("{}, as the header has", columns.len()),
            });
        }
        if lines.len() == u32::MAX as usize {
            let expected = format!("at most {}", u32::MAX);
            let (what, found) = ("the number of rows".to_owned(), "more".to_owned());
            return Err(DataError::Format {
                path: path.to_owned(),
                at: At::Line(line),
                what,
                found,
                expected,
            });
        }
        for (column, field) in columns.iter_mut().zip(&record) {
            column.push(path, line, field)?;
        }
        lines.push(line);
    }
    if lines.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    let n_rows = lines.len();
    let columns = columns.into_iter().filter_map(Cells::finish).collect();
    Ok(Table {
        parts: vec![(path.to_owned(), n_rows)],
        lines,
        columns,
        n_rows,
        #[cfg(feature = "parquet")]
        images: None,
    })
}

/// The records of a file with their lines.
struct Rows<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    /// Bytes before this are in `line` or above.
    at: usize,
    line: u64,
}

impl<'a> Rows<'a> {
    fn new(path: &'a Path, bytes: &'a [u8], rules: &ColumnRules) -> Result<Rows<'a>, DataError> {
        let is_tsv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
        let separator = rules.separator.unwrap_or(if is_tsv { b'\t' } else { b',' });
        if !is_separator(separator) {
            return Err(not_a_separator(format!("byte {separator:#04x}")));
        }
        let mut builder = ReaderBuilder::new();
        // Lengths are compared here, where the line is known rightly.
        let reader = builder.delimiter(separator).has_headers(false).flexible(true).from_reader(bytes);
        Ok(Rows { path, bytes, reader, at: 0, line: 1 })
    }

    /// The line at which the next record starts, which is then in `record`.
    fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u64>, DataError> {
        let found = self.reader.read_byte_record(record).map_err(|error| DataError::Format {
            path: self.path.to_owned(),
            at: At::Line(self.line),
            what: "a record".to_owned(),
            found: error.to_string(),
            expected: "fields as RFC 4180 says".to_owned(),
        })?;
        if !found {
            return Ok(None);
        }
        let start = record.position().map_or(0, |position| position.byte());
        // The reader leaves the rest of a line's end, and empty lines, to the record that follows.
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.bytes.len());
        let blank = self.bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = &self.bytes[self.at..(start + blank).max(self.at)];
        let ends = passed.iter().enumerate().filter(|(at, byte)| match byte {
            b'\n' => true,
            b'\r' => passed.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        self.line += ends.count() as u64;
        self.at += passed.len();
        Ok(Some(self.line))
    }
}

/// One column while it is read.
struct Cells {
    name: String,
    kind: Kind,
}

enum Kind {
    NotWanted,
    /// So many missing values, and nothing else yet.
    Unknown(usize),
    Numbers(Vec<f64>),
    Categories(Categories),
}

impl Cells {
    fn new(name: &str, rules: &ColumnRules) -> Cells {
        let is_in = |names: &[String]| names.iter().any(|other| other == name);
        let kind = if !rules.wants(name) {
            Kind::NotWanted
        } else if is_in(&rules.categories) {
            Kind::Categories(Categories::default())
        } else if is_in(&rules.numbers) {
            Kind::Numbers(Vec::new())
        } else {
            Kind::Unknown(0)
        };
        Cells { name: name.to_owned(), kind }
    }

    fn push(&mut self, path: &Path, line: u64, field: &[u8]) -> Result<(), DataError> {
        if matches!(self.kind, Kind::NotWanted) {
            return Ok(());
        }
        let cell = text(path, line, &format_args!("column `{}`", self.name), field)?;
        let is_missing = is_missing(cell);
        if let (Kind::Unknown(n), false) = (&self.kind, is_missing) {
            self.kind = match cell.parse::<f64>() {
                Ok(_) => Kind::Numbers(vec![f64::NAN; *n]),
                Err(_) => {
                    let mut categories = Categories::default();
                    (0..*n).for_each(|_| categories.push_missing());
                    Kind::Categories(categories)
                }
            };
        }
        match &mut self.kind {
            Kind::NotWanted => {}
            Kind::Unknown(n) => *n += 1,
            Kind::Numbers(numbers) if is_missing => numbers.push(f64::NAN),
            Kind::Numbers(numbers) => match cell.parse::<f64>() {
                Ok(number) if number.is_finite() => numbers.push(number),
                _ => {
                    return Err(DataError::Format {
                        path: path.to_owned(),
                        at: At::Line(line),
                        what: format!("column `{}`", self.name),
                        found: short(cell),
                        expected: format!(
                            "a finite number (categories={} takes its values as categories)",
                            self.name
                        ),
                    });
                }
            },
            Kind::Categories(categories) if is_missing => categories.push_missing(),
            Kind::Categories(categories) => categories.push(cell),
        }
        Ok(())
    }

    fn finish(self) -> Option<Column> {
        let values = match self.kind {
            Kind::NotWanted => return None,
            Kind::Unknown(n) => Values::Numbers(vec![f64::NAN; n]),
            Kind::Numbers(numbers) => Values::Numbers(numbers),
            Kind::Categories(categories) => Values::Categories(categories),
        };
        Some(Column { name: self.name, values })
    }
}

/// A field as text, without blanks around it.
fn text<'a>(
    path: &Path,
    line: u64,
    what: &dyn std::fmt::Display,
    field: &'a [u8],
) -> Result<&'a str, DataError> {
    match std::str::from_utf8(field) {
        Ok(text) => Ok(text.trim()),
        Err(error) => Err(DataError::Format {
            path: path.to_owned(),
            at: At::Line(line),
            what: what.to_string(),
            found: format!(
                "byte {:#04x} at byte {} of the field",
                field[error.valid_up_to()],
                error.valid_up_to()
            ),
            expected: "UTF-8".to_owned(),
        }),
    }
}
