//! Named columns of equal length, as a file holds them.

use std::path::{Path, PathBuf};

use super::categories::{Categories, NONE};
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
            Values::Numbers(_) => "numbers",
            Values::Categories(categories) if categories.declared => "declared classes",
            Values::Categories(_) => "categories",
        };
        for (column, more) in self.columns.iter().zip(&other.columns) {
            let name = &column.name;
            let (expected, found) = (kind(&column.values), kind(&more.values));
            if expected != found {
                return Err(differs(format!("{found} in `{name}`"), format!("{expected} in `{name}`")));
            }
            // Their codes are taken as they are.
            if let (Values::Categories(ours), Values::Categories(theirs)) = (&column.values, &more.values)
                && ours.declared
                && ours.names != theirs.names
            {
                let n = ours.names.len().max(theirs.names.len());
                let first = (0..n).find(|at| ours.names.get(*at) != theirs.names.get(*at)).unwrap_or(n);
                let class = |names: &[String]| match names.get(first) {
                    Some(class) => format!("class {first} of `{name}` called {class:?}"),
                    None => format!("{} classes in `{name}`", names.len()),
                };
                return Err(differs(class(&theirs.names), class(&ours.names)));
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

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use super::*;

    fn table(path: &str, names: &[String]) -> Table {
        let mut categories = Categories::declared(names.to_vec());
        categories.codes = vec![1, 24];
        let column = Column { name: "label".to_owned(), values: Values::Categories(categories) };
        let parts = vec![(PathBuf::from(path), 2)];
        Table { parts, lines: Vec::new(), columns: vec![column], n_rows: 2, images: None }
    }

    #[test]
    fn files_that_declare_other_classes_are_not_joined() {
        let names: Vec<String> = (0..25).map(|k| format!("class {k}")).collect();
        table("a", &names).append(table("b", &names)).unwrap();
        // Behind what any message shows of a list.
        let mut swapped = names.clone();
        swapped.swap(23, 24);
        for other in [swapped, names[..24].to_vec(), [names.as_slice(), &["more".to_owned()]].concat()] {
            let error = table("a", &names).append(table("b", &other)).unwrap_err().to_string();
            assert!(error.contains("`b`") && error.contains("class"), "{error}");
        }
    }
}
