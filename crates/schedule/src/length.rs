//! Lengths within a run: in examples, tokens, epochs, or parts of the run.
//!
//! Whatever the unit it is written in, a length becomes examples once, before the run begins, and never steps: with
//! another batch size it is still as long.

use crate::progress::Examples;
use crate::text::{self, Cursor, SpecError};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A length, or a place counted from the beginning of the run.
///
/// ```
/// use batchwise_schedule::{Examples, Length, RunLength};
///
/// let run = RunLength { total: Examples(300_000), dataset_size: Some(60_000), tokens_per_example: None };
/// for (text, examples) in [("500ex", 500), ("1.5 epochs", 90_000), ("5%", 15_000), ("10kex", 10_000)] {
///     let length: Length = text.parse()?;
///     assert_eq!(length.resolve(&run)?, Examples(examples));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Length {
    /// Examples.
    Examples(u64),
    /// Tokens; needs the tokens of an example.
    Tokens(u64),
    /// Passes over the training set, finite and at least 0; needs its size.
    Epochs(f64),
    /// A part of the run, 0 to 1.
    Fraction(f64),
}

/// How long a run is, and what a length in epochs or tokens needs.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct RunLength {
    /// Examples of the whole run.
    pub total: Examples,
    /// Examples of the training set: one epoch.
    pub dataset_size: Option<u64>,
    /// Tokens of an example, on average; finite and above 0.
    pub tokens_per_example: Option<f64>,
}

impl RunLength {
    /// A run of `total` examples; lengths in epochs and tokens cannot be resolved.
    #[must_use]
    pub fn of(total: Examples) -> Self {
        Self { total, dataset_size: None, tokens_per_example: None }
    }
}

/// A length cannot be told in examples.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LengthError {
    /// Epochs of what?
    #[error("{length} needs the size of the training set, which is not known")]
    NoDatasetSize {
        /// The length.
        length: Length,
    },
    /// Tokens of what?
    #[error("{length} needs the tokens of an example, which are not known")]
    NoTokens {
        /// The length.
        length: Length,
    },
    /// A number out of range.
    #[error("{name} is {found}, allowed is {allowed}")]
    OutOfRange {
        /// What it is.
        name: &'static str,
        /// The value found.
        found: f64,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl Length {
    /// The length in examples, rounded to the nearest.
    ///
    /// # Errors
    /// Epochs or tokens without what they need; a number out of range.
    pub fn resolve(&self, run: &RunLength) -> Result<Examples, LengthError> {
        let out = |name, found, allowed| LengthError::OutOfRange { name, found, allowed };
        let examples = match *self {
            Self::Examples(examples) => return Ok(Examples(examples)),
            Self::Tokens(tokens) => {
                let each = run.tokens_per_example.ok_or(LengthError::NoTokens { length: *self })?;
                if !(each.is_finite() && 0.0 < each) {
                    return Err(out("tokens of an example", each, "a finite number above 0"));
                }
                tokens as f64 / each
            }
            Self::Epochs(epochs) => {
                let size = run.dataset_size.ok_or(LengthError::NoDatasetSize { length: *self })?;
                epochs * size as f64
            }
            Self::Fraction(share) => {
                if !(0.0..=1.0).contains(&share) {
                    return Err(out("the part of the run", share, "0 to 1"));
                }
                if share == 1.0 {
                    return Ok(run.total);
                }
                share * run.total.0 as f64
            }
        };
        if examples.is_finite() && 0.0 <= examples && examples < u64::MAX as f64 {
            Ok(Examples(examples.round() as u64))
        } else {
            Err(out("the length in examples", examples, "0 to 2^64"))
        }
    }

    /// Reads a length: `500ex`, `2000tok`, `3 epochs`, `5%` or `0.05run`; k, M and B may stand before `ex` and `tok`.
    ///
    /// # Errors
    /// Anything else, with its place.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self, SpecError> {
        const ALLOWED: &str = "a length such as `500ex`, `2Mtok`, `3 epochs` or `5%`";
        let Some(word) = cursor.peek() else { return Err(cursor.error(ALLOWED)) };
        let number_ends = word
            .char_indices()
            .find(|&(i, c)| {
                let exponent = matches!(c, 'e' | 'E')
                    && word[i + 1..].starts_with(|d: char| d.is_ascii_digit() || d == '-' || d == '+');
                let sign = matches!(c, '-' | '+') && word[..i].ends_with(['e', 'E']);
                !(c.is_ascii_digit() || c == '.' || exponent || sign)
            })
            .map_or(word.len(), |(i, _)| i);
        let (number, mut unit) = word.split_at(number_ends);
        let apart = unit.is_empty();
        if apart {
            unit = cursor.peek_second().unwrap_or_default();
        }
        let length = match unit {
            "%" => text::plain_number(number).filter(|p| *p <= 100.0).map(|p| Self::Fraction(p / 100.0)),
            "run" => text::plain_number(number).filter(|p| *p <= 1.0).map(Self::Fraction),
            "epoch" | "epochs" => text::plain_number(number).map(Self::Epochs),
            _ => {
                let scaled = unit.trim_start_matches(['k', 'M', 'B']);
                let count = || text::whole(&format!("{number}{}", &unit[..unit.len() - scaled.len()]));
                match scaled {
                    "ex" | "example" | "examples" => count().map(Self::Examples),
                    "tok" | "token" | "tokens" => count().map(Self::Tokens),
                    _ => None,
                }
            }
        };
        let Some(length) = length else {
            return Err(cursor.error(match unit {
                "%" => "a part of the run of at most 100 %",
                "run" => "a part of the run of at most 1",
                _ => ALLOWED,
            }));
        };
        cursor.advance();
        if apart {
            cursor.advance();
        }
        Ok(length)
    }
}

