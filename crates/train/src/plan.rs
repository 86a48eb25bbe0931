//! The batch size and the learning rate of a run's steps: laid down beforehand, or following what the run measures.

use crate::{NoiseReading, TrainError};
use batchwise_estimate::fieller::{Ratio, fieller};
use batchwise_estimate::noise::Measurement;
use batchwise_estimate::time::TimeCurve;
use batchwise_schedule::controller::{Controller, Observation, Phi, Policy, State, Verdict};
use batchwise_schedule::{BatchSpec, Examples, LearningRate, Pair, RunLength, Scaling, Schedule, scale};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What batch size and learning rate the steps of a run have.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Laid down beforehand.
    Fixed(Pair),
    /// Following measurements.
    Adaptive(Box<Adaptive>),
}

/// How the learning rate follows an adaptive batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Follow {
    /// By one rule from the first batch size.
    Rule(Scaling),
    /// At each change by the gain κ(φ + B)/(φ + κB) with the φ measured there (AdaScale, Johnson et al. 2020); by the square root where φ is
    /// not known.
    Gain,
    /// By the root of that gain.
    RootGain,
}

/// A batch size that follows the run's own gradient noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptive {
    controller: Controller,
    lr: Schedule,
    follow: Follow,
    /// What the learning rate of the schedule is multiplied by since the last change.
    factor: f64,
    step_times: Option<TimeCurve>,
    /// Examples between two readings of the controller.
    interval: u64,
    next_reading: u64,
    /// Readings of the current interval.
    open: Open,
    /// Means of the last intervals, the newest last.
    window: VecDeque<(Measurement, f64)>,
    phi: Ratio,
}

/// Sums of an interval that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Open {
    n: u64,
    g2: f64,
    tr_sigma: f64,
    loss: f64,
}

/// What a plan remembers of the run so far: nothing, where all is laid down beforehand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanState(Option<AdaptiveState>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct AdaptiveState {
    controller: State,
    factor: f64,
    next_reading: u64,
    open: Open,
    window: Vec<(Measurement, f64)>,
}

/// Intervals in a run.
const INTERVALS: u64 = 100;
/// Intervals whose means make φ: an interval of each is long enough that they count as independent.
const WINDOW: usize = 16;
/// With fewer a ratio's interval is too wide to act on.
const FEWEST: usize = 4;
/// Steps measured in an interval; the others cost nothing.
const TAPPED: u64 = 4;
/// Of φ's interval.
const CONFIDENCE: f64 = 0.95;

impl Plan {
    /// The same batch size throughout.
    #[must_use]
    pub fn constant(batch: u64, lr: Schedule) -> Self {
        Self::Fixed(Pair::constant(batch, lr))
    }

    /// The batch size of a step after `progress` examples.
    #[must_use]
    pub fn batch(&self, progress: Examples) -> u64 {
        match self {
            Self::Fixed(pair) => pair.batch(progress),
            Self::Adaptive(adaptive) => adaptive.controller.batch(),
        }
    }

    /// The batch size at the beginning, as it was given.
    #[must_use]
    pub fn base(&self) -> u64 {
        match self {
            Self::Fixed(pair) => pair.batch_schedule().base(),
            Self::Adaptive(adaptive) => adaptive.controller.base(),
        }
    }

    /// The learning rate of the step from `start` to `end`.
    #[must_use]
    pub fn learning_rate(&self, start: Examples, end: Examples) -> LearningRate {
        match self {
            Self::Fixed(pair) => pair.learning_rate(start, end),
            Self::Adaptive(adaptive) => LearningRate(adaptive.lr.over(start, end).0 * adaptive.factor),
        }
    }

