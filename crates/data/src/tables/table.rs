//! Named columns of equal length, as a file holds them.

use std::path::{Path, PathBuf};

use super::categories::{Categories, NONE};
use super::message::list;
use crate::{At, DataError};

/// Named columns of equal length.
#[derive(Debug)]
pub(crate) struct Table {
    /// The files that it was read from, each with the number of rows up to its end.
    pub(crate) parts: Vec<(PathBuf, usize)>,
    /// The line of each row, where rows have lines.
    pub(crate) lines: Vec<u64>,
    pub(crate) columns: Vec<Column>,
    pub(crate) n_rows: usize,
    /// A column of images, where there is one.
    #[cfg(feature = "parquet")]
    pub(crate) images: Option<super::parquet::Images>,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) values: Values,
}

#[derive(Debug)]
pub(crate) enum Values {
    /// NaN is missing; all others are finite.
    Numbers(Vec<f64>),
    Categories(Categories),
}

impl Values {
    pub(crate) fn is_missing(&self, row: usize) -> bool {
        match self {
            Values::Numbers(numbers) => numbers[row].is_nan(),
            Values::Categories(categories) => categories.codes[row] == NONE,
        }
    }
}

impl Table {
    /// The file that a row is in, and where it is there.
    pub(crate) fn place(&self, row: usize) -> (PathBuf, At) {
        let mut first = 0;
        for (path, end) in &self.parts {
            if row < *end {
                let at = match self.lines.get(row) {
                    Some(line) => At::Line(*line),
                    None => At::Row((row - first) as u64),
                };
                return (path.clone(), at);
            }
            first = *end;
        }
        (self.path().to_owned(), At::File)
    }

    /// The first file that it was read from.
    pub(crate) fn path(&self) -> &Path {
        self.parts.first().map_or(Path::new(""), |(path, _)| path)
    }

    /// Something wrong in a row.
    pub(crate) fn fault(&self, row: usize, what: String, found: String, expected: String) -> DataError {
        let (path, at) = self.place(row);
        DataError::Format { path, at, what, found, expected }
    }

    /// Something wrong in the table as a whole.
    pub(crate) fn fault_of_file(&self, what: String, found: String, expected: String) -> DataError {
        DataError::Format { path: self.path().to_owned(), at: At::File, what, found, expected }
    }

    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Adds the rows of `other`, which has the same columns.
    pub(crate) fn append(&mut self, other: Table) -> Result<(), DataError> {
        let names =
            |table: &Table| table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        let (expected, found) = (names(self), names(&other));
        let differs = |found: String, expected: String| {
            other.fault_of_file("the list of columns".to_owned(), found, expected)
        };
        if found != expected {
            return Err(differs(found.join(", "), expected.join(", ")));
        }
        let kind = |values: &Values| match values {
            Values::Numbers(_) => "numbers".to_owned(),
            Values::Categories(categories) if categories.declared => {
                format!("the classes {}", list(categories.names.iter().map(String::as_str)))
            }
            Values::Categories(_) => "categories".to_owned(),
        };
        for (column, more) in self.columns.iter().zip(&other.columns) {
            let (expected, found) = (kind(&column.values), kind(&more.values));
            if expected != found {
                let column = &column.name;
                return Err(differs(format!("{found} in `{column}`"), format!("{expected} in `{column}`")));
            }
        }
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            match (&mut column.values, more.values) {
                (Values::Numbers(numbers), Values::Numbers(more)) => numbers.extend(more),
                (Values::Categories(categories), Values::Categories(more)) if more.declared => {
                    categories.codes.extend(more.codes);
                }
                (Values::Categories(categories), Values::Categories(more)) => {
                    for row in 0..more.codes.len() {
                        match more.text(row) {
                            Some(text) => categories.push(text),
                            None => categories.push_missing(),
                        }
                    }
                }
                _ => {}
            }
        }
        #[cfg(feature = "parquet")]
        match (&mut self.images, other.images) {
            (Some(images), Some(more)) if images.shape == more.shape => images.append(more, self.n_rows),
            // The names that were compared do not hold that of the images.
            (None, None) => {}
            (images, more) => {
                let text = |images: Option<&super::parquet::Images>| match images {
                    Some(images) => format!("images of {:?}", images.shape),
                    None => "no images".to_owned(),
                };
                let (found, expected) = (text(more.as_ref()), text(images.as_ref()));
                return Err(DataError::Format {
                    path: other.parts.first().map(|(path, _)| path.clone()).unwrap_or_default(),
                    at: At::File,
                    what: "what it holds".to_owned(),
                    found,
                    expected: format!("{expected}, as in the files before it"),
                });
            }
        }
        self.lines.extend(other.lines);
        let before = self.n_rows;
        self.parts.extend(other.parts.into_iter().map(|(path, end)| (path, before + end)));
        self.n_rows += other.n_rows;
        Ok(())
    }
}
