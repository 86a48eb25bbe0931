//! From measurements to a batch size, a learning rate and a grade.

use super::KNEE_EFFICIENCY;
use crate::LabError;
use crate::advice::{
    Binding, LearningRateSearch, NoiseAdvice, NoisePoint, SpeedAdvice, SpeedPoint, TimeToTarget,
};
use batchwise_estimate::decide::{Candidate, Decision, time_optimal_batch, time_to_target_band};
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::ridge::BestLr;
use batchwise_estimate::time::{TimeModel, TimePoint, fit_time};
use batchwise_nn::optim::OptimizerConfig;
use batchwise_schedule::{LearningRate, Scaling, scale};

/// Draws over which the regret is averaged.
const DRAWS: usize = 4000;
/// A model of the step time that is off by more is not used for statements about it (theory.md §7).
const LARGEST_MISFIT: f64 = 0.10;

/// How the learning rate follows the batch size from the anchor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule {
    pub(super) optimizer: OptimizerConfig,
    pub(super) anchor_batch: u64,
    pub(super) anchor_rate: f64,
    pub(super) phi: Option<f64>,
}

impl Rule {
    /// SGD follows the measured noise scale; adaptive methods the square root (theory.md §4.1). Without a
    /// noise scale SGD follows the square root too: too small a learning rate costs less than too large a
    /// one.
    pub(super) fn scaling(&self) -> Scaling {
        match (self.optimizer, self.phi) {
            (OptimizerConfig::Sgd(_), Some(phi)) if 0.0 < phi => Scaling::NoiseScale { phi },
            _ => Scaling::SquareRoot,
        }
    }

    pub(super) fn learning_rate(&self, batch: u64) -> Result<f64, LabError> {
        scale(self.scaling(), LearningRate(self.anchor_rate), self.anchor_batch, batch)
            .map(|rate| rate.0)
            .map_err(|error| LabError::NoAdvice(error.to_string()))
    }

    pub(super) fn in_words(&self, batch: u64) -> String {
        let best = format!("the best of the range test at batch {}", self.anchor_batch);
        if batch == self.anchor_batch {
            return best;
        }
        format!("{} rule to batch {batch} from {:.3e}, {best}", self.scaling(), self.anchor_rate)
    }
}

/// Fits t(B) and finds the knee.
pub(super) fn speed(points: Vec<SpeedPoint>) -> Result<SpeedAdvice, LabError> {
    let fit = fit_time(&time_points(&points)).map_err(|error| LabError::NoAdvice(error.to_string()))?;
    let (model, gamma) = match fit.model {
        _ if LARGEST_MISFIT < fit.rms_misfit => ("measured", None),
        TimeModel::Sum => ("sum", None),
        TimeModel::Max => ("max", None),
        TimeModel::Overlap { gamma } => ("overlap", Some(gamma)),
    };
    let knee = if model == "measured" { measured_knee(&points) } else { fit.knee(KNEE_EFFICIENCY) };
    Ok(SpeedAdvice {
        model: model.to_owned(),
        gamma,
        overhead_seconds: fit.overhead_seconds,
        seconds_per_example: fit.seconds_per_example,
        misfit: fit.misfit,
        knee: if knee.is_finite() { knee } else { measured_knee(&points) },
        knee_efficiency: KNEE_EFFICIENCY,
        points,
    })
}

/// The smallest measured batch that reaches the knee's share of the best throughput seen.
fn measured_knee(points: &[SpeedPoint]) -> f64 {
    let throughput = |point: &SpeedPoint| point.batch as f64 / point.seconds;
    let best = points.iter().map(throughput).fold(0.0, f64::max);
    points
        .iter()
        .find(|point| KNEE_EFFICIENCY * best <= throughput(point))
        .map_or(0.0, |point| point.batch as f64)
}

fn time_points(points: &[SpeedPoint]) -> Vec<TimePoint> {
    let point = |p: &SpeedPoint| TimePoint { batch: p.batch as f64, seconds: p.seconds, spread: p.spread };
    points.iter().map(point).collect()
}

