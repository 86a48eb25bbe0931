//! From raw timings to the time of a step with its errors.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::choose::{ModelScore, choose};
use super::points::{TimeError, TimePoint};
use super::resample::{Asked, Resample, Scatter, sampled};
use super::step_time::StepTime;
use super::timings::{BatchTimes, Group, Timing, group};
use crate::grade::Grade;
use crate::outcome::Outcome;
use crate::time_curve::TimeCurve;

/// How timings are fitted.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Options {
    /// Two-sided confidence of every interval, in [0.5, 0.999].
    pub confidence: f64,
    /// Seed of the resampling: equal arguments give equal answers.
    pub seed: u64,
    /// Number of resamples, from 50 to 100,000.
    pub resamples: usize,
    /// Shares η of the limiting throughput at which a knee is reported, each in (0, 1).
    pub efficiencies: Vec<f64>,
    /// Quantum of the stairs, where it is known (2 to 65,536); otherwise it is looked for.
    pub quantum: Option<u32>,
}

impl Default for Options {
    /// 95 %, seed 0, 500 resamples, knees at 0.5, 0.8 and 0.9, no quantum known.
    fn default() -> Self {
        Self { confidence: 0.95, seed: 0, resamples: 500, efficiencies: vec![0.5, 0.8, 0.9], quantum: None }
    }
}

/// An efficiency knee with its interval.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Knee {
    /// η: the share of the limiting throughput.
    pub efficiency: f64,
    /// B_η in examples: the batch that reaches it.
    pub batch: Outcome,
}

/// The fitted time of a step at one batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TimeInterval {
    /// Batch size in examples.
    pub batch: f64,
    /// Fitted seconds.
    pub seconds: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// The time of a step, with what the timings say of each part.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct SpeedFit {
    /// The time to use: the chosen model, or the measured curve where the verdict is a misfit.
    pub time: StepTime,
    /// [`Grade::Measured`]: one model describes the times. [`Grade::NotIdentified`]: so do others that differ from it
    /// (see `undecided`), and the intervals cover them all. [`Grade::ModelMisfit`]: none comes within
    /// [`LARGEST_MISFIT`](super::LARGEST_MISFIT), and the curve stands in.
    pub verdict: Grade,
    /// Every model tried; the chosen one first, then by the criterion.
    pub scores: Vec<ModelScore>,
    /// Names of the models that the timings cannot tell from the chosen one: within 6 of its criterion, and without it
    /// as a special case.
    pub undecided: Vec<String>,
    /// Whether the way in which overhead and work join is known: no other model undecided, and batches from half of
    /// a/c to twice it timed.
    pub shape_identified: bool,
    /// a, in seconds.
    pub overhead_seconds: Outcome,
    /// c, in seconds per example of a large batch.
    pub seconds_per_example: Outcome,
    /// γ of the overlap: 1 is the sum, a lower bound alone means close to the maximum.
    pub gamma: Outcome,
    /// The knees asked for.
    pub knees: Vec<Knee>,
    /// t(B) at the batches timed, and between neighbours.
    pub band: Vec<TimeInterval>,
    /// The timings by batch size.
    pub points: Vec<BatchTimes>,
    /// Relative scatter of the medians about the model beyond their own errors: drift between batches, or misfit.
    pub between_batches: f64,
    /// Two-sided confidence of the intervals.
    pub confidence: f64,
}

/// Numbers from here on stand for "no end".
const ENDLESS: f64 = 1e300;

