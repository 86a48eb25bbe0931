//! A sweep in words and tables, for a terminal.

use super::answer::{Fate, Group, SweepAnswer, Trouble};
use super::tables::{self, Table};
use crate::report::text::{count, int, num, percent};
use serde::Serialize;

/// A part of what is shown: a title, lines of words, and a table, each of which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// Lines of words.
    pub lines: Vec<String>,
    /// Rows of cells, the head first.
    pub table: Vec<Vec<String>>,
}

impl Section {
    fn of_lines(title: &str, lines: Vec<String>) -> Self {
        Self { title: title.to_owned(), lines, table: Vec::new() }
    }

    fn of_table(table: &Table, lines: Vec<String>) -> Self {
        Self { title: table.title.clone(), lines, table: table.plain() }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.table.is_empty()
    }
}

/// What a sweep says, the answer first. Control characters of names and reasons are shown as `�`.
#[must_use]
pub fn words(answer: &SweepAnswer) -> Vec<Section> {
    let mut all = vec![about(answer)];
    if 1 < answer.groups.len() {
        all.push(Section::of_table(&tables::settings(answer), Vec::new()));
    }
    for group in &answer.groups {
        all.extend(of_group(answer, group));
    }
    all.push(troubles(answer));
    tidy(all)
}

/// Without the sections that say nothing, and without what a terminal would obey.
pub(crate) fn tidy(mut all: Vec<Section>) -> Vec<Section> {
    // A head without rows, or rows without numbers, say nothing.
    for section in &mut all {
        if section.table.len() < 2 || section.table[0].len() < 2 {
            section.table.clear();
        }
    }
    all.retain(|section| !section.is_empty());
    all.iter_mut().for_each(harmless);
    all
}

/// The first line that a reader needs.
#[must_use]
pub fn headline(answer: &SweepAnswer) -> String {
    let Some(group) = answer.groups.first() else { return "This sweep has no trials yet.".to_owned() };
    if let Some(batch) = group.choice.batch_size {
        let rate = match &group.choice.learning_rate {
            Some(rate) => format!(" at learning rate {}", num(rate.value)),
            None => ", at a learning rate that is not known yet".to_owned(),
        };
        let setting =
            if group.setting.is_empty() { String::new() } else { format!(", with {}", group.setting) };
        return format!("Train with batch size {}{rate}{setting}.", int(batch));
    }
    if answer.fates.results() == 0 {
        return "Nothing can be said yet: no trial has a result.".to_owned();
    }
    match tables::best(group) {
        Some(best) if group.target.is_none() => format!(
            "No batch size can be advised without a target; the best {} so far is {}, at batch size {}.",
            group.judge.name(),
            tables::spread(best.value_at_end, tables::value),
            int(best.batch)
        ),
        _ => "No batch size can be advised yet: see what to measure next.".to_owned(),
    }
}

fn about(answer: &SweepAnswer) -> Section {
    let mut lines = vec![headline(answer)];
    lines.push(format!("{}: {}", answer.trainer, trials(answer)));
    lines.extend(settings(answer));
    lines.extend(answer.notes.iter().cloned());
    Section::of_lines(&format!("Sweep {}", answer.name), lines)
}

/// The trials that went wrong; those that only diverged or were stopped early are counted, not listed.
fn troubles(answer: &SweepAnswer) -> Section {
    let is_usual =
        |t: &&Trouble| matches!(t.fate, Fate::Diverged | Fate::Pruned) && t.ends.is_empty() && !t.differs;
    let n_usual = answer.troubles.iter().filter(is_usual).count() as u64;
    let listed = answer.troubles.iter().filter(|t| !is_usual(t));
    let note = format!(
        "{} diverged or stopped early as such runs do; the page lists them.",
        count(n_usual, "trial")
    );
    let lines = if n_usual == 0 { Vec::new() } else { vec![note] };
    Section::of_table(&tables::troubles(listed), lines)
}

