//! The best evaluation so far, and when to stop because none gets better.

use crate::target::{Course, CourseError, Mark, Metric, Outcome, Target};
use crate::{Evaluation, TrainError};
use batchwise_schedule::Examples;
use serde::{Deserialize, Serialize};

/// One evaluation's place and metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// When.
    pub at: Mark,
    /// The metric, finite.
    pub metric: f64,
}

/// Which evaluation is the best so far; of equal ones the earliest.
///
/// ```
/// use batchwise_schedule::Examples;
/// use batchwise_train::best::Best;
/// use batchwise_train::target::{Mark, Metric};
///
/// let at = |examples| Mark { examples: Examples(examples), ..Mark::default() };
/// let mut best = Best::new(Metric::Accuracy);
/// assert!(best.observe(at(100), 0.8)); // the first is the best: keep this checkpoint
/// assert!(!best.observe(at(200), 0.8));
/// assert!(!best.observe(at(300), f64::NAN));
/// assert_eq!(best.get().unwrap().at.examples, Examples(100));
/// assert_eq!(best.without_improvement(), Examples(200));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    metric: Metric,
    best: Option<Evaluated>,
    /// Examples at the last evaluation.
    last: Examples,
}

impl Best {
    /// Before the first evaluation.
    #[must_use]
    pub fn new(metric: Metric) -> Self {
        Self { metric, best: None, last: Examples(0) }
    }

    /// Takes in an evaluation; says whether it is better than all before. What is not finite never is.
    pub fn observe(&mut self, at: Mark, metric: f64) -> bool {
        self.last = self.last.max(at.examples);
        let than = self.best.map_or(f64::NAN, |best| best.metric);
        let is_better = self.metric.is_better(metric, than);
        if is_better {
            self.best = Some(Evaluated { at, metric });
        }
        is_better
    }

    /// The best evaluation, if one was finite.
    #[must_use]
    pub fn get(&self) -> Option<&Evaluated> {
        self.best.as_ref()
    }

    /// Examples from the best evaluation (or the start) to the last.
    #[must_use]
    pub fn without_improvement(&self) -> Examples {
        let best = self.best.map_or(0, |best| best.at.examples.0);
        Examples(self.last.0.saturating_sub(best))
    }
}

/// When evaluations end a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Stop where this is reached.
    pub target: Option<Target>,
    /// Evaluations running that must meet the target, at least 1.
    pub confirm: u32,
    /// Stop where no evaluation was better for this many examples.
    pub patience: Option<Examples>,
    /// What the best evaluation is judged by.
    pub best_by: Metric,
}

/// Why a run ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The target is reached.
    Target,
    /// No evaluation was better for so long.
    NoImprovement {
        /// Examples since the best evaluation.
        examples: Examples,
    },
}

/// What an evaluation means for the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Whether it is the best so far: its checkpoint is to be kept.
    pub is_best: bool,
    /// Whether and why the run ends here.
    pub stop: Option<Stop>,
}

/// Follows a run's evaluations: the target, the best one, the end. All of it is stored with a checkpoint and read back to
/// the bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    rules: Rules,
    course: Option<Course>,
    best: Best,
}

impl Watch {
    /// Before the first evaluation.
    ///
    /// # Errors
    /// A target that 0 evaluations must meet; a patience of 0.
    pub fn new(rules: Rules) -> Result<Self, TrainError> {
        let config = |name, allowed| TrainError::Config { name, found: "0".to_owned(), allowed };
        if rules.patience == Some(Examples(0)) {
            return Err(config("the examples without improvement after which a run stops", "at least 1"));
        }
        let course = rules.target.map(|target| Course::new(target, rules.confirm)).transpose();
        let course = course.map_err(|_| config("the evaluations that must meet the target", "at least 1"))?;
        Ok(Self { rules, course, best: Best::new(rules.best_by) })
    }

    /// The same evaluations under other rules, as after a run has been resumed with them: what was not watched for until
    /// now, another target or another metric, begins anew.
    ///
    /// # Errors
    /// As [`Watch::new`].
    pub fn with_rules(self, rules: Rules) -> Result<Self, TrainError> {
        let new = Self::new(rules)?;
        let is_same_target = self.rules.target == rules.target && self.rules.confirm == rules.confirm;
        let is_same_metric = self.rules.best_by == rules.best_by;
        Ok(Self {
            rules,
            course: if is_same_target { self.course } else { new.course },
            best: if is_same_metric { self.best } else { new.best },
        })
    }

    /// Takes in an evaluation, in the order of the run.
    ///
    /// # Errors
    /// A metric that the evaluation does not have (an accuracy where targets are not classes), a clock that runs
    /// backwards; then nothing changes.
    pub fn observe(&mut self, at: Mark, evaluation: &Evaluation) -> Result<Verdict, TrainError> {
        let metric = |metric: Metric| {
            metric.of(evaluation).ok_or_else(|| TrainError::Config {
                name: "the metric that a run is judged by",
                found: metric.to_string(),
                allowed: "loss: the data set's targets are not classes",
            })
        };
        let (best_by, target) = (metric(self.rules.best_by)?, self.rules.target.map(|t| metric(t.metric())));
        let is_reached = match (&mut self.course, target.transpose()?) {
            (Some(course), Some(value)) => course.observe(at, value).map_err(backwards)?,
            _ => false,
        };
        let is_best = self.best.observe(at, best_by);
        debug_assert!(!is_reached || self.stop() == Some(Stop::Target));
        Ok(Verdict { is_best, stop: self.stop() })
    }

    /// Whether and why what was evaluated until now ends the run.
    #[must_use]
    pub fn stop(&self) -> Option<Stop> {
        let examples = self.best.without_improvement();
        match (self.outcome(), self.rules.patience) {
            (Some(Outcome::Reached(_)), _) => Some(Stop::Target),
            (_, Some(patience)) if patience <= examples => Some(Stop::NoImprovement { examples }),
            _ => None,
        }
    }

    /// When the target was reached, or until when not; `None` without a target.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.course.as_ref().map(Course::outcome)
    }

    /// The best evaluation so far.
    #[must_use]
    pub fn best(&self) -> &Best {
        &self.best
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

fn backwards(error: CourseError) -> TrainError {
    TrainError::Config {
        name: "the moment of an evaluation",
        found: error.to_string(),
        allowed: "no earlier than the one before",
    }
}
