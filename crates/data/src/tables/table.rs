//! Named columns of equal length, as a file holds them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::config::{TableConfig, TestRows};
use crate::{At, DataError};

/// The code of a category that is missing.
pub(crate) const NONE: u32 = u32::MAX;
/// More columns than any table that a model takes as it is.
pub(crate) const MAX_COLUMNS: usize = 65_536;
/// Bytes of a column's name.
pub(crate) const MAX_NAME: usize = 1_024;

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

/// Texts as numbers of a list of names.
#[derive(Debug, Default)]
pub(crate) struct Categories {
    /// [`NONE`] is missing.
    pub(crate) codes: Vec<u32>,
    pub(crate) names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Whether the file says itself which categories there are, in which order.
    pub(crate) declared: bool,
}

impl Categories {
    /// No rows yet, and categories that the file declares.
    #[cfg(feature = "parquet")]
    pub(crate) fn declared(names: Vec<String>) -> Categories {
        let numbers = (0..).zip(&names).map(|(number, name)| (name.clone(), number)).collect();
        Categories { codes: Vec::new(), names, numbers, declared: true }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, text: &str) {
        let code = match self.numbers.get(text) {
            Some(code) => *code,
            None => {
                // Codes are below the number of rows, which are below 2^32: `check_len`.
                let code = self.names.len() as u32;
                self.names.push(text.to_owned());
                self.numbers.insert(text.to_owned(), code);
                code
            }
        };
        self.codes.push(code);
    }

    /// Adds a row in which it is missing.
    pub(crate) fn push_missing(&mut self) {
        self.codes.push(NONE);
    }

    /// The text of a row, if it is there.
    pub(crate) fn text(&self, row: usize) -> Option<&str> {
        self.names.get(self.codes[row] as usize).map(String::as_str)
    }
}

impl Values {
    pub(crate) fn is_missing(&self, row: usize) -> bool {
        match self {
            Values::Numbers(numbers) => numbers[row].is_nan(),
            Values::Categories(categories) => categories.codes[row] == NONE,
        }
    }
}

impl From<Values> for Categories {
    /// Numbers are called like themselves.
    fn from(values: Values) -> Categories {
        match values {
            Values::Categories(categories) => categories,
            Values::Numbers(numbers) => {
                let mut categories = Categories::default();
                for number in numbers {
                    match number.is_nan() {
                        true => categories.push_missing(),
                        // Adding 0 makes 0 of -0.
                        false => categories.push(&(number + 0.0).to_string()),
                    }
                }
                categories
            }
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

/// What the reader of a file has to know of its columns.
#[derive(Debug)]
pub(crate) struct ColumnRules {
    pub(crate) separator: Option<u8>,
    /// Not read at all.
    pub(crate) drop: Vec<String>,
    /// Categories, whatever they look like.
    pub(crate) categories: Vec<String>,
    /// Numbers, whatever they look like.
    pub(crate) numbers: Vec<String>,
    /// The only columns to read; `None`: all.
    pub(crate) only: Option<Vec<String>>,
}

impl ColumnRules {
    /// What the configuration asks for.
    pub(crate) fn new(config: &TableConfig) -> ColumnRules {
        let mut categories = config.categories.clone();
        if let TestRows::Key { column, .. } = &config.test {
            categories.push(column.clone());
        }
        ColumnRules {
            separator: config.separator,
            drop: config.drop.clone(),
            categories,
            numbers: Vec::new(),
            only: None,
        }
    }

    /// The columns of `table`, of the same kinds.
    pub(crate) fn as_in(config: &TableConfig, table: &Table) -> ColumnRules {
        let only = table.columns.iter().map(|column| column.name.clone());
        #[cfg(feature = "parquet")]
        let only = only.chain(table.images.iter().map(|images| images.name.clone()));
        let only = only.collect();
        let mut rules = ColumnRules { drop: Vec::new(), only: Some(only), ..ColumnRules::new(config) };
        for column in &table.columns {
            match column.values {
                Values::Numbers(_) => rules.numbers.push(column.name.clone()),
                Values::Categories(_) => rules.categories.push(column.name.clone()),
            }
        }
        rules
    }

    /// Whether to read a column.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|other| other == name);
        !is_in(&self.drop) && self.only.as_deref().is_none_or(is_in)
    }
}

/// Checks the names of a file's columns: how many, how long, each only once, and that those to be dropped exist.
pub(crate) fn check_names(
    path: &Path,
    at: At,
    names: &[String],
    rules: &ColumnRules,
) -> Result<(), DataError> {
    let fault = |what: &str, found: String, expected: String| DataError::Format {
        path: path.to_owned(),
        at,
        what: what.to_owned(),
        found,
        expected,
    };
    if MAX_COLUMNS < names.len() {
        return Err(fault(
            "the number of columns",
            names.len().to_string(),
            format!("at most {MAX_COLUMNS}"),
        ));
    }
    if let Some(name) = names.iter().find(|name| MAX_NAME < name.len()) {
        let found = format!("{} bytes long", name.len());
        return Err(fault("the name of a column", found, format!("at most {MAX_NAME} bytes")));
    }
    let mut seen = HashMap::new();
    for (number, name) in (1..).zip(names) {
        if let Some(first) = seen.insert(name, number) {
            let found = format!("`{name}`, which is also the name of column {first}");
            return Err(fault(
                &format!("the name of column {number}"),
                found,
                "a name of its own".to_owned(),
            ));
        }
    }
    if let Some(name) = rules.drop.iter().find(|name| !seen.contains_key(name)) {
        return Err(no_such_column("drop", name, path, names.iter().map(String::as_str)));
    }
    if let Some(name) = rules.only.iter().flatten().find(|name| !seen.contains_key(name)) {
        let found = list(names.iter().map(String::as_str));
        return Err(fault("the list of columns", found, format!("one with `{name}`, as in training")));
    }
    Ok(())
}

/// A setting names a column that is not there.
pub(crate) fn no_such_column<'a>(
    field: &'static str,
    found: &str,
    path: &Path,
    names: impl Iterator<Item = &'a str>,
) -> DataError {
    let allowed = format!("a column of `{}`: {}", path.display(), list(names));
    let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{found}`") };
    DataError::Setting { field, found, allowed }
}

/// Whether a text says that there is nothing.
pub(crate) fn is_missing(text: &str) -> bool {
    ["", "NA", "N/A", "NaN", "null", "?"].iter().any(|missing| text.eq_ignore_ascii_case(missing))
}

/// Names for a message, not too many of them.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let mut names = names.map(short);
    let mut text = names.by_ref().take(SHOWN).collect::<Vec<_>>().join(", ");
    let rest = names.count();
    if 0 < rest {
        text.push_str(&format!(", and {rest} more"));
    }
    text
}

/// A value for a message: in quotes, and not too long.
pub(crate) fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
