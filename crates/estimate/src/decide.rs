//! The batch size to train with: the smallest whose expected regret in time to target is hardly more than the least.

use serde::{Deserialize, Serialize};

use crate::critical::CriticalBatch;
use crate::fieller::student_t_quantile;
use crate::random::Draws;
use crate::robust::quantile_of_sorted;
use crate::time::{TimePoint, fit_time};

/// A batch size that may be chosen (it fits the memory), and the time of a step there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Batch size in examples, above 0.
    pub batch: u64,
    /// Seconds of a step, finite and above 0.
    pub seconds: f64,
    /// Relative standard error of these seconds, in [0, 1].
    pub relative_error: f64,
}

/// The chosen batch size and how much worse the others are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The recommended batch size.
    pub batch_size: u64,
    /// Smallest and largest batch size within [`EQUIVALENT`] of the least expected regret.
    pub equivalent: (u64, u64),
    /// (batch, expected regret E[T/min T]−1), ascending in the batch.
    pub regrets: Vec<(u64, f64)>,
    /// (batch, share of the draws in which it has the least time to target), ascending in the batch.
    pub probability_best: Vec<(u64, f64)>,
    /// Candidate with the least time to target at the median of every belief; nothing above it is recommended.
    pub time_optimal: u64,
}

/// Time to target of one candidate relative to the least median over the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimeBand {
    /// Batch size.
    pub batch: u64,
    /// Median over the draws, at least 1.
    pub median: f64,
    /// 5 % quantile.
    pub low: f64,
    /// 95 % quantile.
    pub high: f64,
}

/// Why no batch size could be chosen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecideError {
    /// Nothing to choose from.
    #[error("no candidate batch size")]
    NoCandidates,
    /// A candidate that is no measurement.
    #[error(
        "candidate {index} has batch {batch}, {seconds} s and relative error {relative_error}; the batch and the \
         seconds must be above 0, the error between 0 and 1"
    )]
    BadCandidate {
        /// Position in the slice.
        index: usize,
        /// The batch found.
        batch: u64,
        /// The seconds found.
        seconds: f64,
        /// The relative error found.
        relative_error: f64,
    },
    /// Two candidates with one batch size.
    #[error("batch size {batch} is a candidate twice")]
    Duplicate {
        /// The batch size.
        batch: u64,
    },
    /// A belief with a median or a spread out of range.
    #[error(
        "the critical batch has median {median} and ln sd {ln_sd}; finite numbers above 0, and at least 0, are needed"
    )]
    BadCritical {
        /// The median found.
        median: f64,
        /// The scale found.
        ln_sd: f64,
    },
    /// No draw, no expectation.
    #[error("0 draws were asked for, about 1000 are needed")]
    NoDraws,
}

/// Batch sizes whose expected regret exceeds the least by at most this count as equivalent (theory §8.2, step 4).
pub const EQUIVALENT: f64 = 0.05;

/// Departures of the times from the fitted model up to this size (rms) are taken for noise of the machine.
const MODEL_TRUST: f64 = 0.05;

