//! How a table becomes a data set.

use std::path::PathBuf;

use crate::DataError;
use crate::settings::Settings;

/// How a table becomes a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct TableConfig {
    /// The columns to be predicted: one of classes, or any number of values. Only images may do without, for which it
    /// is then `label`.
    pub target: Vec<String>,
    /// What the target is; `None`: classes if it holds categories, values if it holds numbers.
    pub task: Option<Task>,
    /// What becomes of a row in which something is missing.
    pub missing: Missing,
    /// Columns to leave out. They are not looked at.
    pub drop: Vec<String>,
    /// Columns to take as categories although they begin with a number.
    pub categories: Vec<String>,
    /// Which rows are for testing.
    pub test: TestRows,
    /// The byte between two fields of a CSV file; `None`: a tabulator in a `.tsv` file, else a comma.
    pub separator: Option<u8>,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// A class. Numbers must be integers; each that the training rows hold is a class.
    Class,
    /// Numbers.
    Values,
}

/// What becomes of a row in which something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is an error.
    Refuse,
    /// The row is left out.
    Drop,
    /// A number is the mean of those in training rows; a category is none of the known ones. A target is an error.
    Mean,
    /// A number is 0; a category is none of the known ones. A target is an error.
    Zero,
}

/// Which rows are for testing.
#[derive(Clone, Debug, PartialEq)]
pub enum TestRows {
    /// Those in files of their own, where there are such files; else a fraction of 0.2 with seed 0.
    Found,
    /// Each row with a probability of `fraction`, told by its number and the seed alone: rows that are added to a file
    /// leave the others where they are.
    Fraction {
        /// Between 0 and 1.
        fraction: f64,
        /// Another seed, another choice.
        seed: u64,
    },
    /// As [`TestRows::Fraction`], but all rows with the same value in a column are on the same side; the column is no
    /// input.
    Key {
        /// The column.
        column: String,
        /// Between 0 and 1, of the values.
        fraction: f64,
        /// Another seed, another choice.
        seed: u64,
    },
    /// Those in this file; a relative path starts at the folder of the training file.
    File(PathBuf),
}

/// The fraction of rows for testing where nothing else is said.
pub(crate) const DEFAULT_FRACTION: f64 = 0.2;

impl TableConfig {
    /// All as usual: to predict the columns `target`, refusing what is missing.
    pub fn new(target: &[&str]) -> TableConfig {
        TableConfig {
            target: target.iter().map(|&name| name.to_owned()).collect(),
            task: None,
            missing: Missing::Refuse,
            drop: Vec::new(),
            categories: Vec::new(),
            test: TestRows::Found,
            separator: None,
        }
    }

    /// From `target=a+b,task=class|values,missing=refuse|drop|mean|zero,drop=a+b,categories=a+b,test=0.2,seed=0,key=a,
    /// test_file=path,separator=;`.
    pub(crate) fn from_settings(settings: &mut Settings) -> Result<TableConfig, DataError> {
        let columns = |text: Option<String>| -> Vec<String> {
            let text = text.unwrap_or_default();
            text.split('+').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        Ok(TableConfig {
            target: columns(settings.text("target")),
            task: choice(settings, "task", &[("class", Task::Class), ("values", Task::Values)])?,
            missing: choice(settings, "missing", &MISSING)?.unwrap_or(Missing::Refuse),
            drop: columns(settings.text("drop")),
            categories: columns(settings.text("categories")),
            test: test_rows(settings)?,
            separator: separator(settings)?,
        })
    }
}

const MISSING: [(&str, Missing); 4] =
    [("refuse", Missing::Refuse), ("drop", Missing::Drop), ("mean", Missing::Mean), ("zero", Missing::Zero)];

fn choice<T: Copy>(
    settings: &mut Settings,
    field: &'static str,
    choices: &[(&str, T)],
) -> Result<Option<T>, DataError> {
    let Some(found) = settings.text(field) else { return Ok(None) };
    match choices.iter().find(|(name, _)| *name == found) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let allowed = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            Err(DataError::Setting { field, found, allowed })
        }
    }
}

fn test_rows(settings: &mut Settings) -> Result<TestRows, DataError> {
    let fraction = settings.value::<f64>("test", FRACTIONS)?;
    let seed = settings.within::<u64>("seed", 0, u64::MAX)?;
    let key = settings.text("key");
    match (settings.text("test_file"), key) {
        (Some(found), key) if fraction.is_some() || seed.is_some() || key.is_some() => {
            let allowed = "nothing together with test, seed or key".to_owned();
            Err(DataError::Setting { field: "test_file", found, allowed })
        }
        (Some(file), _) => Ok(TestRows::File(PathBuf::from(file))),
        (None, Some(column)) => {
            let fraction = check_fraction(fraction.unwrap_or(DEFAULT_FRACTION))?;
            Ok(TestRows::Key { column, fraction, seed: seed.unwrap_or(0) })
        }
        (None, None) if fraction.is_none() && seed.is_none() => Ok(TestRows::Found),
        (None, None) => {
            let fraction = check_fraction(fraction.unwrap_or(DEFAULT_FRACTION))?;
            Ok(TestRows::Fraction { fraction, seed: seed.unwrap_or(0) })
        }
    }
}

const FRACTIONS: &str = "a fraction above 0 and below 1";

/// The fraction, if it leaves something on both sides.
pub(crate) fn check_fraction(fraction: f64) -> Result<f64, DataError> {
    if 0.0 < fraction && fraction < 1.0 {
        return Ok(fraction);
    }
    Err(DataError::Setting { field: "test", found: fraction.to_string(), allowed: FRACTIONS.to_owned() })
}

fn separator(settings: &mut Settings) -> Result<Option<u8>, DataError> {
    let Some(found) = settings.text("separator") else { return Ok(None) };
    match found.as_bytes() {
        b"tab" => Ok(Some(b'\t')),
        [byte] if is_separator(*byte) => Ok(Some(*byte)),
        _ => Err(not_a_separator(found)),
    }
}

/// Whether a byte can stand between two fields.
pub(crate) fn is_separator(byte: u8) -> bool {
    byte == b'\t' || (byte.is_ascii_punctuation() && byte != b'"') || byte == b' '
}

/// The error for any other.
pub(crate) fn not_a_separator(found: String) -> DataError {
    let allowed = "tab, or one ASCII character that is no letter, digit or quote".to_owned();
    DataError::Setting { field: "separator", found, allowed }
}
