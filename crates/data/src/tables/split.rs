//! Which rows are for training and which for testing.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::config::{DEFAULT_FRACTION, TestRows, check_fraction};
use super::table::{Table, Values};
use crate::DataError;
use crate::stream::Stream;

const DOMAIN: &[u8; 16] = b"batchwise/split1";

/// Some rows of a table.
#[derive(Debug)]
pub(crate) struct Side<'a> {
    pub(crate) table: &'a Table,
    pub(crate) rows: Vec<usize>,
}

impl<'a> Side<'a> {
    pub(crate) fn whole(table: &'a Table) -> Side<'a> {
        Side { table, rows: (0..table.n_rows).collect() }
    }
}

/// The files for testing, if they are files of their own.
pub(crate) fn test_files(
    train: &[PathBuf],
    found: Option<Vec<PathBuf>>,
    test: &TestRows,
) -> Result<Option<Vec<PathBuf>>, DataError> {
    match (test, found) {
        (TestRows::File(file), _) => {
            let dir = train.first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
            let file = dir.join(file);
            let place = |path: &Path| path.canonicalize().ok();
            if place(&file).is_some_and(|test| train.iter().any(|path| place(path).as_ref() == Some(&test))) {
                tracing::warn!(
                    path = %file.display(),
                    "the rows for testing are those for training: the figures say nothing about other rows"
                );
            }
            Ok(Some(vec![file]))
        }
        (TestRows::Found, found) => Ok(found),
        (TestRows::Fraction { .. } | TestRows::Key { .. }, None) => Ok(None),
        (TestRows::Fraction { fraction, .. } | TestRows::Key { fraction, .. }, Some(files)) => {
            let file = files.first().cloned().unwrap_or_default();
            Err(DataError::Setting {
                field: "test",
                found: fraction.to_string(),
                allowed: format!("nothing, as `{}` holds the rows for testing", file.display()),
            })
        }
    }
}

/// Splits the rows of one table in two.
pub(crate) fn split<'a>(
    table: &'a Table,
    key: Option<&str>,
    test: &TestRows,
) -> Result<(Side<'a>, Side<'a>), DataError> {
    let (fraction, seed) = match test {
        TestRows::Fraction { fraction, seed } | TestRows::Key { fraction, seed, .. } => (*fraction, *seed),
        TestRows::Found | TestRows::File(_) => (DEFAULT_FRACTION, 0),
    };
    let fraction = check_fraction(fraction)?;
    let is_test = |bits: u64| (bits as f64) < fraction * 2f64.powi(64);
    let (test, train): (Vec<usize>, Vec<usize>) = match key.and_then(|key| table.column(key)) {
        None => (0..table.n_rows).partition(|row| is_test(Stream::new(DOMAIN, seed, 0, *row as u64).bits())),
        Some(column) => {
            let Values::Categories(keys) = &column.values else {
                return Err(table.fault_of_file(
                    format!("column `{}`", column.name),
                    "not of categories".to_owned(),
                    "a column that can be a key".to_owned(),
                ));
            };
            let sides: Vec<bool> = keys.names.iter().map(|key| is_test(hash(seed, key))).collect();
            // A row without a key is refused or dropped later on.
            let is_test = |row: &usize| sides.get(keys.codes[*row] as usize).copied().unwrap_or(false);
            (0..table.n_rows).partition(is_test)
        }
    };
    Ok((Side { table, rows: train }, Side { table, rows: test }))
}

fn hash(seed: u64, key: &str) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(seed.to_le_bytes());
    hasher.update(key);
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}
