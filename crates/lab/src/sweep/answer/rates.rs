//! The learning rates of one group: every cell of the map, and the best rate at each batch size.

use super::spread_of_seeds;
use super::trial::{Trial, finite};
use super::types::{BestRate, Cell, Fate, Fates, Spread};
use crate::fit::ridge::of_points;
use crate::fit::{Answer, Settings};
use crate::sweep::Bracket;
use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::ridge::{Goal, Next, RidgeFit, RidgePoint, next_learning_rates};
use std::collections::BTreeMap;

/// An interval of a learning rate is narrow enough below this ratio of its ends.
const WIDE: f64 = 2.0;

/// The learning rates of one group.
pub(super) struct Rates {
    pub(super) cells: Vec<Cell>,
    pub(super) fit: Option<(Answer, RidgeFit)>,
    /// By batch size, ascending.
    pub(super) best: BTreeMap<u64, BestRate>,
    pub(super) notes: Vec<String>,
}

/// Finds the best learning rates.
pub(super) fn rates(
    trials: &[Trial<'_>],
    has_target: bool,
    brackets: &[&Bracket],
    settings: &Settings,
) -> Rates {
    let mut cells = cells(trials, has_target);
    let judge = trials.first().map(Trial::judge);
    let as_loss = |value: f64| judge.map_or(value, |judge| judge.as_loss(value));
    let goal = if has_target { Goal::Steps } else { Goal::Loss };
    let points: Vec<RidgePoint> = trials.iter().filter_map(|trial| point(trial, has_target)).collect();
    let mut notes = Vec::new();
    let fit = if points.is_empty() { None } else { of_points(&points, goal, false, settings, &[]).ok() };
    if !has_target && trials.iter().any(|t| t.fate == Fate::Pruned && t.value().is_some()) {
        notes.push(
            "Runs that were stopped early count with the value at which they were stopped, so the valley around the best \
             learning rate may look steeper than it is."
                .to_owned(),
        );
    }
    let mut batches: Vec<u64> = cells.iter().map(|cell| cell.batch).collect();
    batches.dedup();
    let mut best = BTreeMap::new();
    for batch in batches {
        let fitted = fit.as_ref().and_then(|(_, fit)| fit.best.iter().find(|best| best.batch == batch));
        let mine: Vec<&Cell> = cells.iter().filter(|cell| cell.batch == batch).collect();
        let counts = fitted.and_then(|best| best.grid_best).or_else(|| fallback(&mine, &as_loss, has_target));
        let bracket = brackets.iter().find(|bracket| bracket.batch == batch);
        let tried: Vec<f64> =
            mine.iter().filter(|c| 0 < c.fates.results()).map(|c| c.learning_rate).collect();
        best.insert(
            batch,
            BestRate {
                best: fitted.map_or_else(
                    || Outcome::not_identified("no run at this batch size has a result"),
                    |best| best.learning_rate.clone(),
                ),
                at_edge: fitted.and_then(|best| best.at_edge),
                counts,
                as_good: fitted.and_then(|best| best.as_good),
                next: fitted.map_or(Next::Refine { learning_rates: Vec::new() }, |best| {
                    next_learning_rates(&tried, best, WIDE)
                }),
                tried,
                widened: bracket.map(|bracket| bracket.widened),
            },
        );
    }
    for (batch, best) in &best {
        let of_batch = |cell: &&Cell| cell.batch == *batch;
        let counts = cells.iter().filter(of_batch).find(|cell| Some(cell.learning_rate) == best.counts);
        let Some(reference) = counts.and_then(|cell| Some(cell.score?.mean)) else {
            continue;
        };
        for cell in cells.iter_mut().filter(|cell| cell.batch == *batch) {
            let Some(score) = cell.score.filter(|score| !score.none_got_there()) else { continue };
            let value = if has_target {
                score.mean / reference - 1.0
            } else {
                as_loss(score.mean) - as_loss(reference)
            };
            cell.excess = finite(Some(value.max(0.0)));
        }
    }
    Rates { cells, fit, best, notes }
}

/// What a trial says about its learning rate.
fn point(trial: &Trial<'_>, has_target: bool) -> Option<RidgePoint> {
    let rate = trial.rate();
    if !trial.has_trained() || trial.batch() == 0 || !(rate.is_finite() && 0.0 < rate) {
        return None;
    }
    let value = match (has_target, trial.fate) {
        (true, _) => trial.reached().map(|reached| reached.steps.value),
        (false, Fate::Diverged) => None,
        // Without a value a run that ended well says nothing; it did not diverge.
        (false, _) => Some(trial.judge().as_loss(trial.value()?)),
    };
    let seed = Some(trial.record.spec.seed);
    Some(RidgePoint { batch: trial.batch(), learning_rate: rate, seed, value })
}

/// Every batch size and learning rate, ascending.
fn cells(trials: &[Trial<'_>], has_target: bool) -> Vec<Cell> {
    let mut keys: Vec<(u64, f64)> = trials.iter().map(|t| (t.batch(), t.rate())).collect();
    keys.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    keys.dedup();
    keys.into_iter()
        .map(|(batch, learning_rate)| {
            let mine: Vec<Trial<'_>> =
                trials.iter().filter(|t| t.batch() == batch && t.rate() == learning_rate).copied().collect();
            let mut fates = Fates::default();
            mine.iter().for_each(|trial| fates.add(trial.fate));
            let score = if has_target {
                let runs: Vec<_> = mine.iter().filter_map(Trial::seed_run).collect();
                spread_of_seeds(&runs, |run| Some(run.examples))
            } else {
                let values: Vec<f64> =
                    mine.iter().filter(|t| t.fate == Fate::Finished).filter_map(Trial::value).collect();
                Spread::of(&values)
            };
            let ends: Vec<f64> = mine.iter().filter_map(Trial::value).collect();
            Cell { batch, learning_rate, fates, score, value: Spread::of(&ends), excess: None }
        })
        .collect()
}

/// The rate whose runs count where at every one some run failed: most runs that got there, then the fewest examples, then
/// the best value.
fn fallback(cells: &[&Cell], as_loss: &dyn Fn(f64) -> f64, has_target: bool) -> Option<f64> {
    let merit = |cell: &Cell| {
        let got_there = cell.fates.reached + cell.fates.finished;
        let share = got_there as f64 / cell.fates.results().max(1) as f64;
        let score = cell.score.filter(|_| has_target && 0 < got_there).map_or(f64::INFINITY, |s| s.mean);
        (-share, score, cell.value.map_or(f64::INFINITY, |value| as_loss(value.mean)))
    };
    let order = |a: &&&Cell, b: &&&Cell| {
        let (a, b) = (merit(a), merit(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2))
    };
    cells.iter().filter(|cell| 0 < cell.fates.results()).min_by(order).map(|cell| cell.learning_rate)
}
