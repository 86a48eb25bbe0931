//! When a run reached its target, from the evaluations made on the way.

use super::Target;
use batchwise_estimate::grade::Grade;
use batchwise_schedule::{Examples, Steps};
use serde::{Deserialize, Serialize};

/// A moment of a run, on each of its clocks.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Examples processed so far.
    pub examples: Examples,
    /// Optimizer updates so far.
    pub steps: Steps,
    /// Passes over the training set so far.
    pub epochs: f64,
    /// Seconds of training so far; what they hold is for the caller to say (evaluations left out, or not).
    pub seconds: f64,
}

/// A number that lies between two others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Between {
    /// At the last evaluation that did not reach the target; 0 where the first one did.
    pub low: f64,
    /// At the evaluation that reached it.
    pub high: f64,
    /// The best single number, in [`Between::low`] to [`Between::high`].
    pub value: f64,
}

/// When a target was reached.
///
/// Somewhere between two evaluations: how far they are apart is the uncertainty that their period brings, and it is no
/// smaller for the interpolation. The single number is linear in the metric between the two evaluations, on each clock
/// alike. Interpolation that is linear in the logarithm of the examples would differ by at most
/// (high − low)²/(8·low) to first order, which is small beside high − low except near the start, where low may be 0
/// and has no logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Examples processed.
    pub examples: Between,
    /// Optimizer updates.
    pub steps: Between,
    /// Passes over the training set.
    pub epochs: Between,
    /// Seconds of training.
    pub seconds: Between,
    /// The metric at the evaluation that reached the target.
    pub metric: f64,
    /// [`Grade::Measured`], or [`Grade::UpperBound`] where nothing is known before: the first evaluation reached the
    /// target, or the metric before was not finite. The values are then those of the evaluation that reached it.
    pub grade: Grade,
}

/// Whether a run has reached its target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has.
    Reached(Reached),
    /// Not until then: the last evaluation that did not meet the target. (Evaluations that met it after this one are too
    /// few to count.) A fit takes such a run as a bound from below.
    Censored {
        /// That evaluation, or the start of the run.
        after: Mark,
    },
}

/// Evaluations that do not follow one another.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CourseError {
    /// A clock that runs backwards, or that is not a number.
    #[error(
        "an evaluation at {} = {found} cannot follow one at {before}: each must be finite and no earlier",
        clock
    )]
    Backwards {
        /// Which clock.
        clock: &'static str,
        /// The new evaluation's.
        found: f64,
        /// The one before.
        before: f64,
    },
    /// A target that must be met by no evaluation at all.
    #[error("a target must be met at 0 evaluations running, but at least 1 is needed")]
    NoConfirmation,
}

/// The evaluations of a run in their order, and when the target was reached.
///
/// The target counts as reached once `confirm` evaluations running meet it, and then from the first of them: with 1 the
/// first crossing, which noise in the metric makes too early; with more a crossing that held. The state is stored and
/// read back to the bit, so a run that resumes gives the same answer.
///
/// ```
/// use batchwise_schedule::{Examples, Steps};
/// use batchwise_train::target::{Course, Mark, Outcome};
///
/// let mut course = Course::new("loss=0.5".parse()?, 1)?;
/// for (i, loss) in [0.9, 0.6, 0.4].into_iter().enumerate() {
///     let examples = 100 * (i as u64 + 1);
///     let mark = Mark { examples: Examples(examples), steps: Steps(examples / 10), ..Mark::default() };
///     course.observe(mark, loss)?;
/// }
/// let Outcome::Reached(at) = course.outcome() else { panic!("0.4 is below 0.5") };
/// assert_eq!((at.examples.low, at.examples.high), (200.0, 300.0));
/// assert!((at.examples.value - 250.0).abs() < 1e-9 && (at.steps.value - 25.0).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Course {
    target: Target,
    confirm: u32,
    /// The last evaluation.
    last: Mark,
    /// The last one that did not meet the target, or the start.
    below: Mark,
    /// Its metric, where there is one and it is finite.
    below_metric: Option<f64>,
    /// What the evaluations that meet the target now began with, and how many they are.
    streak: Option<(Reached, u32)>,
    first: Option<Reached>,
    reached: Option<Reached>,
}

impl Course {
    /// Before the first evaluation.
    ///
    /// # Errors
    /// A target that 0 evaluations must meet.
    pub fn new(target: Target, confirm: u32) -> Result<Self, CourseError> {
        if confirm == 0 {
            return Err(CourseError::NoConfirmation);
        }
        let start = Mark::default();
        let (streak, first, reached) = (None, None, None);
        Ok(Self { target, confirm, last: start, below: start, below_metric: None, streak, first, reached })
    }

    /// Takes in an evaluation; says whether the target is reached, now or before.
    ///
    /// # Errors
    /// A mark before the last one; then nothing changes.
    pub fn observe(&mut self, mark: Mark, metric: f64) -> Result<bool, CourseError> {
        for (clock, found, before) in clocks(&mark, &self.last) {
            if !(found.is_finite() && before <= found) {
                return Err(CourseError::Backwards { clock, found, before });
            }
        }
        self.last = mark;
        if self.target.is_met(metric) {
            let (start, n) = self
                .streak
                .map_or_else(|| (self.crossing(&mark, metric), 1), |(start, n)| (start, n.saturating_add(1)));
            self.streak = Some((start, n));
            self.first.get_or_insert(start);
            if self.confirm <= n {
                self.reached.get_or_insert(start);
            }
        } else {
            self.streak = None;
            (self.below, self.below_metric) = (mark, Some(metric).filter(|metric| metric.is_finite()));
        }
        Ok(self.reached.is_some())
    }

    /// Whether and when the target was reached, and held.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.reached.map_or(Outcome::Censored { after: self.below }, Outcome::Reached)
    }

    /// When an evaluation met the target for the first time, whether or not it held.
    #[must_use]
    pub fn first(&self) -> Option<&Reached> {
        self.first.as_ref()
    }

    /// What is to be reached.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// The evaluation that reached the target, after the one that did not.
    fn crossing(&self, mark: &Mark, metric: f64) -> Reached {
        let share = self.below_metric.map(|before| {
            // Differences of huge numbers may overflow; then the share is not finite and the end is taken.
            let share = (self.target.at() - before) / (metric - before);
            if share.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 }
        });
        let [examples, steps, epochs, seconds] = clocks(mark, &self.below).map(|(_, high, low)| Between {
            low,
            high,
            value: share.map_or(high, |share| (low + share * (high - low)).clamp(low, high)),
        });
        let grade = if share.is_some() { Grade::Measured } else { Grade::UpperBound };
        Reached { examples, steps, epochs, seconds, metric, grade }
    }
}

/// The clocks of a mark, each with an earlier mark's.
fn clocks(mark: &Mark, before: &Mark) -> [(&'static str, f64, f64); 4] {
    [
        ("examples", mark.examples.0 as f64, before.examples.0 as f64),
        ("steps", mark.steps.0 as f64, before.steps.0 as f64),
        ("epochs", mark.epochs, before.epochs),
        ("seconds", mark.seconds, before.seconds),
    ]
}
