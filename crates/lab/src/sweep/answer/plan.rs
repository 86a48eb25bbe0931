//! What a sweep asked for, read back from its trials.

use super::types::PlanFacts;
use crate::trial::{TrialRecord, TrialSpec};

/// What stands for a target or a rule that is not there.
const NONE: &str = "none";

/// The facts of all trials.
pub(super) fn facts(records: &[&TrialRecord]) -> PlanFacts {
    let specs = || records.iter().map(|record| &record.spec);
    let mut learning_rates: Vec<f64> = specs().map(|s| s.learning_rate).collect();
    learning_rates.sort_by(f64::total_cmp);
    learning_rates.dedup();
    PlanFacts {
        batches: distinct(specs().map(|s| s.batch)),
        learning_rates,
        seeds: distinct(specs().map(|s| s.seed)),
        settings: distinct(specs().map(TrialSpec::parameters_in_words)),
        schedules: distinct(specs().map(|s| s.schedule.clone())),
        judges: distinct(specs().map(|s| s.judge.to_string())),
        targets: distinct(specs().map(target)),
        budgets: distinct(specs().map(|s| s.examples)),
        evaluate_examples: distinct(specs().map(|s| s.evaluate_examples.unwrap_or(0))),
        pruning: distinct(specs().map(pruning)),
        trainers: distinct(specs().map(|s| s.trainer.name())),
        codes: distinct(specs().map(|s| s.code.clone())),
    }
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = values.collect();
    all.sort();
    all.dedup();
    all
}

fn target(spec: &TrialSpec) -> String {
    spec.target.map_or_else(|| NONE.to_owned(), |target| target.to_string())
}

fn pruning(spec: &TrialSpec) -> String {
    spec.pruning.clone().unwrap_or_else(|| NONE.to_owned())
}

/// All that tells groups apart, in words: the parameters, and whatever else differs within the sweep.
pub(super) fn setting(spec: &TrialSpec, plan: &PlanFacts) -> String {
    let mut parts = vec![spec.parameters_in_words()];
    let mut add = |several: bool, words: String| {
        if several {
            parts.push(words);
        }
    };
    add(1 < plan.trainers.len(), spec.trainer.name());
    add(1 < plan.schedules.len(), format!("schedule {}", spec.schedule));
    add(1 < plan.judges.len(), format!("judged by {}", spec.judge));
    add(1 < plan.targets.len(), format!("target {}", target(spec)));
    add(1 < plan.pruning.len(), format!("early stops {}", pruning(spec)));
    add(1 < plan.codes.len(), format!("code {}", spec.code));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// Whether two wordings name the same parameters, whatever stands between them.
pub(super) fn same_parameters(a: &str, b: &str) -> bool {
    let words = |text: &str| {
        let mut words: Vec<String> =
            text.split([' ', ',', ';']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        words.sort();
        words
    };
    words(a) == words(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_the_commas_do_not_matter() {
        assert!(same_parameters("momentum=0.9 wd=1", "wd=1, momentum=0.9"));
        assert!(same_parameters("", " "));
        assert!(!same_parameters("momentum=0.9", "momentum=0.8"));
    }
}
