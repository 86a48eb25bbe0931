//! Steps to the target by batch size: S(B) = S_min(1 + B_c/B).

use super::trial::Trial;
use super::types::{BestRate, Cell, Fate, StepsToTarget};
use crate::fit::tradeoff::of_runs;
use crate::fit::{Answer, Settings};
use crate::report::text::{int, percent_rough};
use batchwise_estimate::ridge::{Effort, EffortCheck, check_equal_effort, expected_minimum_bias};
use batchwise_estimate::tradeoff::{End, Run, Tuning};
use std::collections::BTreeMap;

/// The fit with its answer in words and JSON; `None` where no run counts.
pub(super) fn steps(
    trials: &[Trial<'_>],
    best: &BTreeMap<u64, BestRate>,
    cells: &[Cell],
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Option<(StepsToTarget, Answer)> {
    let untuned = best.values().all(|rate| rate.tried.len() < 2);
    let is_tuned = |batch: u64| untuned || best.get(&batch).is_some_and(|rate| 1 < rate.tried.len());
    let left_out: Vec<String> = best
        .iter()
        .filter(|(b, rate)| !is_tuned(**b) && !rate.tried.is_empty())
        .map(|(b, _)| int(*b))
        .collect();
    if !left_out.is_empty() {
        notes.push(format!(
            "Batch size {} was tried at one learning rate only and does not count in the fit of B_c.",
            left_out.join(", ")
        ));
    }
    let counts = |trial: &&Trial<'_>| {
        is_tuned(trial.batch())
            && best.get(&trial.batch()).is_some_and(|rate| rate.counts == Some(trial.rate()))
    };
    let runs: Vec<Run> = trials.iter().filter(counts).filter_map(run).collect();
    let at_edge = best
        .iter()
        .any(|(batch, rate)| rate.at_edge.is_some() && runs.iter().any(|r| r.batch == *batch as f64));
    let tuning = match (untuned, at_edge) {
        (true, _) => Tuning::Untuned,
        (false, true) => Tuning::AtEdge,
        (false, false) => Tuning::Tuned,
    };
    let (answer, fit) = of_runs(&runs, &Settings { tuning, ..settings.clone() }, &[]).ok()?;
    let luck = if untuned { None } else { fit.seed_sd.and_then(|sd| luck(sd, best, cells)) };
    if let Some(luck) = luck {
        notes.push(luck_in_words(luck, best));
    }
    let lines = answer.lines.clone();
    Some((StepsToTarget { runs, fit, tuning, luck, lines }, answer))
}

/// One run as the fit takes it.
fn run(trial: &Trial<'_>) -> Option<Run> {
    let steps = trial.result()?.steps as f64;
    let end = match (trial.reached(), trial.fate) {
        (Some(reached), _) => {
            let period = (reached.steps.high - reached.steps.low).max(0.0);
            End::Reached { steps: reached.steps.high, period: Some(period) }
        }
        // A run that diverged would not have got there however long it ran: its own length says nothing.
        (None, Fate::Diverged) => End::Censored { after: None },
        (None, Fate::NotReached | Fate::Pruned) => End::Censored { after: Some(steps).filter(|s| 0.0 < *s) },
        _ => return None,
    };
    Some(Run { batch: trial.batch() as f64, seed: Some(trial.record.spec.seed), end })
}

/// By which share the steps at the best rates are too few at the most: the rates that are as good as the best within the
/// scatter of their means compete for the luckiest seeds.
fn luck(seed_sd: f64, best: &BTreeMap<u64, BestRate>, cells: &[Cell]) -> Option<f64> {
    let at = |batch: &u64, rate: &BestRate| {
        let mine = || cells.iter().filter(|cell| cell.batch == *batch);
        let chosen = mine().find(|cell| Some(cell.learning_rate) == rate.counts)?;
        let sd_of_mean = seed_sd / (chosen.score?.n.max(1) as f64).sqrt();
        let alike = (2.0 * std::f64::consts::SQRT_2 * sd_of_mean).exp_m1();
        let rivals = mine().filter(|cell| cell.excess.is_some_and(|excess| excess <= alike)).count();
        Some(expected_minimum_bias(rivals as u64, sd_of_mean))
    };
    best.iter().filter_map(|(batch, rate)| at(batch, rate)).reduce(f64::max)
}

fn luck_in_words(luck: f64, best: &BTreeMap<u64, BestRate>) -> String {
    let efforts: Vec<Effort> = best
        .iter()
        .filter(|(_, rate)| !rate.tried.is_empty())
        .map(|(batch, rate)| Effort { batch: *batch, trials: rate.tried.len() as u64 })
        .collect();
    let effort = match check_equal_effort(&efforts) {
        EffortCheck::Unequal { most, fewer } => {
            let fewest = fewer.iter().map(|effort| effort.trials).min().unwrap_or(most);
            format!(
                "The batch sizes were tried at {} to {} learning rates, and those with more profit more; B_c is off by \
                 less than that share.",
                int(fewest),
                int(most)
            )
        }
        _ => "B_c hardly moves, because every batch size was tried at as many learning rates.".to_owned(),
    };
    if luck < 0.001 {
        return "The best learning rates stand out clearly enough that picking them by the runs that then count favours \
                no lucky ones."
            .to_owned();
    }
    format!(
        "The best learning rate was picked by the same seeds whose steps then count, which favours the lucky ones: the \
         steps, and with them S_min and E_min, may be too small by up to {}. {effort} Running the best rates again with \
         fresh seeds takes this away.",
        percent_rough(luck)
    )
}