/// Fits raw timings: medians by batch size, the models of this module, and intervals by resampling.
///
/// Timings more than five robust standard deviations from their batch's median are stalls and are set aside (and
/// counted). Each resample draws the timings of every batch anew, takes the medians, adds to each a relative error of
/// the scatter between batches, and refits; intervals are percentiles (Efron and Tibshirani 1993, ch. 13). The scatter
/// between batches is what the residuals have beyond the medians' own errors; it is drawn anew for each resample from
/// its own uncertainty (scaled inverse χ²), which is what gives Student's tails where few batches were timed, and it
/// is the only error where each batch was timed once. Intervals hold for the chosen model; where others are as good,
/// they are widened to cover those.
///
/// Measured coverage of nominal 0.95 (a = 2 ms, c = 10 µs, 11 batches from 2 to 4096, 13 for the overlap, noise of 3 %, one
/// step in twenty a stall of three times the time; 200 to 400 trials, so ±0.02 to 0.03):
///
/// | times | a | c | knee at 0.8 | t(B) |
/// |---|---|---|---|---|
/// | sum, 15 timings a batch | 0.97 | 0.96 | 0.97 | 0.97 |
/// | sum, 60 timings | 0.96 | 0.96 | 0.98 | 0.96 |
/// | sum, 15 timings, drift of 1 % between batches | 0.94 | 0.96 | 0.95 | 0.95 |
/// | sum, 15 timings, drift of 3 % | 0.96 | 0.97 | 0.95 | 0.96 |
/// | maximum, 15 timings | 0.97 | 0.96 | 0.97 | 0.97 |
/// | overlap of γ = 2, 15 timings (γ itself: 0.99) | 0.95 | 0.96 | 0.99 | 0.96 |
/// | sum, one timing a batch, no stalls | 0.97 | 0.94 | 0.95 | 0.96 |
/// | sum, one timing a batch, 16 batches, with stalls | 0.93 | 0.92 | 0.91 | 0.94 |
///
/// Short of nominal is only the last: among single timings a stall cannot be told from the time of its batch.
///
/// # Errors
/// A timing out of range, an option out of range, fewer than 3 or more than 512 distinct batch sizes.
pub fn fit_timings(timings: &[Timing], options: &Options) -> Result<SpeedFit, TimeError> {
    check(options)?;
    let groups = group(timings)?;
    if groups.len() < 3 {
        return Err(TimeError::TooFewBatches { found: groups.len(), needed: 3 });
    }
    let points: Vec<TimePoint> = groups.iter().map(Group::point).collect();
    let choice = choose(&points, options.quantum);
    let curve = StepTime::Curve(TimeCurve::new(&points)?);
    let time = if choice.rejected { curve } else { choice.best.clone() };
    let scatter = Scatter::of(&groups, &points, &choice);
    let resample = Resample { groups: &groups, choice: &choice, scatter: &scatter, options };
    let asked = Asked { batches: between(&points), efficiencies: &options.efficiencies };

    let mut answers = resample.intervals(&time, &asked);
    let rivals: &[usize] = if choice.rejected { &[] } else { &choice.rivals };
    for &rival in rivals {
        for (range, other) in answers.iter_mut().zip(resample.intervals(&choice.scores[rival].fit, &asked)) {
            *range = (range.0.min(other.0), range.1.max(other.1));
        }
    }
    let values = asked.of(&time);
    let known = scatter.known.as_ref();
    let outcome = |at: usize| match known {
        Err(why) => Outcome::not_identified(why.clone()),
        Ok(()) if choice.rejected && at < 2 => {
            Outcome::not_identified("no model comes within 10 % of the times")
        }
        Ok(()) => positive(values[at], answers[at]),
    };
    let first_time = 2 + options.efficiencies.len();
    Ok(SpeedFit {
        verdict: match (choice.rejected, rivals.is_empty()) {
            (true, _) => Grade::ModelMisfit,
            (false, false) => Grade::NotIdentified,
            (false, true) => Grade::Measured,
        },
        undecided: rivals.iter().map(|&i| choice.scores[i].model.clone()).collect(),
        shape_identified: !choice.rejected && rivals.is_empty() && sampled(&time),
        overhead_seconds: outcome(0),
        seconds_per_example: outcome(1),
        gamma: match known {
            Err(why) => Outcome::not_identified(why.clone()),
            Ok(()) => resample.gamma(),
        },
        knees: options
            .efficiencies
            .iter()
            .enumerate()
            .map(|(i, &efficiency)| Knee { efficiency, batch: outcome(2 + i) })
            .collect(),
        band: (asked.batches.iter().enumerate())
            .map(|(i, &batch)| {
                let (seconds, (low, high)) = (values[first_time + i], answers[first_time + i]);
                TimeInterval { batch, seconds, low: low.min(seconds), high: high.max(seconds) }
            })
            .collect(),
        points: groups.iter().map(|g| g.times).collect(),
        between_batches: scatter.excess(1.0),
        confidence: options.confidence,
        scores: choice.scores,
        time,
    })
}

fn check(options: &Options) -> Result<(), TimeError> {
    let bad = |name, found, allowed| Err(TimeError::BadOption { name, found, allowed });
    if !(0.5..=0.999).contains(&options.confidence) {
        return bad("the confidence", options.confidence, "between 0.5 and 0.999");
    }
    if !(50..=100_000).contains(&options.resamples) {
        return bad("the number of resamples", options.resamples as f64, "between 50 and 100,000");
    }
    if let Some(&share) = options.efficiencies.iter().find(|e| !(**e > 0.0 && **e < 1.0)) {
        return bad("an efficiency", share, "between 0 and 1, both excluded");
    }
    match options.quantum {
        Some(q) if !(2..=65_536).contains(&q) => bad("the quantum", f64::from(q), "between 2 and 65,536"),
        _ => Ok(()),
    }
}

/// The batches timed and the geometric means of neighbours.
fn between(points: &[TimePoint]) -> Vec<f64> {
    let middle = points.windows(2).map(|pair| (pair[0].batch * pair[1].batch).sqrt());
    let mut batches: Vec<f64> = points.iter().map(|p| p.batch).chain(middle).collect();
    batches.sort_by(f64::total_cmp);
    batches.dedup();
    batches
}

/// The outcome of a number that is at least 0 whatever the data say: a low end of 0 is no bound.
fn positive(value: f64, (low, high): (f64, f64)) -> Outcome {
    let endless = high.max(value) >= ENDLESS || value.is_nan();
    match (low > 0.0 && value > 0.0, endless) {
        (true, false) => Outcome::Measured { value, low: low.min(value), high: high.max(value) },
        (true, true) => Outcome::LowerBound { low: low.min(value).min(ENDLESS) },
        (false, false) => Outcome::UpperBound { high: high.max(value) },
        (false, true) => Outcome::not_identified("any value from 0 upwards agrees with the times"),
    }
}
