//! The answer in one sentence, its parts as cards, and the reasons.

use super::text::{batch_range, bytes, escape, int, num, prose, seconds};
use crate::advice::{Advice, Binding};
use crate::prose::capitalized;
use batchwise_estimate::grade::Grade;

/// The top of the page.
pub(super) fn html(advice: &Advice) -> String {
    let p = &advice.provenance;
    let cards: String = cards(advice)
        .into_iter()
        .map(|(name, value, notes)| {
            let notes: String =
                notes.iter().map(|n| format!("<dd class=\"note\">{}</dd>", escape(n))).collect();
            format!(
                "<div class=\"card\"><dt>{name}</dt><dd class=\"value\">{}</dd>{notes}</div>\n",
                escape(&value)
            )
        })
        .collect();
    format!(
        "<header>\n<p class=\"eyebrow\">batchwise advice</p>\n<h1>{}</h1>\n\
         <p class=\"setting\">For {} on {} with {}, on {} ({}).</p>\n</header>\n\
         {}<dl class=\"cards\">\n{cards}</dl>\n",
        escape(&answer(advice)),
        escape(&p.model),
        escape(&p.data.name),
        escape(&p.optimizer),
        escape(&p.device_description),
        escape(&p.device),
        warnings(advice)
    )
}

/// What speaks against the answer, where a reader would otherwise find it only further down.
fn warnings(advice: &Advice) -> String {
    let mut warnings = Vec::new();
    if advice.confirmation.iter().any(|c| c.batch == advice.batch_size && c.train_loss.is_none()) {
        warnings.push("A training at the advised setting diverged: take a smaller learning rate (Figure 6).");
    }
    if advice.memory.verified_peak_bytes > advice.memory.limit_bytes {
        warnings.push("A run at the advised setting took more memory than the limit (Figure 4).");
    }
    warnings.iter().map(|w| format!("<p class=\"warning\"><b>Warning.</b> {}</p>\n", escape(w))).collect()
}

/// The answer in one sentence.
pub(super) fn answer(advice: &Advice) -> String {
    let mut words = format!(
        "Train with batch size {} at learning rate {}",
        int(advice.batch_size),
        num(advice.learning_rate)
    );
    if advice.accumulation_steps > 1 {
        words.push_str(&format!(
            ", as {} accumulated micro-batches of {}{}",
            int(advice.accumulation_steps),
            if last(advice).is_some() { "at most " } else { "" },
            int(advice.micro_batch)
        ));
    }
    words.push('.');
    words
}

/// Why, and what to measure next.
pub(super) fn reasons(advice: &Advice) -> String {
    let reasons: String = advice.reasons.iter().map(|r| format!("<li>{}</li>\n", prose(r))).collect();
    let list = if reasons.is_empty() {
        "<p>No reasons were recorded.</p>\n".to_owned()
    } else {
        format!("<ul class=\"reasons\">\n{reasons}</ul>\n")
    };
    let next = match advice.next_measurement.trim() {
        "" => "Nothing was suggested.",
        next => next,
    };
    format!(
        "<div class=\"pair\">\n<section>\n<h2>Why</h2>\n{list}</section>\n\
         <section>\n<h2>What to measure next</h2>\n<p class=\"next\">{}</p>\n</section>\n</div>\n",
        prose(next)
    )
}

/// (name, value, notes) of each card.
fn cards(advice: &Advice) -> Vec<(&'static str, String, Vec<String>)> {
    let [low, high] = advice.equivalent_batch_sizes;
    let equivalent = if low == high {
        "no other size tried is as good".to_owned()
    } else {
        format!("equivalent: {}", batch_range(advice.equivalent_batch_sizes))
    };
    let split = if advice.accumulation_steps > 1 {
        format!("{} × {}", int(advice.micro_batch), int(advice.accumulation_steps))
    } else {
        int(advice.micro_batch)
    };
    let steps = match (advice.accumulation_steps, last(advice)) {
        (0 | 1, _) => "the whole batch at once, no accumulation".to_owned(),
        (n, None) => format!("{} micro-batches per optimizer step", int(n)),
        (n, Some(last)) => format!("{} micro-batches per optimizer step, the last of {}", int(n), int(last)),
    };
    let peak = format!("peak memory {}", bytes(advice.memory.verified_peak_bytes as f64));
    let (binding, why) = binding(advice.binding);
    let mut batch = vec![equivalent];
    batch.extend(speed(advice));
    vec![
        ("Batch size", int(advice.batch_size), batch),
        ("Micro-batch × accumulation", split, vec![steps, peak]),
        ("Learning rate", num(advice.learning_rate), vec![advice.learning_rate_rule.clone()]),
        ("Binding constraint", binding.to_owned(), vec![why.to_owned()]),
        ("Evidence", grade(advice.grade), vec![capitalized(advice.grade.wording())]),
    ]
}

/// Size of the last micro-batch, where it is smaller than the others.
fn last(advice: &Advice) -> Option<u64> {
    let others = advice.accumulation_steps.checked_sub(1)?.checked_mul(advice.micro_batch)?;
    advice.batch_size.checked_sub(others).filter(|last| *last > 0 && *last < advice.micro_batch)
}

/// What was measured of the advised batch's speed.
fn speed(advice: &Advice) -> Option<String> {
    let own = advice.speed.points.iter().find(|p| p.batch == advice.batch_size)?;
    let rate = own.batch as f64 / own.seconds;
    rate.is_finite().then(|| format!("{} per step, {} examples/s", seconds(own.seconds), num(rate)))
}

/// A constraint and what it means.
pub(super) fn binding(binding: Binding) -> (&'static str, &'static str) {
    match binding {
        Binding::Memory => ("memory", "only a micro-batch of the batch fits the memory"),
        Binding::Knee => ("throughput", "a larger batch would hardly process more examples per second"),
        Binding::NoiseScale => ("gradient noise", "a larger batch would waste examples"),
        Binding::Generalisation => ("generalisation", "a larger batch was not tested for generalisation"),
        Binding::Data => ("data set", "a larger batch would be too large a part of the data set"),
        Binding::Tried => ("range tried", "larger batches were not tried"),
    }
}

/// The grade with a sign of its own, so that it does not rest on words alone.
fn grade(grade: Grade) -> String {
    let sign = match grade {
        Grade::Measured => "●",
        Grade::LowerBound => "↑",
        Grade::UpperBound => "↓",
        Grade::NotIdentified => "?",
        Grade::Extrapolated => "→",
        Grade::ModelMisfit | Grade::Contradiction => "≠",
        Grade::Untuned | Grade::Approximate => "≈",
    };
    format!("{sign} {}", grade.name().replace('_', " "))
}
