//! What a run is to reach, and when it got there.

mod course;

pub use course::{Between, Course, CourseError, Mark, Outcome, Reached};

use crate::Evaluation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is judged of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The mean loss: less is better.
    Loss,
    /// The share of examples that are classified right, 0 to 1: more is better.
    Accuracy,
}

impl Metric {
    /// The name that is written and read.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Accuracy => "accuracy",
        }
    }

    /// Whether `value` is better than `than`; a value that is not finite is better than nothing, and everything finite is
    /// better than it.
    #[must_use]
    pub fn is_better(self, value: f64, than: f64) -> bool {
        let better = match self {
            Self::Loss => value < than,
            Self::Accuracy => than < value,
        };
        value.is_finite() && (better || !than.is_finite())
    }

    /// The metric of an evaluation; `None` for the accuracy where targets are not classes.
    #[must_use]
    pub fn of(self, evaluation: &Evaluation) -> Option<f64> {
        match self {
            Self::Loss => Some(evaluation.loss),
            Self::Accuracy => evaluation.accuracy,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A metric and the value that is to be reached: an accuracy of at least so much, or a loss of at most so much.
///
/// ```
/// use batchwise_train::target::{Metric, Target};
///
/// let target: Target = "accuracy=0.9".parse()?;
/// assert_eq!(target, Target::new(Metric::Accuracy, 0.9)?);
/// assert_eq!(target.to_string(), "accuracy=0.9");
/// assert!(target.is_met(0.9) && !target.is_met(0.89) && !target.is_met(f64::NAN));
/// assert!("accuracy=90".parse::<Target>().is_err());
/// # Ok::<(), batchwise_train::target::TargetError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    metric: Metric,
    at: f64,
}

/// A text or a number that is no target.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// Not `metric=value`.
    #[error("`{found}` is no target: write `accuracy=0.9` or `loss=0.3`")]
    Form {
        /// The text.
        found: String,
    },
    /// An unknown metric.
    #[error("`{found}` in `{text}` is no metric: allowed are `loss` and `accuracy`")]
    Metric {
        /// What stands before the `=`.
        found: String,
        /// The whole text.
        text: String,
    },
    /// No number.
    #[error("`{found}` in `{text}` (from character {}) is no number", at + 1)]
    Number {
        /// What stands behind the `=`.
        found: String,
        /// The whole text.
        text: String,
        /// Characters before it.
        at: usize,
    },
    /// A value that the metric cannot have.
    #[error("the target of the {metric} is {found}, but must be {allowed}")]
    Range {
        /// The metric.
        metric: Metric,
        /// The value.
        found: f64,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl Target {
    /// The target of reaching `at`.
    ///
    /// # Errors
    /// An accuracy that is not above 0 and at most 1; a loss that is not finite.
    pub fn new(metric: Metric, at: f64) -> Result<Self, TargetError> {
        let (is_allowed, allowed) = match metric {
            Metric::Loss => (at.is_finite(), "finite"),
            Metric::Accuracy => (0.0 < at && at <= 1.0, "above 0 and at most 1 (a share, not a percentage)"),
        };
        if is_allowed {
            Ok(Self { metric, at })
        } else {
            Err(TargetError::Range { metric, found: at, allowed })
        }
    }

    /// What is judged.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The value to reach.
    #[must_use]
    pub fn at(&self) -> f64 {
        self.at
    }

    /// Whether the metric's value reaches the target; what is not a number never does, nor does an infinite loss.
    #[must_use]
    pub fn is_met(&self, value: f64) -> bool {
        value.is_finite()
            && match self.metric {
                Metric::Loss => value <= self.at,
                Metric::Accuracy => self.at <= value,
            }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest digits that read back to the same number.
        write!(f, "{}={}", self.metric, self.at)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form { found: text.to_owned() };
        let (metric, value) = text.split_once('=').ok_or_else(form)?;
        let metric = match metric.trim() {
            "" => return Err(form()),
            "loss" => Metric::Loss,
            "accuracy" => Metric::Accuracy,
            found => return Err(TargetError::Metric { found: found.to_owned(), text: text.to_owned() }),
        };
        let number = value.trim();
        let at = number.parse().map_err(|_| TargetError::Number {
            found: number.to_owned(),
            text: text.to_owned(),
            at: text.len() - value.trim_start().len(),
        })?;
        Self::new(metric, at)
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}
