//! Overhead and work, joined: the sum, the maximum and what lies between.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// How the overhead a and the work cB of a step join.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum TimeModel {
    /// a + cB: one after the other.
    Sum,
    /// max(a, cB): perfect overlap, a pure roofline.
    Max,
    /// (a^γ + (cB)^γ)^(1/γ): between the two (Qiao et al. 2021, Pollux).
    Overlap {
        /// γ in [1, 10].
        gamma: f64,
    },
}

/// A fitted time of a step.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TimeFit {
    /// The model of the smallest BIC (an overlap only where it wins by 6).
    pub model: TimeModel,
    /// a: seconds that do not depend on the batch, at least 0.
    pub overhead_seconds: f64,
    /// c: seconds per example, at least 0.
    pub seconds_per_example: f64,
    /// Largest |relative residual|: above 0.10 look at the measured curve.
    pub misfit: f64,
    /// Root mean square of the relative residuals.
    pub rms_misfit: f64,
    /// (model, BIC), smaller is better: `sum`, `max` and, from 6 batch sizes on, `overlap`.
    pub bic: Vec<(String, f64)>,
    /// Smallest and largest batch size measured.
    pub tested: (f64, f64),
}

impl TimeModel {
    /// The exponent that stands for the model: 1 for the sum, +∞ for the maximum.
    pub(super) fn gamma(self) -> f64 {
        match self {
            Self::Sum => 1.0,
            Self::Max => f64::INFINITY,
            Self::Overlap { gamma } => gamma,
        }
    }

    /// The model of an exponent.
    pub(super) fn of(gamma: f64) -> Self {
        if gamma == 1.0 {
            Self::Sum
        } else if gamma.is_infinite() {
            Self::Max
        } else {
            Self::Overlap { gamma }
        }
    }

    /// Joins overhead and work, both in seconds.
    #[must_use]
    pub fn join(self, overhead: f64, work: f64) -> f64 {
        let (large, small) = (overhead.max(work), overhead.min(work));
        match self {
            Self::Sum => large + small,
            Self::Max => large,
            Self::Overlap { .. } if large <= 0.0 => large,
            // Dividing by the larger part keeps high powers in range.
            Self::Overlap { gamma } => large * (1.0 + (small / large).powf(gamma)).powf(1.0 / gamma),
        }
    }
}

impl TimeFit {
    /// Fitted seconds of a step at `batch` examples, at most [`f64::MAX`]; a negative batch counts as 0.
    #[must_use]
    pub fn seconds(&self, batch: f64) -> f64 {
        let work = (self.seconds_per_example * batch.clamp(0.0, f64::MAX)).min(f64::MAX);
        self.model.join(self.overhead_seconds, if work.is_nan() { 0.0 } else { work }).min(f64::MAX)
    }

    /// The efficiency knee: the batch at which examples/s reach the share `efficiency` (in (0, 1)) of their limit 1/c.
    ///
    /// (a/c)·η/(1−η^γ)^(1/γ): (a/c)·η/(1−η) for the sum, ηa/c for the maximum (theory §7). +∞ where no batch reaches
    /// it (no work seen, or η ≥ 1 but for the maximum); check before storing it.
    #[must_use]
    pub fn knee(&self, efficiency: f64) -> f64 {
        let share = if efficiency.is_nan() { 0.0 } else { efficiency.max(0.0) };
        if self.overhead_seconds <= 0.0 || share == 0.0 {
            return 0.0;
        }
        let gamma = self.model.gamma();
        let factor = if share > 1.0 || (share == 1.0 && gamma.is_finite()) {
            return f64::INFINITY;
        } else if gamma.is_finite() {
            share / (1.0 - share.powf(gamma)).powf(1.0 / gamma)
        } else {
            share
        };
        self.overhead_seconds / self.seconds_per_example * factor
    }

    /// What a larger batch still gains: dlogX/dlogB of the throughput X = B/t, in [0, 1].
    ///
    /// The overhead's share of the step, a/(a+cB) for the sum (theory §7): 1 says that twice the batch gives twice the
    /// examples/s, 0 that it gives none more. (a^γ)/(a^γ+(cB)^γ) for the overlap, 1 below a/c and 0 from there on for
    /// the maximum.
    ///
    /// ```
    /// use batchwise_estimate::time::{TimeFit, TimeModel};
    /// let fit = TimeFit {
    ///     model: TimeModel::Sum, overhead_seconds: 2e-3, seconds_per_example: 1e-5,
    ///     misfit: 0.0, rms_misfit: 0.0, bic: vec![], tested: (1.0, 1024.0),
    /// };
    /// assert!((fit.marginal(200.0) - 0.5).abs() < 1e-12); // at a/c half of the time is overhead
    /// ```
    #[must_use]
    pub fn marginal(&self, batch: f64) -> f64 {
        let work = self.seconds_per_example * batch.clamp(0.0, f64::MAX);
        if self.overhead_seconds <= 0.0 || work.is_nan() {
            return 0.0;
        }
        let gamma = self.model.gamma();
        if gamma.is_infinite() {
            return f64::from(u8::from(work < self.overhead_seconds));
        }
        1.0 / (1.0 + (work / self.overhead_seconds).powf(gamma))
    }

    /// Whether both regimes were sampled, so that the way they join is known: batches from half of a/c to twice it.
    #[must_use]
    pub fn shape_identified(&self) -> bool {
        let ridge = self.overhead_seconds / self.seconds_per_example;
        ridge.is_finite() && self.tested.0 <= ridge / 2.0 && self.tested.1 >= 2.0 * ridge
    }
}
