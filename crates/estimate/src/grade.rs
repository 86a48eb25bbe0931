//! How far an answer may be trusted.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// Evidence grade of a published number (theory §8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Grade {
    /// The interval is bounded and the model fits.
    Measured,
    /// The data bound the number from below only.
    LowerBound,
    /// The data bound the number from above only.
    UpperBound,
    /// The data do not identify the number.
    NotIdentified,
    /// The number lies beyond what was tried.
    Extrapolated,
    /// The model does not describe the measurements.
    ModelMisfit,
    /// Compared without retuning the learning rate.
    Untuned,
    /// Two ways of measuring disagree more than tenfold.
    Contradiction,
    /// A condition of the method is not met (batch norm, θ moved, few examples); take it as an order of size.
    Approximate,
}

impl Grade {
    /// Every grade, in the order of theory §8.3.
    pub const ALL: [Self; 9] = [
        Self::Measured,
        Self::LowerBound,
        Self::UpperBound,
        Self::NotIdentified,
        Self::Extrapolated,
        Self::ModelMisfit,
        Self::Untuned,
        Self::Contradiction,
        Self::Approximate,
    ];

    /// The name that is stored and shown, in snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::LowerBound => "lower_bound",
            Self::UpperBound => "upper_bound",
            Self::NotIdentified => "not_identified",
            Self::Extrapolated => "extrapolated",
            Self::ModelMisfit => "model_misfit",
            Self::Untuned => "untuned",
            Self::Contradiction => "contradiction",
            Self::Approximate => "approximate",
        }
    }

    /// One sentence for a report: what the reader may conclude.
    #[must_use]
    pub const fn wording(self) -> &'static str {
        match self {
            Self::Measured => "measured, with an interval",
            Self::LowerBound => {
                "at least this much; batches up to a quarter of it keep 80 % of the example efficiency"
            }
            Self::UpperBound => "at most this much; larger batches than the smallest tried bought nothing",
            Self::NotIdentified => "the data do not identify this number",
            Self::Extrapolated => "beyond the largest batch that was tried",
            Self::ModelMisfit => "the model does not fit; see the raw curve",
            Self::Untuned => "the learning rate was not tuned at each batch size; no claim about scaling",
            Self::Contradiction => "two ways of measuring disagree more than tenfold; both are shown",
            Self::Approximate => "the method's conditions are met only in part; an order of size",
        }
    }
}

impl std::fmt::Display for Grade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Grade;

    #[test]
    fn names_are_distinct_and_shown() {
        for (i, grade) in Grade::ALL.iter().enumerate() {
            assert_eq!(grade.to_string(), grade.name());
            assert!(!grade.wording().is_empty());
            assert!(Grade::ALL[..i].iter().all(|other| other.name() != grade.name()));
        }
    }

    #[test]
    fn a_lower_bound_never_promises_perfect_scaling() {
        assert!(
            Grade::LowerBound.wording().contains("80 %") && Grade::LowerBound.wording().contains("quarter")
        );
    }
}
