//! How one column of numbers is standardised.

use super::config::Missing;
use super::known::not_as_in_training;
use super::split::Side;
use super::table::{Table, Values};
use crate::DataError;

/// How one column of numbers is standardised.
#[derive(Debug)]
pub(crate) struct NumberFit {
    pub(crate) name: String,
    /// In place of what is missing.
    fill: f64,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl NumberFit {
    pub(crate) fn new(
        name: &str,
        numbers: &[f64],
        train: &Side<'_>,
        missing: Missing,
    ) -> Result<NumberFit, DataError> {
        let there = || train.rows.iter().map(|row| numbers[*row]).filter(|number| !number.is_nan());
        let n_there = there().count();
        let fault = |found: String, expected: &str| {
            train.table.fault_of_file(
                format!("column `{name}` of the training rows"),
                found,
                expected.to_owned(),
            )
        };
        let fill = match missing {
            Missing::Mean if n_there == 0 => {
                return Err(fault("missing throughout".to_owned(), "at least 1 value to take the mean of"));
            }
            Missing::Mean => there().sum::<f64>() / n_there as f64,
            Missing::Zero | Missing::Refuse | Missing::Drop => 0.0,
        };
        let filled = || train.rows.iter().map(|row| numbers[*row]).map(|x| if x.is_nan() { fill } else { x });
        let n = train.rows.len() as f64;
        let (low, high) =
            filled().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        // Where all are equal, the mean by its sum could differ from them in its last bit.
        let (mean, deviation) = if low == high {
            (low, 1.0)
        } else {
            let mean = filled().sum::<f64>() / n;
            let deviation = (filled().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            (mean, if deviation == 0.0 { 1.0 } else { deviation })
        };
        if !(mean.is_finite() && deviation.is_finite() && fill.is_finite()) {
            return Err(fault(
                format!("in {low:?}..={high:?}"),
                "values of which the squares have a sum below 1e308",
            ));
        }
        Ok(NumberFit { name: name.to_owned(), fill, mean, deviation })
    }

    /// The column of a table that it is for.
    pub(crate) fn column<'a>(&self, table: &'a Table) -> Result<&'a [f64], DataError> {
        match table.column(&self.name).map(|column| &column.values) {
            Some(Values::Numbers(numbers)) => Ok(numbers),
            _ => Err(not_as_in_training(table, &self.name, "numbers")),
        }
    }

    pub(crate) fn apply(&self, table: &Table, row: usize, number: f64) -> Result<f32, DataError> {
        let filled = if number.is_nan() { self.fill } else { number };
        let value = ((filled - self.mean) / self.deviation) as f32;
        if value.is_finite() {
            return Ok(value);
        }
        let expected =
            format!("near {:?} ± {:?}, the mean and deviation of training", self.mean, self.deviation);
        Err(table.fault(row, format!("column `{}`", self.name), format!("{number:?}"), expected))
    }
}
