//! Regrets over crossed beliefs: every stratum of B_c with every draw of the times.

use super::super::limits::Setting;
use super::super::sample::{Scene, critical_at, regrets_into};
use crate::random::Draws;

const CRITICAL_STRATA: usize = 48;
pub(super) const TIME_DRAWS: usize = 256;

/// Stream of the addressed random numbers.
const STREAM: u64 = 5;

/// Weights below this share of the largest are left out.
const NO_WEIGHT: f64 = 1e-9;

pub(super) struct Crossed<'a> {
    pub(super) scene: &'a Scene<'a>,
    /// Those that are allowed.
    pub(super) settings: Vec<Setting>,
    /// ln B_c at the middle of each stratum.
    pub(super) ln_critical: Vec<f64>,
    /// ln seconds per draw and setting.
    pub(super) ln_times: Vec<Vec<f64>>,
    /// Mean regret over the times, per stratum of B_c and setting.
    pub(super) by_critical: Vec<Vec<f64>>,
    /// Mean regret over B_c, per draw of the times and setting.
    pub(super) by_time: Vec<Vec<f64>>,
    /// The least expected regret: the value of knowing everything.
    pub(super) least: f64,
}

impl<'a> Crossed<'a> {
    pub(super) fn of(scene: &'a Scene<'a>, allowed: &[usize]) -> Self {
        let problem = scene.problem;
        let settings: Vec<Setting> = allowed.iter().map(|i| scene.settings[*i]).collect();
        let ln_critical: Vec<f64> =
            strata(CRITICAL_STRATA).map(|p| critical_at(&problem.critical, p).ln()).collect();
        let ln_times: Vec<Vec<f64>> =
            time_draws(scene).iter().map(|row| allowed.iter().map(|i| row[*i]).collect()).collect();
        let mut crossed = Self {
            scene,
            by_critical: vec![vec![0.0; settings.len()]; CRITICAL_STRATA],
            by_time: vec![vec![0.0; settings.len()]; TIME_DRAWS],
            settings,
            ln_critical,
            ln_times,
            least: 0.0,
        };
        let (mut by_time, mut by_critical) =
            (std::mem::take(&mut crossed.by_time), std::mem::take(&mut crossed.by_critical));
        let criticals: Vec<f64> = crossed.ln_critical.iter().map(|ln| ln.exp()).collect();
        let mut regret = vec![];
        for (row, over_critical) in crossed.ln_times.iter().zip(&mut by_time) {
            let seconds: Vec<f64> = row.iter().map(|ln| scene.relative(*ln)).collect();
            for (critical, over_times) in criticals.iter().zip(&mut by_critical) {
                regrets_into(problem.objective, &crossed.settings, &seconds, *critical, &mut regret);
                for ((r, a), b) in regret.iter().zip(over_critical.iter_mut()).zip(over_times.iter_mut()) {
                    *a += r / CRITICAL_STRATA as f64;
                    *b += r / TIME_DRAWS as f64;
                }
            }
        }
        crossed.least = lowest(&mean(&by_critical, &[]));
        (crossed.by_time, crossed.by_critical) = (by_time, by_critical);
        crossed
    }

    /// Mean regrets of `settings` over `criticals` and the rows of `ln_seconds`.
    pub(super) fn mean_regrets(
        &self,
        settings: &[Setting],
        ln_seconds: impl Iterator<Item = Vec<f64>>,
        criticals: &[f64],
    ) -> Vec<f64> {
        let mut total = vec![0.0; settings.len()];
        let (mut regret, mut n) = (vec![], 0.0);
        for row in ln_seconds {
            let seconds: Vec<f64> = row.iter().map(|ln| self.scene.relative(*ln)).collect();
            for critical in criticals {
                n += 1.0;
                regrets_into(self.scene.problem.objective, settings, &seconds, *critical, &mut regret);
                total.iter_mut().zip(&regret).for_each(|(t, r)| *t += r);
            }
        }
        total.iter_mut().for_each(|t| *t /= n);
        total
    }
}

/// The draws of ln seconds at every setting of the scene.
pub(super) fn time_draws(scene: &Scene<'_>) -> Vec<Vec<f64>> {
    let Scene { problem, clock, settings, middle, .. } = scene;
    let mut source = Draws::new(problem.seed, STREAM);
    clock.spread(TIME_DRAWS, settings, problem.devices.as_ref(), middle, &mut source)
}

/// Middles of n equally likely strata.
pub(super) fn strata(n: usize) -> impl Iterator<Item = f64> {
    (0..n).map(move |k| (k as f64 + 0.5) / n as f64)
}

/// Weighted mean of the rows; equal weights where none are given.
pub(super) fn mean(rows: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; rows.first().map_or(0, Vec::len)];
    let mut total = 0.0;
    for (k, row) in rows.iter().enumerate() {
        let weight = weights.get(k).copied().unwrap_or(1.0);
        if weight < NO_WEIGHT {
            continue;
        }
        total += weight;
        sums.iter_mut().zip(row).for_each(|(s, r)| *s += weight * r);
    }
    sums.iter_mut().for_each(|s| *s /= total);
    sums
}

pub(super) fn lowest(values: &[f64]) -> f64 {
    values.iter().copied().min_by(f64::total_cmp).unwrap_or(0.0)
}
