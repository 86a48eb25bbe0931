//! What the reader of a file has to know of its columns, and what is allowed of their names.

use std::collections::HashMap;
use std::path::Path;

use super::config::{TableConfig, TestRows};
use super::message::{list, no_such_column};
use super::table::{Table, Values};
use crate::{At, DataError};

/// More columns than any table that a model takes as it is.
const MAX_COLUMNS: usize = 65_536;
/// Bytes of a column's name.
const MAX_NAME: usize = 1_024;

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
