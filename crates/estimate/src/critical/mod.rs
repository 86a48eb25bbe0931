//! The belief about the critical batch size B_c, from every source there is.
//!
//! **The question.** A decision about the batch size needs B_c with its error. It may come from (a) steps to a target at
//! several batch sizes, (b) branched training, (c) a noise scale φ divided by the ratio R = φ/B_c of published runs
//! (theory.md §8.2, step 3).
//!
//! **The formula.** ln B_c is taken for Student's t about ln `median` with scale `ln_sd`. Beliefs are combined by inverse
//! variance in ln B_c. Where a less direct one (φ) disagrees with a more direct one (a sweep) beyond their joint 95 %,
//! both are reported and the direct one is used; beyond tenfold it is a contradiction (theory.md §8.3).
//!
//! **When it fails.** R is known to ×/÷4.9 for supervised tasks and ×/÷49 over all; under Adam on language models it is
//! not known at all ([`read_phi`] then gives a trend). A sweep's B_c belongs to its target, model and optimizer.
//!
//! ```
//! use batchwise_estimate::critical::{CriticalSource, Task, combine, critical_batch_from_phi, normal_belief};
//! use batchwise_estimate::fieller::Ratio;
//! use batchwise_estimate::grade::Grade;
//! let phi = Ratio::Measured { value: 3000.0, low: 2500.0, high: 3600.0 };
//! let from_phi = critical_batch_from_phi(&phi, Task::Supervised).unwrap(); // about 1000, ×/÷4.9
//! let from_sweep = normal_belief(1200.0, 0.1, CriticalSource::Sweep).unwrap();
//! let all = combine(&[from_phi, from_sweep]);
//! assert_eq!(all.grade, Grade::Measured);
//! let belief = all.belief.unwrap();
//! assert!((belief.median - 1200.0).abs() < 10.0 && belief.ln_sd < 0.1); // the sweep weighs 100 times more
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

mod combine;
mod direct;
mod prior;

pub use combine::{Combined, Disagreement, combine};
pub use direct::{critical_batch_from_branched, critical_batch_from_outcome, critical_batch_from_tradeoff};
pub use prior::{Calibration, PhiReading, RatioPrior, TABLE_1, Task, critical_batch_from_phi, read_phi};

use crate::fieller::student_t_quantile;

/// A belief about the critical batch size B_c: ln B_c is Student's t about ln `median` with scale `ln_sd`.
///
/// How heavy the tails are follows from the source, [`CriticalSource::degrees_of_freedom`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct CriticalBatch {
    /// Median, in the unit of the noise scale (examples).
    pub median: f64,
    /// Scale of ln B_c (the standard deviation, where the tails are normal).
    pub ln_sd: f64,
    /// Lower end of the 90 % interval.
    pub low: f64,
    /// Upper end of the 90 % interval. With [`lower_bound_only`](Self::lower_bound_only) it is no bound on B_c.
    pub high: f64,
    /// Where the belief comes from.
    pub source: CriticalSource,
    /// Only `low` may be shown: the belief is about the bound, and B_c may be any amount larger.
    pub lower_bound_only: bool,
}

/// Where a belief about B_c comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum CriticalSource {
    /// A noise scale divided by the prior ratio R.
    NoiseScale {
        /// Which published runs the prior was learnt from.
        task: Task,
    },
    /// Steps to a target at several batch sizes.
    Sweep,
    /// Branched training.
    Branched,
    /// Stated by the user.
    Stated,
    /// Several of these, weighted by inverse variance ([`combine()`]).
    Combined,
}

impl CriticalSource {
    /// Degrees of freedom of the t tails of ln B_c; +∞ means normal.
    #[must_use]
    pub fn degrees_of_freedom(self) -> f64 {
        match self {
            Self::NoiseScale { task } => task.rows().len() as f64 - 1.0,
            Self::Sweep | Self::Branched | Self::Stated | Self::Combined => f64::INFINITY,
        }
    }
}

/// Share of the belief between `low` and `high`.
const BELIEF: f64 = 0.90;

/// A belief with normal tails: ln B_c has mean ln `median` and standard deviation `ln_sd`.
///
/// `None` unless `median` is finite and above 0, `ln_sd` finite and at least 0, and the 90 % interval within f64.
#[must_use]
pub fn normal_belief(median: f64, ln_sd: f64, source: CriticalSource) -> Option<CriticalBatch> {
    let factor = (student_t_quantile(0.5 + BELIEF / 2.0, f64::INFINITY) * ln_sd).exp();
    let (low, high) = (median / factor, median * factor);
    let sound = median.is_finite() && ln_sd.is_finite() && ln_sd >= 0.0 && low > 0.0 && high.is_finite();
    sound.then_some(CriticalBatch { median, ln_sd, low, high, source, lower_bound_only: false })
}

/// Standard deviation of the logarithm behind a 95 % interval: the wider side, or the upper one where the lower end is 0.
pub(crate) fn ln_sd_of_interval(value: f64, low: f64, high: f64) -> Option<f64> {
    if !(value > 0.0 && high.is_finite() && high >= value) {
        return None;
    }
    let above = (high / value).ln();
    let below = if low > 0.0 { (value / low).ln() } else { above };
    Some(above.max(below).max(0.0) / student_t_quantile(0.975, f64::INFINITY))
}
