//! One answer to "how long is a step": a model where one fits, the measured curve where none does.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::choose::{Choice, choose};
use super::model::TimeFit;
use super::points::{TimeError, TimePoint, distinct};
use super::shapes::{Stairs, TwoSlopes};
use crate::time_curve::TimeCurve;

/// The time of a step as a function of the batch size.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "form", rename_all = "snake_case"))]
pub enum StepTime {
    /// Overhead and work, joined by sum, maximum or overlap.
    Model(TimeFit),
    /// Work in whole quanta.
    Stairs(Stairs),
    /// A cost per example that changes once.
    TwoSlopes(TwoSlopes),
    /// The measured points themselves, where every model is off by more than [`LARGEST_MISFIT`](super::LARGEST_MISFIT).
    Curve(TimeCurve),
}

impl StepTime {
    /// The model that the information criterion picks (as [`fit_timings`](super::fit_timings) picks it), or the
    /// measured curve where that model's lack of fit is above [`LARGEST_MISFIT`](super::LARGEST_MISFIT) or only two
    /// batch sizes were timed.
    ///
    /// # Errors
    /// A point that is no measurement; fewer than 2 distinct batch sizes.
    pub fn fit(points: &[TimePoint]) -> Result<Self, TimeError> {
        let joined = distinct(points, 2)?;
        if joined.len() < 3 {
            return Ok(Self::Curve(TimeCurve::new(&joined)?));
        }
        let Choice { best, rejected, .. } = choose(&joined, None);
        Ok(if rejected { Self::Curve(TimeCurve::new(&joined)?) } else { best })
    }

    /// `sum`, `max`, `overlap`, `quantised`, `two_slopes` or `curve`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Model(fit) => match fit.model {
                super::TimeModel::Sum => "sum",
                super::TimeModel::Max => "max",
                super::TimeModel::Overlap { .. } => "overlap",
            },
            Self::Stairs(_) => "quantised",
            Self::TwoSlopes(_) => "two_slopes",
            Self::Curve(_) => "curve",
        }
    }

    /// Seconds of a step at `batch` examples: at least 0, never falling, at most [`f64::MAX`].
    ///
    /// (The measured curve alone may fall between two of its points, as they did.)
    #[must_use]
    pub fn seconds(&self, batch: f64) -> f64 {
        match self {
            Self::Model(fit) => fit.seconds(batch),
            Self::Stairs(fit) => fit.seconds(batch),
            Self::TwoSlopes(fit) => fit.seconds(batch),
            Self::Curve(curve) => curve.seconds(batch),
        }
    }

    /// The efficiency knee: the smallest batch at which examples/s reach the share `efficiency` of the most they can.
    ///
    /// For a model "the most" is its limit for large batches ([`TimeFit::knee`], [`Stairs::knee`]; for two slopes the
    /// throughput at the bend counts too, [`TwoSlopes::knee`]); for the curve it is the most that was measured, and
    /// the answer is a measured batch ([`TimeCurve::measured_knee`]). +∞ where no batch reaches it.
    #[must_use]
    pub fn knee(&self, efficiency: f64) -> f64 {
        match self {
            Self::Model(fit) => fit.knee(efficiency),
            Self::Stairs(fit) => fit.knee(efficiency),
            Self::TwoSlopes(fit) => fit.knee(efficiency),
            Self::Curve(curve) => curve.measured_knee(efficiency),
        }
    }

    /// a: seconds that do not depend on the batch. `None` for the curve, which knows of none.
    #[must_use]
    pub fn overhead_seconds(&self) -> Option<f64> {
        match self {
            Self::Model(fit) => Some(fit.overhead_seconds),
            Self::Stairs(fit) => Some(fit.overhead_seconds),
            Self::TwoSlopes(fit) => Some(fit.overhead_seconds),
            Self::Curve(_) => None,
        }
    }

    /// c: seconds that one more example of a large batch takes (beyond the bend of two slopes). `None` for the curve.
    #[must_use]
    pub fn seconds_per_example(&self) -> Option<f64> {
        match self {
            Self::Model(fit) => Some(fit.seconds_per_example),
            Self::Stairs(fit) => Some(fit.seconds_per_example),
            Self::TwoSlopes(fit) => Some(fit.seconds_per_example_beyond),
            Self::Curve(_) => None,
        }
    }
}
