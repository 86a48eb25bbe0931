//! What it is worth to know B_c better.

use super::super::answer::in_words;
use super::super::sample::least;
use super::crossed::{Crossed, lowest, mean, strata};
use super::{MORE, Measurement, Worth};
use crate::critical::CriticalSource;
use crate::fieller::student_t_quantile;

/// ln standard error that a sweep over batch sizes is planned to bring: B_c to ±20 %.
const SWEEP_ERROR: f64 = 0.2;

/// A sweep is most telling on a grid this many times below and above B_c (theory §3.2).
const SWEEP_REACH: f64 = 8.0;

const ERROR_STRATA: usize = 8;

/// B_c that stands for an infinite one.
const INFINITE: f64 = 1e200;

impl Crossed<'_> {
    pub(super) fn about_critical(&self) -> Vec<Worth> {
        let belief = &self.scene.problem.critical;
        let known: f64 = self.by_critical.iter().map(|row| lowest(row)).sum();
        let known = (self.least - known / self.by_critical.len() as f64).max(0.0);
        let open = belief.lower_bound_only.then(|| self.if_infinite().max(known));
        let mut all = vec![];
        if let CriticalSource::NoiseScale { task } = belief.source {
            let words =
                "Measure the gradient noise four times as often: that halves the error of the noise scale.";
            let (value, upper_limit) = match open {
                Some(open) => (open, open),
                None => self.noise_scale(task.prior().ln_sd.powi(2)),
            };
            all.push(Worth::of(Measurement::NoiseScale, value, upper_limit, words.to_owned()));
        }
        let words = format!(
            "Train to a target loss at batch sizes between {} and {}: that brings the critical batch to about 20 %.",
            in_words((belief.median / SWEEP_REACH).max(1.0)),
            in_words((belief.median * SWEEP_REACH).clamp(2.0, f64::MAX))
        );
        let sweep = open.unwrap_or_else(|| self.seen_to(SWEEP_ERROR).min(known));
        all.push(Worth::of(Measurement::Sweep, sweep, open.unwrap_or(known), words));
        all
    }

    /// Value of a noise scale with half its error, and of one without error; the prior's variance stays.
    fn noise_scale(&self, prior: f64) -> (f64, f64) {
        let whole = self.scene.problem.critical.ln_sd.powi(2);
        let sampling = (whole - prior).max(0.0);
        // A normal measurement of ln B_c that leaves the variance `rest` of `whole` has this error variance.
        let seen = |rest: f64| {
            let gone = whole - rest;
            if gone <= 1e-9 * whole { 0.0 } else { self.seen_to((whole * rest / gone).sqrt()) }
        };
        let limit = seen(prior);
        (seen(prior + sampling / MORE).min(limit), limit)
    }

    /// Value of seeing ln B_c with a normal error of this standard deviation.
    fn seen_to(&self, error: f64) -> f64 {
        let scores: Vec<f64> = strata(ERROR_STRATA).map(|p| student_t_quantile(p, f64::INFINITY)).collect();
        let mut after = 0.0;
        let mut weights = vec![];
        for truth in &self.ln_critical {
            for score in &scores {
                let seen = truth + error * score;
                let distance = |x: &f64| (x - seen).powi(2);
                let nearest = self.ln_critical.iter().map(distance).min_by(f64::total_cmp).unwrap_or(0.0);
                // The nearest stratum has weight 1 whatever the error, so that the weights never vanish together.
                let weight = |x: &f64| {
                    let further = distance(x) - nearest;
                    if further <= 0.0 { 1.0 } else { (-further / (2.0 * error * error)).exp() }
                };
                weights.clear();
                weights.extend(self.ln_critical.iter().map(weight));
                after += lowest(&mean(&self.by_critical, &weights));
            }
        }
        (self.least - after / (self.ln_critical.len() * ERROR_STRATA) as f64).max(0.0)
    }

    /// Regret of today's best batch, if B_c were infinite.
    fn if_infinite(&self) -> f64 {
        let best = least(&mean(&self.by_critical, &[]));
        self.mean_regrets(&self.settings, self.ln_times.iter().cloned(), &[INFINITE])[best]
    }
}
