//! Fits of the three models in which overhead and work join.

use super::linear::{self, Row};
use super::model::{TimeFit, TimeModel};
use super::points::{ERROR_FLOOR, TimeError, TimePoint, distinct, relative};
use crate::robust::{HUBER, MAD_TO_SD, huber, median};
use crate::search::golden;

/// A richer model must beat the two-parameter ones by this much BIC: strong evidence (Kass & Raftery 1995).
pub(super) const STRONG_EVIDENCE: f64 = 6.0;

/// Batch sizes from which an overlap is tried: one more than its small-sample penalty needs.
pub(super) const OVERLAP_FROM: usize = 6;

/// Exponents at which an overlap is first tried.
const GAMMAS: [f64; 9] = [1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.5, 7.5, 10.0];

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
    let judge = Judge::of(&points);
    Ok(join(&points, &judge).0)
}

/// The best of the three models, and all of them with the number of their parameters and their BIC.
pub(super) fn join(points: &[TimePoint], judge: &Judge) -> (TimeFit, Vec<(TimeFit, usize, f64)>) {
    let (sum, max) = (best_at(points, 1.0, judge), best_ridge(points, TimeModel::Max, Loss::Huber(judge)));
    let mut fits: Vec<(TimeFit, usize, f64)> = [(TimeModel::Sum, sum), (TimeModel::Max, max)]
        .map(|(model, found)| (plain(points, model, &found), 2, judge.bic(found.cost, 2)))
        .to_vec();
    let simple = usize::from(fits[1].2 < fits[0].2);
    let mut chosen = simple;
    if points.len() >= OVERLAP_FROM {
        let (gamma, found) = best_gamma(points, judge);
        let score = judge.bic(found.cost, 3);
        if score + STRONG_EVIDENCE < fits[simple].2 {
            chosen = 2;
        }
        fits.push((plain(points, TimeModel::Overlap { gamma }, &found), 3, score));
    }
    let names = ["sum", "max", "overlap"];
    let bic: Vec<_> = names.iter().zip(&fits).map(|(name, fit)| ((*name).to_owned(), fit.2)).collect();
    fits.iter_mut().for_each(|fit| fit.0.bic.clone_from(&bic));
    (fits[chosen].0.clone(), fits)
}

/// What all models are judged by: one scatter, or a poor model would excuse itself.
pub(super) struct Judge {
    /// Common relative standard deviation.
    pub(super) scatter: f64,
    /// Per point: its own error joined with the common scatter, a relative standard deviation.
    pub(super) sd: Vec<f64>,
    /// Mean square of the points' own relative errors.
    floor: f64,
}

impl Judge {
    /// The smallest robust scatter about any of the three models.
    pub(super) fn of(points: &[TimePoint]) -> Self {
        let mut gammas = vec![1.0, f64::INFINITY];
        if points.len() >= OVERLAP_FROM {
            gammas.extend(GAMMAS);
        }
        let scatter = gammas.iter().map(|&g| first_scatter(points, g)).fold(f64::INFINITY, f64::min);
        Self::with(points, scatter)
    }

    /// The judge of a given scatter.
    pub(super) fn with(points: &[TimePoint], scatter: f64) -> Self {
        let scatter = if scatter.is_finite() { scatter.max(ERROR_FLOOR) } else { 1.0 };
        let floor = points.iter().map(|p| relative(p).powi(2)).sum::<f64>() / points.len() as f64;
        Self { scatter, sd: points.iter().map(|p| relative(p).hypot(scatter)).collect(), floor }
    }

    /// n·ln(mean square residual) and [`penalty`], of a sum of Huber's losses.
    pub(super) fn bic(&self, cost: f64, parameters: usize) -> f64 {
        let n = self.sd.len();
        let mean_square = cost / n as f64 * self.scatter * self.scatter;
        // A hundredth of the known error keeps the logarithm of a perfect fit finite.
        n as f64 * (mean_square + self.floor * 0.01).ln() + penalty(n, parameters)
    }
}

/// What a model of k parameters pays at n points: k·ln n·n/(n−k−2), the criterion of Schwarz (1978) with the
/// small-sample correction of McQuarrie (1999); k·ln n where n ≤ k+2, where no models of different k are compared.
pub(super) fn penalty(n: usize, parameters: usize) -> f64 {
    let plain = parameters as f64 * (n as f64).ln();
    match n.checked_sub(parameters + 2) {
        None | Some(0) => plain,
        Some(rest) => plain * n as f64 / rest as f64,
    }
}

/// A fit with its residuals, the list of BIC still empty.
pub(super) fn plain(points: &[TimePoint], model: TimeModel, found: &Candidate) -> TimeFit {
    let mut fit = TimeFit {
        model,
        overhead_seconds: found.overhead,
        seconds_per_example: found.per_example,
        misfit: 0.0,
        rms_misfit: 0.0,
        bic: Vec::new(),
        tested: (points[0].batch, points[points.len() - 1].batch),
    };
    let residuals: Vec<f64> = points.iter().map(|p| fit.seconds(p.batch) / p.seconds - 1.0).collect();
    fit.misfit = residuals.iter().fold(0.0, |m, r| r.abs().max(m));
    fit.rms_misfit = (residuals.iter().map(|r| r * r).sum::<f64>() / points.len() as f64).sqrt();
    fit
}

