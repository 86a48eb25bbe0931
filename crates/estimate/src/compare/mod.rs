//! Is a larger batch no worse than the reference? Non-inferiority, by seed.
//!
//! # The question
//!
//! Two batch sizes are trained with several seeds each, and the final losses (or accuracies) differ a little. "The
//! difference is not significant" says nothing: with few enough seeds no difference is. **A non-significant
//! difference is not evidence of equality.** The question must be turned around (theory.md §5.5): fix the largest
//! harm δ that does not matter, suppose that the harm is at least that, and ask whether the data refute it,
//!
//! H0: μ_candidate − μ_reference ≥ δ, rejected if mean difference + t_{1−α, n−1}·SE < δ.
//!
//! [`non_inferiority`] does this for pairs that share a seed (same start, same order of examples: much of the noise
//! cancels), [`non_inferiority_unpaired`] for two independent groups with their own spreads (Welch 1947),
//! [`against_reference`] for several candidates with Holm's correction (Holm 1979). [`Comparison::equivalence`] asks
//! the two-sided question by two one-sided tests (Schuirmann 1987). [`seeds_needed`] says beforehand how many
//! seeds such a claim takes.
//!
//! ```
//! use batchwise_estimate::compare::{Options, Pair, Verdict, non_inferiority};
//!
//! // Loss of a large batch beside the reference, four seeds; the large batch is worse by 0.01 on average.
//! let pairs = [(0.512, 0.500), (0.498, 0.489), (0.521, 0.508), (0.503, 0.497)]
//!     .map(|(candidate, reference)| Pair { candidate, reference });
//! let result = non_inferiority(&pairs, 0.02, &Options::default())?;
//! assert_eq!(result.verdict, Verdict::NonInferior);
//! // The very same runs do not support the claim "at most 0.011 worse".
//! let strict = non_inferiority(&pairs, 0.011, &Options::default())?;
//! assert!(matches!(strict.verdict, Verdict::Inconclusive { .. }));
//! # Ok::<(), batchwise_estimate::compare::CompareError>(())
//! ```
//!
//! # When it holds and when it fails
//!
//! The t test wants independent seeds and differences that are not far from normal. Measured size at the boundary
//! (nominal 5 %, 8,000 repeats): 4.7 to 5.5 % for normal differences of 2 to 20 seeds. Rare bad runs are its weak
//! point: with 5 seeds and an exponential tail towards harm the claim is made in 16 % of the cases at the boundary
//! (most samples hold no bad run, and look better and steadier than the truth); with the tail away from harm in 1 %. Where
//! some seeds fail badly, run more of them. δ must be fixed before the results are seen. The budget is part of the claim: the same
//! two batch sizes at equal epochs and at equal steps may give opposite answers (Shallue et al. 2019, theory.md
//! §3.1), so every [`Comparison`] carries its [`Budget`]. A run that diverged has no loss and cannot be left out: say
//! what a user would have got, or do not make the claim.

mod holm;
mod power;
mod test;

pub use holm::{against_reference, holm};
pub use power::{Design, normal_seeds, power, seeds_needed};
pub use test::{non_inferiority, non_inferiority_unpaired, pair_by_seed};

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// The results of one seed: with the candidate batch size and with the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Pair {
    /// Result with the batch size in question.
    pub candidate: f64,
    /// Result with the reference batch size, same seed.
    pub reference: f64,
}

/// Which way a result is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Direction {
    /// Losses, errors, steps.
    LowerIsBetter,
    /// Accuracies.
    HigherIsBetter,
}

/// What both sides were given the same amount of. The claim holds for this budget only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Budget {
    /// Equal passes over the data: favours small batches.
    Epochs,
    /// Equal optimizer steps: favours large batches.
    Steps,
    /// Equal examples processed.
    Examples,
    /// Equal time on the same device.
    Seconds,
    /// Until neither improves.
    ToConvergence,
}

/// How to compare.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Options {
    /// Chance of calling a candidate non-inferior that is worse by exactly the margin; in (0, 0.5).
    pub alpha: f64,
    /// Wanted chance of success for a candidate that is as good as the reference; in (0, 1). For planning only.
    pub power: f64,
    /// Which way a result is better.
    pub direction: Direction,
    /// What both sides were given the same amount of.
    pub budget: Budget,
    /// Standard deviation known from elsewhere (of the differences, or of one run where unpaired): only to say how many
    /// seeds are needed where the data hold no spread. Finite and above 0.
    pub planned_sd: Option<f64>,
}

impl Default for Options {
    /// Losses at equal examples, α = 5 %, power 80 %.
    fn default() -> Self {
        Self {
            alpha: 0.05,
            power: 0.8,
            direction: Direction::LowerIsBetter,
            budget: Budget::Examples,
            planned_sd: None,
        }
    }
}

