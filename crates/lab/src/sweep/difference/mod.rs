//! Two sweeps side by side: what differs in their plans, and what changed in their results beyond the noise.

mod change;
#[cfg(test)]
mod tests;
mod words;

pub use change::Change;
pub use words::words;
pub(crate) use words::{batch_tables, critical_table, method, plan_table, summary};

use super::answer::{BatchSummary, Group, SeedRun, Spread, SweepAnswer};
use crate::report::text::{int, num};
use batchwise_estimate::outcome::Outcome;
use serde::Serialize;

/// What two sweeps have in common and in what they differ; `a` is the first one, and changes are from it to `b`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Names of the two.
    pub names: [String; 2],
    /// What differs in the plans and the machines: (what, in `a`, in `b`).
    pub plan: Vec<(String, String, String)>,
    /// The groups that both have.
    pub groups: Vec<GroupDifference>,
    /// Settings that only one of them has.
    pub only_in_one: Vec<String>,
    /// Two-sided confidence of all statements of one group together.
    pub confidence: f64,
    /// What changed beyond the noise, in sentences.
    pub changed: Vec<String>,
    /// What cannot be told, in sentences.
    pub cannot_tell: Vec<String>,
}

/// One setting of the other hyper-parameters in both sweeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupDifference {
    /// The setting in words.
    pub setting: String,
    /// Whether both judge the same number and have the same target; else nothing but the plans can be compared.
    pub same_goal: bool,
    /// The critical batch size in both.
    pub b_crit: [Option<Outcome>; 2],
    /// Whether the intervals of the critical batch size have no number in common.
    pub b_crit_changed: Option<bool>,
    /// Batch by batch, those that both have.
    pub batches: Vec<BatchDifference>,
    /// The batch sizes chosen.
    pub chosen: [Option<u64>; 2],
}

/// One batch size in both sweeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchDifference {
    /// The batch size.
    pub batch: u64,
    /// The best learning rate in both.
    pub rate: [Outcome; 2],
    /// Whether their intervals have no number in common.
    pub rate_changed: Option<bool>,
    /// Examples to the target in both.
    pub examples_seen: [Option<Spread>; 2],
    /// Seconds to the target in both.
    pub seconds_seen: [Option<Spread>; 2],
    /// The judged value at the end in both.
    pub values_seen: [Option<Spread>; 2],
    /// Examples to the target.
    pub examples: Change,
    /// Seconds to the target.
    pub seconds: Change,
    /// The judged value at the end; where there is no target.
    pub value: Change,
}

/// Compares two sweeps.
#[must_use]
pub fn difference(a: &SweepAnswer, b: &SweepAnswer) -> Difference {
    let confidence = a.reading.confidence.max(b.reading.confidence).clamp(0.5, 0.999);
    // One name twice would not tell them apart.
    let told_apart = |name: &str, which: &str| {
        if a.name == b.name { format!("{name} ({which})") } else { name.to_owned() }
    };
    let names = [told_apart(&a.name, "first"), told_apart(&b.name, "second")];
    let mut groups = Vec::new();
    let mut only_in_one = Vec::new();
    let alone = a.groups.len() == 1 && b.groups.len() == 1;
    for first in &a.groups {
        match b.groups.iter().find(|second| alone || second.setting == first.setting) {
            Some(second) => groups.push(group(first, second, confidence)),
            None => only_in_one.push(format!("{} is in {} only", named(&first.setting), names[0])),
        }
    }
    for second in b.groups.iter().filter(|s| !alone && !a.groups.iter().any(|f| f.setting == s.setting)) {
        only_in_one.push(format!("{} is in {} only", named(&second.setting), names[1]));
    }
    let (mut changed, mut cannot_tell) = (Vec::new(), Vec::new());
    for group in &groups {
        words::conclude(group, &a.unit, &mut changed, &mut cannot_tell);
    }
    Difference { names, plan: plan(a, b), groups, only_in_one, confidence, changed, cannot_tell }
}

fn named(setting: &str) -> String {
    if setting.is_empty() { "the one setting".to_owned() } else { setting.to_owned() }
}

/// Lists beyond this are long.
const LONG: usize = 8;

