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

/// Costs that differ by less than this share, or a thousandth of it, are the same.
const TIE: f64 = 1e-9;

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
    let (sum, max) = (best_at(points, 1.0, judge), best_max(points, Loss::Huber(&judge.sd)));
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

/// What a residual costs.
#[derive(Clone, Copy)]
pub(super) enum Loss<'a> {
    Absolute,
    /// Relative standard deviations, by point.
    Huber(&'a [f64]),
}

/// Robust relative scatter about the least-absolute fit of one model.
fn first_scatter(points: &[TimePoint], gamma: f64) -> f64 {
    let model = TimeModel::of(gamma);
    let fit = match model {
        TimeModel::Max => best_max(points, Loss::Absolute),
        _ => best_ridge(points, model, Loss::Absolute),
    };
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

/// [`best_gamma`] where it is known to lie near `gamma`, as after a small change of the times.
pub(super) fn best_gamma_near(points: &[TimePoint], gamma: f64, judge: &Judge) -> (f64, Candidate) {
    let at = |gamma: f64| best_at(points, gamma, judge);
    let (low, high) = ((gamma / 1.6).max(1.0), (gamma * 1.6).min(10.0));
    let found = golden(low.ln(), high.ln(), 10, |g| at(g.exp()).cost).exp();
    // At an end of the bracket the valley lies elsewhere, unless it is an end of the range.
    if (found < low * 1.02 && low > 1.0) || (found > high / 1.02 && high < 10.0) {
        return best_gamma(points, judge);
    }
    let ends = [(low, 1.0), (high, 10.0)].into_iter().filter(|(end, last)| end == last).map(|(_, last)| last);
    ends.fold((found, at(found)), |(gamma, fit), other| {
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
        None => best_ridge(points, TimeModel::of(gamma), Loss::Huber(&judge.sd)),
    }
}

/// Best a and c of one model: with the ridge k=a/c fixed the logarithm of c is a robust mean, so only k is searched.
fn best_ridge(points: &[TimePoint], model: TimeModel, loss: Loss<'_>) -> Candidate {
    // Beyond these ends the overhead, or the work, is under a thousandth of the rest at every point.
    let (low, high) = ((points[0].batch / 1e3).ln(), (points[points.len() - 1].batch * 1e3).ln());
    let at = |ridge: f64| located(points, model, ridge, 1.0, loss);
    let steps = 48;
    let place = |i: usize| low + (high - low) * i as f64 / steps as f64;
    let best =
        (0..=steps).min_by(|&i, &j| at(place(i).exp()).cost.total_cmp(&at(place(j).exp()).cost)).unwrap_or(0);
    let fine = golden(place(best.saturating_sub(1)), place((best + 1).min(steps)), 40, |r| at(r.exp()).cost);
    with_ends(points, model, loss, Some(at(fine.exp())))
}

/// Best a and c of the maximum: one location for the batches bound by overhead and one for those bound by work, for
/// every place where the one ends and the other begins. (Its cost has plateaus and kinks, on which a search by
/// comparison goes astray.)
pub(super) fn best_max(points: &[TimePoint], loss: Loss<'_>) -> Candidate {
    let n = points.len();
    let flat: Vec<f64> = points.iter().map(|p| p.seconds.ln()).collect();
    let steep: Vec<f64> = points.iter().map(|p| p.seconds.ln() - p.batch.ln()).collect();
    let split = |i: usize| {
        let (overhead, per_example) =
            (centre(&flat[..i], loss.part(0, i)).exp(), centre(&steep[i..], loss.part(i, n)).exp());
        let logs: Vec<f64> = points
            .iter()
            .map(|p| (p.seconds / TimeModel::Max.join(overhead, per_example * p.batch)).ln())
            .collect();
        Candidate { overhead, per_example, cost: cost(&logs, 0.0, loss) }
    };
    let kink = |p: &TimePoint| located(points, TimeModel::Max, p.batch, 1.0, loss);
    let inner: Vec<Candidate> = (1..n).map(split).chain(points.iter().map(kink)).collect();
    let least = inner.iter().map(|c| c.cost).fold(f64::INFINITY, f64::min);
    // Absolute losses tie exactly, and rounding must not choose among them.
    let first = inner.into_iter().find(|c| c.cost <= least * (1.0 + TIE) + TIE * 1e-3);
    with_ends(points, TimeModel::Max, loss, first)
}

/// The better of a fit and the two in which overhead or work is 0, which win ties that rounding must not break.
fn with_ends(points: &[TimePoint], model: TimeModel, loss: Loss<'_>, inner: Option<Candidate>) -> Candidate {
    let tied = |end: &Candidate, best: &Candidate| end.cost <= best.cost * (1.0 + TIE) + TIE * 1e-3;
    let (work, overhead) = (located(points, model, 0.0, 1.0, loss), located(points, model, 1.0, 0.0, loss));
    let best = inner.filter(|inner| !tied(&work, inner)).unwrap_or(work);
    if tied(&overhead, &best) { overhead } else { best }
}

/// Robust location of ln(t/h) for the shape h = join(`overhead`, `work`·B).
fn located(points: &[TimePoint], model: TimeModel, overhead: f64, work: f64, loss: Loss<'_>) -> Candidate {
    let logs: Vec<f64> =
        points.iter().map(|p| (p.seconds / model.join(overhead, work * p.batch)).ln()).collect();
    let centre = centre(&logs, loss);
    let scale = centre.exp();
    Candidate { overhead: overhead * scale, per_example: work * scale, cost: cost(&logs, centre, loss) }
}

impl Loss<'_> {
    /// The loss of the points `from..to` alone.
    fn part(self, from: usize, to: usize) -> Self {
        match self {
            Self::Absolute => Self::Absolute,
            Self::Huber(sd) => Self::Huber(&sd[from..to]),
        }
    }
}

/// The location of least loss.
fn centre(logs: &[f64], loss: Loss<'_>) -> f64 {
    let mut centre = median(logs).unwrap_or(0.0);
    if let Loss::Huber(sd) = loss {
        for _ in 0..15 {
            let (mut top, mut bottom) = (0.0, 0.0);
            for (l, s) in logs.iter().zip(sd) {
                let z = ((l - centre) / s).abs();
                let weight = if z <= HUBER { 1.0 } else { HUBER / z } / (s * s);
                top += weight * l;
                bottom += weight;
            }
            centre = top / bottom;
        }
    }
    centre
}

fn cost(logs: &[f64], centre: f64, loss: Loss<'_>) -> f64 {
    match loss {
        // The square decides on the plateaus of an absolute loss, where rounding would.
        Loss::Absolute => logs.iter().map(|l| (l - centre).abs()).map(|r| r + 1e-3 * r * r).sum(),
        Loss::Huber(sd) => logs.iter().zip(sd).map(|(l, s)| huber((l - centre) / s)).sum(),
    }
}
