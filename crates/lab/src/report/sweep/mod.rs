//! The page of a sweep: one file that explains itself, works offline and prints.
//!
//! Read `headline` first, then in its order: the figures, each with its table (`map`, `target`, `values`, and those of
//! [`fit`](crate::fit)), the settings, the trials that went wrong, and where all comes from (`origin`).

mod headline;
mod map;
mod origin;
mod target;
#[cfg(test)]
mod tests;
mod values;

use super::figure::Figure;
use super::page::{frame, json};
use super::text::{escape, percent, prose};
use crate::fit::{picture, speed};
use crate::sweep::answer::{Group, SweepAnswer};
use crate::sweep::tables::{self, Table};

/// The report of a sweep, as one HTML file without external resources or scripts.
///
/// Whatever the trials came to, it does not fail: what is missing is said to be.
#[must_use]
pub fn html(answer: &SweepAnswer) -> String {
    let group = answer.groups.first();
    let parts = [
        headline::html(answer),
        headline::reasons(answer),
        group.map(|group| figures(answer, group)).unwrap_or_default(),
        settings(answer),
        troubles(answer),
        origin::html(answer),
    ];
    let title = format!("{}: {}", answer.name, crate::sweep::headline(answer));
    frame(&title, &parts.concat(), "sweep", &json(answer))
}

/// The figures of a group, each with its table below.
fn figures(answer: &SweepAnswer, group: &Group) -> String {
    let settings = answer.reading.settings(&answer.unit, answer.dataset_examples);
    let percent = percent(settings.confidence);
    let mut all: Vec<(Figure, Table)> = Vec::new();
    if 0 < group.fates.trials() {
        all.push((map::figure(group, &answer.unit), tables::cells(group)));
    }
    if let Some(ridge) = &group.ridge {
        all.push((picture::ridge::figure(ridge, &settings), tables::rates(group, &percent)));
    }
    if let Some(steps) = &group.steps {
        let figure = picture::tradeoff::figure(&steps.fit, &steps.runs, &settings);
        all.push((figure, tables::to_target(group)));
        all.push((target::figure(group, &answer.unit), tables::runs(group, &answer.unit)));
    }
    if group.batches.iter().any(|batch| batch.value_at_end.is_some()) {
        all.push((values::figure(group, &answer.unit), tables::values(group)));
    }
    if let Some(time) = &group.time {
        let figure = match &time.fit {
            Some(fit) => picture::speed::figure(fit, speed::KNEE, &settings),
            None => picture::speed::nothing(&time.timings, &settings),
        };
        all.push((figure, tables::costs(group, &answer.unit)));
    }
    if let Some(memory) = &group.memory {
        let figure = picture::memory::figure(&memory.points, memory.fit.as_ref(), &[], &settings);
        all.push((figure, tables::peaks(group)));
    }
    if let Some(decision) = &group.choice.decision {
        all.push((picture::decide::figure(Some(decision), &settings), tables::standings(group)));
    }
    if all.is_empty() {
        return String::new();
    }
    let shown: String = all
        .iter()
        .enumerate()
        .map(|(i, (figure, table))| {
            let name = format!("The numbers of Figure {}", i + 1);
            // The map is tall: its table stands open beside it.
            let (wide, open) = if figure.id == map::ID { (" wide", " open") } else { ("", "") };
            let table = details(&name, table, open);
            format!("<div class=\"shown{wide}\">\n{}{table}</div>\n", figure.html(i + 1))
        })
        .collect();
    let of = if group.setting.is_empty() { String::new() } else { format!(" with {}", group.setting) };
    format!(
        "<section id=\"figures\">\n<h2>What was measured{}</h2>\n<div class=\"figures\">\n{shown}</div>\n</section>\n",
        escape(&of)
    )
}

/// A table that opens on demand, or that is open.
fn details(name: &str, table: &Table, open: &str) -> String {
    format!("<details{open}>\n<summary>{}</summary>\n<div>{}</div>\n</details>\n", prose(name), plain(table))
}

/// A table as HTML.
pub(super) fn plain(table: &Table) -> String {
    if table.rows.is_empty() {
        return "<p>Nothing was measured.</p>".to_owned();
    }
    let class = |column: Option<&String>| {
        if column.is_some_and(|c| c.starts_with('\'')) { " class=\"word\"" } else { "" }
    };
    let head: String = table
        .columns
        .iter()
        .map(|c| format!("<th scope=\"col\"{}>{}</th>", class(Some(c)), prose(c.trim_start_matches('\''))))
        .collect();
    let mut body = String::new();
    for (i, row) in table.rows.iter().enumerate() {
        body.push_str(if Some(i) == table.advised { "<tr class=\"advised\">" } else { "<tr>" });
        for (j, cell) in row.iter().enumerate() {
            body.push_str(&format!("<td{}>{}</td>", class(table.columns.get(j)), escape(cell)));
        }
        body.push_str("</tr>\n");
    }
    format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>")
}

/// The settings of the other hyper-parameters, where there are several.
fn settings(answer: &SweepAnswer) -> String {
    if answer.groups.len() < 2 {
        return String::new();
    }
    let percent = percent(answer.reading.confidence);
    let mut more = String::new();
    for group in answer.groups.iter().skip(1) {
        let name = |what: &str| format!("{}: {what}", group.setting);
        let mut both = vec![(name("best learning rates"), tables::rates(group, &percent))];
        if group.target.is_some() {
            both.push((name("to the target"), tables::to_target(group)));
        }
        both.push((name("every batch size and learning rate"), tables::cells(group)));
        more.extend(both.iter().map(|(name, table)| details(&name.replace('`', "'"), table, "")));
    }
    format!(
        "<section id=\"settings\">\n<h2>Settings of the other hyper-parameters</h2>\n<div class=\"scroll\">{}</div>\n{more}\
         </section>\n",
        plain(&tables::settings(answer))
    )
}

/// The trials that went wrong in some way.
fn troubles(answer: &SweepAnswer) -> String {
    let body = if answer.troubles.is_empty() {
        "<p>None: every trial that ran ended in good order at its first attempt.</p>".to_owned()
    } else {
        let few = answer.troubles.len() <= 12;
        let table = tables::troubles(&answer.troubles);
        let open = if few { " open" } else { "" };
        let name = format!("{} of {} trials", answer.troubles.len(), answer.fates.trials());
        format!(
            "<details{open}>\n<summary>{}</summary>\n<div>{}</div>\n</details>",
            escape(&name),
            plain(&table)
        )
    };
    format!(
        "<section id=\"troubles\">\n<h2>Trials that went wrong, ended early or took several attempts</h2>\n{body}\n\
         </section>\n"
    )
}
