//! The time of a step as a function of the batch size: sum, maximum or overlap of overhead and work.
//!
//! Theory §7 and §8.1.

use serde::{Deserialize, Serialize};

use crate::robust::{HUBER, MAD_TO_SD, huber, mad, median};
use crate::search::golden;

pub use crate::time_curve::TimeCurve;

/// The measured time of a step at one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimePoint {
    /// Batch size in examples, above 0.
    pub batch: f64,
    /// Median seconds of a step, above 0.
    pub seconds: f64,
    /// Standard error of that median, in seconds, at least 0 (0: not known).
    pub spread: f64,
}

/// How the overhead a and the work cB of a step join.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TimeModel {
    /// a + cB: one after the other.
    Sum,
    /// max(a, cB): perfect overlap, a pure roofline.
    Max,
    /// (a^γ + (cB)^γ)^(1/γ): between the two (Qiao et al. 2021, Pollux).
    Overlap {
        /// γ in [1, 10].
        gamma: f64,
    },
}

/// A fitted time of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeFit {
    /// The model of the smallest BIC (an overlap only where it wins by 6).
    pub model: TimeModel,
    /// a: seconds that do not depend on the batch, at least 0.
    pub overhead_seconds: f64,
    /// c: seconds per example, at least 0.
    pub seconds_per_example: f64,
    /// Largest |relative residual|: above 0.10 the model should be rejected and the measured curve used.
    pub misfit: f64,
    /// Root mean square of the relative residuals.
    pub rms_misfit: f64,
    /// (model, BIC), smaller is better: `sum`, `max` and, from 5 batch sizes on, `overlap`.
    pub bic: Vec<(String, f64)>,
    /// Smallest and largest batch size measured.
    pub tested: (f64, f64),
}

/// Why the time of a step could not be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TimeError {
    /// Too few distinct batch sizes.
    #[error("{found} distinct batch sizes were timed, at least {needed} are needed")]
    TooFewBatches {
        /// How many there were.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// A point that is no measurement.
    #[error(
        "time point {index} has batch {batch}, {seconds} s and spread {spread} s; batch and seconds must be finite \
         and above 0, the spread at least 0"
    )]
    BadPoint {
        /// Position in the slice.
        index: usize,
        /// The batch found.
        batch: f64,
        /// The seconds found.
        seconds: f64,
        /// The spread found.
        spread: f64,
    },
}

impl TimeModel {
    /// The exponent that stands for the model: 1 for the sum, +∞ for the maximum.
    fn gamma(self) -> f64 {
        match self {
            Self::Sum => 1.0,
            Self::Max => f64::INFINITY,
            Self::Overlap { gamma } => gamma,
        }
    }

    /// Joins overhead and work, both in seconds.
    #[must_use]
    pub fn join(self, overhead: f64, work: f64) -> f64 {
        let (large, small) = (overhead.max(work), overhead.min(work));
        match self {
            Self::Sum => large + small,
            Self::Max => large,
            Self::Overlap { .. } if large <= 0.0 => large,
            // Dividing by the larger part keeps high powers in range.
            Self::Overlap { gamma } => large * (1.0 + (small / large).powf(gamma)).powf(1.0 / gamma),
        }
    }
}

impl TimeFit {
    /// Fitted seconds of a step at `batch` examples; a negative batch counts as 0.
    #[must_use]
    pub fn seconds(&self, batch: f64) -> f64 {
        self.model.join(self.overhead_seconds, self.seconds_per_example * batch.max(0.0))
    }

    /// The efficiency knee: the batch at which examples/s reach the share `efficiency` (in (0, 1)) of their limit 1/c.
    ///
    /// (a/c)·η/(1−η^γ)^(1/γ): (a/c)·η/(1−η) for the sum, ηa/c for the maximum (theory §7). +∞ where no batch reaches
    /// it (no work seen, or η ≥ 1 but for the maximum); check before storing it.
    #[must_use]
    pub fn knee(&self, efficiency: f64) -> f64 {
        let share = if efficiency.is_nan() { 0.0 } else { efficiency.max(0.0) };
        if self.overhead_seconds <= 0.0 || share == 0.0 {
            return 0.0;
        }
        let gamma = self.model.gamma();
        let factor = if share > 1.0 || (share == 1.0 && gamma.is_finite()) {
            return f64::INFINITY;
        } else if gamma.is_finite() {
            share / (1.0 - share.powf(gamma)).powf(1.0 / gamma)
        } else {
            share
        };
        self.overhead_seconds / self.seconds_per_example * factor
    }

    /// Whether both regimes were sampled, so that the way they join is known: batches from half of a/c to twice it.
    #[must_use]
    pub fn shape_identified(&self) -> bool {
        let ridge = self.overhead_seconds / self.seconds_per_example;
        ridge.is_finite() && self.tested.0 <= ridge / 2.0 && self.tested.1 >= 2.0 * ridge
    }
}