/// One model's best fit.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) overhead: f64,
    pub(super) per_example: f64,
    pub(super) cost: f64,
}

#[derive(Clone, Copy)]
pub(super) enum Loss<'a> {
    Absolute,
    Huber(&'a Judge),
}

/// Robust relative scatter about the least-absolute fit of one model.
fn first_scatter(points: &[TimePoint], gamma: f64) -> f64 {
    let model = TimeModel::of(gamma);
    let fit = best_ridge(points, model, Loss::Absolute);
    let residuals: Vec<f64> = points
        .iter()
        .map(|p| (model.join(fit.overhead, fit.per_example * p.batch) / p.seconds).ln().abs())
        .collect();
    median(&residuals).map_or(f64::INFINITY, |m| MAD_TO_SD * m)
}

/// Best γ of the overlap: a grid, then golden section between the neighbours of its best.
pub(super) fn best_gamma(points: &[TimePoint], judge: &Judge) -> (f64, Candidate) {
    let at = |gamma: f64| best_at(points, gamma, judge);
    let best =
        (0..GAMMAS.len()).min_by(|&i, &j| at(GAMMAS[i]).cost.total_cmp(&at(GAMMAS[j]).cost)).unwrap_or(0);
    let low = if best == 0 { 1.0 } else { GAMMAS[best - 1] };
    let high = GAMMAS[(best + 1).min(GAMMAS.len() - 1)];
    let gamma = golden(low.ln(), high.ln(), 18, |g| at(g.exp()).cost).exp();
    // Strictly better only between the ends, so that a γ of 1 or 10 says so.
    [GAMMAS[best], 1.0].into_iter().fold((gamma, at(gamma)), |(gamma, fit), other| {
        let rival = at(other);
        if rival.cost <= fit.cost { (other, rival) } else { (gamma, fit) }
    })
}

/// Best a and c of the overlap of a given γ: t^γ = a^γ + c^γ·B^γ is linear in its powers.
pub(super) fn best_at(points: &[TimePoint], gamma: f64, judge: &Judge) -> Candidate {
    let unit = (points[0].seconds, points[points.len() - 1].batch);
    let rows: Vec<Row> = points.iter().map(|p| [1.0, (p.batch / unit.1).powf(gamma), 0.0]).collect();
    let seconds: Vec<f64> = points.iter().map(|p| (p.seconds / unit.0).powf(gamma)).collect();
    let in_range = |v: &f64| (1e-60..=1e60).contains(v);
    let sd: Vec<f64> = judge.sd.iter().map(|s| s * gamma).collect();
    let linear = seconds.iter().chain(rows.iter().map(|r| &r[1])).all(in_range);
    match if linear { linear::fit(&rows, &seconds, &sd) } else { None } {
        Some(found) => {
            let root = |k: f64| k.powf(1.0 / gamma) * unit.0;
            Candidate {
                overhead: root(found.coefficients[0]),
                per_example: root(found.coefficients[1]) / unit.1,
                cost: found.cost,
            }
        }
        // Powers out of range: the slower search divides by the larger part.
        None => best_ridge(points, TimeModel::of(gamma), Loss::Huber(judge)),
    }
}

/// Best a and c of one model: with the ridge k=a/c fixed the logarithm of c is a robust mean, so only k is searched.
pub(super) fn best_ridge(points: &[TimePoint], model: TimeModel, loss: Loss<'_>) -> Candidate {
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
fn located(points: &[TimePoint], model: TimeModel, overhead: f64, work: f64, loss: Loss<'_>) -> Candidate {
    let logs: Vec<f64> =
        points.iter().map(|p| (p.seconds / model.join(overhead, work * p.batch)).ln()).collect();
    let mut centre = median(&logs).unwrap_or(0.0);
    let cost = match loss {
        Loss::Absolute => logs.iter().map(|l| (l - centre).abs()).sum(),
        Loss::Huber(judge) => {
            for _ in 0..15 {
                let (mut top, mut bottom) = (0.0, 0.0);
                for (l, s) in logs.iter().zip(&judge.sd) {
                    let z = ((l - centre) / s).abs();
                    let weight = if z <= HUBER { 1.0 } else { HUBER / z } / (s * s);
                    top += weight * l;
                    bottom += weight;
                }
                centre = top / bottom;
            }
            logs.iter().zip(&judge.sd).map(|(l, s)| huber((l - centre) / s)).sum()
        }
    };
    let scale = centre.exp();
    Candidate { overhead: overhead * scale, per_example: work * scale, cost }
}