/// Chooses by expected regret (theory §8.2, step 4).
///
/// T(B) = t(B)(1+B_c/B) is drawn `n_draws` times: B_c from its belief (equal-probability strata of ln B_c, with the t
/// tails of its source), the times from their errors; every candidate sees the same draws. The regret of B in a draw is
/// T(B)/min T − 1. Chosen is the *smallest* batch whose mean regret is within 0.05 of the least, because smaller ones
/// need fewer examples and are more robust, and never one above the time-optimal batch, beyond which both time and
/// examples grow (§8.1).
///
/// To give the same answer on a noisy machine, the times are first drawn towards the model of [`fit_time`] (from 3
/// candidates on): wholly while its misfit is explained by the points' errors or is under 5 % rms, then ever less, so
/// that a device that no model describes is judged by its own times. Equal arguments give equal answers.
///
/// With a belief about a lower bound of B_c the choice is for that bound: larger batches may be better still.
///
/// # Errors
/// No candidate, a candidate or belief out of range, a batch twice, or no draws.
pub fn decide(
    candidates: &[Candidate],
    critical: &CriticalBatch,
    n_draws: usize,
    seed: u64,
) -> Result<Decision, DecideError> {
    let field = Field::of(candidates, critical, n_draws)?;
    let n = field.batches.len();
    let (mut regret, mut best) = (vec![0.0; n], vec![0usize; n]);
    for times in field.draws(critical, n_draws, seed) {
        let fastest = least(&times);
        best[fastest] += 1;
        for (sum, time) in regret.iter_mut().zip(&times) {
            *sum += (time / times[fastest] - 1.0) / n_draws as f64;
        }
    }
    let limit = regret[least(&regret)] + EQUIVALENT;
    let middle: Vec<f64> = (0..n).map(|i| field.time(i, field.ln_seconds[i], critical.median)).collect();
    let time_optimal = least(&middle);
    let smallest = regret.iter().position(|r| *r <= limit).unwrap_or(0);
    let largest = regret.iter().rposition(|r| *r <= limit).unwrap_or(n - 1);
    Ok(Decision {
        batch_size: field.batches[smallest.min(time_optimal)],
        equivalent: (field.batches[smallest], field.batches[largest]),
        regrets: field.batches.iter().copied().zip(regret).collect(),
        probability_best: field
            .batches
            .iter()
            .zip(best)
            .map(|(b, k)| (*b, k as f64 / n_draws as f64))
            .collect(),
        time_optimal: field.batches[time_optimal],
    })
}

/// Per candidate, ascending in the batch: median and 90 % band of T(B) over the least median, for plotting. The draws
/// are those of [`decide`] with the same arguments.
///
/// # Errors
/// As [`decide`].
pub fn time_to_target_band(
    candidates: &[Candidate],
    critical: &CriticalBatch,
    n_draws: usize,
    seed: u64,
) -> Result<Vec<TimeBand>, DecideError> {
    let field = Field::of(candidates, critical, n_draws)?;
    let mut columns = vec![Vec::with_capacity(n_draws); field.batches.len()];
    for times in field.draws(critical, n_draws, seed) {
        for (column, time) in columns.iter_mut().zip(times) {
            column.push(time);
        }
    }
    columns.iter_mut().for_each(|c| c.sort_by(f64::total_cmp));
    let at = |i: usize, p: f64| quantile_of_sorted(&columns[i], p).unwrap_or(0.0);
    let unit = (0..columns.len()).map(|i| at(i, 0.5)).fold(f64::INFINITY, f64::min);
    let band = |(i, batch): (usize, &u64)| TimeBand {
        batch: *batch,
        median: at(i, 0.5) / unit,
        low: at(i, 0.05) / unit,
        high: at(i, 0.95) / unit,
    };
    Ok(field.batches.iter().enumerate().map(band).collect())
}

/// Batch of the least time to target where t = a + cB: √(a·B_c/c) (theory §8.1). NaN or ∞ where the arguments give no
/// finite answer (c = 0).
#[must_use]
pub fn time_optimal_batch(overhead: f64, per_example: f64, critical: f64) -> f64 {
    (overhead * critical / per_example).sqrt()
}

/// Time to target up to the factor S_min: t(B)(1+B_c/B) (theory §8.1), in seconds per S_min steps.
#[must_use]
pub fn time_to_target_relative(seconds: f64, batch: f64, critical: f64) -> f64 {
    seconds * (1.0 + critical / batch)
}

/// The candidates, checked, ascending, with their smoothed times.
struct Field {
    batches: Vec<u64>,
    ln_seconds: Vec<f64>,
    /// Standard error of each ln time that is its own.
    own: Vec<f64>,
    /// Standard error that neighbours share: level and tilt of the fitted curve.
    shared: Vec<f64>,
}

