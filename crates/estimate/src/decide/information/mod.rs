//! What a further measurement is worth, in the unit of the regret.
//!
//! **The question.** Several things are uncertain: B_c, the time of a step, whether a larger batch fits. Which of them
//! should be measured next, and is any of it worth the trouble?
//!
//! **The formula.** Let L(B, θ) be the regret of batch B if the truth is θ. Without more data the best one can do is
//! min_B E L(B, θ). A measurement y changes the belief, and then one would choose anew, so that it gains
//!
//! ```text
//! EVSI = min_B E_θ L(B, θ) − E_y min_B E_θ|y L(B, θ)  ≥ 0
//! ```
//!
//! on average: the expected value of sample information (Raiffa & Schlaifer 1961). Where y tells a quantity exactly
//! this is the expected value of perfect information about it, which no measurement of that quantity can exceed. A
//! measurement that would leave the choice as it is gains nothing, however much it narrows an interval. S_min is such
//! a quantity: it multiplies every time alike, so its value for the choice is exactly 0.
//!
//! **How it is computed.** All beliefs are crossed: 48 equally likely strata of ln B_c times 256 draws of the step
//! times. For B_c a measurement with a normal error re-weights the strata (8 strata of the error each). For the times,
//! which are nearly normal in their logarithms, every draw is moved towards the measured value by the linear
//! regression on it (Matheron's rule, as in the ensemble Kalman update); all candidates see the same draws, so that a
//! measurement that cannot change the choice gains exactly 0.
//!
//! **When it fails.** What the belief does not hold, no measurement of it is worth anything here: measured candidates
//! carry no doubt about the shape of t(B) between them. Where B_c is only bounded from below, nothing says how far
//! above the bound it lies; the value of measuring it is then the regret of today's choice if B_c were infinite, an
//! upper limit. For a batch that was not allowed (memory, generalisation) or not tried, the value is what it would
//! gain times the probability that it fits, or times 1 where no probability is known.

mod beyond;
mod critical;
mod crossed;
mod times;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::choose::Choice;
use super::sample::Scene;
use crossed::Crossed;

/// A measurement that lowers the expected regret by less is not worth making.
pub const WORTHWHILE: f64 = 0.005;

/// A measurement is repeated until there are this many times as much data: half the standard error.
const MORE: f64 = 4.0;

/// A measurement that may be made next.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Measurement {
    /// Four times as many measurements of the noise scale: half its standard error.
    NoiseScale,
    /// Steps to a target at several batch sizes: B_c to ±20 %.
    Sweep,
    /// Four times as many timed steps at one batch.
    StepTime {
        /// The batch.
        batch: u64,
    },
    /// Four times as many timed steps at every candidate.
    StepTimes,
    /// Step times close to a/c, which show how overhead and work join.
    Shape,
    /// The peak memory at a micro-batch that may fit.
    Memory {
        /// The micro-batch.
        micro_batch: u64,
    },
    /// Whether a larger batch generalises as well.
    Generalisation {
        /// The batch.
        batch: u64,
    },
    /// The time of a step beyond the largest candidate.
    LargerBatch {
        /// The batch.
        batch: u64,
    },
    /// S_min: seconds and examples instead of ratios.
    StepsToTarget,
}

/// What a measurement is worth.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Worth {
    /// What would be measured.
    pub measurement: Measurement,
    /// By how much the expected regret would fall, at least 0 (0.03: 3 % of the time to target).
    pub value: f64,
    /// The same if the measurement left no doubt about its quantity. Where this is below [`WORTHWHILE`] it may stand for
    /// `value` too.
    pub upper_limit: f64,
    /// What to do, as a sentence.
    pub words: String,
}

/// The worth of every measurement, best first, and the expected value of knowing everything.
pub(super) fn worth(scene: &Scene<'_>, allowed: &[usize], choice: &Choice) -> (Vec<Worth>, f64) {
    let crossed = Crossed::of(scene, allowed);
    let mut all = crossed.about_critical();
    all.extend(crossed.about_times(allowed, choice));
    all.extend(crossed.about_shape());
    all.extend(crossed.beyond(choice));
    if scene.problem.steps.is_none_or(|s| s.ln_sd > 0.0) {
        let words = "Measure the steps to the target at two batch sizes: that turns the ratios into seconds and \
                     examples, and changes no choice.";
        all.push(Worth::of(Measurement::StepsToTarget, 0.0, 0.0, words.to_owned()));
    }
    // A stable sort: of equals the first, which is the cheaper one.
    all.sort_by(|a, b| b.value.total_cmp(&a.value));
    (all, crossed.least)
}

impl Worth {
    fn of(measurement: Measurement, value: f64, upper_limit: f64, words: String) -> Self {
        let value = value.max(0.0);
        Self { measurement, value, upper_limit: upper_limit.max(value), words }
    }
}