    /// The learning-rate schedule at the first batch size.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        match self {
            Self::Fixed(pair) => pair.schedule(),
            Self::Adaptive(adaptive) => &adaptive.lr,
        }
    }

    /// What the plan remembers.
    #[must_use]
    pub fn state(&self) -> PlanState {
        PlanState(match self {
            Self::Fixed(_) => None,
            Self::Adaptive(adaptive) => Some(AdaptiveState {
                controller: adaptive.controller.state(),
                factor: adaptive.factor,
                next_reading: adaptive.next_reading,
                open: adaptive.open,
                window: adaptive.window.iter().copied().collect(),
            }),
        })
    }

    /// Goes on from what a plan of the same settings remembered.
    ///
    /// # Errors
    /// A state of another kind of plan, or out of the controller's bounds; then nothing changes.
    pub fn restore(&mut self, state: &PlanState) -> Result<(), TrainError> {
        let wrong = |found: String| TrainError::Config {
            name: "the saved state of the batch size",
            found,
            allowed: "that of a run with the same settings",
        };
        match (self, &state.0) {
            (Self::Fixed(_), None) => Ok(()),
            (Self::Fixed(_), Some(_)) => Err(wrong("that of an adaptive batch size".to_owned())),
            (Self::Adaptive(_), None) => Err(wrong("that of a batch size laid down beforehand".to_owned())),
            (Self::Adaptive(adaptive), Some(state)) => {
                let window_fits = state.window.len() <= WINDOW
                    && state
                        .window
                        .iter()
                        .all(|(m, loss)| m.g2.is_finite() && m.tr_sigma.is_finite() && loss.is_finite());
                if !(window_fits && state.factor.is_finite() && 0.0 < state.factor) {
                    return Err(wrong("one no run can have".to_owned()));
                }
                adaptive.controller.restore(state.controller).map_err(|e| wrong(e.to_string()))?;
                adaptive.factor = state.factor;
                adaptive.next_reading = state.next_reading;
                adaptive.open = state.open;
                adaptive.window = state.window.iter().copied().collect();
                adaptive.measure_phi();
                Ok(())
            }
        }
    }

    /// Whether the next step's noise is needed.
    pub(crate) fn wants_noise(&self) -> bool {
        matches!(self, Self::Adaptive(adaptive) if adaptive.open.n < TAPPED)
    }

    /// φ as it is known now, where the plan follows it.
    pub(crate) fn phi(&self) -> Option<&Ratio> {
        match self {
            Self::Fixed(_) => None,
            Self::Adaptive(adaptive) => Some(&adaptive.phi),
        }
    }

    /// Takes a finished step in; a verdict at the end of each interval.
    pub(crate) fn observe(&mut self, step: &Finished<'_>) -> Option<Verdict> {
        match self {
            Self::Fixed(_) => None,
            Self::Adaptive(adaptive) => adaptive.observe(step),
        }
    }
}

/// What a finished step tells its plan.
pub(crate) struct Finished<'a> {
    /// Examples processed after it.
    pub(crate) progress: Examples,
    /// Mean loss over its batch.
    pub(crate) loss: f64,
    /// Its learning rate.
    pub(crate) learning_rate: LearningRate,
    /// Its noise, if it was measured.
    pub(crate) noise: Option<&'a NoiseReading>,
    /// Examples of the training set.
    pub(crate) dataset_size: u64,
}

impl Adaptive {
    /// The controller that `spec` describes, with a learning rate tuned for its first batch size. `step_times` is the time of a step by
    /// batch size, which goodput needs.
    ///
    /// # Errors
    /// A specification that is not adaptive or out of range; a policy that needs what a run cannot measure.
    pub fn new(
        spec: &BatchSpec,
        run: &RunLength,
        lr: Schedule,
        follow: Follow,
        step_times: Option<TimeCurve>,
    ) -> Result<Self, TrainError> {
        let config = |found: String, allowed| TrainError::Config { name: "the batch size", found, allowed };
        let controller = spec
            .controller(run)
            .map_err(|error| config(error.to_string(), "a controller within its bounds"))?
            .ok_or_else(|| config(spec.to_string(), "adaptive"))?;
        match (controller.policy(), &step_times) {
            (Policy::InnerProduct { .. }, _) => {
                return Err(config(
                    spec.to_string(),
                    "a policy that needs no inner products of single gradients",
                ));
            }
            (Policy::Goodput, None) => {
                return Err(config(spec.to_string(), "given with the time of a step by batch size"));
            }
            _ => {}
        }
        let interval = (run.total.0 / INTERVALS).max(1);
        Ok(Self {
            controller,
            lr,
            follow,
            factor: 1.0,
            step_times,
            interval,
            next_reading: interval,
            open: Open::default(),
            window: VecDeque::with_capacity(WINDOW),
            phi: Ratio::not_identified("nothing was measured yet"),
        })
    }

