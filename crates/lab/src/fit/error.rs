//! Why a file of measurements could not be used: where, what was found, what is allowed.

use crate::LabError;

/// What is wrong with a file of measurements, and where.
///
/// Only for input that is wrong. What good data do not say is an answer, not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {found}; {allowed}", place(file, *line, column.as_deref()))]
pub struct FitError {
    /// The file as it was named; `standard input` for `-`.
    pub file: String,
    /// The line, counted from 1, where one line is at fault.
    pub line: Option<u64>,
    /// The column by number and name, where one field is at fault.
    pub column: Option<String>,
    /// What was found, as a clause.
    pub found: String,
    /// What is allowed, or what to do, as a clause.
    pub allowed: String,
}

impl FitError {
    /// An error about a whole file.
    pub(super) fn of_file(file: &str, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, column: None, found: found.into(), allowed: allowed.into() }
    }

    /// An error about one line.
    pub(super) fn at(file: &str, line: u64, found: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::of_file(file, found, allowed) }
    }
}

impl From<FitError> for LabError {
    fn from(error: FitError) -> Self {
        Self::Input(error.to_string())
    }
}

fn place(file: &str, line: Option<u64>, column: Option<&str>) -> String {
    let mut place = file.to_owned();
    if let Some(line) = line {
        place.push_str(&format!(", line {line}"));
    }
    if let Some(column) = column {
        // A value of JSON has no line; its column is a key.
        let noun = if line.is_some() { "column" } else { "key" };
        place.push_str(&format!(", {noun} {column}"));
    }
    place
}

/// A text as it is shown in a message: quoted, on one line, cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let one_line: String =
        text.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let more = if text.chars().nth(MOST).is_some() { "..." } else { "" };
    format!("`{one_line}{more}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_stands_first() {
        let error = FitError::of_file("a.csv", "it is empty", "rows are needed");
        assert_eq!(error.to_string(), "a.csv: it is empty; rows are needed");
        let error = FitError { column: Some("2 (seconds)".to_owned()), ..FitError::at("a.csv", 7, "x", "y") };
        assert_eq!(error.to_string(), "a.csv, line 7, column 2 (seconds): x; y");
    }

    #[test]
    fn long_and_odd_texts_are_shown_on_one_line() {
        assert_eq!(shown("a\nb"), "`a\u{fffd}b`");
        assert!(shown(&"x".repeat(1 << 20)).len() < 80);
    }
}
