//! The answer in one sentence, its parts as cards, and the reasons.

use super::super::text::{bytes, count, escape, int, num, percent, percent_rough, prose, seconds};
use crate::sweep::answer::{Group, SweepAnswer};
use crate::sweep::tables::{self, best, fates};
use crate::sweep::words::{findings, law, settings, trials};
use batchwise_estimate::decide::Binding;
use batchwise_estimate::outcome::Outcome;

type Card = (&'static str, String, Vec<String>);

/// The top of the page.
pub(super) fn html(answer: &SweepAnswer) -> String {
    let cards = answer.groups.first().map(|group| cards(answer, group)).unwrap_or_default();
    let cards: String = cards
        .into_iter()
        .map(|(name, value, notes)| {
            let notes: String =
                notes.iter().map(|n| format!("<dd class=\"note\">{}</dd>", prose(n))).collect();
            format!(
                "<div class=\"card\"><dt>{name}</dt><dd class=\"value\">{}</dd>{notes}</div>\n",
                escape(&value)
            )
        })
        .collect();
    let cards = if cards.is_empty() { cards } else { format!("<dl class=\"cards\">\n{cards}</dl>\n") };
    let settings =
        settings(answer).map_or_else(String::new, |s| format!("<p class=\"setting\">{}</p>\n", prose(&s)));
    let notes: String =
        answer.notes.iter().map(|note| format!("<p class=\"warning\">{}</p>\n", prose(note))).collect();
    format!(
        "<header>\n<p class=\"eyebrow\">batchwise sweep: {}</p>\n<h1>{}</h1>\n\
         <p class=\"setting\">{}: {}.</p>\n{settings}</header>\n{notes}{cards}",
        escape(&answer.name),
        escape(&crate::sweep::headline(answer)),
        escape(&answer.trainer),
        escape(&trials(answer)),
    )
}

/// (name, value, notes) of each card.
fn cards(answer: &SweepAnswer, group: &Group) -> Vec<Card> {
    let mut cards = vec![batch_size(group), learning_rate(answer, group)];
    match &group.steps {
        Some(steps) => {
            let percent = percent(answer.reading.confidence);
            let (value, mut notes) = interval(&steps.fit.b_crit, &percent);
            notes.push(format!("evidence: {}", steps.fit.grade.name().replace('_', " ")));
            cards.push(("Critical batch size B<sub>c</sub>", value, notes));
        }
        None if group.target.is_some() => {
            cards.push(("Critical batch size B<sub>c</sub>", "not identified".to_owned(), Vec::new()));
        }
        None => {
            let best = best(group);
            let value = best.map_or("unknown".to_owned(), |b| tables::spread(b.value_at_end, tables::value));
            let at = best.map(|b| format!("at batch size {}", int(b.batch)));
            cards.push(("Best value at the end", value, at.into_iter().collect()));
        }
    }
    if let Some(chosen) = group.choice.decision.as_ref().and_then(|d| d.chosen().filter(|_| d.absolute)) {
        let time = chosen.time;
        let notes = vec![
            format!("90 % interval {} to {}", seconds(time.low), seconds(time.high)),
            format!("expected regret {}", percent_rough(chosen.expected_regret)),
        ];
        cards.push(("Time to the target", seconds(time.median), notes));
    } else if let Some(batch) = best(group).filter(|_| group.target.is_some()) {
        let words = tables::spread(batch.examples, num);
        cards.push((
            "Fewest examples to the target",
            words,
            vec![format!("at batch size {}", int(batch.batch))],
        ));
    }
    let done = format!("{} of {}", int(answer.fates.results()), int(answer.fates.trials()));
    cards.push(("Trials with a result", done, vec![fates(&answer.fates)]));
    cards
}

fn batch_size(group: &Group) -> Card {
    let Some(decision) = &group.choice.decision else {
        return ("Batch size", "not identified".to_owned(), Vec::new());
    };
    let others: Vec<String> = decision
        .equivalent_batch_sizes
        .iter()
        .filter(|b| **b != decision.batch_size)
        .map(|b| int(*b))
        .collect();
    let mut notes = vec![match others.as_slice() {
        [] => "no other size tried is as good".to_owned(),
        others => format!("as good: {}", others.join(", ")),
    }];
    notes.push(
        match decision.binding {
            Binding::Memory => "a larger one does not fit in memory",
            Binding::Knee => "a larger one hardly processes more per second",
            Binding::NoiseScale => "a larger one wastes examples",
            Binding::Generalisation => "larger ones were not tested for generalisation",
            Binding::Data => "a larger one is too large a part of the data",
            Binding::Tried => "larger ones were not tried",
        }
        .to_owned(),
    );
    ("Batch size", int(decision.batch_size), notes)
}

fn learning_rate(answer: &SweepAnswer, group: &Group) -> Card {
    match &group.choice.learning_rate {
        Some(rate) => {
            let mut notes = Vec::new();
            if let (Some(low), Some(high)) = (rate.low, rate.high) {
                let percent = percent(answer.reading.confidence);
                notes.push(format!("{percent} interval {} to {}", num(low), num(high)));
            }
            notes.push(rate.how.clone());
            if rate.extrapolated {
                notes.push("beyond the batch sizes tuned".to_owned());
            }
            ("Learning rate", num(rate.value), notes)
        }
        None if group.ridge.is_none() => ("Learning rate", "not identified".to_owned(), Vec::new()),
        None => ("Learning rate", "by batch size".to_owned(), vec!["see the map below".to_owned()]),
    }
}

fn interval(outcome: &Outcome, percent: &str) -> (String, Vec<String>) {
    match outcome {
        Outcome::Measured { value, low, high } => {
            (num(*value), vec![format!("{percent} interval {} to {}", num(*low), num(*high))])
        }
        Outcome::LowerBound { low } => (format!("≥ {}", num(*low)), vec!["a lower bound only".to_owned()]),
        Outcome::UpperBound { high } => (format!("≤ {}", num(*high)), vec!["an upper bound only".to_owned()]),
        Outcome::NotIdentified { .. } => ("not identified".to_owned(), Vec::new()),
    }
}

/// Why, and what to measure next.
pub(super) fn reasons(answer: &SweepAnswer) -> String {
    let Some(group) = answer.groups.first() else { return String::new() };
    let mut why: Vec<String> = Vec::new();
    if let Some(decision) = &group.choice.decision {
        why.push(decision.binding_reason.clone());
        why.extend(decision.grade_reasons.iter().cloned());
    } else {
        why.extend(group.choice.lines.iter().map(|(name, words)| format!("{name}: {words}")));
    }
    if let Some(steps) = &group.steps {
        why.extend(findings(&steps.lines));
    }
    why.extend(law(group));
    why.extend(group.notes.iter().cloned());
    if let Some(peak) = group.batches.iter().filter_map(|b| b.peak_bytes).max() {
        why.push(format!("The most memory that any run took at once: {}.", bytes(peak as f64)));
    }
    let why: String = why.iter().map(|reason| format!("<li>{}</li>\n", prose(&sentence(reason)))).collect();
    let next: String =
        group.next.iter().map(|next| format!("<p class=\"next\">{}</p>\n", prose(next))).collect();
    let others = group.fates.trials() < answer.fates.trials();
    let of = if others { format!(" ({})", count(group.fates.trials(), "trial")) } else { String::new() };
    format!(
        "<div class=\"pair\">\n<section>\n<h2>Why{of}</h2>\n<ul class=\"reasons\">\n{why}</ul>\n</section>\n\
         <section>\n<h2>What to measure next</h2>\n{next}</section>\n</div>\n"
    )
}

/// A capital at the start and a full stop at the end.
fn sentence(words: &str) -> String {
    let words = crate::prose::capitalized(words);
    if words.ends_with(['.', '!', '?', ':']) { words } else { format!("{words}.") }
}
