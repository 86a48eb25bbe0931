//! What a sweep says: from the records of its trials to numbers with intervals.
//!
//! Read in the order of the data: `trial` (the fate and score of one) → `rates` (the best learning rate at each batch size)
//! → `steps` (B_c), `equal`, `cost` → `choice` and `next` → `group` joins them. No formula stands here: the statistics are
//! those of `batchwise-estimate`, by way of [`fit`](crate::fit).

mod choice;
mod cost;
mod equal;
mod group;
mod next;
mod plan;
mod rates;
mod spread;
mod steps;
#[cfg(test)]
pub(crate) mod tests;
mod trial;
mod trouble;
mod types;
#[cfg(test)]
pub(crate) mod world;

pub use types::{
    ANSWER_VERSION, BatchSummary, BestRate, Cell, Choice, ChosenRate, Equal, Fate, Fates, Group, Peaks,
    PlanFacts, Reading, SeedRun, Spread, StepTimes, StepsToTarget, SweepAnswer, Trouble,
};

use self::trial::Trial;
use super::{Bracket, SweepFile};
use crate::fit::Settings;
use crate::report::text::{count, int};
use crate::trial::TrialRecord;
use batchwise_estimate::unit::Unit;
use std::collections::{BTreeMap, BTreeSet};

impl Reading {
    /// As the fits take it.
    pub(crate) fn settings(&self, unit: &str, dataset_examples: Option<u64>) -> Settings {
        let confidence = if (0.5..=0.999).contains(&self.confidence) { self.confidence } else { 0.95 };
        Settings {
            confidence,
            seed: self.seed,
            memory_limit: self.memory_limit,
            example: Unit::from_name(unit).unwrap_or_default(),
            dataset_examples,
            ..Settings::default()
        }
    }
}

/// What a sweep says, whatever became of its trials: what cannot be said is said to be missing.
#[must_use]
pub fn answer(sweep: &SweepFile, records: &[TrialRecord], reading: &Reading) -> SweepAnswer {
    let mut seen = BTreeSet::new();
    let records: Vec<&TrialRecord> =
        records.iter().filter(|record| seen.insert(record.id.as_str())).collect();
    let settings = reading.settings(&sweep.unit, sweep.dataset_examples);
    let sound = |record: &TrialRecord| {
        let rate = record.spec.learning_rate;
        0 < record.spec.batch && rate.is_finite() && 0.0 < rate
    };
    let (records, unsound): (Vec<&TrialRecord>, Vec<&TrialRecord>) = records.iter().partition(|r| sound(r));
    let trials: Vec<Trial<'_>> = records.iter().map(|record| Trial::of(record)).collect();
    let mut fates = Fates::default();
    trials.iter().for_each(|trial| fates.add(trial.fate));
    let plan = plan::facts(&records);
    let mut by_setting: BTreeMap<String, Vec<Trial<'_>>> = BTreeMap::new();
    for trial in &trials {
        by_setting.entry(plan::setting(&trial.record.spec, &plan)).or_default().push(*trial);
    }
    let n_settings = by_setting.len();
    let mut groups: Vec<Group> = by_setting
        .iter()
        .filter_map(|(setting, trials)| {
            // What all share needs no saying.
            let shown = if n_settings == 1 { "" } else { setting };
            group::group(shown, trials, &brackets(sweep, trials), &settings)
        })
        .collect();
    groups.sort_by(|a, b| merit(a).total_cmp(&merit(b)));
    SweepAnswer {
        version: ANSWER_VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        name: sweep.name.clone(),
        trainer: sweep.trainer.clone(),
        unit: if sweep.unit.trim().is_empty() { "examples".to_owned() } else { sweep.unit.clone() },
        dataset_examples: sweep.dataset_examples,
        is_complete: sweep.is_complete,
        machine: sweep.machine.clone(),
        reading: reading.clone(),
        notes: notes(sweep, &fates, &plan, (&records, unsound.len())),
        plan,
        fates,
        groups,
        troubles: trouble::troubles(&trials),
    }
}

/// How the learning rates of these trials were found.
fn brackets<'a>(sweep: &'a SweepFile, trials: &[Trial<'_>]) -> Vec<&'a Bracket> {
    let words = trials.first().map(|trial| trial.record.spec.parameters_in_words()).unwrap_or_default();
    sweep.brackets.iter().filter(|bracket| plan::same_parameters(&bracket.parameters, &words)).collect()
}

/// The least is the best: examples to the target, or the judged value as a loss; those that say nothing come last.
fn merit(group: &Group) -> f64 {
    let of = |batch: &BatchSummary| match group.target {
        Some(_) => batch.examples.filter(|spread| !spread.none_got_there()).map(|spread| spread.mean),
        None => batch.value_at_end.map(|spread| group.judge.as_loss(spread.mean)),
    };
    group.batches.iter().filter_map(of).reduce(f64::min).unwrap_or(f64::INFINITY)
}

fn notes(
    sweep: &SweepFile,
    fates: &Fates,
    plan: &PlanFacts,
    (records, unsound): (&[&TrialRecord], usize),
) -> Vec<String> {
    let mut notes = Vec::new();
    if 0 < unsound {
        let n = count(unsound as u64, "trial");
        notes.push(format!(
            "{n} with a batch size of 0 or a learning rate that is not above 0 cannot be judged."
        ));
    }
    let missing =
        sweep.trials.iter().filter(|id| !records.iter().any(|record| record.id == **id)).count() as u64;
    let missing = missing.saturating_sub(unsound as u64);
    if 0 < missing {
        notes.push(format!("{} of the sweep could not be found.", count(missing, "trial")));
    }
    if records.is_empty() {
        notes.push("The sweep has no trials yet: nothing can be said.".to_owned());
    } else if fates.results() == 0 {
        notes.push(
            "No trial has a result yet: nothing can be said about batch sizes or learning rates.".to_owned(),
        );
    } else if !sweep.is_complete || 0 < fates.waiting {
        notes.push(format!(
            "The sweep is not complete: {} of {} trials have a result, and what follows may change.",
            int(fates.results()),
            int(fates.trials())
        ));
    }
    if 1 < plan.budgets.len() {
        notes.push(format!(
            "Budgets differ between the trials, from {} to {} examples.",
            int(plan.budgets[0]),
            int(*plan.budgets.last().unwrap_or(&0))
        ));
    }
    let differ = records.iter().filter(|record| record.differs).count() as u64;
    if 0 < differ {
        let verb = if differ == 1 { "has" } else { "have" };
        notes.push(format!(
            "{} {verb} attempts with different results: this training does not repeat exactly, and the seeds alone \
             understate its scatter.",
            count(differ, "trial")
        ));
    }
    notes
}

/// A number of the runs, those that did not reach the target counting as censored; `None` where none has it.
fn spread_of_seeds(runs: &[SeedRun], of: impl Fn(&SeedRun) -> Option<f64>) -> Option<Spread> {
    let known = || runs.iter().filter_map(|run| Some((run.fate, of(run).filter(|v| v.is_finite())?)));
    // A run that diverged would not have got there in any time: it is no better than the longest.
    if known().all(|run| run.0 == Fate::Diverged) {
        return None;
    }
    let longest = known().map(|run| run.1).fold(0.0, f64::max);
    let value = |(fate, value)| match fate {
        Fate::Reached => (value, false),
        Fate::Diverged => (longest, true),
        _ => (value, true),
    };
    Spread::of_censored(&known().map(value).collect::<Vec<_>>())
}
