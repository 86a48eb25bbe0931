//! Which model the points speak for, and which they cannot tell from it.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::fit::Loss;
use super::fit::{Judge, OVERLAP_FROM, STRONG_EVIDENCE, best_at, best_gamma_near, best_max, join, plain};
use super::model::TimeModel;
use super::points::{TimePoint, relative};
use super::shapes::{TWO_SLOPES_FROM, quanta, stairs, two_slopes};
use super::step_time::StepTime;
use crate::robust::{MAD_TO_SD, median};

/// Lack of fit above which no model is used, only the measured curve (theory §7).
pub const LARGEST_MISFIT: f64 = 0.10;

/// How one model fared.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ModelScore {
    /// `sum`, `max`, `overlap`, `quantised` or `two_slopes`.
    pub model: String,
    /// Number of fitted parameters.
    pub parameters: usize,
    /// The criterion, smaller is better; only differences mean something.
    pub bic: f64,
    /// Lack of fit: root mean square of the relative residuals, less the points' own errors. Where those are not
    /// known (single timings, of which some may be stalls) the worst fifth is left out.
    pub lack_of_fit: f64,
    /// The fitted model.
    pub fit: StepTime,
}

/// All models with the one to use.
pub(super) struct Choice {
    pub(super) best: StepTime,
    /// Smallest criterion first.
    pub(super) scores: Vec<ModelScore>,
    /// Indices into `scores`: models within [`STRONG_EVIDENCE`] of the best that do not contain it.
    pub(super) rivals: Vec<usize>,
    /// Whether the best one's lack of fit is above [`LARGEST_MISFIT`].
    pub(super) rejected: bool,
    pub(super) judge: Judge,
}

/// Fits every model that `points` (distinct, ascending, 3 or more) can carry, and chooses.
///
/// `quantum`: the only quantum to try, known from elsewhere.
pub(super) fn choose(points: &[TimePoint], quantum: Option<u32>) -> Choice {
    let first = Judge::of(points);
    let all = candidates(points, quantum, &first);
    // The scatter about the best of all models, so that a model is not excused by those that fit worse.
    let n = points.len() as f64;
    let scatter = all
        .iter()
        .filter(|s| matches!(s.fit, StepTime::Stairs(_) | StepTime::TwoSlopes(_)))
        .filter_map(|s| {
            let residuals: Vec<f64> = residuals(points, &s.fit).iter().map(|r| r.abs()).collect();
            let freedom = n / (n - s.parameters as f64);
            median(&residuals).map(|m| MAD_TO_SD * m * freedom.sqrt())
        })
        .fold(first.scatter, f64::min);
    let (judge, mut scores) = if scatter < first.scatter {
        let judge = Judge::with(points, scatter);
        let all = candidates(points, quantum, &judge);
        (judge, all)
    } else {
        (first, all)
    };
    scores.sort_by(|a, b| a.bic.total_cmp(&b.bic));
    let simple = scores.iter().position(|s| s.parameters == 2).unwrap_or(0);
    let chosen = if scores[0].bic + STRONG_EVIDENCE < scores[simple].bic { 0 } else { simple };
    let best = scores.remove(chosen);
    scores.insert(0, best);
    let rivals = (1..scores.len())
        .filter(|&i| scores[i].bic - scores[0].bic <= STRONG_EVIDENCE && !contains(&scores[i], &scores[0]))
        .collect();
    let best = scores[0].fit.clone();
    let rejected = scores[0].lack_of_fit > LARGEST_MISFIT;
    Choice { best, scores, rivals, rejected, judge }
}

/// Whether the model of `larger` has that of `smaller` as a special case, so that being near it says nothing against it.
fn contains(larger: &ModelScore, smaller: &ModelScore) -> bool {
    matches!(
        (larger.model.as_str(), smaller.model.as_str()),
        ("overlap" | "two_slopes", "sum" | "max") | ("quantised", "sum")
    )
}

fn candidates(points: &[TimePoint], quantum: Option<u32>, judge: &Judge) -> Vec<ModelScore> {
    let score = |fit: StepTime, parameters: usize, bic: f64| ModelScore {
        model: fit.name().to_owned(),
        parameters,
        bic,
        lack_of_fit: lack_of_fit(points, &fit),
        fit,
    };
    let mut all: Vec<ModelScore> = join(points, judge)
        .1
        .into_iter()
        .map(|(fit, parameters, bic)| score(StepTime::Model(fit), parameters, bic))
        .collect();
    let given = quantum.map(|q| vec![q]);
    let tried = given.clone().unwrap_or_else(|| quanta(points));
    if given.is_some() || points.len() >= OVERLAP_FROM {
        let found = tried.iter().filter_map(|&q| stairs(points, q, judge)).min_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((fit, cost)) = found {
            // An unknown quantum is one of a list: it pays for the choice, −2·ln of its prior probability.
            let bic = judge.bic(cost, 2) + 2.0 * (tried.len() as f64).ln();
            all.push(score(StepTime::Stairs(fit), if given.is_some() { 2 } else { 3 }, bic));
        }
    }
    if points.len() >= TWO_SLOPES_FROM
        && let Some((fit, cost)) = two_slopes(points, judge)
    {
        all.push(score(StepTime::TwoSlopes(fit), 4, judge.bic(cost, 4)));
    }
    all
}

/// ln(measured/fitted), by point.
pub(super) fn residuals(points: &[TimePoint], fit: &StepTime) -> Vec<f64> {
    points.iter().map(|p| (p.seconds / fit.seconds(p.batch)).ln().clamp(-100.0, 100.0)).collect()
}

/// [`ModelScore::lack_of_fit`].
fn lack_of_fit(points: &[TimePoint], fit: &StepTime) -> f64 {
    let mut squares: Vec<f64> =
        points.iter().map(|p| (fit.seconds(p.batch) / p.seconds - 1.0).powi(2).min(1e100)).collect();
    squares.sort_by(f64::total_cmp);
    let known = points.iter().map(|p| if p.spread > 0.0 { relative(p).powi(2) } else { 0.0 });
    let known = known.sum::<f64>() / points.len() as f64;
    let kept = squares.len() - if known > 0.0 { 0 } else { squares.len() / 5 };
    (squares[..kept].iter().sum::<f64>() / kept as f64 - known).max(0.0).sqrt()
}

/// The same model fitted to other points, under the same judge; the fit itself where none is found.
pub(super) fn refit(points: &[TimePoint], fit: &StepTime, judge: &Judge) -> StepTime {
    match fit {
        StepTime::Model(old) => {
            let (model, found) = match old.model {
                TimeModel::Sum => (TimeModel::Sum, best_at(points, 1.0, judge)),
                TimeModel::Max => (TimeModel::Max, best_max(points, Loss::Huber(&judge.sd))),
                TimeModel::Overlap { gamma } => {
                    let (gamma, found) = best_gamma_near(points, gamma, judge);
                    (TimeModel::Overlap { gamma }, found)
                }
            };
            StepTime::Model(plain(points, model, &found))
        }
        StepTime::Stairs(old) => {
            stairs(points, old.quantum, judge).map_or_else(|| fit.clone(), |(new, _)| StepTime::Stairs(new))
        }
        StepTime::TwoSlopes(_) => {
            two_slopes(points, judge).map_or_else(|| fit.clone(), |(new, _)| StepTime::TwoSlopes(new))
        }
        StepTime::Curve(_) => {
            crate::time_curve::TimeCurve::new(points).map_or_else(|_| fit.clone(), StepTime::Curve)
        }
    }
}