/// That several settings of the other hyper-parameters were tried, and which one leads.
pub(crate) fn settings(answer: &SweepAnswer) -> Option<String> {
    let first = answer.groups.first().filter(|_| 1 < answer.groups.len())?;
    Some(format!(
        "{} settings of the other hyper-parameters were tried; each is judged apart, and the one that {} comes first.",
        int(answer.groups.len() as u64),
        match first.target {
            Some(_) => "reached its target in the fewest examples",
            None => "came to the best value",
        }
    ))
}

/// What was tried, and what became of it.
pub(crate) fn trials(answer: &SweepAnswer) -> String {
    let plan = &answer.plan;
    let of = |n: usize, one: &str| count(n as u64, one);
    if plan.batches.is_empty() {
        return "no trials".to_owned();
    }
    format!(
        "{} ({}) at {}, {} and {}",
        count(answer.fates.trials(), "trial"),
        tables::fates(&answer.fates),
        of(plan.batches.len(), "batch size"),
        of(plan.learning_rates.len(), "learning rate"),
        of(plan.seeds.len(), "seed")
    )
}

fn of_group(answer: &SweepAnswer, group: &Group) -> Vec<Section> {
    let title = |what: &str| match group.setting.as_str() {
        "" => what.to_owned(),
        setting => format!("{what} ({setting})"),
    };
    let pairs =
        |lines: &[(String, String)]| lines.iter().map(|(a, b)| format!("{a}: {b}")).collect::<Vec<_>>();
    let percent = percent(answer.reading.confidence);
    let steps = group.steps.as_ref().map(|steps| findings(&steps.lines)).unwrap_or_default();
    let time = group.time.as_ref().map(|time| findings(&time.lines)).unwrap_or_default();
    let mut all = vec![
        Section::of_lines(&title("Choice"), pairs(&group.choice.lines)),
        Section::of_table(&tables::rates(group, &percent), law(group)),
    ];
    if group.target.is_some() {
        all.push(Section::of_table(&tables::to_target(group), steps));
    }
    all.push(Section::of_table(&tables::values(group), Vec::new()));
    all.push(Section::of_table(&tables::costs(group, &answer.unit), time));
    all.push(Section::of_lines(&title("To keep in mind"), group.notes.clone()));
    all.push(Section::of_lines(&title("Measure next"), group.next.clone()));
    for section in all.iter_mut().filter(|section| !section.table.is_empty()) {
        section.title = title(&section.title);
    }
    all
}

/// What a fit found, in words: what it says of next measurements and of files is said elsewhere, and that nothing is known
/// is said once.
pub(crate) fn findings(lines: &[(String, String)]) -> Vec<String> {
    let mut is_said = false;
    let mut all = Vec::new();
    for (name, words) in lines {
        let unknown = words.starts_with("not identified");
        let elsewhere = matches!(name.as_str(), "measure next" | "measured" | "left out")
            || (is_said && matches!(name.as_str(), "because" | "grade"));
        if !(elsewhere || unknown && is_said) {
            all.push(format!("{name}: {words}"));
        }
        is_said |= unknown;
    }
    all
}

/// How the best learning rate follows the batch size.
pub(crate) fn law(group: &Group) -> Vec<String> {
    let Some(ridge) = &group.ridge else { return Vec::new() };
    let exponent = match &ridge.exponent {
        batchwise_estimate::outcome::Outcome::NotIdentified { why } => {
            format!("How the best learning rate follows the batch size is not identified: {why}.")
        }
        other => format!(
            "The best learning rate follows the batch size to the power {}.",
            tables::outcome(other, num)
        ),
    };
    let mut lines = vec![exponent];
    if let Some(why) = &ridge.comparison_blocked {
        lines.push(format!("Do not compare the batch sizes by their best values yet: {why}."));
    }
    lines
}

/// Nothing that a terminal would obey.
fn harmless(section: &mut Section) {
    let clean = |text: &mut String| {
        if text.chars().any(char::is_control) {
            *text = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        }
    };
    clean(&mut section.title);
    section.lines.iter_mut().for_each(clean);
    section.table.iter_mut().flatten().for_each(clean);
}
