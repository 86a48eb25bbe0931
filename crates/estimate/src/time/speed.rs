//! From raw timings to the time of a step with its errors.

use serde::{Deserialize, Serialize};

use super::choose::{Choice, ModelScore, choose, refit, residuals};
use super::fit::OVERLAP_FROM;
use super::model::TimeModel;
use super::points::{TimeError, TimePoint};
use super::step_time::StepTime;
use super::timings::{BatchTimes, Group, Timing, group};
use crate::grade::Grade;
use crate::outcome::Outcome;
use crate::random::Draws;
use crate::robust::{HUBER, MAD_TO_SD, median, quantile_of_sorted};
use crate::time_curve::TimeCurve;

/// How timings are fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// η: the share of the limiting throughput.
    pub efficiency: f64,
    /// B_η in examples: the batch that reaches it.
    pub batch: Outcome,
}

/// The fitted time of a step at one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// Degrees of freedom that a scatter about the model needs before it counts.
const FREEDOM: usize = 3;

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

/// Whether both regimes of a joined model were timed; the other shapes were chosen because theirs were.
fn sampled(time: &StepTime) -> bool {
    match time {
        StepTime::Model(fit) => fit.shape_identified(),
        _ => true,
    }
}

/// What is asked of every resampled fit, in the order a, c, knees, times.
struct Asked<'a> {
    batches: Vec<f64>,
    efficiencies: &'a [f64],
}

impl Asked<'_> {
    fn of(&self, time: &StepTime) -> Vec<f64> {
        let parts = [time.overhead_seconds(), time.seconds_per_example()].map(|v| v.unwrap_or(0.0));
        let knees = self.efficiencies.iter().map(|&e| time.knee(e));
        parts.into_iter().chain(knees).chain(self.batches.iter().map(|&b| time.seconds(b))).collect()
    }
}

/// Scatter of the medians about the chosen model.
struct Scatter {
    /// Robust variance of the log residuals, 0 where there are too few.
    total: f64,
    /// Mean variance of the medians by their own errors.
    own: f64,
    freedom: f64,
    /// Why no error is known, if none is.
    known: Result<(), String>,
}

impl Scatter {
    fn of(groups: &[Group], points: &[TimePoint], choice: &Choice) -> Self {
        let n = groups.len();
        let own = groups.iter().map(|g| g.error().powi(2)).sum::<f64>() / n as f64;
        let freedom = n.saturating_sub(choice.scores[0].parameters);
        let known = if own > 0.0 || freedom >= FREEDOM {
            Ok(())
        } else {
            Err(format!("{n} batch sizes timed once each do not tell the error; time each of them ten times"))
        };
        if freedom < FREEDOM || choice.rejected {
            return Self { total: 0.0, own, freedom: 1.0, known };
        }
        let total = variance(&residuals(points, &choice.best), freedom as f64);
        Self { total, own, freedom: freedom as f64, known }
    }

    /// Standard deviation of what the residuals have beyond the medians' own errors, where χ²/ν is `chi`.
    fn excess(&self, chi: f64) -> f64 {
        // Beyond 1, which is a factor of e, it is no error but a misfit.
        (self.total / chi - self.own).clamp(0.0, 1.0).sqrt()
    }

    /// [`Scatter::excess`] under its own uncertainty.
    fn drawn(&self, draws: &mut Draws) -> f64 {
        // Wilson and Hilferty (1931).
        let spread = 2.0 / (9.0 * self.freedom);
        let chi = (1.0 - spread + draws.normal() * spread.sqrt()).max(0.1).powi(3);
        self.excess(chi)
    }
}