impl FromStr for Length {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut cursor = Cursor::new(text);
        let length = Self::read(&mut cursor)?;
        cursor.end("the end")?;
        Ok(length)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Examples(n) => write!(f, "{n}ex"),
            Self::Tokens(n) => write!(f, "{n}tok"),
            Self::Epochs(n) if *n == 1.0 => f.write_str("1 epoch"),
            Self::Epochs(n) => write!(f, "{} epochs", text::shortest(*n)),
            Self::Fraction(share) => f.write_str(&text::share(*share, "run")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run() -> RunLength {
        RunLength { total: Examples(1000), dataset_size: Some(400), tokens_per_example: Some(8.0) }
    }

    #[test]
    fn units_become_examples() {
        for (text, examples) in [
            ("0ex", 0),
            ("7 examples", 7),
            ("2kex", 2000),
            ("1.5Mex", 1_500_000),
            ("80tok", 10),
            ("2ktok", 250),
            ("1 epoch", 400),
            ("0.5epochs", 200),
            ("100%", 1000),
            ("12.5%", 125),
            ("0.25run", 250),
            ("1e2ex", 100),
        ] {
            assert_eq!(text.parse::<Length>().unwrap().resolve(&run()), Ok(Examples(examples)), "{text}");
        }
    }

    #[test]
    fn faults_are_shown_at_their_place() {
        for (text, column) in [
            ("", 1),
            ("5", 1),
            ("ex", 1),
            ("-5ex", 1),
            ("1.5ex", 1),
            ("101%", 1),
            ("2run", 1),
            ("5 steps", 1),
            ("5ex more", 5),
            ("1e999 epochs", 1),
            ("é", 1),
            ("5kk ex", 1),
            ("99999999999999999999ex", 1),
        ] {
            let error = text.parse::<Length>().unwrap_err();
            assert_eq!(error.column(), column, "{text}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_resolved_says_why() {
        let alone = RunLength::of(Examples(10));
        assert!(Length::Epochs(1.0).resolve(&alone).unwrap_err().to_string().contains("training set"));
        assert!(Length::Tokens(1).resolve(&alone).unwrap_err().to_string().contains("tokens of an example"));
        for length in [
            Length::Epochs(f64::NAN),
            Length::Epochs(-1.0),
            Length::Epochs(1e300),
            Length::Fraction(1.1),
            Length::Fraction(f64::NAN),
        ] {
            assert!(length.resolve(&run()).is_err(), "{length:?}");
        }
        let no_tokens = RunLength { tokens_per_example: Some(0.0), ..run() };
        assert!(Length::Tokens(5).resolve(&no_tokens).is_err());
    }

    proptest! {
        #[test]
        fn reads_back(n in any::<u64>(), x in 0.0f64..1.0, epochs in 0.0f64..1e9) {
            for length in [Length::Examples(n), Length::Tokens(n), Length::Epochs(epochs), Length::Fraction(x)] {
                prop_assert_eq!(length.to_string().parse::<Length>(), Ok(length));
            }
        }

        #[test]
        fn any_text_is_a_length_or_an_error_inside_it(text in "\\PC*", unit in "(ex|tok|%|run| epochs|k)") {
            for text in [text.clone(), format!("{}{unit}", text.len()), format!("{text}{unit}")] {
                match text.parse::<Length>() {
                    Ok(length) => prop_assert_eq!(length.to_string().parse::<Length>(), Ok(length)),
                    Err(error) => prop_assert!(error.offset <= text.len() && !error.to_string().is_empty()),
                }
            }
        }
    }
}