/// An overlap must beat the two-parameter models by this much BIC: strong evidence (Kass & Raftery 1995).
const STRONG_EVIDENCE: f64 = 6.0;

/// Relative errors below this are timer resolution, not information.
const ERROR_FLOOR: f64 = 0.005;

/// Fits the three models with a, c ≥ 0 and picks one by BIC.
///
/// Residuals are relative (logarithms of fitted over measured), weighted by the points' standard errors joined with
/// the scatter about the model, under Huber's loss, whose scale is the MAD of a first, least-absolute fit: a wild
/// point in ten moves a and c little (but at an end of the range, where one point alone shows the overhead or the
/// work, nothing can). Points at one batch are joined by their median.
///
/// # Errors
/// A point that is no measurement; fewer than 3 distinct batch sizes.
pub fn fit_time(points: &[TimePoint]) -> Result<TimeFit, TimeError> {
    let points = distinct(points, 3)?;
    let n = points.len() as f64;
    let floor = points.iter().map(|p| relative(p).powi(2)).sum::<f64>() / n + 1e-12;
    // The scatter that all models are judged by must be one number, or a poor model excuses itself.
    let mut gammas = vec![1.0, f64::INFINITY];
    if points.len() >= 5 {
        gammas.extend([1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.5, 7.5, 10.0]);
    }
    let scatter =
        gammas.iter().map(|&g| first_scatter(&points, g)).fold(f64::INFINITY, f64::min).max(ERROR_FLOOR);
    let loss = |gamma: f64| best_ridge(&points, model_of(gamma), Loss::Huber { scatter });
    let bic = |cost: f64, parameters: f64| {
        n * (cost / n * scatter * scatter + floor * 0.01).ln() + parameters * n.ln()
    };
    let (sum, max) = (loss(1.0), loss(f64::INFINITY));
    let mut scores = vec![("sum".to_owned(), bic(sum.cost, 2.0)), ("max".to_owned(), bic(max.cost, 2.0))];
    let (mut chosen, mut model) =
        if scores[0].1 <= scores[1].1 { (sum, TimeModel::Sum) } else { (max, TimeModel::Max) };
    if points.len() >= 5 {
        let (gamma, overlap) = best_gamma(&gammas[2..], loss);
        let score = bic(overlap.cost, 3.0);
        if score + STRONG_EVIDENCE < scores[0].1.min(scores[1].1) {
            (chosen, model) = (overlap, TimeModel::Overlap { gamma });
        }
        scores.push(("overlap".to_owned(), score));
    }
    let mut fit = TimeFit {
        model,
        overhead_seconds: chosen.overhead,
        seconds_per_example: chosen.per_example,
        misfit: 0.0,
        rms_misfit: 0.0,
        bic: scores,
        tested: (points[0].batch, points[points.len() - 1].batch),
    };
    let residuals: Vec<f64> = points.iter().map(|p| fit.seconds(p.batch) / p.seconds - 1.0).collect();
    fit.misfit = residuals.iter().fold(0.0, |m, r| r.abs().max(m));
    fit.rms_misfit = (residuals.iter().map(|r| r * r).sum::<f64>() / n).sqrt();
    Ok(fit)
}

/// Median and its standard error from repeated timings: 1.4826·MAD·1.2533/√n (theory §7).
///
/// Values that are not finite are left out; `None` if none is left. One value has the standard error 0, which says
/// "not known".
#[must_use]
pub fn robust_median(samples: &[f64]) -> Option<(f64, f64)> {
    let kept: Vec<f64> = samples.iter().copied().filter(|s| s.is_finite()).collect();
    let centre = median(&kept)?;
    let spread = MAD_TO_SD * mad(&kept, centre)? * 1.2533 / (kept.len() as f64).sqrt();
    Some((centre, spread))
}

/// Checked points, one per batch size, ascending.
pub(crate) fn distinct(points: &[TimePoint], needed: usize) -> Result<Vec<TimePoint>, TimeError> {
    for (index, &TimePoint { batch, seconds, spread }) in points.iter().enumerate() {
        let good = batch.is_finite() && seconds.is_finite() && spread.is_finite();
        if !(good && batch > 0.0 && seconds > 0.0 && spread >= 0.0) {
            return Err(TimeError::BadPoint { index, batch, seconds, spread });
        }
    }
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.batch.total_cmp(&b.batch).then(a.seconds.total_cmp(&b.seconds)));
    let joined: Vec<TimePoint> = sorted
        .chunk_by(|a, b| a.batch == b.batch)
        .map(|same| {
            let of = |f: fn(&TimePoint) -> f64| {
                median(&same.iter().map(f).collect::<Vec<_>>()).unwrap_or(f(&same[0]))
            };
            TimePoint { batch: same[0].batch, seconds: of(|p| p.seconds), spread: of(|p| p.spread) }
        })
        .collect();
    if joined.len() < needed {
        return Err(TimeError::TooFewBatches { found: joined.len(), needed });
    }
    Ok(joined)
}

