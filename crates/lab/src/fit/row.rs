//! One row of a table: its fields as numbers, and errors about them.

use super::FitError;
use super::error::shown;
use super::object::Value;
use super::table::{Form, Table};

/// Whole numbers up to here are exact in f64.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// The row at hand.
pub(super) struct Row<'a> {
    pub(super) table: &'a Table,
}

impl Row<'_> {
    /// The line it begins on.
    pub(super) fn line(&self) -> u64 {
        self.table.record.line
    }

    /// The text of a column; empty where the row, or the file, has none.
    pub(super) fn text(&self, column: usize) -> &str {
        let Some(found) = self.table.columns.get(column).and_then(Option::as_ref) else { return "" };
        let text = match self.table.form {
            Form::Delimited(..) => self.table.record.field(found.number),
            Form::JsonLines => match self.table.object.iter().find(|(key, _)| *key == found.header) {
                Some((_, Value::Text(text))) => text.as_str(),
                Some((_, Value::Other(name))) => name,
                _ => "",
            },
        };
        if text == "-" { "" } else { text }
    }

    /// A number above 0, in seconds or bytes where the column has a unit.
    pub(super) fn positive(&self, column: usize) -> Result<f64, FitError> {
        self.number(column, "a finite number above 0 is needed", |v| 0.0 < v)
    }

    /// A number of at least 0.
    pub(super) fn not_negative(&self, column: usize) -> Result<f64, FitError> {
        self.number(column, "a finite number of at least 0 is needed", |v| 0.0 <= v)
    }

    /// Any finite number.
    pub(super) fn finite(&self, column: usize) -> Result<f64, FitError> {
        self.number(column, "a finite number is needed", |_| true)
    }

    /// A whole number of at least `least`.
    pub(super) fn whole(&self, column: usize, least: u64) -> Result<u64, FitError> {
        let allowed = format!("a whole number of at least {least} is needed");
        let is_good = |v: f64| v.fract() == 0.0 && (least as f64..=LARGEST_WHOLE).contains(&v);
        Ok(self.number(column, &allowed, is_good)? as u64)
    }

    /// A whole number, or none where the field is empty.
    pub(super) fn maybe_whole(&self, column: usize) -> Result<Option<u64>, FitError> {
        if self.text(column).is_empty() { Ok(None) } else { self.whole(column, 0).map(Some) }
    }

    fn number(&self, column: usize, allowed: &str, is_good: impl Fn(f64) -> bool) -> Result<f64, FitError> {
        let text = self.text(column);
        let factor =
            self.table.columns.get(column).and_then(Option::as_ref).map_or(1.0, |found| found.factor);
        match text.parse::<f64>() {
            Ok(value) if (value * factor).is_finite() && is_good(value * factor) => Ok(value * factor),
            Err(_) if text.contains(',') => {
                Err(self.wrong(column, &format!("{allowed}, with a decimal point")))
            }
            Err(_) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(self.wrong(column, &format!("{allowed}, its unit in the header or by --unit")))
            }
            _ => Err(self.wrong(column, allowed)),
        }
    }

    /// An error about one field.
    pub(super) fn wrong(&self, column: usize, allowed: &str) -> FitError {
        let text = self.text(column);
        let found =
            if text.is_empty() { "an empty field".to_owned() } else { format!("found {}", shown(text)) };
        FitError { column: Some(self.column(column)), ..self.table.at(self.line(), found, allowed) }
    }

    /// An error about the row.
    pub(super) fn error(&self, found: impl Into<String>, allowed: impl Into<String>) -> FitError {
        self.table.at(self.line(), found, allowed)
    }

    /// Number and name of a column, for a message.
    fn column(&self, column: usize) -> String {
        match (self.table.columns.get(column).and_then(Option::as_ref), self.table.form) {
            (Some(found), Form::Delimited(..)) => format!("{} ({})", found.number + 1, found.header),
            (Some(found), Form::JsonLines) => found.header.clone(),
            (None, _) => self.table.wanted.get(column).map_or("", |w| w.name).to_owned(),
        }
    }
}