fn plan(a: &SweepAnswer, b: &SweepAnswer) -> Vec<(String, String, String)> {
    let list = |all: &[String]| all.join(", ");
    let ints = |all: &[u64]| list(&all.iter().map(|n| int(*n)).collect::<Vec<_>>());
    let every = |all: &[f64]| list(&all.iter().map(|r| num(*r)).collect::<Vec<_>>());
    // Long lists are named by their ends, where that tells them apart.
    let ends = |all: &[f64]| match all {
        [low, .., high] if LONG < all.len() => {
            format!("{} from {} to {}", int(all.len() as u64), num(*low), num(*high))
        }
        all => every(all),
    };
    let (of_a, of_b) = (&a.plan.learning_rates, &b.plan.learning_rates);
    let by_ends = of_a == of_b || ends(of_a) != ends(of_b);
    let rates = |all: &[f64]| if by_ends { ends(all) } else { every(all) };
    let facts = |s: &SweepAnswer| {
        let p = &s.plan;
        vec![
            ("What trains".to_owned(), list(&p.trainers)),
            ("Batch sizes".to_owned(), ints(&p.batches)),
            ("Learning rates".to_owned(), rates(&p.learning_rates)),
            ("Seeds".to_owned(), ints(&p.seeds)),
            ("Other hyper-parameters".to_owned(), p.settings.join("; ")),
            ("Schedule of the learning rate".to_owned(), p.schedules.join("; ")),
            ("Judged by".to_owned(), list(&p.judges)),
            ("Target".to_owned(), list(&p.targets)),
            ("Budget of a run".to_owned(), ints(&p.budgets)),
            ("Examples between evaluations".to_owned(), ints(&p.evaluate_examples)),
            ("Early stops".to_owned(), list(&p.pruning)),
            ("Code".to_owned(), list(&p.codes)),
            ("Batch sizes count".to_owned(), s.unit.clone()),
        ]
    };
    let mut all: Vec<(String, String, String)> =
        facts(a).into_iter().zip(facts(b)).map(|((name, a), (_, b))| (name, a, b)).collect();
    let mut keys: Vec<&String> = a.machine.keys().chain(b.machine.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let of = |s: &SweepAnswer| s.machine.get(key).cloned().unwrap_or_default();
        all.push((crate::prose::capitalized(key), of(a), of(b)));
    }
    all.retain(|(_, a, b)| a != b);
    all
}

fn group(a: &Group, b: &Group, confidence: f64) -> GroupDifference {
    let pairs: Vec<(&BatchSummary, &BatchSummary)> = a
        .batches
        .iter()
        .filter_map(|first| Some((first, b.batches.iter().find(|second| second.batch == first.batch)?)))
        .collect();
    // All statements of one kind are to hold at once.
    let each = 1.0 - (1.0 - confidence) / pairs.len().max(1) as f64;
    let same_goal = a.target == b.target && a.judge == b.judge;
    let batches = pairs
        .into_iter()
        .map(|(first, second)| {
            let rate = [first.rate.best.clone(), second.rate.best.clone()];
            let to_target = |of: fn(&SeedRun) -> Option<f64>| match a.target {
                Some(_) if same_goal => change::ratio(first, second, of, each),
                _ => Change::NotMeasured,
            };
            BatchDifference {
                batch: first.batch,
                // Another goal may well have another best rate.
                rate_changed: if same_goal { apart(&rate[0], &rate[1]) } else { None },
                rate,
                examples_seen: [first.examples, second.examples],
                seconds_seen: [first.seconds, second.seconds],
                values_seen: [first.value_at_end, second.value_at_end],
                examples: to_target(|run| Some(run.examples)),
                seconds: to_target(|run| run.seconds),
                value: if a.target.is_none() && same_goal {
                    change::value(first, second, each)
                } else {
                    Change::NotMeasured
                },
            }
        })
        .collect();
    let b_crit = [a, b].map(|group| group.steps.as_ref().map(|steps| steps.fit.b_crit.clone()));
    let b_crit_changed = match (&b_crit, same_goal) {
        ([Some(a), Some(b)], true) => apart(a, b),
        _ => None,
    };
    GroupDifference {
        setting: a.setting.clone(),
        same_goal,
        b_crit,
        b_crit_changed,
        batches,
        chosen: [a.choice.batch_size, b.choice.batch_size],
    }
}

/// Whether two intervals have no number in common; `None` where one of the two is none.
fn apart(a: &Outcome, b: &Outcome) -> Option<bool> {
    let known = |o: &Outcome| o.low().is_some() || o.high().is_some();
    if !known(a) || !known(b) {
        return None;
    }
    let below =
        |x: &Outcome, y: &Outcome| matches!((x.high(), y.low()), (Some(high), Some(low)) if high < low);
    Some(below(a, b) || below(b, a))
}
