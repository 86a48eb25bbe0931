//! Steps against examples: how many optimizer steps each batch size needs to reach one target.
//!
//! **The question.** A larger batch needs fewer steps and more examples. Where is the bend? Train to the same target (a
//! loss or an accuracy) at several batch sizes, the learning rate tuned at each, and count the steps S.
//!
//! **The formula** (McCandlish et al. 2018, eqs 2.11–2.12; theory.md §1.1, §3.2):
//!
//! S(B) = S_min(1+B_c/B), E(B) = B·S(B) = E_min(1+B/B_c), B_c = E_min/S_min.
//!
//! At B = B_c both are twice their least; at B_c/4 the steps are 5 times theirs and the examples 1.25 times.
//!
//! **The fit.** In ln S, because errors of steps are relative. With u = ln B_c and s = ln S_min, run i at batch size j has
//! ln S_ij = s + ln(1 + e^u/B_j) + (batch effect, sd τ) + (seed effect, sd σ). The hyperbola is a 5 to 15 % model even where
//! theory is exact (theory.md §3.3), so an interval from the seeds alone is too narrow: it covers 72 % instead of 95 %
//! where batch sizes depart from the hyperbola by as much as seeds from each other. Here σ comes from the repeats, and τ is raised until the lack of
//! fit is explained: the scale is the larger of the two. Errors are Huber's (a wild run pulls no more than 1.345 scales);
//! a run that never reached the target enters as "more than so many steps" (Tobin 1958) and is never dropped; one seen
//! only every so many steps enters as the interval between two evaluations.
//!
//! **The interval** is that of the profile likelihood with the F-quantile: {B_c : min over S_min of the cost ≤ its least +
//! t²}. It is open above where the data agree with perfect scaling, and then B_c has a lower bound only; open below where
//! they agree with a flat line.
//!
//! **When it fails.** With one learning rate for all batch sizes the curve looks saturated where it is not ([`Tuning`]).
//! With all batch sizes on one side of B_c only a bound can be had ([`ln_standard_error`] says so before anything is
//! run). Fitting 1/S against 1/E instead (Li et al. 2024, eq. 22) puts the noise of S on both axes; it is not offered.
//!
//! ```
//! use batchwise_estimate::grade::Grade;
//! use batchwise_estimate::tradeoff::{End, Options, Run, fit_tradeoff};
//! // Planted: S_min = 500 steps, B_c = 1000 examples, seeds ±5 %.
//! let wobble = [1.04, 0.97, 1.01, 0.95, 1.03, 0.98, 1.05];
//! let mut runs = Vec::new();
//! for (k, w) in (0..7).zip(wobble) {
//!     let batch = 125.0 * 2f64.powi(k);
//!     for (seed, factor) in [(1, w), (2, 1.0 / w)] {
//!         let steps = (500.0 * (1.0 + 1000.0 / batch) * factor).round();
//!         runs.push(Run { batch, seed: Some(seed), end: End::Reached { steps, period: None } });
//!     }
//! }
//! // Never there within 300 steps: keeps its place as a bound.
//! runs.push(Run { batch: 16000.0, seed: Some(1), end: End::Censored { after: Some(300.0) } });
//! let fit = fit_tradeoff(&runs, &Options::default())?;
//! assert_eq!(fit.grade, Grade::Measured);
//! assert_eq!(fit.b_crit.holds(1000.0), Some(true));
//! assert_eq!(fit.s_min.holds(500.0), Some(true));
//! assert_eq!((fit.runs.reached, fit.runs.censored), (14, 1));
//! # Ok::<(), batchwise_estimate::tradeoff::TradeoffError>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

mod answer;
pub mod branched;
mod curve;
mod data;
mod efficiency;
mod fitted;
mod loss;
mod precision;
pub mod published;
mod region;
mod scale;
mod third;
mod verdict;

pub use efficiency::{adaptive_batch, adaptive_gain, adaptive_gain_of_points, efficiency, steps_factor};
pub use fitted::{BatchRow, Hyperbola, LocalSlope, RunCount, TradeoffFit};
pub use loss::Loss;
pub use precision::ln_standard_error;
pub use third::ThreeParameter;
pub use verdict::{Evidence, LARGEST_RESIDUAL, Tuning, Verdict, WIDEST, verdict};

/// How far a batch size's ln S may lie from the hyperbola where nothing is wrong: the rms residual of the noisy quadratic
/// model, whose steps are exact (0.088 in 10⁴ dimensions, 0.039 in 100; theory.md §3.3).
pub const MODEL_ERROR: f64 = 0.09;

/// One training run towards the target.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Run {
    /// Batch size in examples, finite and above 0.
    pub batch: f64,
    /// The seed, where known; one batch size may hold a seed once.
    pub seed: Option<u64>,
    /// How the run ended.
    pub end: End,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum End {
    /// The target was reached.
    Reached {
        /// Steps at the first evaluation that met the target, finite and above 0.
        steps: f64,
        /// Steps between evaluations, finite and at least 0: the target was really met within (steps−period, steps].
        /// `None` or 0: the steps are exact. A period of at least `steps` makes the steps an upper bound.
        period: Option<f64>,
    },
    /// The target was never reached.
    Censored {
        /// Steps that were run, finite and above 0. `None`: unknown; then the run counts as "more than the largest steps
        /// seen at its own batch size", for runs of one batch size share a budget. Where none of them reached the target
        /// it says nothing, and is reported as unused.
        after: Option<f64>,
    },
}

