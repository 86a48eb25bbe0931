//! The judged value where all batch sizes have seen as many examples, or made as many steps.

use super::trial::Trial;
use super::types::{Equal, Spread};
use crate::trial::Evaluation;

/// The runs that count at one batch size.
pub(super) type Runs<'a> = (u64, Vec<Trial<'a>>);

pub(super) fn examples(evaluation: &Evaluation) -> u64 {
    evaluation.examples
}

pub(super) fn steps(evaluation: &Evaluation) -> u64 {
    evaluation.steps
}

/// The most examples and steps up to which every run that counts was evaluated.
pub(super) fn equal(all: &[Runs<'_>]) -> Equal {
    let with_evaluations = |clock: fn(&Evaluation) -> u64| {
        let ends: Vec<u64> = all
            .iter()
            .filter_map(|(_, runs)| runs.iter().filter_map(|run| run.evaluated_up_to(clock)).min())
            .collect();
        // One batch size has nothing to be compared with.
        ends.iter().min().copied().filter(|end| 0 < *end && 1 < ends.len())
    };
    Equal { examples: with_evaluations(examples), steps: with_evaluations(steps) }
}

/// The judged value of these runs where the clock stands at `at`.
pub(super) fn spread(runs: &[Trial<'_>], at: Option<u64>, clock: fn(&Evaluation) -> u64) -> Option<Spread> {
    let at = at? as f64;
    let values: Vec<f64> = runs.iter().filter_map(|run| run.value_at(at, clock)).collect();
    Spread::of(&values)
}