/// Huber's Proposal 2 for the variance of residuals that have `freedom` degrees of freedom left (Huber 1964).
fn variance(residuals: &[f64], freedom: f64) -> f64 {
    /// E ψ² of a standard normal variable at the tuning constant 1.345.
    const EXPECTED: f64 = 0.710_16;
    let sizes: Vec<f64> = residuals.iter().map(|r| r.abs()).collect();
    let mut scale = MAD_TO_SD * median(&sizes).unwrap_or(0.0);
    scale = scale.max(1e-6 * sizes.iter().copied().fold(0.0, f64::max));
    if scale <= 0.0 {
        return 0.0;
    }
    for _ in 0..50 {
        let sum: f64 = sizes.iter().map(|r| (r / scale).min(HUBER).powi(2)).sum();
        scale *= (sum / (freedom * EXPECTED)).sqrt().clamp(0.1, 10.0);
    }
    scale * scale
}

/// Everything that a resample needs.
struct Resample<'a> {
    groups: &'a [Group],
    choice: &'a Choice,
    scatter: &'a Scatter,
    options: &'a Options,
}

impl Resample<'_> {
    /// Fits of `form` to every resample, each turned into numbers.
    fn fits(&self, form: &StepTime, of: impl Fn(&StepTime) -> Vec<f64>) -> Vec<Vec<f64>> {
        let one = |k: usize| {
            let mut draws = Draws::new(self.options.seed, k as u64);
            let excess = self.scatter.drawn(&mut draws);
            let points: Vec<TimePoint> = self
                .groups
                .iter()
                .map(|g| TimePoint {
                    seconds: g.resampled(&mut draws) * (excess * draws.normal()).exp(),
                    ..g.point()
                })
                .collect();
            of(&refit(&points, form, &self.choice.judge))
        };
        (0..self.options.resamples).map(one).collect()
    }

    /// Percentile intervals of what is asked for.
    fn intervals(&self, form: &StepTime, asked: &Asked<'_>) -> Vec<(f64, f64)> {
        let fits = self.fits(form, |fit| asked.of(fit));
        let columns = fits.first().map_or(0, Vec::len);
        (0..columns).map(|j| self.percentiles(fits.iter().map(|fit| fit[j]).collect())).collect()
    }

    fn percentiles(&self, mut values: Vec<f64>) -> (f64, f64) {
        // Nothing infinite may enter an interpolation.
        values.iter_mut().for_each(|v| *v = if v.is_nan() { f64::MAX } else { v.clamp(0.0, f64::MAX) });
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - self.options.confidence) / 2.0;
        let at = |p| quantile_of_sorted(&values, p).unwrap_or(0.0);
        (at(tail), at(1.0 - tail))
    }

    fn gamma(&self) -> Outcome {
        if self.choice.rejected {
            return Outcome::not_identified("no model comes within 10 % of the times");
        }
        if !matches!(self.choice.best, StepTime::Model(_)) {
            return Outcome::not_identified("the times follow stairs or two slopes, not an overlap");
        }
        let Some(score) = self.choice.scores.iter().find(|s| s.model == "overlap") else {
            return Outcome::not_identified(format!(
                "{} batch sizes were timed, an overlap needs {OVERLAP_FROM}",
                self.groups.len()
            ));
        };
        if !sampled(&score.fit) || !sampled(&self.choice.best) {
            return Outcome::not_identified(
                "the batches timed do not reach from half of a/c to twice it, so only one regime was seen",
            );
        }
        let gamma = |fit: &StepTime| match fit {
            StepTime::Model(fit) => match fit.model {
                TimeModel::Overlap { gamma } => gamma,
                TimeModel::Sum | TimeModel::Max => 1.0,
            },
            _ => 1.0,
        };
        let fits = self.fits(&score.fit, |fit| vec![gamma(fit)]);
        let (low, high) = self.percentiles(fits.into_iter().flatten().collect());
        let value = gamma(&score.fit);
        match (low <= 1.0, high >= 9.99) {
            (true, true) => Outcome::not_identified("every γ from 1 to 10 agrees with the times"),
            (false, true) => Outcome::LowerBound { low },
            _ => Outcome::Measured { value, low: low.min(value), high: high.max(value) },
        }
    }
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