/// One model's best fit.
#[derive(Clone, Copy)]
struct Candidate {
    overhead: f64,
    per_example: f64,
    cost: f64,
}

#[derive(Clone, Copy)]
enum Loss {
    Absolute,
    /// `scatter` is a relative standard deviation.
    Huber {
        scatter: f64,
    },
}

fn relative(point: &TimePoint) -> f64 {
    (point.spread / point.seconds).clamp(ERROR_FLOOR, 1.0)
}

fn model_of(gamma: f64) -> TimeModel {
    if gamma == 1.0 {
        TimeModel::Sum
    } else if gamma.is_infinite() {
        TimeModel::Max
    } else {
        TimeModel::Overlap { gamma }
    }
}

/// Robust relative scatter about the least-absolute fit of one model.
fn first_scatter(points: &[TimePoint], gamma: f64) -> f64 {
    let model = model_of(gamma);
    let fit = best_ridge(points, model, Loss::Absolute);
    let residuals: Vec<f64> = points
        .iter()
        .map(|p| (model.join(fit.overhead, fit.per_example * p.batch) / p.seconds).ln().abs())
        .collect();
    median(&residuals).map_or(f64::INFINITY, |m| MAD_TO_SD * m)
}

/// Best γ: the grid, then golden section between the neighbours of its best.
fn best_gamma(grid: &[f64], loss: impl Fn(f64) -> Candidate) -> (f64, Candidate) {
    let at = (0..grid.len()).min_by(|&i, &j| loss(grid[i]).cost.total_cmp(&loss(grid[j]).cost)).unwrap_or(0);
    let low = if at == 0 { 1.0 } else { grid[at - 1] };
    let high = grid[(at + 1).min(grid.len() - 1)];
    let gamma = golden(low.ln(), high.ln(), 25, |g| loss(g.exp()).cost).exp();
    let (fine, coarse) = (loss(gamma), loss(grid[at]));
    if fine.cost <= coarse.cost { (gamma, fine) } else { (grid[at], coarse) }
}

/// Best a and c of one model: with the ridge k=a/c fixed the logarithm of c is a robust mean, so only k is searched.
fn best_ridge(points: &[TimePoint], model: TimeModel, loss: Loss) -> Candidate {
    // Beyond these ends the overhead, or the work, is under a thousandth of the rest at every point.
    let (low, high) = ((points[0].batch / 1e3).ln(), (points[points.len() - 1].batch * 1e3).ln());
    let at = |ridge: f64| located(points, model, ridge, 1.0, loss);
    let steps = 48;
    let place = |i: usize| low + (high - low) * i as f64 / steps as f64;
    let best =
        (0..=steps).min_by(|&i, &j| at(place(i).exp()).cost.total_cmp(&at(place(j).exp()).cost)).unwrap_or(0);
    let fine = golden(place(best.saturating_sub(1)), place((best + 1).min(steps)), 40, |r| at(r.exp()).cost);
    let ends = [located(points, model, 0.0, 1.0, loss), located(points, model, 1.0, 0.0, loss)];
    // Strictly better only: a zero overhead or zero work wins ties.
    ends.into_iter().fold(at(fine.exp()), |best, end| if end.cost <= best.cost { end } else { best })
}

/// Robust location of ln(t/h) for the shape h = join(`overhead`, `work`·B).
fn located(points: &[TimePoint], model: TimeModel, overhead: f64, work: f64, loss: Loss) -> Candidate {
    let logs: Vec<f64> =
        points.iter().map(|p| (p.seconds / model.join(overhead, work * p.batch)).ln()).collect();
    let mut centre = median(&logs).unwrap_or(0.0);
    let cost = match loss {
        Loss::Absolute => logs.iter().map(|l| (l - centre).abs()).sum(),
        Loss::Huber { scatter } => {
            // Squared weights: a point's own error joined with the common scatter, in units of the scatter.
            let sd: Vec<f64> = points.iter().map(|p| (relative(p) / scatter).hypot(1.0)).collect();
            for _ in 0..15 {
                let (mut top, mut bottom) = (0.0, 0.0);
                for (l, s) in logs.iter().zip(&sd) {
                    let z = ((l - centre) / (scatter * s)).abs();
                    let weight = if z <= HUBER { 1.0 } else { HUBER / z } / (s * s);
                    top += weight * l;
                    bottom += weight;
                }
                centre = top / bottom;
            }
            logs.iter().zip(&sd).map(|(l, s)| huber((l - centre) / (scatter * s))).sum()
        }
    };
    let scale = centre.exp();
    Candidate { overhead: overhead * scale, per_example: work * scale, cost }
}
