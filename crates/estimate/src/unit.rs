//! What one "example" is: the unit of every noise scale and critical batch size.
//!
//! McCandlish et al. 2018 count tokens for their LSTM and frames for Atari, nanoGNS counts sequences, Merrill et al.
//! 2025 documents of 4096 tokens (theory §0, §1.8). Two such numbers may be compared only in the same unit, so a
//! number travels with its unit ([`InUnit`]), and joining two units is an error ([`UnitMismatch`], theory §8.3).
//!
//! ```
//! use batchwise_estimate::unit::{InUnit, Unit};
//!
//! let tokens = InUnit::new(150_000.0, Unit::Token);
//! let sequences = InUnit::new(22.0, Unit::Sequence);
//! assert!(tokens.clone().join(sequences.clone(), |a, b| a / b).is_err());
//! // 1024 tokens in a sequence: the conversion is the caller's, and explicit.
//! let same = sequences.convert(Unit::Token, |phi| phi * 1024.0);
//! assert_eq!(tokens.join(same, f64::max).map(|phi| phi.value), Ok(150_000.0));
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// What the loss is averaged over, and so what a batch size and a noise scale count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Unit {
    /// One independent example: an image, a row.
    #[default]
    Example,
    /// One token, where the loss is per token. Tokens of one sequence are not independent.
    Token,
    /// One sequence of tokens.
    Sequence,
    /// One frame of a game or a film.
    Frame,
    /// Anything else, by its singular name.
    Other(String),
}

impl Unit {
    /// The singular name: `example`, `token`, `sequence`, `frame`, or the given one.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Example => "example",
            Self::Token => "token",
            Self::Sequence => "sequence",
            Self::Frame => "frame",
            Self::Other(name) => name,
        }
    }

    /// The unit of that name, singular or with a plural `s`, capitals ignored; `None` for an empty one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim();
        let lower = name.to_lowercase();
        Some(match lower.strip_suffix('s').unwrap_or(&lower) {
            "" => return None,
            "example" => Self::Example,
            "token" => Self::Token,
            "sequence" => Self::Sequence,
            "frame" => Self::Frame,
            _ => Self::Other(name.to_owned()),
        })
    }

    /// Checks that two numbers may be joined.
    ///
    /// # Errors
    /// The units differ.
    pub fn check_same(&self, other: &Self) -> Result<(), UnitMismatch> {
        if self == other { Ok(()) } else { Err(UnitMismatch { first: self.clone(), second: other.clone() }) }
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Two numbers that count different things were to be joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("one number counts {first}s and the other {second}s: convert one of them first")]
pub struct UnitMismatch {
    /// Unit of the first.
    pub first: Unit,
    /// Unit of the second.
    pub second: Unit,
}

/// A value that counts in a unit: a [`NoiseEstimate`](crate::noise::NoiseEstimate), a
/// [`Ratio`](crate::fieller::Ratio), a number.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct InUnit<T> {
    /// The value.
    pub value: T,
    /// What it counts.
    pub unit: Unit,
}

impl<T> InUnit<T> {
    /// Marks a value with its unit.
    #[must_use]
    pub const fn new(value: T, unit: Unit) -> Self {
        Self { value, unit }
    }

    /// Joins two values of the same unit into a third of that unit.
    ///
    /// # Errors
    /// The units differ.
    pub fn join<U, V>(self, other: InUnit<U>, f: impl FnOnce(T, U) -> V) -> Result<InUnit<V>, UnitMismatch> {
        self.unit.check_same(&other.unit)?;
        Ok(InUnit { value: f(self.value, other.value), unit: self.unit })
    }

    /// The value, if it counts `unit`.
    ///
    /// # Errors
    /// It counts something else.
    pub fn expect_unit(self, unit: &Unit) -> Result<T, UnitMismatch> {
        self.unit.check_same(unit)?;
        Ok(self.value)
    }

    /// The value in another unit; what the conversion is, only the caller knows.
    #[must_use]
    pub fn convert<U>(self, unit: Unit, f: impl FnOnce(T) -> U) -> InUnit<U> {
        InUnit { value: f(self.value), unit }
    }
}

#[cfg(test)]
mod tests {
    use super::{InUnit, Unit};

    #[test]
    fn names_round_trip() {
        for unit in [Unit::Example, Unit::Token, Unit::Sequence, Unit::Frame, Unit::Other("atom".into())] {
            assert_eq!(Unit::from_name(unit.name()), Some(unit.clone()));
        }
        assert_eq!(Unit::from_name(" Tokens "), Some(Unit::Token));
        assert_eq!((Unit::from_name(""), Unit::from_name("s")), (None, None));
    }

    #[test]
    fn different_units_do_not_join() {
        let a = InUnit::new(1.0, Unit::Token);
        let error = a.clone().join(InUnit::new(2.0, Unit::Frame), |x, y| x + y).unwrap_err();
        assert_eq!(
            error.to_string(),
            "one number counts tokens and the other frames: convert one of them first"
        );
        assert_eq!(a.clone().join(a.clone(), |x, y| x + y).unwrap().value, 2.0);
        assert!(a.expect_unit(&Unit::Example).is_err());
    }
}