/// The batch sizes that may be advised: those tried, up to a tenth of the data set.
fn candidates(speed: &SpeedAdvice, train_examples: u64) -> Vec<Candidate> {
    let cap = (train_examples / super::LARGEST_PART).max(1);
    speed
        .points
        .iter()
        .filter(|point| point.batch <= cap)
        .map(|point| Candidate {
            batch: point.batch,
            seconds: point.seconds,
            relative_error: (point.spread / point.seconds).clamp(0.0, 1.0),
        })
        .collect()
}

fn critical(noise: &NoiseAdvice) -> Result<&batchwise_estimate::critical::CriticalBatch, LabError> {
    noise.critical_batch.as_ref().ok_or_else(|| {
        LabError::NoAdvice(
            "the gradient noise scale is not identified: train longer (--examples) or on more data, and try again"
                .to_owned(),
        )
    })
}

/// The batch size of least expected regret in time to target (theory.md §8.2, step 4).
pub(super) fn decide(
    speed: &SpeedAdvice,
    noise: &NoiseAdvice,
    train_examples: u64,
    seed: u64,
) -> Result<Decision, LabError> {
    batchwise_estimate::decide::decide(&candidates(speed, train_examples), critical(noise)?, DRAWS, seed)
        .map_err(|error| LabError::NoAdvice(error.to_string()))
}

/// The same decision as a picture.
pub(super) fn time_to_target(
    speed: &SpeedAdvice,
    noise: &NoiseAdvice,
    decision: &Decision,
    train_examples: u64,
    seed: u64,
) -> Result<TimeToTarget, LabError> {
    let critical = critical(noise)?;
    let bands = time_to_target_band(&candidates(speed, train_examples), critical, DRAWS, seed)
        .map_err(|error| LabError::NoAdvice(error.to_string()))?;
    let closed_form = (speed.model == "sum")
        .then(|| time_optimal_batch(speed.overhead_seconds, speed.seconds_per_example, critical.median))
        .filter(|batch| batch.is_finite());
    Ok(TimeToTarget {
        bands,
        regrets: decision.regrets.clone(),
        time_optimal: decision.time_optimal,
        closed_form,
    })
}

/// What keeps the batch from being larger.
pub(super) fn binding(decision: &Decision, speed: &SpeedAdvice, accumulation_steps: u64) -> Binding {
    let largest = decision.regrets.last().map_or(0, |(batch, _)| *batch);
    let tried = speed.points.last().map_or(0, |point| point.batch);
    if 1 < accumulation_steps {
        Binding::Memory
    } else if decision.batch_size == largest && largest < tried {
        Binding::Data
    } else if decision.batch_size == largest {
        Binding::Tried
    } else if speed.knee <= decision.batch_size as f64 {
        Binding::Knee
    } else {
        Binding::Noise
    }
}

/// How far the answer may be trusted: the weakest of its parts (theory.md §8.3).
pub(super) fn grade(search: &LearningRateSearch, noise: &NoiseAdvice) -> Grade {
    match (&search.best, &noise.average) {
        (BestLr::AtEdge { .. }, _) => Grade::Untuned,
        (_, Ratio::LowerBound { .. }) => Grade::LowerBound,
        // B_c follows from φ by a prior of published runs: an order of size, not a measurement of this task.
        _ => Grade::Approximate,
    }
}

/// The outcome at one moment of the training.
pub(super) fn ratio(point: &NoisePoint) -> Ratio {
    match (point.phi, point.low, point.high) {
        (Some(value), Some(low), Some(high)) => Ratio::Measured { value, low, high },
        (None, Some(low), None) => Ratio::LowerBound { low },
        _ if point.grade == "whole_line" => Ratio::WholeLine,
        _ => Ratio::not_identified("the measurements do not separate the gradient from its noise"),
    }
}