/// What the data say of the claim "worse by less than the margin".
///
/// There is no verdict "equal", and none "not different".
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Verdict {
    /// Shown: the candidate is worse by less than the margin (it may be better, or a little worse).
    NonInferior,
    /// Shown: the candidate is worse by more than the margin.
    Inferior,
    /// Neither is shown. **This is not evidence of equality**: it says that there were too few seeds.
    Inconclusive {
        /// Seeds per batch size that would probably do, if the candidate is in truth as good as the reference and the
        /// spread is the measured one. More than were run. `None`: beyond any count of practical use.
        seeds_needed: Option<u64>,
    },
    /// The data hold no spread, so nothing can be tested.
    NotIdentified {
        /// What is missing, as a lower-case clause.
        why: String,
        /// Seeds per batch size that would probably do; `None` without [`Options::planned_sd`].
        seeds_needed: Option<u64>,
    },
}

/// What the two-sided test says ([`Comparison::equivalence`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Equivalence {
    /// Shown: the two differ by less than the margin, either way.
    Equivalent,
    /// Shown: they differ by more than the margin.
    Different,
    /// Neither is shown: not evidence of equality.
    Inconclusive,
    /// The data hold no spread.
    NotIdentified,
}

/// What limits the trust in a [`Comparison`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Warning {
    /// Fewer than 5 seeds: whether the differences are near normal cannot be seen.
    FewSeeds,
    /// The candidate is non-inferior by the margin and yet significantly worse than the reference.
    WorseWithinMargin,
}

/// One batch size beside the reference.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Comparison {
    /// Paired by seed, or two independent groups.
    pub design: Design,
    /// Seeds of the candidate.
    pub n: u64,
    /// Seeds of the reference (the same ones, where paired).
    pub n_reference: u64,
    /// Mean harm: how much worse the candidate is, in the unit of the results; negative: better. `None` without data.
    pub difference: Option<f64>,
    /// Standard error of the harm; `None` where the data hold no spread.
    pub se: Option<f64>,
    /// Degrees of freedom of the error: n − 1, or Welch's where unpaired.
    pub degrees_of_freedom: Option<f64>,
    /// The harm exceeds this with confidence 1 − α (one-sided).
    pub low: Option<f64>,
    /// The harm is below this with confidence 1 − α (one-sided); both ends together: 1 − 2α.
    pub high: Option<f64>,
    /// The largest harm that does not matter, δ.
    pub margin: f64,
    /// p-value of "the harm is at least the margin".
    pub p_value: Option<f64>,
    /// The same after Holm's correction, where several candidates were tested together.
    pub p_adjusted: Option<f64>,
    /// What the data say.
    pub verdict: Verdict,
    /// What both sides were given the same amount of.
    pub budget: Budget,
    /// What limits the trust.
    pub warnings: Vec<Warning>,
}

impl Comparison {
    /// Two one-sided tests of "differs by at least the margin", each at α (Schuirmann 1987): equivalent exactly when the
    /// interval from `low` to `high` lies strictly within ±margin. Not corrected for several candidates.
    #[must_use]
    pub fn equivalence(&self) -> Equivalence {
        match (self.low, self.high) {
            (Some(low), Some(high)) if -self.margin < low && high < self.margin => Equivalence::Equivalent,
            (Some(low), Some(high)) if low > self.margin || high < -self.margin => Equivalence::Different,
            (Some(_), Some(_)) => Equivalence::Inconclusive,
            _ => Equivalence::NotIdentified,
        }
    }
}

/// Input that no comparison can be made from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// A result that is not a number.
    #[error(
        "result {index} of the {side} is {value}; a finite number is needed (a diverged run has no result to average)"
    )]
    Result {
        /// `candidate` or `reference`.
        side: &'static str,
        /// Position in the input, from 0.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// A margin that no claim can be made with.
    #[error("the margin is {0}; a finite number above 0 is needed")]
    Margin(f64),
    /// An option out of its range.
    #[error("{name} is {value}; {allowed} is needed")]
    Option {
        /// Which option.
        name: &'static str,
        /// The value found.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A seed that only one side has.
    #[error("seed {seed} has no result of the {side}")]
    Unpaired {
        /// The seed.
        seed: u64,
        /// The side that lacks it.
        side: &'static str,
    },
    /// A seed that one side has twice.
    #[error("seed {seed} has two results of the {side}")]
    Twice {
        /// The seed.
        seed: u64,
        /// The side that has it twice.
        side: &'static str,
    },
}

impl Options {
    fn check(&self, margin: f64) -> Result<(), CompareError> {
        if !(margin.is_finite() && margin > 0.0) {
            return Err(CompareError::Margin(margin));
        }
        let wrong = |name, value, allowed| Err(CompareError::Option { name, value, allowed });
        if !(self.alpha > 0.0 && self.alpha < 0.5) {
            return wrong("alpha", self.alpha, "a number between 0 and 0.5");
        }
        if !(self.power > 0.0 && self.power < 1.0) {
            return wrong("power", self.power, "a number between 0 and 1");
        }
        match self.planned_sd {
            Some(sd) if !(sd.is_finite() && sd > 0.0) => {
                wrong("the planned standard deviation", sd, "a finite number above 0")
            }
            _ => Ok(()),
        }
    }
}
