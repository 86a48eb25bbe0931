//! What it is worth to know the time of a step better.

use super::super::answer::in_words;
use super::super::choose::Choice;
use super::super::clock::Clock;
use super::super::problem::{Problem, TimeBelief, TimeDraw};
use super::super::sample::{Scene, critical_at};
use super::crossed::{Crossed, TIME_DRAWS, lowest, mean, strata};
use super::{MORE, Measurement, WORTHWHILE, Worth};
use crate::fieller::student_t_quantile;
use crate::robust::median;
use crate::time::TimeModel;

/// Strata of B_c where the times are measured again, and of what one time turns out to be.
const COARSE_STRATA: usize = 8;
const OUTCOMES: usize = 16;

/// Candidates whose own times are considered, and the share of draws in which each must be the best.
const CONTESTED: usize = 4;
const CONTENDER: f64 = 0.02;

/// Groups of draws by γ.
const SHAPES: usize = 4;

impl Crossed<'_> {
    pub(super) fn about_times(&self, allowed: &[usize], choice: &Choice) -> Vec<Worth> {
        let known: f64 = self.by_time.iter().map(|row| lowest(row)).sum();
        let known = (self.least - known / TIME_DRAWS as f64).max(0.0);
        let n = self.settings.len();
        let criticals: Vec<f64> =
            strata(COARSE_STRATA).map(|p| critical_at(&self.scene.problem.critical, p)).collect();
        let centre: Vec<f64> =
            (0..n).map(|i| self.ln_times.iter().map(|r| r[i]).sum::<f64>() / TIME_DRAWS as f64).collect();
        let from = |row: &[f64], i: usize| row[i] - centre[i];
        // The share of the variance that four times as much data take: the new mean varies by it, the rest is left.
        let gain = 1.0 - 1.0 / MORE;
        let words = "Time four times as many steps at every candidate.".to_owned();
        if known < WORTHWHILE {
            return vec![Worth::of(Measurement::StepTimes, known, known, words)];
        }
        // What is measured comes from other draws than what stays unknown, so that none is its own evidence.
        let pairs: Vec<&[Vec<f64>]> = self.ln_times.chunks(2).collect();
        let inner: Vec<&Vec<f64>> = pairs.iter().skip(1).step_by(2).copied().flatten().collect();
        let again = |outer: &Vec<f64>| {
            let after =
                |row: &Vec<f64>, i: usize| gain.sqrt() * from(outer, i) + (1.0 - gain).sqrt() * from(row, i);
            let times = inner.iter().map(|row| (0..n).map(|i| centre[i] + after(row, i)).collect());
            self.mean_regrets(&self.settings, times, &criticals)
        };
        let value = fall(&pairs.iter().step_by(4).copied().flatten().map(again).collect::<Vec<_>>());
        let mut all = vec![Worth::of(Measurement::StepTimes, value.min(known), known, words)];
        let covariance = |i: usize, j: usize| {
            self.ln_times.iter().map(|r| from(r, i) * from(r, j)).sum::<f64>() / (TIME_DRAWS - 1) as f64
        };
        let mut contested: Vec<usize> = (0..n)
            .filter(|i| choice.alike.contains(&allowed[*i]) && choice.probability_best[*i] >= CONTENDER)
            .collect();
        contested.sort_by(|&i, &j| choice.probability_best[j].total_cmp(&choice.probability_best[i]));
        for &at in contested.iter().take(CONTESTED) {
            let variance = covariance(at, at);
            if variance <= 0.0 {
                continue;
            }
            let slopes: Vec<f64> = (0..n).map(|i| covariance(i, at) / variance).collect();
            // The part of the time at `at` that is measured away is replaced by what was measured.
            let seen = |p: f64| {
                let learnt = (gain * variance).sqrt() * student_t_quantile(p, f64::INFINITY);
                let moved = |row: &Vec<f64>| learnt + ((1.0 - gain).sqrt() - 1.0) * from(row, at);
                let times = inner.iter().map(|row| (0..n).map(|i| row[i] + slopes[i] * moved(row)).collect());
                self.mean_regrets(&self.settings, times, &criticals)
            };
            let value = fall(&strata(OUTCOMES).map(seen).collect::<Vec<_>>());
            let batch = self.settings[at].batch;
            let words = format!("Time four times as many steps at batch {batch}.");
            all.push(Worth::of(Measurement::StepTime { batch }, value.min(known), known, words));
        }
        all
    }

    /// Value of knowing γ, where the draws of a model differ in it.
    pub(super) fn about_shape(&self) -> Option<Worth> {
        let problem = self.scene.problem;
        let TimeBelief::Model { batches, draws } = &problem.time else {
            return None;
        };
        let groups = by_shape(draws);
        if groups.len() < 2 {
            return None;
        }
        let mut rows = vec![];
        let mut shares = vec![];
        for draws in groups {
            shares.push(draws.len() as f64);
            let time = TimeBelief::Model { batches: batches.clone(), draws };
            let problem = Problem { time, ..problem.clone() };
            let scene = Scene {
                problem: &problem,
                clock: Clock::of(&problem.time),
                settings: self.settings.clone(),
                middle: vec![],
                ln_unit: self.scene.ln_unit,
            };
            let indices: Vec<usize> = (0..self.settings.len()).collect();
            rows.push(mean(&Crossed::of(&scene, &indices).by_critical, &[]));
        }
        let total: f64 = shares.iter().sum();
        let after: f64 = rows.iter().zip(&shares).map(|(row, share)| share / total * lowest(row)).sum();
        let value = lowest(&mean(&rows, &shares)) - after;
        let ridges: Vec<f64> = draws.iter().map(|d| d.overhead_seconds / d.seconds_per_example).collect();
        let near =
            median(&ridges).map_or(String::new(), |ridge| format!(" around batch {}", in_words(ridge)));
        let words = format!(
            "Time steps densely{near}, where overhead and work take equally long: that shows how they overlap."
        );
        Some(Worth::of(Measurement::Shape, value, value, words))
    }
}

/// How far the least expected regret falls by knowing which row holds; the rows are equally likely.
fn fall(rows: &[Vec<f64>]) -> f64 {
    lowest(&mean(rows, &[])) - rows.iter().map(|row| lowest(row)).sum::<f64>() / rows.len() as f64
}

/// The draws in groups of about equal size and ascending γ, equal γ together.
fn by_shape(draws: &[TimeDraw]) -> Vec<Vec<TimeDraw>> {
    let gamma = |d: &TimeDraw| match d.model {
        TimeModel::Sum => 1.0,
        TimeModel::Max => f64::INFINITY,
        TimeModel::Overlap { gamma } => gamma,
    };
    let mut sorted = draws.to_vec();
    sorted.sort_by(|a, b| gamma(a).total_cmp(&gamma(b)));
    let size = sorted.len().div_ceil(SHAPES).max(1);
    let mut groups: Vec<Vec<TimeDraw>> = vec![];
    for same in sorted.chunk_by(|a, b| gamma(a) == gamma(b)) {
        match groups.last_mut() {
            Some(group) if group.len() < size => group.extend(same),
            _ => groups.push(same.to_vec()),
        }
    }
    groups
}
