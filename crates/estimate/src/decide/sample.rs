//! Joint draws of everything uncertain.

use super::clock::Clock;
use super::closed_form::time_to_target_relative;
use super::error::DecideError;
use super::limits::Setting;
use super::problem::{Objective, Problem, Rule};
use crate::critical::CriticalBatch;
use crate::fieller::student_t_quantile;
use crate::random::Draws;

/// Draws times settings that may be held at once (400 MB).
const LARGEST_SAMPLE: usize = 50_000_000;

/// A regret above this is not told apart from it; sums of such regrets are still numbers.
const LARGEST_REGRET: f64 = 1e100;

/// An overhead over the tolerance by this much is rounding.
const ROUNDING: f64 = 1e-12;

/// Streams of the addressed random numbers. The first two are those of [`decide`](super::decide).
mod stream {
    pub(super) const BELIEF: u64 = 0;
    pub(super) const CLOCK: u64 = 1;
    pub(super) const STEPS: u64 = 2;
}

/// The draws, with one row per draw.
pub(super) struct Sample {
    /// Seconds of a step over those of the slowest setting, per draw and setting.
    pub(super) seconds: Vec<Vec<f64>>,
    /// B_c per draw.
    pub(super) critical: Vec<f64>,
    /// ln S_min per draw; 0 where it is not known.
    pub(super) ln_steps: Vec<f64>,
    /// ln of the seconds that the times are relative to.
    pub(super) ln_unit: f64,
}

/// The time belief with what is needed to use its draws.
pub(super) struct Scene<'a> {
    pub(super) problem: &'a Problem,
    pub(super) clock: Clock<'a>,
    pub(super) settings: Vec<Setting>,
    /// ln seconds at each setting, at the middle of the belief.
    pub(super) middle: Vec<f64>,
    pub(super) ln_unit: f64,
}

impl<'a> Scene<'a> {
    pub(super) fn of(problem: &'a Problem, settings: Vec<Setting>) -> Self {
        let clock = Clock::of(&problem.time);
        let middle = clock.middle(&settings, problem.devices.as_ref());
        let ln_unit = middle.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { problem, clock, settings, middle, ln_unit }
    }

    /// Seconds relative to the unit: divided out, so that no candidate leaves the range of f64.
    pub(super) fn relative(&self, ln_seconds: f64) -> f64 {
        (ln_seconds - self.ln_unit).clamp(-600.0, 50.0).exp()
    }

    /// One draw of ln seconds at each setting.
    pub(super) fn draw_times(&self, source: &mut Draws) -> Vec<f64> {
        self.clock.draw(&self.settings, self.problem.devices.as_ref(), source)
    }

    pub(super) fn sample(&self) -> Sample {
        let Problem { critical, n_draws, seed, steps, .. } = self.problem;
        let mut belief = Draws::new(*seed, stream::BELIEF);
        let mut clock = Draws::new(*seed, stream::CLOCK);
        let mut rest = Draws::new(*seed, stream::STEPS);
        let mut sample = Sample {
            seconds: Vec::with_capacity(*n_draws),
            critical: Vec::with_capacity(*n_draws),
            ln_steps: Vec::with_capacity(*n_draws),
            ln_unit: self.ln_unit,
        };
        for k in 0..*n_draws {
            let p = (k as f64 + belief.uniform()) / *n_draws as f64;
            sample.critical.push(critical_at(critical, p));
            let row = self.draw_times(&mut clock).into_iter().map(|ln| self.relative(ln)).collect();
            sample.seconds.push(row);
            sample.ln_steps.push(steps.map_or(0.0, |s| {
                let score = student_t_quantile(p, f64::INFINITY);
                let own = (1.0 - s.correlation * s.correlation).max(0.0).sqrt() * rest.normal();
                s.median.ln() + (s.ln_sd * (s.correlation * score + own)).clamp(-200.0, 200.0)
            }));
        }
        sample
    }
}

/// The `p` quantile of the belief about B_c.
pub(super) fn critical_at(critical: &CriticalBatch, p: f64) -> f64 {
    // 50 scales are far beyond any draw that matters, and e^(50·2.1) is still a number.
    let z = student_t_quantile(p, critical.source.degrees_of_freedom()).clamp(-50.0, 50.0);
    (critical.median * (z * critical.ln_sd).clamp(-200.0, 200.0).exp()).clamp(1e-250, 1e250)
}

