//! Successive halving, fair between batch sizes.
//!
//! A run is held against those of its own batch size (and its own setting of the other hyper-parameters), at the same
//! examples or seconds, never at the same steps: a large batch makes few of them. The rule is ASHA's (Li et al. 2020,
//! section 3) in the form that stops instead of promoting: a run goes on past a rung while it is among the best 1/factor
//! of those that were there so far. The first runs at a rung always are, so nothing waits for anything.

use crate::trial::Judge;
use std::collections::{BTreeMap, HashMap};

/// Runs that are held against each other: batch size and other hyper-parameters.
pub(super) type Group = (u64, String);

/// Rungs at most: the last lies beyond any run.
const RUNGS: u32 = 64;

/// How a run ended that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunEnd {
    /// At its target.
    Reached,
    /// It diverged.
    Diverged,
}

/// The rungs of a sweep.
pub(super) struct Rungs {
    judge: Judge,
    /// Examples or seconds of the first.
    first: f64,
    factor: f64,
    /// Values seen, by group and number of the rung, each run's under its name.
    seen: HashMap<(Group, u32), BTreeMap<String, f64>>,
}

impl Rungs {
    pub(super) fn new(judge: Judge, first: f64, factor: f64) -> Self {
        Self { judge, first, factor, seen: HashMap::new() }
    }

    /// Takes in that a run has ended. One that reached its target is better than any at every rung that it did not come
    /// to, one that diverged is worse; any other says nothing there.
    pub(super) fn end(&mut self, group: &Group, trial: &str, end: RunEnd) {
        let value = match end {
            RunEnd::Reached if self.judge.more_is_better => f64::INFINITY,
            RunEnd::Reached => f64::NEG_INFINITY,
            RunEnd::Diverged => f64::NAN,
        };
        for number in 0..RUNGS {
            let seen = self.seen.entry((group.clone(), number)).or_default();
            seen.entry(trial.to_owned()).or_insert(value);
        }
    }

    /// Takes in that a run's judged value was this at so many examples or seconds; the rung at which it is to be stopped,
    /// if it is. A run meets a rung with its first evaluation at or past it.
    pub(super) fn observe(&mut self, group: &Group, trial: &str, at: f64, value: f64) -> Option<f64> {
        let mut stop = None;
        for number in 0..RUNGS {
            let rung = self.first * self.factor.powi(number as i32);
            if at < rung {
                break;
            }
            let seen = self.seen.entry((group.clone(), number)).or_default();
            if seen.contains_key(trial) {
                continue;
            }
            seen.insert(trial.to_owned(), value);
            let better = seen.values().filter(|other| self.judge.is_better(**other, value)).count();
            // Among n the best n/factor go on, at least one.
            let go_on = ((seen.len() as f64 / self.factor).ceil() as usize).max(1);
            if go_on <= better && stop.is_none() {
                stop = Some(rung);
            }
        }
        stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(batch: u64) -> Group {
        (batch, String::new())
    }

    #[test]
    fn the_worse_part_stops_and_the_first_always_goes_on() {
        let mut rungs = Rungs::new(Judge::LOSS, 100.0, 3.0);
        let mut at = |trial: &str, value: f64| rungs.observe(&group(64), trial, 100.0, value);
        assert_eq!(at("a", 1.0), None);
        assert_eq!(at("b", 2.0), Some(100.0), "one of two goes on, the better");
        assert_eq!(at("c", 0.5), None);
        assert_eq!(at("d", 0.7), None, "two of four go on");
        assert_eq!(at("e", 0.9), Some(100.0));
        assert_eq!(at("f", f64::NAN), Some(100.0), "what is no number is worse than all");
        assert_eq!(at("a", 9.0), None, "a run is asked once at a rung, also when it is resumed");
    }

    #[test]
    fn batch_sizes_are_not_held_against_each_other() {
        let mut rungs = Rungs::new(Judge::ACCURACY, 100.0, 2.0);
        assert_eq!(rungs.observe(&group(16), "small", 100.0, 0.9), None);
        assert_eq!(rungs.observe(&group(4096), "large", 120.0, 0.2), None, "it is the best of its own");
        assert_eq!(rungs.observe(&group(4096), "other", 120.0, 0.1), Some(100.0));
    }

    #[test]
    fn who_reached_the_target_before_a_rung_is_better_there() {
        let mut rungs = Rungs::new(Judge::ACCURACY, 100.0, 2.0);
        rungs.end(&group(1), "quick", RunEnd::Reached);
        rungs.end(&group(1), "broken", RunEnd::Diverged);
        assert_eq!(rungs.observe(&group(1), "a", 100.0, 0.5), None, "two of three go on");
        assert_eq!(rungs.observe(&group(1), "b", 100.0, 0.4), Some(100.0));
    }

    #[test]
    fn an_evaluation_may_pass_several_rungs() {
        let mut rungs = Rungs::new(Judge::LOSS, 10.0, 2.0);
        assert_eq!(rungs.observe(&group(1), "a", 45.0, 1.0), None);
        assert_eq!(rungs.observe(&group(1), "b", 12.0, 0.5), None);
        assert_eq!(
            rungs.observe(&group(1), "b", 25.0, 3.0),
            Some(20.0),
            "stopped at the first rung at which it is worse"
        );
    }
}