impl Field {
    fn of(candidates: &[Candidate], critical: &CriticalBatch, n_draws: usize) -> Result<Self, DecideError> {
        check(candidates, critical, n_draws)?;
        let mut sorted = candidates.to_vec();
        sorted.sort_by_key(|c| c.batch);
        if let Some(pair) = sorted.windows(2).find(|p| p[0].batch == p[1].batch) {
            return Err(DecideError::Duplicate { batch: pair[0].batch });
        }
        let points: Vec<TimePoint> = sorted
            .iter()
            .map(|c| TimePoint {
                batch: c.batch as f64,
                seconds: c.seconds,
                spread: c.relative_error * c.seconds,
            })
            .collect();
        let mut field = Self {
            batches: sorted.iter().map(|c| c.batch).collect(),
            ln_seconds: sorted.iter().map(|c| c.seconds.ln()).collect(),
            own: sorted.iter().map(|c| c.relative_error).collect(),
            shared: vec![0.0; sorted.len()],
        };
        let Ok(fit) = fit_time(&points) else {
            return Ok(field);
        };
        let n = sorted.len() as f64;
        let noise2 = sorted.iter().map(|c| c.relative_error.powi(2)).sum::<f64>() / n;
        let model2 = (fit.rms_misfit.powi(2) - noise2.max(MODEL_TRUST.powi(2))).max(0.0);
        for (i, c) in sorted.iter().enumerate() {
            let error2 = c.relative_error.powi(2).max(MODEL_TRUST.powi(2));
            // Weight of the measurement against the model: 0 where the model explains everything.
            let weight = model2 / (model2 + error2);
            let modelled = fit.seconds(c.batch as f64).ln();
            field.ln_seconds[i] = modelled + weight * (field.ln_seconds[i] - modelled);
            field.own[i] = weight * c.relative_error;
            field.shared[i] = (1.0 - weight) * c.relative_error * (2.0 / n).sqrt();
        }
        Ok(field)
    }

    /// Time to target of candidate `i`.
    fn time(&self, i: usize, ln_seconds: f64, critical: f64) -> f64 {
        // The largest time is divided out, so that no candidate leaves the range of f64.
        let largest = self.ln_seconds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        time_to_target_relative(
            (ln_seconds - largest).clamp(-600.0, 50.0).exp(),
            self.batches[i] as f64,
            critical,
        )
    }

    /// The times to target of all candidates, draw by draw.
    fn draws<'a>(
        &'a self,
        critical: &'a CriticalBatch,
        n_draws: usize,
        seed: u64,
    ) -> impl Iterator<Item = Vec<f64>> + 'a {
        let mut belief = Draws::new(seed, 0);
        let mut clock = Draws::new(seed, 1);
        let last = (self.batches.len() - 1).max(1) as f64;
        let tails = critical.source.degrees_of_freedom();
        (0..n_draws).map(move |k| {
            let p = (k as f64 + belief.uniform()) / n_draws as f64;
            // 50 scales are far beyond any draw that matters, and e^(50·2.1) is still a number.
            let z = student_t_quantile(p, tails).clamp(-50.0, 50.0);
            let critical_batch =
                (critical.median * (z * critical.ln_sd).clamp(-200.0, 200.0).exp()).min(1e250);
            let (left, right) = (clock.normal(), clock.normal());
            (0..self.batches.len())
                .map(|i| {
                    let share = i as f64 / last;
                    let tilt = (1.0 - share) * left + share * right;
                    let ln_seconds =
                        self.ln_seconds[i] + self.own[i] * clock.normal() + self.shared[i] * tilt;
                    self.time(i, ln_seconds, critical_batch)
                })
                .collect()
        })
    }
}

fn check(candidates: &[Candidate], critical: &CriticalBatch, n_draws: usize) -> Result<(), DecideError> {
    if candidates.is_empty() {
        return Err(DecideError::NoCandidates);
    }
    for (index, &Candidate { batch, seconds, relative_error }) in candidates.iter().enumerate() {
        if batch == 0 || !(seconds.is_finite() && seconds > 0.0) || !(0.0..=1.0).contains(&relative_error) {
            return Err(DecideError::BadCandidate { index, batch, seconds, relative_error });
        }
    }
    let CriticalBatch { median, ln_sd, .. } = *critical;
    if !(median.is_finite() && median > 0.0 && ln_sd.is_finite() && ln_sd >= 0.0) {
        return Err(DecideError::BadCritical { median, ln_sd });
    }
    if n_draws == 0 { Err(DecideError::NoDraws) } else { Ok(()) }
}

/// Index of the least value, the first of equals; 0 for none.
fn least(values: &[f64]) -> usize {
    (0..values.len()).min_by(|&i, &j| values[i].total_cmp(&values[j])).unwrap_or(0)
}
