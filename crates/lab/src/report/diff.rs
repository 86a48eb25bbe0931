//! Two sweeps side by side, as one HTML page that loads nothing.

use super::page::{frame, json};
use super::sweep::plain;
use super::text::{escape, prose};
use crate::sweep::difference::{self, Difference};

/// The comparison as one HTML file without external resources or scripts.
#[must_use]
pub fn html(difference: &Difference) -> String {
    let [a, b] = &difference.names;
    let list =
        |all: &[String]| all.iter().map(|words| format!("<li>{}</li>\n", prose(words))).collect::<String>();
    let changed = if difference.changed.is_empty() {
        "<p>Nothing that can be told from the scatter between seeds.</p>\n".to_owned()
    } else {
        format!("<ul class=\"reasons\">\n{}</ul>\n", list(&difference.changed))
    };
    let plan = if difference.plan.is_empty() {
        "<p>Nothing: both sweeps have the same plan and ran on the same machine.</p>\n".to_owned()
    } else {
        format!("<div class=\"scroll\">{}</div>\n", plain(&difference::plan_table(difference)))
    };
    let batches: String = difference
        .groups
        .iter()
        .flat_map(|group| difference::batch_tables(difference, group))
        .map(|table| {
            format!("<div class=\"scroll\">\n<h3>{}</h3>\n{}</div>\n", prose(&table.title), plain(&table))
        })
        .collect();
    let batches = if batches.is_empty() {
        "<p>No setting is in both.</p>\n".to_owned()
    } else {
        format!("<div class=\"figures\">\n{batches}</div>\n")
    };
    let more = |title: &str, all: &[String]| match all {
        [] => String::new(),
        all => {
            format!("<section>\n<h2>{title}</h2>\n<ul class=\"reasons\">\n{}</ul>\n</section>\n", list(all))
        }
    };
    let parts = format!(
        "<header>\n<p class=\"eyebrow\">batchwise: two sweeps side by side</p>\n<h1>{}</h1>\n\
         <p class=\"setting\">{} and {}.</p>\n</header>\n\
         <section id=\"changed\">\n<h2>What changed beyond the noise</h2>\n{changed}</section>\n\
         <section id=\"plan\">\n<h2>What differs in the plan</h2>\n{plan}</section>\n\
         <section id=\"batches\">\n<h2>The results</h2>\n{batches}</section>\n\
         <section id=\"critical\">\n<h2>Critical batch size and choice</h2>\n<div class=\"scroll\">{}</div>\n<p>{}</p>\n</section>\n{}{}",
        escape(&difference::summary(difference)),
        escape(a),
        escape(b),
        plain(&difference::critical_table(difference)),
        prose(&difference::method(difference)),
        more("What cannot be told", &difference.cannot_tell),
        more("What only one of them has", &difference.only_in_one),
    );
    frame(&format!("{a} and {b}"), &parts, "difference", &json(difference))
}
