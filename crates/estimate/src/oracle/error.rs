//! What the oracle's models refuse, and the checks that refuse it.

/// Why a model of the oracle could not be made, or could not answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OracleError {
    /// A list without an entry.
    #[error("{what} has no entry, at least 1 is needed")]
    Empty {
        /// Which list.
        what: &'static str,
    },
    /// Two lists, or a matrix and a list, that do not belong together.
    #[error("{what} has {found} entries, {expected} are needed")]
    Length {
        /// Which list.
        what: &'static str,
        /// How many there were.
        found: usize,
        /// How many the model has.
        expected: usize,
    },
    /// An entry outside its range.
    #[error("{what} {index} is {value}, {allowed} is needed")]
    BadEntry {
        /// Which list.
        what: &'static str,
        /// Position in the list.
        index: usize,
        /// The value found.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A number outside its range.
    #[error("the {what} is {value}, {allowed} is needed")]
    BadValue {
        /// Which number.
        what: &'static str,
        /// The value found.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A matrix whose two halves differ.
    #[error(
        "row {row}, column {column} is {value} and its mirror image is {mirror}: a symmetric matrix is needed"
    )]
    NotSymmetric {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        column: usize,
        /// The value found.
        value: f64,
        /// The value found at (column, row).
        mirror: f64,
    },
    /// A covariance that gives some direction no variance, or a negative one.
    #[error("the matrix is not positive definite: pivot {row} is {pivot}")]
    NotPositiveDefinite {
        /// Row of the pivot.
        row: usize,
        /// The pivot found.
        pivot: f64,
    },
    /// The answer is larger than a 64-bit float can hold: the run has diverged, or the model's scales are extreme.
    #[error("{what} is larger than a 64-bit float can hold")]
    Overflow {
        /// Which answer.
        what: &'static str,
    },
}

const POSITIVE: &str = "a finite number above 0";
const NOT_NEGATIVE: &str = "a finite number of at least 0";
const SHARE: &str = "a number of at least 0 and below 1";

pub(super) fn positive(what: &'static str, value: f64) -> Result<f64, OracleError> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(OracleError::BadValue { what, value, allowed: POSITIVE })
    }
}

pub(super) fn not_negative(what: &'static str, value: f64) -> Result<f64, OracleError> {
    if value.is_finite() && value >= 0.0 {
        Ok(value)
    } else {
        Err(OracleError::BadValue { what, value, allowed: NOT_NEGATIVE })
    }
}

/// A momentum or an averaging decay.
pub(super) fn share(what: &'static str, value: f64) -> Result<f64, OracleError> {
    if (0.0..1.0).contains(&value) {
        Ok(value)
    } else {
        Err(OracleError::BadValue { what, value, allowed: SHARE })
    }
}

pub(super) fn all_positive(what: &'static str, values: &[f64]) -> Result<(), OracleError> {
    all(what, values, POSITIVE, |v| v > 0.0)
}

pub(super) fn all_not_negative(what: &'static str, values: &[f64]) -> Result<(), OracleError> {
    all(what, values, NOT_NEGATIVE, |v| v >= 0.0)
}

pub(super) fn all_finite(what: &'static str, values: &[f64]) -> Result<(), OracleError> {
    all(what, values, "a finite number", |_| true)
}

fn all(
    what: &'static str,
    values: &[f64],
    allowed: &'static str,
    fits: impl Fn(f64) -> bool,
) -> Result<(), OracleError> {
    if values.is_empty() {
        return Err(OracleError::Empty { what });
    }
    match values.iter().position(|&v| !(v.is_finite() && fits(v))) {
        Some(index) => Err(OracleError::BadEntry { what, index, value: values[index], allowed }),
        None => Ok(()),
    }
}

pub(super) fn length(what: &'static str, found: usize, expected: usize) -> Result<(), OracleError> {
    if found == expected { Ok(()) } else { Err(OracleError::Length { what, found, expected }) }
}

/// An answer that must be a number.
pub(super) fn answer(what: &'static str, value: f64) -> Result<f64, OracleError> {
    if value.is_finite() { Ok(value) } else { Err(OracleError::Overflow { what }) }
}
