//! What is to be decided: the beliefs, the limits and what is to be least.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::devices::Devices;
use super::limits::Memory;
use crate::critical::CriticalBatch;
use crate::grade::Grade;
use crate::time::TimeModel;

/// A batch size that may be chosen, and the time of a step there.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Candidate {
    /// Batch size in examples, above 0.
    pub batch: u64,
    /// Seconds of a step, finite and above 0, measured as it would be run (accumulation included).
    pub seconds: f64,
    /// Relative standard error of these seconds, in [0, 1].
    pub relative_error: f64,
}

/// One draw of the parameters of the step time, such as a bootstrap replicate of its fit.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TimeDraw {
    /// How overhead and work join.
    pub model: TimeModel,
    /// a: seconds that do not depend on the batch, at least 0.
    pub overhead_seconds: f64,
    /// c: seconds per example, at least 0.
    pub seconds_per_example: f64,
}

/// What is known about the time of a step.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum TimeBelief {
    /// Measured at every batch that may be chosen, each with its error. Preferred: nothing is extrapolated.
    Measured {
        /// The candidates, in any order, one per batch size.
        candidates: Vec<Candidate>,
    },
    /// A model of t(b) for one micro-batch on one device, as draws of its parameters.
    ///
    /// A batch of n micro-batches takes n·t(B/n).
    Model {
        /// Batch sizes that may be chosen, such as [`powers_of_two`].
        batches: Vec<u64>,
        /// Equally likely parameters, at least one; some hundreds describe their spread.
        draws: Vec<TimeDraw>,
    },
}

/// A belief about S_min, the steps to the target at an infinite batch: ln S_min is normal.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct StepsBelief {
    /// Median in steps, above 0.
    pub median: f64,
    /// Standard deviation of ln S_min, at least 0.
    pub ln_sd: f64,
    /// Correlation of ln S_min with ln B_c, in [−1, 1].
    ///
    /// A fit over small batches knows E_min = S_min·B_c far better than either factor: then it is close to −1.
    pub correlation: f64,
}

/// What the choice is to make least.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Objective {
    /// T(B, k) = t(B, k)·S(B): the seconds until the target is reached.
    #[default]
    TimeToTarget,
    /// The seconds of a run over a fixed number of examples (epochs), none of which may be wasted beyond a tolerance.
    ///
    /// At batch B the run gets as far as E/(1+B/B_c) examples at a tiny batch would. A batch is admissible where
    /// 1+B/B_c ≤ 1+τ, that is B ≤ τB_c (theory §8.1). The regret of a batch is the share of time by which it is
    /// slower per example than the fastest admissible batch, plus the share of the examples that it wastes beyond
    /// the tolerance, (1+B/B_c)/(1+τ)−1, at most 1.
    ExamplesBudget {
        /// Tolerated overhead, above 0: 0.25 allows batches up to B_c/4.
        tau: f64,
    },
    /// k·T(B, k): what the run costs where every device is paid by the second.
    DeviceSeconds,
}

/// How the regrets of the draws become one number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Rule {
    /// Their mean: best over many decisions.
    #[default]
    Expected,
    /// Their quantile: cautious, least harm in all but the worst 1 − `quantile` of the draws.
    Minimax {
        /// In [0.5, 1), for example 0.95.
        quantile: f64,
    },
}

/// A decision to be made. Start from [`Problem::new`] and set what is known.
///
/// ```
/// use batchwise_estimate::critical::{CriticalBatch, CriticalSource};
/// use batchwise_estimate::decide::{Candidate, Problem, TimeBelief};
///
/// // Planted: t = 2 ms + 10 µs·B and B_c = 5000, so that B_T = √(0.002·5000/0.00001) = 1000.
/// let candidates = (0..=13)
///     .map(|k| Candidate { batch: 1 << k, seconds: 2e-3 + 1e-5 * f64::from(1 << k), relative_error: 0.0 })
///     .collect();
/// let critical = CriticalBatch {
///     median: 5000.0,
///     ln_sd: 0.0,
///     low: 5000.0,
///     high: 5000.0,
///     source: CriticalSource::Sweep,
///     lower_bound_only: false,
/// };
/// let mut problem = Problem::new(TimeBelief::Measured { candidates }, critical);
/// let decision = problem.decide()?;
/// assert_eq!((decision.batch_size, decision.time_optimal), (1024, 1024));
/// // A tenth of 6000 examples is the most: 512 is the largest candidate below it.
/// problem.dataset_examples = Some(6000);
/// assert_eq!(problem.decide()?.batch_size, 512);
/// # Ok::<(), batchwise_estimate::decide::DecideError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Problem {
    /// The time of a step.
    pub time: TimeBelief,
    /// The critical batch size.
    pub critical: CriticalBatch,
    /// Grade of `critical`, where whoever made it knows more than it says (misfit, learning rate not tuned).
    #[cfg_attr(feature = "serde", serde(default))]
    pub critical_grade: Option<Grade>,
    /// S_min, where it is known: without it times and examples are relative.
    #[cfg_attr(feature = "serde", serde(default))]
    pub steps: Option<StepsBelief>,
    /// What fits.
    #[cfg_attr(feature = "serde", serde(default))]
    pub memory: Memory,
    /// Whether a batch may be the sum of several micro-batches.
    #[cfg_attr(feature = "serde", serde(default = "yes"))]
    pub accumulation: bool,
    /// Examples in the training set: batches above a tenth of it are excluded (theory §1.6).
    #[cfg_attr(feature = "serde", serde(default))]
    pub dataset_examples: Option<u64>,
    /// Largest batch whose generalisation passed a non-inferiority test (theory §5.5); larger ones are excluded.
    /// `None`: untested, which the answer says.
    #[cfg_attr(feature = "serde", serde(default))]
    pub generalisation_tested: Option<u64>,
    /// Largest batch ever run, where that is not simply the largest candidate.
    #[cfg_attr(feature = "serde", serde(default))]
    pub tried: Option<u64>,
    /// Numbers of devices to choose from; `None`: one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub devices: Option<Devices>,
    /// What is to be least.
    #[cfg_attr(feature = "serde", serde(default))]
    pub objective: Objective,
    /// Mean or quantile of the regret.
    #[cfg_attr(feature = "serde", serde(default))]
    pub rule: Rule,
    /// Joint draws of everything uncertain; theory §8.2 asks for at least 1000.
    #[cfg_attr(feature = "serde", serde(default = "thousand"))]
    pub n_draws: usize,
    /// Seed of the draws.
    #[cfg_attr(feature = "serde", serde(default))]
    pub seed: u64,
}

#[cfg(feature = "serde")]
fn yes() -> bool {
    true
}

fn thousand() -> usize {
    1000
}

impl Problem {
    /// Time to target on one device without any limit, by expected regret over 1000 draws.
    #[must_use]
    pub fn new(time: TimeBelief, critical: CriticalBatch) -> Self {
        Self {
            time,
            critical,
            critical_grade: None,
            steps: None,
            memory: Memory::Unlimited,
            accumulation: true,
            dataset_examples: None,
            generalisation_tested: None,
            tried: None,
            devices: None,
            objective: Objective::TimeToTarget,
            rule: Rule::Expected,
            n_draws: thousand(),
            seed: 0,
        }
    }
}

/// The powers of two from `smallest` to `largest`, both included where they are powers of two; a grid for
/// [`TimeBelief::Model`].
#[must_use]
pub fn powers_of_two(smallest: u64, largest: u64) -> Vec<u64> {
    (0..64).map(|k| 1u64 << k).filter(|b| (smallest..=largest).contains(b)).collect()
}