/// What the objective makes least, per setting, for one draw; `costs` is overwritten.
pub(super) fn costs_into(
    objective: Objective,
    settings: &[Setting],
    seconds: &[f64],
    critical: f64,
    costs: &mut Vec<f64>,
) {
    let cost = |(s, t): (&Setting, &f64)| match objective {
        Objective::TimeToTarget => time_to_target_relative(*t, s.batch as f64, critical),
        Objective::DeviceSeconds => s.devices as f64 * time_to_target_relative(*t, s.batch as f64, critical),
        Objective::ExamplesBudget { .. } => t / s.batch as f64,
    };
    costs.clear();
    costs.extend(settings.iter().zip(seconds).map(cost));
}

/// Regrets of the settings for one draw, the least of them 0; returns the setting that has it. `regrets` is overwritten.
pub(super) fn regrets_into(
    objective: Objective,
    settings: &[Setting],
    seconds: &[f64],
    critical: f64,
    regrets: &mut Vec<f64>,
) -> usize {
    costs_into(objective, settings, seconds, critical, regrets);
    if let Objective::ExamplesBudget { tau } = objective {
        let wasted = |s: &Setting| ((s.batch as f64 / critical - tau) / (1.0 + tau)).max(0.0);
        // Where no batch is admissible, the smallest is the nearest to it.
        let smallest = settings.iter().map(|s| s.batch).min().unwrap_or(0);
        let fastest = settings
            .iter()
            .zip(regrets.iter())
            .filter(|(s, _)| wasted(s) <= ROUNDING || s.batch == smallest)
            .fold(f64::INFINITY, |least, (_, cost)| cost.min(least));
        for (loss, s) in regrets.iter_mut().zip(settings) {
            *loss = (*loss / fastest - 1.0).max(0.0) + wasted(s).min(1.0);
        }
    }
    let best = least(regrets);
    let lowest = regrets.get(best).copied().unwrap_or(0.0);
    for loss in regrets.iter_mut() {
        *loss = match objective {
            Objective::ExamplesBudget { .. } => *loss - lowest,
            _ => *loss / lowest - 1.0,
        }
        .min(LARGEST_REGRET);
    }
    best
}

/// Index of the least value, the first of equals; 0 for none.
pub(super) fn least(values: &[f64]) -> usize {
    (0..values.len()).min_by(|&i, &j| values[i].total_cmp(&values[j])).unwrap_or(0)
}

/// Everything of the problem that can be wrong by itself.
pub(super) fn check(problem: &Problem) -> Result<(), DecideError> {
    super::clock::check(problem)?;
    let CriticalBatch { median, ln_sd, .. } = problem.critical;
    if !(median.is_finite() && median > 0.0 && ln_sd.is_finite() && ln_sd >= 0.0) {
        return Err(DecideError::BadCritical { median, ln_sd });
    }
    if problem.n_draws == 0 {
        return Err(DecideError::NoDraws);
    }
    if let Some(s) = problem.steps {
        let good = s.median.is_finite() && s.median > 0.0 && s.ln_sd.is_finite() && s.ln_sd >= 0.0;
        if !(good && (-1.0..=1.0).contains(&s.correlation)) {
            return Err(DecideError::BadSteps {
                median: s.median,
                ln_sd: s.ln_sd,
                correlation: s.correlation,
            });
        }
    }
    problem.memory.check()?;
    if let Some(devices) = &problem.devices {
        devices.check()?;
    }
    match problem.objective {
        Objective::ExamplesBudget { tau } if !(tau.is_finite() && tau > 0.0) => {
            return Err(DecideError::BadTolerance { tau });
        }
        _ => {}
    }
    match problem.rule {
        Rule::Minimax { quantile } if !(0.5..1.0).contains(&quantile) => {
            Err(DecideError::BadQuantile { quantile })
        }
        _ => Ok(()),
    }
}

/// Whether the draws can be held.
pub(super) fn check_size(n_draws: usize, settings: usize) -> Result<(), DecideError> {
    match n_draws.checked_mul(settings.max(1)) {
        Some(size) if size <= LARGEST_SAMPLE => Ok(()),
        _ => Err(DecideError::TooManyDraws { asked: n_draws, settings, allowed: LARGEST_SAMPLE }),
    }
}
