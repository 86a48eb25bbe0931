//! Two sweeps side by side: what differs in their plans, and what changed in their results beyond the noise.

use super::answer::{BatchSummary, Fate, Group, Spread, SweepAnswer};
use super::tables::{self, Table};
use super::words::Section;
use crate::report::text::{UNKNOWN, int, num, percent, percent_rough, rough, seconds};
use batchwise_estimate::fieller::student_t_quantile;
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

/// By how much a number changed from the first sweep to the second.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// The ratio of the two, with its interval (Welch, of the logarithms).
    Ratio {
        /// Second over first.
        ratio: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// The difference of the two, with its interval (Welch).
    Difference {
        /// Second less first.
        value: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// There is no error to judge it by.
    CannotTell {
        /// Why.
        why: String,
    },
    /// Nothing of the kind was measured.
    NotMeasured,
}

impl Change {
    /// Whether it is beyond the noise; `None` where that cannot be told.
    #[must_use]
    pub fn is_beyond_noise(&self) -> Option<bool> {
        match self {
            Self::Ratio { low, high, .. } => Some(1.0 < *low || *high < 1.0),
            Self::Difference { low, high, .. } => Some(0.0 < *low || *high < 0.0),
            Self::CannotTell { .. } | Self::NotMeasured => None,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Ratio { ratio, low, high } => {
                format!("{} ({} to {})", signed(*ratio), signed(*low), signed(*high))
            }
            Self::Difference { value, low, high } => {
                format!("{} ({} to {})", plus(*value), plus(*low), plus(*high))
            }
            Self::CannotTell { why } => format!("cannot tell: {why}"),
            Self::NotMeasured => UNKNOWN.to_owned(),
        }
    }
}

/// A ratio as a change in per cent.
fn signed(ratio: f64) -> String {
    let change = ratio - 1.0;
    if change < 0.0 {
        format!("−{}", percent_rough(-change))
    } else {
        format!("+{}", percent_rough(change))
    }
}

fn plus(v: f64) -> String {
    if v < 0.0 { rough(v) } else { format!("+{}", rough(v)) }
}

/// Compares two sweeps.
#[must_use]
pub fn difference(a: &SweepAnswer, b: &SweepAnswer) -> Difference {
    let confidence = a.reading.confidence.max(b.reading.confidence).clamp(0.5, 0.999);
    let mut groups = Vec::new();
    let mut only_in_one = Vec::new();
    let alone = a.groups.len() == 1 && b.groups.len() == 1;
    for first in &a.groups {
        match b.groups.iter().find(|second| alone || second.setting == first.setting) {
            Some(second) => groups.push(group(first, second, confidence)),
            None => only_in_one.push(format!("{} is in {} only", named(&first.setting), a.name)),
        }
    }
    for second in b.groups.iter().filter(|s| !alone && !a.groups.iter().any(|f| f.setting == s.setting)) {
        only_in_one.push(format!("{} is in {} only", named(&second.setting), b.name));
    }
    let (mut changed, mut cannot_tell) = (Vec::new(), Vec::new());
    for group in &groups {
        conclude(group, &a.unit, &mut changed, &mut cannot_tell);
    }
    Difference {
        names: [a.name.clone(), b.name.clone()],
        plan: plan(a, b),
        groups,
        only_in_one,
        confidence,
        changed,
        cannot_tell,
    }
}

fn named(setting: &str) -> String {
    if setting.is_empty() { "the one setting".to_owned() } else { setting.to_owned() }
}

fn plan(a: &SweepAnswer, b: &SweepAnswer) -> Vec<(String, String, String)> {
    let list = |all: &[String]| all.join(", ");
    let ints = |all: &[u64]| list(&all.iter().map(|n| int(*n)).collect::<Vec<_>>());
    let rates = |all: &[f64]| list(&all.iter().map(|r| num(*r)).collect::<Vec<_>>());
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
    let same_target = a.target == b.target;
    let batches = pairs
        .into_iter()
        .map(|(first, second)| {
            let rate = [first.rate.best.clone(), second.rate.best.clone()];
            let to_target = |of: fn(&super::answer::SeedRun) -> Option<f64>| match (a.target, same_target) {
                (None, true) => Change::NotMeasured,
                (_, false) => Change::CannotTell { why: "the targets differ".to_owned() },
                (Some(_), true) => ratio(first, second, of, each),
            };
            BatchDifference {
                batch: first.batch,
                rate_changed: apart(&rate[0], &rate[1]),
                rate,
                examples_seen: [first.examples, second.examples],
                seconds_seen: [first.seconds, second.seconds],
                values_seen: [first.value_at_end, second.value_at_end],
                examples: to_target(|run| Some(run.examples)),
                seconds: to_target(|run| run.seconds),
                value: if a.target.is_none() && b.target.is_none() && a.judge == b.judge {
                    value(first, second, each)
                } else {
                    Change::NotMeasured
                },
            }
        })
        .collect();
    let b_crit = [a, b].map(|group| group.steps.as_ref().map(|steps| steps.fit.b_crit.clone()));
    let b_crit_changed = match (&b_crit, same_target) {
        ([Some(a), Some(b)], true) => apart(a, b),
        _ => None,
    };
    GroupDifference {
        setting: a.setting.clone(),
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

fn ratio(
    a: &BatchSummary,
    b: &BatchSummary,
    of: fn(&super::answer::SeedRun) -> Option<f64>,
    confidence: f64,
) -> Change {
    let logs = |batch: &BatchSummary| -> Result<Vec<f64>, &'static str> {
        if batch.runs.iter().any(|run| run.fate != Fate::Reached) {
            return Err("some runs never reached the target");
        }
        Ok(batch.runs.iter().filter_map(of).filter(|v| 0.0 < *v).map(f64::ln).collect())
    };
    match (logs(a), logs(b)) {
        (Ok(a), Ok(b)) if a.is_empty() || b.is_empty() => Change::NotMeasured,
        (Ok(logs_a), Ok(logs_b)) => match welch(&logs_a, &logs_b, seen(a) + seen(b), confidence) {
            Some((d, low, high)) => Change::Ratio { ratio: d.exp(), low: low.exp(), high: high.exp() },
            None => one_seed(),
        },
        (Err(why), _) | (_, Err(why)) => Change::CannotTell { why: why.to_owned() },
    }
}

/// What evaluations that are apart add to the variance of the mean logarithm: a time somewhere between two is known to
/// their distance over √12.
fn seen(batch: &BatchSummary) -> f64 {
    let n = batch.runs.len() as f64;
    let runs = batch.runs.iter().filter(|run| 0.0 < run.steps);
    runs.map(|run| (run.period / run.steps).powi(2) / 12.0).sum::<f64>() / (n * n)
}

fn value(a: &BatchSummary, b: &BatchSummary, confidence: f64) -> Change {
    let ends = |batch: &BatchSummary| batch.runs.iter().filter_map(|run| run.value).collect::<Vec<_>>();
    let (a, b) = (ends(a), ends(b));
    if a.is_empty() || b.is_empty() {
        return Change::NotMeasured;
    }
    match welch(&a, &b, 0.0, confidence) {
        Some((value, low, high)) => Change::Difference { value, low, high },
        None => one_seed(),
    }
}

fn one_seed() -> Change {
    Change::CannotTell { why: "two seeds or more are needed in both, which differ".to_owned() }
}

/// The difference of two means with its interval (Welch 1947), `more` of whose variance is known beforehand; `None` without
/// an error.
fn welch(a: &[f64], b: &[f64], more: f64, confidence: f64) -> Option<(f64, f64, f64)> {
    let moments = |all: &[f64]| {
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        (n, mean, all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n)
    };
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let ((na, ma, va), (nb, mb, vb)) = (moments(a), moments(b));
    let scatter = va + vb;
    let variance = scatter + more;
    // Runs that agree to the last bit have no scatter to judge by.
    if variance <= 0.0 || !variance.is_finite() {
        return None;
    }
    let df = match va * va / (na - 1.0) + vb * vb / (nb - 1.0) {
        0.0 => na + nb - 2.0,
        of_each => scatter * scatter / of_each,
    };
    let reach = student_t_quantile(0.5 + confidence / 2.0, df) * variance.sqrt();
    let d = mb - ma;
    (d.is_finite() && reach.is_finite()).then_some((d, d - reach, d + reach))
}

fn conclude(group: &GroupDifference, unit: &str, changed: &mut Vec<String>, cannot: &mut Vec<String>) {
    let with = if group.setting.is_empty() { String::new() } else { format!("With {}: ", group.setting) };
    let shown =
        |o: &Option<Outcome>| o.as_ref().map_or_else(|| "unknown".to_owned(), |o| tables::outcome(o, num));
    match group.b_crit_changed {
        Some(true) => changed.push(format!(
            "{with}B_c changed from {} to {}: the intervals have no number in common.",
            shown(&group.b_crit[0]),
            shown(&group.b_crit[1])
        )),
        Some(false) => {}
        None if group.b_crit.iter().any(Option::is_some) => {
            cannot.push(format!(
                "{with}Whether B_c changed: it is not known in both sweeps for the same target."
            ));
        }
        None => {}
    }
    for batch in &group.batches {
        let at = int(batch.batch);
        if batch.rate_changed == Some(true) {
            changed.push(format!(
                "{with}The best learning rate at batch {at} moved from {} to {}.",
                tables::outcome(&batch.rate[0], num),
                tables::outcome(&batch.rate[1], num)
            ));
        }
        let all = [
            (&batch.examples, format!("{unit} to the target")),
            (&batch.seconds, "time to the target".to_owned()),
            (&batch.value, "value at the end".to_owned()),
        ];
        for (change, what) in all {
            match change {
                Change::CannotTell { why } => cannot.push(format!("{with}The {what} at batch {at}: {why}.")),
                change if change.is_beyond_noise() == Some(true) => {
                    changed.push(format!("{with}The {what} at batch {at} changed by {}.", change.words()));
                }
                _ => {}
            }
        }
    }
}

/// One sentence that sums the comparison up.
pub(crate) fn summary(difference: &Difference) -> String {
    let compared = difference.groups.iter().map(|group| group.batches.len()).sum::<usize>();
    match (compared, difference.changed.len(), difference.cannot_tell.len()) {
        (0, ..) => "The two sweeps have no batch size in common.".to_owned(),
        (_, 0, 0) => "Nothing changed beyond the noise.".to_owned(),
        (_, 0, n) => format!("Nothing is seen to have changed; {n} comparisons cannot be made."),
        (_, 1, _) => "One thing changed beyond the noise.".to_owned(),
        (_, n, _) => format!("{n} things changed beyond the noise."),
    }
}

/// What differs in the plans.
pub(crate) fn plan_table(difference: &Difference) -> Table {
    let mut table = Table::new("What differs in the plan", &["'What", "", ""]);
    for (i, name) in difference.names.iter().enumerate() {
        table.columns[i + 1] = format!("'{name}");
    }
    for (name, a, b) in &difference.plan {
        let shown = |text: &String| if text.is_empty() { UNKNOWN.to_owned() } else { text.clone() };
        table.row(vec![name.clone(), shown(a), shown(b)]);
    }
    table
}

/// One table for each quantity, of the batch sizes that both have.
pub(crate) fn batch_tables(difference: &Difference, group: &GroupDifference) -> Vec<Table> {
    let of = if group.setting.is_empty() { String::new() } else { format!(" with {}", group.setting) };
    let [a, b] = &difference.names;
    let table = |title: &str, row: &dyn Fn(&BatchDifference) -> [String; 3]| {
        let mut table = Table::new(format!("{title}{of}"), &["Batch size", a, b, "Change"]);
        for batch in &group.batches {
            table.row(std::iter::once(int(batch.batch)).chain(row(batch)).collect());
        }
        table
    };
    let measured =
        |of: fn(&BatchDifference) -> &Change| group.batches.iter().any(|b| *of(b) != Change::NotMeasured);
    let mut all = vec![table("Best learning rate", &|batch| {
        let [a, b] = [0, 1].map(|i| tables::outcome(&batch.rate[i], num));
        [a, b, overlap(batch.rate_changed).to_owned()]
    })];
    if measured(|batch| &batch.examples) {
        all.push(table("Examples to the target", &|batch| {
            let [a, b] = batch.examples_seen.map(|seen| tables::spread(seen, num));
            [a, b, batch.examples.words()]
        }));
    }
    if measured(|batch| &batch.seconds) {
        all.push(table("Time to the target", &|batch| {
            let [a, b] = batch.seconds_seen.map(|seen| tables::spread(seen, seconds));
            [a, b, batch.seconds.words()]
        }));
    }
    if measured(|batch| &batch.value) {
        all.push(table("Value at the end", &|batch| {
            let [a, b] = batch.values_seen.map(|seen| tables::spread(seen, tables::value));
            [a, b, batch.value.words()]
        }));
    }
    all
}

fn overlap(changed: Option<bool>) -> &'static str {
    match changed {
        Some(true) => "intervals apart",
        Some(false) => "intervals overlap",
        None => "cannot tell",
    }
}

/// The critical batch sizes and choices side by side.
pub(crate) fn critical_table(difference: &Difference) -> Table {
    let mut table = Table::new(
        "Critical batch size and choice",
        &["'Setting", "'", "'", "'Intervals", "'Chosen batch size"],
    );
    let [a, b] = &difference.names;
    table.columns[1] = format!("'B_c, {a}");
    table.columns[2] = format!("'B_c, {b}");
    for group in &difference.groups {
        let shown = |o: &Option<Outcome>| match o {
            Some(o) => tables::outcome(o, num),
            None => UNKNOWN.to_owned(),
        };
        let chosen = group.chosen.map(|c| c.map_or_else(|| UNKNOWN.to_owned(), int));
        table.row(vec![
            named(&group.setting),
            shown(&group.b_crit[0]),
            shown(&group.b_crit[1]),
            overlap(group.b_crit_changed).to_owned(),
            format!("{} and {}", chosen[0], chosen[1]),
        ]);
    }
    table
}

/// How the comparison is made, in one sentence.
pub(crate) fn method(difference: &Difference) -> String {
    format!(
        "Changes are from {} to {}, with intervals that hold at all batch sizes of a table column together with {} confidence \
         (Welch, over the seeds); learning rates and B_c count as changed where their intervals have no number in common, \
         which is the stricter test.",
        difference.names[0],
        difference.names[1],
        percent(difference.confidence)
    )
}

/// The comparison in words and tables, for a terminal.
#[must_use]
pub fn words(difference: &Difference) -> Vec<Section> {
    let mut first = vec![summary(difference)];
    first.extend(difference.changed.iter().cloned());
    let lines =
        |title: &str, lines: Vec<String>| Section { title: title.to_owned(), lines, table: Vec::new() };
    let table =
        |table: Table| Section { title: table.title.clone(), lines: Vec::new(), table: table.plain() };
    let [a, b] = &difference.names;
    let mut all = vec![lines(&format!("Sweeps {a} and {b}"), first), table(plan_table(difference))];
    all.extend(difference.groups.iter().flat_map(|group| batch_tables(difference, group)).map(table));
    all.push(table(critical_table(difference)));
    all.push(lines("Cannot be told", difference.cannot_tell.clone()));
    all.push(lines("In one sweep only", difference.only_in_one.clone()));
    all.push(lines("How this is judged", vec![method(difference)]));
    super::words::tidy(all)
}

#[cfg(test)]
mod tests {
    use super::super::answer::world::World;
    use super::super::answer::{Reading, answer};
    use super::*;

    fn answered(change: impl FnOnce(&mut World), name: &str) -> SweepAnswer {
        let mut world = World::usual();
        world.batches = vec![2, 8, 32, 128, 512];
        change(&mut world);
        let (mut file, records) = world.sweep();
        name.clone_into(&mut file.name);
        answer(&file, &records, &Reading::default())
    }

    #[test]
    fn other_seeds_of_the_same_are_no_change() {
        let (a, b) = (answered(|_| (), "a"), answered(|w| w.salt = 99, "b"));
        let found = difference(&a, &b);
        assert_eq!(found.changed, Vec::<String>::new());
        assert_eq!(found.groups[0].b_crit_changed, Some(false));
        assert_eq!(found.plan, Vec::new());
        assert!(summary(&found).starts_with("Nothing changed"), "{found:?}");
        // The same sweep twice has no change either.
        assert!(difference(&a, &a).changed.is_empty());
    }

    #[test]
    fn a_slower_training_is_seen() {
        let a = answered(|w| w.parameter = Some(("slowness", vec![1.0])), "a");
        let b = answered(|w| w.parameter = Some(("slowness", vec![1.5])), "b");
        let found = difference(&a, &b);
        assert_eq!(found.plan.len(), 1, "{:?}", found.plan);
        for batch in &found.groups[0].batches {
            let Change::Ratio { low, high, .. } = batch.examples else { panic!("{batch:?}") };
            assert!(low <= 1.5 && 1.5 <= high && batch.examples.is_beyond_noise() == Some(true), "{batch:?}");
        }
        assert_eq!(found.groups[0].b_crit_changed, Some(false));
        assert!(
            words(&found).iter().any(|section| section.title == "Examples to the target with slowness=1")
        );
    }

    #[test]
    fn without_errors_nothing_is_claimed() {
        let (a, b) = (answered(|w| w.seeds = 1, "a"), answered(|w| (w.seeds, w.salt) = (1, 5), "b"));
        let found = difference(&a, &b);
        assert!(found.groups[0].batches.iter().all(|batch| batch.examples.is_beyond_noise().is_none()));
        let other = answered(|w| w.batches = vec![4], "c");
        assert!(summary(&difference(&a, &other)).contains("no batch size in common"));
    }
}
