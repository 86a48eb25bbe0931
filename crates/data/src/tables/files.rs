//! The files that a path stands for.

use std::path::{Path, PathBuf};

use crate::DataError;

/// What stands for a table.
pub(crate) const TABLE_FILES: &str = if cfg!(feature = "parquet") {
    "a table (a .csv, .tsv or .parquet file; a folder with exactly one; a folder with train.csv and test.csv, or with \
     train*.parquet and test*.parquet)"
} else {
    "a table (a .csv or .tsv file; a folder with exactly one; a folder with train.csv and test.csv; for .parquet build \
     with the feature `parquet`)"
};

/// The files of one data set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) train: Vec<PathBuf>,
    pub(crate) test: Option<Vec<PathBuf>>,
}

/// Whether a path stands for a table, told by names alone.
pub(crate) fn is_table(path: &Path) -> bool {
    find(path).is_some()
}

/// The files of the table at `path`.
///
/// # Errors
///
/// [`DataError::UnknownFormat`] where there is none.
pub(crate) fn find_files(path: &Path) -> Result<Files, DataError> {
    find(path)
        .ok_or_else(|| DataError::UnknownFormat { path: path.to_owned(), known: TABLE_FILES.to_owned() })
}

fn find(path: &Path) -> Option<Files> {
    if is_csv(path) || is_parquet(path) {
        // What is no file is refused by name when it is read.
        return (!path.is_dir()).then(|| Files { train: vec![path.to_owned()], test: None });
    }
    let mut files = files_in(path);
    let named =
        |name: &str| files.iter().find(|path| path.file_name().is_some_and(|found| found == name)).cloned();
    if let (Some(train), Some(test)) = (named("train.csv"), named("test.csv")) {
        return Some(Files { train: vec![train], test: Some(vec![test]) });
    }
    if !files.iter().any(|path| is_csv(path) || is_parquet(path)) {
        files = files_in(&path.join("data"));
    }
    let starts = |start: &str| -> Option<Vec<PathBuf>> {
        let is_part = |path: &&PathBuf| {
            is_parquet(path) && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
        };
        let found: Vec<PathBuf> = files.iter().filter(is_part).cloned().collect();
        (!found.is_empty()).then_some(found)
    };
    if let Some(train) = starts("train") {
        let test = starts("test").or_else(|| starts("validation"));
        return Some(Files { train, test });
    }
    let mut tables = files.iter().filter(|path| is_csv(path) || is_parquet(path));
    match (tables.next(), tables.next()) {
        (Some(only), None) => Some(Files { train: vec![only.clone()], test: None }),
        _ => None,
    }
}

/// The files of a folder by name; none if it cannot be read.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

fn is_csv(path: &Path) -> bool {
    has_extension(path, "csv") || has_extension(path, "tsv")
}

/// Whether a file is called as one of Parquet, which only a build with that feature reads.
pub(crate) fn is_parquet(path: &Path) -> bool {
    cfg!(feature = "parquet") && has_extension(path, "parquet")
}