    fn observe(&mut self, step: &Finished<'_>) -> Option<Verdict> {
        let progress = step.progress;
        if let Some(reading) = step.noise {
            self.open.n += 1;
            self.open.g2 += reading.total.g2;
            self.open.tr_sigma += reading.total.tr_sigma;
            self.open.loss += step.loss;
        }
        if progress.0 < self.next_reading || self.open.n == 0 {
            return None;
        }
        self.next_reading = progress.0.saturating_add(self.interval);
        let n = self.open.n as f64;
        let Open { g2, tr_sigma, loss, .. } = std::mem::take(&mut self.open);
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back((Measurement { g2: g2 / n, tr_sigma: tr_sigma / n }, loss / n));
        if self.window.len() < FEWEST {
            return None;
        }
        let (tr_sigma, g2) = self.measure_phi();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let seconds = self.step_times.as_ref().map(|curve| move |batch: f64| curve.seconds(batch));
        let observation = Observation {
            phi: match self.phi {
                Ratio::Measured { value, .. } => Phi::Measured { value },
                Ratio::LowerBound { low } => Phi::LowerBound { low },
                Ratio::WholeLine | Ratio::NotIdentified { .. } => Phi::NotIdentified,
            },
            g2: Some(mean(&g2)),
            tr_sigma: Some(mean(&tr_sigma)),
            loss: Some(mean(&self.window.iter().map(|w| w.1).collect::<Vec<_>>())),
            learning_rate: Some(step.learning_rate),
            dataset_size: Some(step.dataset_size),
            seconds: seconds.as_ref().map(|f| f as &dyn Fn(f64) -> f64),
            ..Observation::at(progress)
        };
        let verdict = self.controller.observe(&observation);
        if verdict.batch != verdict.before {
            self.factor *= self.gain(&verdict);
        }
        Some(verdict)
    }

    /// φ from the window, and the window's tr Σ and ‖G‖², interval by interval.
    fn measure_phi(&mut self) -> (Vec<f64>, Vec<f64>) {
        let (tr_sigma, g2): (Vec<f64>, Vec<f64>) = self.window.iter().map(|w| (w.0.tr_sigma, w.0.g2)).unzip();
        if FEWEST <= self.window.len() {
            self.phi = fieller(&tr_sigma, &g2, CONFIDENCE);
        }
        (tr_sigma, g2)
    }

    /// What a change of batch size multiplies the learning rate by.
    fn gain(&self, verdict: &Verdict) -> f64 {
        let rule = match (self.follow, &self.phi) {
            (Follow::Rule(rule), _) => rule,
            (Follow::Gain, Ratio::Measured { value: phi, .. } | Ratio::LowerBound { low: phi })
                if 0.0 < *phi =>
            {
                Scaling::NoiseScale { phi: *phi }
            }
            (Follow::RootGain, Ratio::Measured { value: phi, .. } | Ratio::LowerBound { low: phi })
                if 0.0 < *phi =>
            {
                Scaling::RootNoiseScale { phi: *phi }
            }
            _ => Scaling::SquareRoot,
        };
        scale(rule, LearningRate(1.0), verdict.before, verdict.batch).map_or(1.0, |rate| rate.0)
    }
}
