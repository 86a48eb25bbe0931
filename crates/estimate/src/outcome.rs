//! What an estimate came to: a number with its interval, a bound, or the reason why there is neither.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// Outcome of an estimate that may be open to either side: a type that cannot be read as a number by mistake.
///
/// Unit and meaning are those of the field that holds it. All numbers inside are finite, and low ≤ value ≤ high.
/// A ratio of two means has its own type, [`Ratio`](crate::fieller::Ratio), with one outcome more.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "grade", rename_all = "snake_case"))]
pub enum Outcome {
    /// The data bound the number from both sides.
    Measured {
        /// The point estimate.
        value: f64,
        /// Lower end of the interval.
        low: f64,
        /// Upper end of the interval.
        high: f64,
    },
    /// The data bound the number from below only.
    LowerBound {
        /// The bound.
        low: f64,
    },
    /// The data bound the number from above only.
    UpperBound {
        /// The bound.
        high: f64,
    },
    /// The data do not identify the number.
    NotIdentified {
        /// What is missing, as a lower-case clause.
        why: String,
    },
}

impl Outcome {
    /// Name of the outcome, the same as the stored tag: `measured`, `lower_bound`, `upper_bound` or `not_identified`.
    #[must_use]
    pub fn grade(&self) -> &'static str {
        match self {
            Self::Measured { .. } => "measured",
            Self::LowerBound { .. } => "lower_bound",
            Self::UpperBound { .. } => "upper_bound",
            Self::NotIdentified { .. } => "not_identified",
        }
    }

    /// The point estimate, where one may be published.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Measured { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// The lower end of the interval, where there is one.
    #[must_use]
    pub fn low(&self) -> Option<f64> {
        match self {
            Self::Measured { low, .. } | Self::LowerBound { low } => Some(*low),
            _ => None,
        }
    }

    /// The upper end of the interval, where there is one.
    #[must_use]
    pub fn high(&self) -> Option<f64> {
        match self {
            Self::Measured { high, .. } | Self::UpperBound { high } => Some(*high),
            _ => None,
        }
    }

    /// Whether the interval, with its open ends, holds `truth`. `None` where nothing was identified.
    #[must_use]
    pub fn holds(&self, truth: f64) -> Option<bool> {
        match self {
            Self::NotIdentified { .. } => None,
            _ => Some(
                self.low().is_none_or(|low| low <= truth) && self.high().is_none_or(|high| truth <= high),
            ),
        }
    }

    /// The outcome without a number, and the reason.
    #[must_use]
    pub fn not_identified(why: impl Into<String>) -> Self {
        Self::NotIdentified { why: why.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn every_outcome_answers_for_its_ends_only() {
        let measured = Outcome::Measured { value: 2.0, low: 1.0, high: 3.0 };
        assert_eq!((measured.value(), measured.low(), measured.high()), (Some(2.0), Some(1.0), Some(3.0)));
        assert_eq!((measured.holds(3.0), measured.holds(3.1)), (Some(true), Some(false)));
        let low = Outcome::LowerBound { low: 1.0 };
        assert_eq!(
            (low.value(), low.high(), low.holds(1e300), low.holds(0.5)),
            (None, None, Some(true), Some(false))
        );
        let high = Outcome::UpperBound { high: 1.0 };
        assert_eq!(
            (high.value(), high.low(), high.holds(-5.0), high.holds(1.5)),
            (None, None, Some(true), Some(false))
        );
        let none = Outcome::not_identified("x");
        assert_eq!((none.value(), none.low(), none.high(), none.holds(1.0)), (None, None, None, None));
        let names = [measured, low, high, none].map(|o| o.grade());
        assert_eq!(names, ["measured", "lower_bound", "upper_bound", "not_identified"]);
    }
}
