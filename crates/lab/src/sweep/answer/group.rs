//! The answer for one setting of the hyper-parameters beside batch size and learning rate.

use super::equal::{self, Runs};
use super::rates::{Rates, rates};
use super::trial::{Trial, finite};
use super::types::{BatchSummary, BestRate, Equal, Fate, Fates, Group, Spread};
use super::{choice, cost, next, spread_of_seeds, steps};
use crate::fit::{Answer, Settings};
use crate::report::text::int;
use crate::sweep::Bracket;

/// The answer for `trials`, of which there is at least one.
pub(super) fn group(
    setting: &str,
    trials: &[Trial<'_>],
    brackets: &[&Bracket],
    settings: &Settings,
) -> Option<Group> {
    let first = trials.first()?;
    let (judge, target) = (first.judge(), first.record.spec.target);
    let mut notes = Vec::new();
    let trials = &without_repeats(trials, &mut notes);
    let mut fates = Fates::default();
    trials.iter().for_each(|trial| fates.add(trial.fate));
    let Rates { cells, fit: ridge, best, notes: more } = rates(trials, target.is_some(), brackets, settings);
    notes.extend(more);
    let steps = target.and_then(|_| steps::steps(trials, &best, &cells, settings, &mut notes));
    let times = cost::times(trials, settings);
    let memory = cost::peaks(trials, settings);
    let counting: Vec<Runs<'_>> = best
        .iter()
        .map(|(batch, rate)| {
            let counts =
                |t: &&Trial<'_>| t.batch() == *batch && rate.counts == Some(t.rate()) && t.has_trained();
            (*batch, trials.iter().filter(counts).copied().collect())
        })
        .collect();
    let equal = equal::equal(&counting);
    let batches: Vec<BatchSummary> =
        best.iter().zip(&counting).map(|((_, rate), runs)| summary(rate, runs, trials, equal)).collect();
    notes.extend(coarse(&batches));
    let with_memory = settings.memory_limit.is_some();
    let answers: Vec<&Answer> = [
        ridge.as_ref().map(|fit| &fit.0),
        steps.as_ref().map(|fit| &fit.1),
        times.as_ref().map(|fit| &fit.1),
        memory.as_ref().map(|fit| &fit.1).filter(|_| with_memory),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (choice, after) = choice::choice(&answers, settings);
    let next = next::next(&next::Known {
        fates,
        judge,
        target,
        batches: &batches,
        steps: steps.as_ref().map(|fit| &fit.0.fit),
        times: times.as_ref().map(|fit| &fit.0),
        is_chosen: choice.batch_size.is_some(),
        after: after.as_deref(),
    });
    Some(Group {
        setting: setting.to_owned(),
        judge,
        target,
        fates,
        batches,
        cells,
        ridge: ridge.map(|fit| fit.1),
        steps: steps.map(|fit| fit.0),
        time: times.map(|fit| fit.0),
        memory: memory.map(|fit| fit.0),
        equal,
        choice,
        notes,
        next,
    })
}

/// One trial for each batch size, learning rate and seed: where budgets differ, the longest.
fn without_repeats<'a>(trials: &[Trial<'a>], notes: &mut Vec<String>) -> Vec<Trial<'a>> {
    let key = |t: &Trial<'_>| (t.batch(), t.rate().to_bits(), t.record.spec.seed);
    let mut kept = trials.to_vec();
    // One with a result comes before one without, then the longer one.
    kept.sort_by_key(|t| (key(t), t.result().is_none(), std::cmp::Reverse(t.record.spec.examples)));
    kept.dedup_by_key(|t| key(t));
    let n = trials.len() - kept.len();
    if 0 < n {
        notes.push(format!(
            "{} trials differ from others in their budget or evaluation only; of each kind the longest counts.",
            int(n as u64)
        ));
    }
    kept
}

fn summary(rate: &BestRate, runs: &Runs<'_>, trials: &[Trial<'_>], equal: Equal) -> BatchSummary {
    let (batch, counting) = (runs.0, &runs.1);
    let mine: Vec<&Trial<'_>> = trials.iter().filter(|t| t.batch() == batch).collect();
    let mut fates = Fates::default();
    mine.iter().for_each(|trial| fates.add(trial.fate));
    let has_target = mine.iter().any(|t| t.record.spec.target.is_some());
    let mut seeds: Vec<_> = counting.iter().filter_map(Trial::seed_run).collect();
    seeds.sort_by_key(|run| run.seed);
    let to_target = |of: fn(&super::types::SeedRun) -> Option<f64>| {
        if has_target { spread_of_seeds(&seeds, of) } else { None }
    };
    let ends: Vec<f64> = seeds.iter().filter_map(|run| run.value).collect();
    let times: Vec<f64> = mine.iter().filter_map(|t| t.step_seconds()).collect();
    let noise: Vec<f64> = counting
        .iter()
        .filter_map(|t| finite(t.record.measured.as_ref()?.noise_scale))
        .filter(|phi| 0.0 < *phi)
        .collect();
    BatchSummary {
        batch,
        fates,
        rate: rate.clone(),
        examples: to_target(|run| Some(run.examples)),
        steps: to_target(|run| Some(run.steps)),
        seconds: to_target(|run| run.seconds),
        value_at_end: Spread::of(&ends),
        value_at_equal_examples: equal::spread(counting, equal.examples, equal::examples),
        value_at_equal_steps: equal::spread(counting, equal.steps, equal::steps),
        step_seconds: Spread::of(&times),
        peak_bytes: mine.iter().filter_map(|t| cost::peak(t)).max(),
        noise_scale: Spread::of(&noise),
        runs: seeds,
    }
}

/// Where the time between evaluations hides the scatter between seeds.
fn coarse(batches: &[BatchSummary]) -> Option<String> {
    let is_coarse = |batch: &&BatchSummary| {
        let reached = || batch.runs.iter().filter(|run| run.fate == Fate::Reached);
        let n = reached().count() as f64;
        let period = reached().map(|run| run.period / n).sum::<f64>();
        batch.steps.is_some_and(|steps| steps.sd.is_some_and(|sd| sd < period / 2.0))
    };
    let names: Vec<String> = batches.iter().filter(is_coarse).map(|batch| int(batch.batch)).collect();
    (!names.is_empty()).then(|| {
        format!(
            "At batch size {} the seeds scatter by less than the time between two evaluations, so their spread is too small; \
             the fit of B_c knows that each run reached its target somewhere between the two. Evaluate more often to see more.",
            names.join(", ")
        )
    })
}