/// Where the scale of the interval comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Spread {
    /// The larger of the scatter between seeds and the lack of fit.
    #[default]
    Larger,
    /// The scatter between seeds alone: right only where the hyperbola is exact. Without repeats as `Larger`.
    Seeds,
}

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Options {
    /// Two-sided confidence of the intervals, above 0 and below 1.
    pub confidence: f64,
    /// What a departure costs.
    pub loss: Loss,
    /// Where the scale of the intervals comes from.
    pub spread: Spread,
    /// How the learning rate was chosen.
    pub tuning: Tuning,
}

impl Default for Options {
    fn default() -> Self {
        Self { confidence: 0.95, loss: Loss::Huber, spread: Spread::Larger, tuning: Tuning::Tuned }
    }
}

/// Runs that are no measurements. What sound runs do not say is no error, but an [`Outcome`](crate::outcome::Outcome).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TradeoffError {
    /// Nothing to fit.
    #[error("no runs; at least 3 batch sizes are needed")]
    NoRuns,
    /// A number out of range.
    #[error("run {index}: {field} is {found}; a finite number above 0 is needed")]
    BadNumber {
        /// Position in the slice.
        index: usize,
        /// Which number.
        field: &'static str,
        /// The value found.
        found: f64,
    },
    /// An evaluation period out of range.
    #[error("run {index}: the evaluation period is {found}; a finite number of steps, at least 0, is needed")]
    BadPeriod {
        /// Position in the slice.
        index: usize,
        /// The value found.
        found: f64,
    },
    /// One seed twice at one batch size.
    #[error(
        "run {index} repeats run {first}: batch {batch}, seed {seed}; a seed may stand once at a batch size"
    )]
    Duplicate {
        /// Position of the first.
        first: usize,
        /// Position of the second.
        index: usize,
        /// The batch size.
        batch: f64,
        /// The seed.
        seed: u64,
    },
    /// A confidence that is none.
    #[error("the confidence is {found}; a number above 0 and below 1 is needed")]
    BadConfidence {
        /// The value found.
        found: f64,
    },
}

/// Fits S(B) = S_min(1+B_c/B) to runs at several batch sizes; see the [module](self).
///
/// Measured coverage of the intervals (nominal 0.95; 2000 simulations each, 500 in brackets; the same in `tests/tradeoff_coverage.rs`; seeds of
/// 5 % and 3 of them unless said). `S_min` and `E_min` are counted where the grade lets them be published; a dash: then mostly bounds.
///
/// | B/B_c | B_c | S_min | E_min | median ×/÷ of B_c | open |
/// |---|---|---|---|---|---|
/// | 2⁻³…2³ | .967 | .962 | .966 | 1.10 | 0 |
/// | the same, 2 seeds | .963 | .963 | .967 | 1.13 | 0 |
/// | the same, 1 seed | .946 | .951 | .943 | 1.19 | 0 |
/// | 2⁻²…2² | .967 | .960 | .960 | 1.16 | 0 |
/// | 2⁻⁶…2⁰ | .965 | .966 | .965 | 1.17 | 0 |
/// | 2⁻⁶…2⁻³ (graded a lower bound in 87 %, true in 97.3 %) | .963 | – | .963 | 2.4 | above 55 % |
/// | 2³…2⁶ (graded an upper bound in 87 %) | .965 | .963 | – | 2.5 | below 57 % |
/// | 2⁻³…2³, batch effects of 3 % (the seeds' scale alone: .82) | .945 | .940 | .951 | 1.14 | 0 |
/// | 2⁻³…2³, batch effects of 5 % (the seeds' scale alone: .72) | .939 | .942 | .936 | 1.22 | 0 |
/// | 2⁻³…2³, 5 % of the runs ×3 or ÷3 (least squares: .99, ×/÷1.5) | .959 | .963 | .960 | 1.11 | 0 |
/// | 2⁻³…2³, stopped at 5 S_min (all of B_c/8, half of B_c/4) | .971 | .967 | .970 | 1.13 | 0 |
/// | the same, seeds of 15 % | .961 | .967 | .964 | 1.45 | 0 |
/// | 2⁻³…2³, evaluated every 0.1 S_min | .958 | .955 | .957 | 1.10 | 0 |
/// | 2⁻³…2³, evaluated every 0.3 S_min | .976 | .977 | .980 | 1.16 | 0 |
///
/// A fit of 20 runs takes about a millisecond, one of 1000 about ten.
///
/// # Errors
/// No runs, a number out of range, a seed twice at one batch size, or a confidence outside (0, 1).
pub fn fit_tradeoff(runs: &[Run], options: &Options) -> Result<TradeoffFit, TradeoffError> {
    if !(options.confidence > 0.0 && options.confidence < 1.0) {
        return Err(TradeoffError::BadConfidence { found: options.confidence });
    }
    let groups = data::group(runs)?;
    let placed = groups.iter().filter(|g| g.located > 0).count();
    let fitted = (placed >= 3).then(|| scale::fit(&groups, options.loss, options.confidence, options.spread));
    Ok(answer::answer(&groups, fitted.as_ref(), options))
}
