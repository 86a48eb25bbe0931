//! Tables: CSV files, and Parquet files behind the feature `parquet`.
//!
//! A file becomes a table of named columns, of numbers or of categories, whatever its format; the rest is the same for
//! all: the rows for testing are set apart, what is missing is dealt with by policy, numbers are standardised by the
//! training rows, categories become one value each (one-hot), and the target becomes class numbers or standardised
//! values.
//!
//! A table may also hold one column of images, with Parquet only: then the images are the inputs. They are decoded once,
//! to one byte for each pixel, which is what is kept; a set of images must fit in memory so.
//!
//! Files are read once. What is kept is 4 bytes for each number and each category of a row: a category is kept as its
//! number, and spread to its values while a batch is gathered.

mod categories;
mod config;
mod csv;
mod dataset;
mod encode;
mod files;
mod known;
mod message;
mod number;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "parquet")]
mod pictures;
mod roles;
mod rules;
mod split;
mod table;
mod target;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub use config::{Missing, TableConfig, Task, TestRows};
pub use dataset::TableDataset;
pub(crate) use files::{TABLE_FILES, is_table};

use crate::settings::Settings;
use crate::{DataError, Dataset, Splits};
use files::{Files, find_files};
use roles::Roles;
use rules::ColumnRules;
use split::Side;
use table::Table;

/// Reads a table as a data set called `name`.
///
/// `path` is a `.csv` or `.tsv` file; a folder with one such file; a folder with `train.csv` and `test.csv`. With the
/// feature `parquet` also a `.parquet` file, a folder with one, and a folder with `train*.parquet` and `test*.parquet`
/// (else `validation*.parquet`), which may lie in its folder `data` as on the Hugging Face hub.
///
/// The first line of a CSV file names the columns. A column holds numbers if its first value is one, else categories;
/// missing is what is empty or says `NA`, `N/A`, `NaN`, `null` or `?`. Columns of the result are first the numbers,
/// then the categories, each in the order of the file.
///
/// # Errors
///
/// [`DataError::Format`] with the line or row for what a table may not hold; [`DataError::Setting`] for columns that do
/// not exist and settings that do not go together; [`DataError::Read`], [`DataError::Empty`],
/// [`DataError::UnknownFormat`].
pub fn read_table(name: &str, path: &Path, config: &TableConfig) -> Result<Splits, DataError> {
    let start = Instant::now();
    let Files { train: train_files, test: found_test } = find_files(path)?;
    let test_files = split::test_files(&train_files, found_test, &config.test)?;
    let mut train_table = read_files(&train_files, &ColumnRules::new(config))?;
    let mut test_table = match &test_files {
        Some(files) => Some(read_files(files, &ColumnRules::as_in(config, &train_table))?),
        None => None,
    };
    #[cfg(feature = "parquet")]
    if train_table.images.is_some() {
        return pictures::picture_splits(name, train_table, test_table, config);
    }
    let roles = Roles::find(&train_table, config)?;
    roles.prepare(&mut train_table, config)?;
    let (train, test) = match &mut test_table {
        Some(table) => {
            roles.prepare(table, config)?;
            (Side::whole(&train_table), Side::whole(table))
        }
        None => split::split(&train_table, roles.key.as_deref(), &config.test)?,
    };
    let (train, test) = encode::encode(name, train, test, &roles, config)?;
    tracing::info!(
        name,
        path = %path.display(),
        train_len = train.len(),
        test_len = test.len(),
        resident_bytes = train.resident_bytes() + test.resident_bytes(),
        seconds = start.elapsed().as_secs_f64(),
        "opened data set"
    );
    Ok(Splits { train: Arc::new(train), test: Arc::new(test) })
}

/// [`read_table`] with the settings of a data set's name.
pub(crate) fn open_table(name: &str, path: &Path, settings: &mut Settings) -> Result<Splits, DataError> {
    let config = TableConfig::from_settings(settings)?;
    // Before the file is read, so that a misspelt setting is not hidden behind what its absence leads to.
    settings.finish("a table")?;
    read_table(name, path, &config)
}

/// Reads the files, which hold the same columns, one after the other.
fn read_files(paths: &[PathBuf], rules: &ColumnRules) -> Result<Table, DataError> {
    let mut table: Option<Table> = None;
    for path in paths {
        #[cfg(feature = "parquet")]
        let part = match files::is_parquet(path) {
            true => parquet::read_parquet(path, rules)?,
            false => csv::read_csv(path, rules)?,
        };
        #[cfg(not(feature = "parquet"))]
        let part = csv::read_csv(path, rules)?;
        match &mut table {
            None => table = Some(part),
            Some(table) => table.append(part)?,
        }
    }
    // `find_files` gives at least one.
    table.ok_or_else(|| DataError::Empty { path: PathBuf::new() })
}
