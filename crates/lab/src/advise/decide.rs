//! From measurements to a batch size, a learning rate and a grade.

use super::KNEE_EFFICIENCY;
use crate::LabError;
use crate::advice::{
    Binding, LearningRateSearch, NoiseAdvice, NoisePoint, SpeedAdvice, SpeedPoint, TimeToTarget,
};
use batchwise_estimate::decide::{
    Candidate, Decision, Problem, Standing, TimeBand, TimeBelief, time_optimal_batch,
};
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::ridge::BestLr;
use batchwise_estimate::time::{StepTime, TimeCurve, TimeFit, TimeModel, TimePoint};
use batchwise_nn::optim::OptimizerConfig;
use batchwise_schedule::{LearningRate, Scaling, scale};

/// Draws over which the regret is averaged.
const DRAWS: usize = 4000;
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
    let no_advice = |error: batchwise_estimate::time::TimeError| LabError::NoAdvice(error.to_string());
    let timed: Vec<TimePoint> = points.iter().map(SpeedPoint::time_point).collect();
    let fit = StepTime::fit(&timed).map_err(no_advice)?;
    let (model, gamma) = match &fit {
        StepTime::Curve(_) => ("measured", None),
        StepTime::Model(TimeFit { model: TimeModel::Overlap { gamma }, .. }) => ("overlap", Some(*gamma)),
        other => (other.name(), None),
    };
    let off = |p: &TimePoint| (fit.seconds(p.batch) / p.seconds - 1.0).abs();
    let misfit = timed.iter().map(off).fold(0.0, f64::max);
    // Where no limit is reached within any batch, the most that was measured stands for it.
    let knee = match fit.knee(KNEE_EFFICIENCY) {
        knee if knee.is_finite() => knee,
        _ => TimeCurve::new(&timed).map_err(no_advice)?.measured_knee(KNEE_EFFICIENCY),
    };
    Ok(SpeedAdvice {
        model: model.to_owned(),
        gamma,
        overhead_seconds: fit.overhead_seconds().unwrap_or(0.0),
        seconds_per_example: fit.seconds_per_example().unwrap_or(0.0),
        misfit,
        knee,
        knee_efficiency: KNEE_EFFICIENCY,
        step_time: Some(fit),
        points,
    })
}

/// The batch sizes that were timed.
fn candidates(speed: &SpeedAdvice) -> Vec<Candidate> {
    let candidate = |point: &SpeedPoint| Candidate {
        batch: point.batch,
        seconds: point.seconds,
        relative_error: (point.spread / point.seconds).clamp(0.0, 1.0),
    };
    speed.points.iter().map(candidate).collect()
}

/// Everything that is known, for the decision.
fn problem(
    speed: &SpeedAdvice,
    noise: &NoiseAdvice,
    train_examples: u64,
    seed: u64,
) -> Result<Problem, LabError> {
    let time = TimeBelief::Measured { candidates: candidates(speed) };
    Ok(Problem {
        dataset_examples: Some(train_examples),
        n_draws: DRAWS,
        seed,
        ..Problem::new(time, critical(noise)?.clone())
    })
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
    problem(speed, noise, train_examples, seed)?
        .decide()
        .map_err(|error| LabError::NoAdvice(error.to_string()))
}

/// The same decision as a picture.
pub(super) fn time_to_target(
    speed: &SpeedAdvice,
    noise: &NoiseAdvice,
    decision: &Decision,
) -> Result<TimeToTarget, LabError> {
    let critical = critical(noise)?;
    let band =
        |s: &Standing| TimeBand { batch: s.batch, median: s.time.median, low: s.time.low, high: s.time.high };
    let bands = decision.standings.iter().map(band).collect();
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

/// What keeps the batch from being larger: memory where only micro-batches fit, else what the decision says.
pub(super) fn binding(decision: &Decision, accumulation_steps: u64) -> Binding {
    if 1 < accumulation_steps { Binding::Memory } else { decision.binding }
}

/// How far the answer may be trusted: the weakest of its parts (theory.md §8.3). B_c that follows from φ by a prior of
/// published runs is an order of size, which the decision knows; that the learning rate is not bracketed it does not.
pub(super) fn grade(search: &LearningRateSearch, decision: &Decision) -> Grade {
    match &search.best {
        BestLr::AtEdge { .. } => Grade::Untuned,
        BestLr::Interior { .. } | BestLr::NotIdentified { .. } => decision.grade,
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
