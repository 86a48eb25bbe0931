//! The comparison of two sweeps in sentences and tables.

use super::{BatchDifference, Change, Difference, GroupDifference};
use crate::report::text::{UNKNOWN, int, num, percent, seconds};
use crate::sweep::tables::{self, Table};
use crate::sweep::words::{Section, tidy};
use batchwise_estimate::outcome::Outcome;

/// Adds what changed beyond the noise in a group, and what cannot be told.
pub(super) fn conclude(
    group: &GroupDifference,
    unit: &str,
    changed: &mut Vec<String>,
    cannot: &mut Vec<String>,
) {
    let with = if group.setting.is_empty() { String::new() } else { format!("With {}: ", group.setting) };
    let shown =
        |o: &Option<Outcome>| o.as_ref().map_or_else(|| "unknown".to_owned(), |o| tables::outcome(o, num));
    if !group.same_goal {
        cannot.push(format!(
            "{with}Whether results changed: the sweeps judge different numbers or have different targets."
        ));
        return;
    }
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
            super::named(&group.setting),
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
    tidy(all)
}
