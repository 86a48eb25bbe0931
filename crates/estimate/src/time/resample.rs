//! Resampled fits: the scatter between batches, the draws, and what their percentiles say.

use super::choose::{Choice, refit, residuals};
use super::fit::OVERLAP_FROM;
use super::model::{TimeFit, TimeModel};
use super::points::TimePoint;
use super::speed::Options;
use super::step_time::StepTime;
use super::timings::Group;
use crate::outcome::Outcome;
use crate::random::Draws;
use crate::robust::{HUBER, MAD_TO_SD, median, quantile_of_sorted};

/// Degrees of freedom that a scatter about the model needs before it counts.
const FREEDOM: usize = 3;

/// Whether both regimes of a joined model were timed; the other shapes were chosen because theirs were.
pub(super) fn sampled(time: &StepTime) -> bool {
    match time {
        StepTime::Model(fit) => fit.shape_identified(),
        _ => true,
    }
}

/// What is asked of every resampled fit, in the order a, c, knees, times.
pub(super) struct Asked<'a> {
    pub(super) batches: Vec<f64>,
    pub(super) efficiencies: &'a [f64],
}

impl Asked<'_> {
    pub(super) fn of(&self, time: &StepTime) -> Vec<f64> {
        let parts = [time.overhead_seconds(), time.seconds_per_example()].map(|v| v.unwrap_or(0.0));
        let knees = self.efficiencies.iter().map(|&e| time.knee(e));
        parts.into_iter().chain(knees).chain(self.batches.iter().map(|&b| time.seconds(b))).collect()
    }
}

/// Scatter of the medians about the chosen model.
pub(super) struct Scatter {
    /// Robust variance of the log residuals, 0 where there are too few.
    total: f64,
    /// Mean variance of the medians by their own errors.
    own: f64,
    freedom: f64,
    /// Why no error is known, if none is.
    pub(super) known: Result<(), String>,
}

impl Scatter {
    pub(super) fn of(groups: &[Group], points: &[TimePoint], choice: &Choice) -> Self {
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
        // Where own errors explain the residuals, up to the upper quartile of χ², they are all there is: a scatter that
        // is only ever added would widen the intervals of exact models too.
        let total = if total <= own * chi_share(0.674_5, freedom as f64) { 0.0 } else { total };
        Self { total, own, freedom: freedom as f64, known }
    }

    /// Standard deviation of what the residuals have beyond the medians' own errors, where χ²/ν is `chi`.
    pub(super) fn excess(&self, chi: f64) -> f64 {
        // Beyond 1, which is a factor of e, it is no error but a misfit.
        (self.total / chi - self.own).clamp(0.0, 1.0).sqrt()
    }

    /// [`Scatter::excess`] under its own uncertainty.
    fn drawn(&self, draws: &mut Draws) -> f64 {
        self.excess(chi_share(draws.normal(), self.freedom))
    }
}

/// χ²/ν at the normal quantile `z`, held above 0.001 (Wilson and Hilferty 1931).
fn chi_share(z: f64, freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    (1.0 - spread + z * spread.sqrt()).max(0.1).powi(3)
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
pub(super) struct Resample<'a> {
    pub(super) groups: &'a [Group],
    pub(super) choice: &'a Choice,
    pub(super) scatter: &'a Scatter,
    pub(super) options: &'a Options,
}

impl Resample<'_> {
    /// Fits of `form` to every resample.
    fn fits(&self, form: &StepTime) -> Vec<StepTime> {
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
            refit(&points, form, &self.choice.judge)
        };
        (0..self.options.resamples).map(one).collect()
    }

    /// Percentile intervals of what is asked for.
    pub(super) fn intervals(&self, form: &StepTime, asked: &Asked<'_>) -> Vec<(f64, f64)> {
        let fits: Vec<[Vec<f64>; 2]> =
            self.fits(form).iter().map(|fit| equals(fit).map(|end| asked.of(&end))).collect();
        let columns = fits.first().map_or(0, |fit| fit[0].len());
        let column = |j: usize, of: fn(f64, f64) -> f64| fits.iter().map(|f| of(f[0][j], f[1][j])).collect();
        (0..columns)
            .map(|j| (self.percentiles(column(j, f64::min)).0, self.percentiles(column(j, f64::max)).1))
            .collect()
    }

    fn percentiles(&self, mut values: Vec<f64>) -> (f64, f64) {
        // Nothing infinite may enter an interpolation.
        values.iter_mut().for_each(|v| *v = if v.is_nan() { f64::MAX } else { v.clamp(0.0, f64::MAX) });
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - self.options.confidence) / 2.0;
        let at = |p| quantile_of_sorted(&values, p).unwrap_or(0.0);
        (at(tail), at(1.0 - tail))
    }

    pub(super) fn gamma(&self) -> Outcome {
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
        let (low, high) = self.percentiles(self.fits(&score.fit).iter().map(gamma).collect());
        let value = gamma(&score.fit);
        match (low <= 1.0, high >= 9.99) {
            (true, true) => Outcome::not_identified("every γ from 1 to 10 agrees with the times"),
            (false, true) => Outcome::LowerBound { low },
            _ => Outcome::Measured { value, low: low.min(value), high: high.max(value) },
        }
    }
}

/// The two ends of all fits that give the same times at the tested batches: the maximum does not see work that nowhere
/// exceeds the overhead, nor overhead that nowhere exceeds the work.
fn equals(fit: &StepTime) -> [StepTime; 2] {
    let StepTime::Model(model) = fit else { return [fit.clone(), fit.clone()] };
    let (smallest, largest) = model.tested;
    let (a, c) = (model.overhead_seconds, model.seconds_per_example);
    let with = |overhead_seconds, seconds_per_example| {
        StepTime::Model(TimeFit { overhead_seconds, seconds_per_example, ..model.clone() })
    };
    if model.model != TimeModel::Max {
        [fit.clone(), fit.clone()]
    } else if c * largest <= a {
        [with(a, 0.0), with(a, a / largest)]
    } else if a <= c * smallest {
        [with(0.0, c), with(c * smallest, c)]
    } else {
        [fit.clone(), fit.clone()]
    }
}
