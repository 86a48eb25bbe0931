//! `fit ridge`: the best learning rate at each batch size, and how it follows the batch size.

use super::answer::{Answer, Draft, Number, three};
use super::columns::Wanted;
use super::picture;
use super::settings::Settings;
use super::table::{FileRead, Table};
use super::{FitError, Source};
use crate::report::text::{int, num};
use batchwise_estimate::ridge::{
    BestAtBatch, Edge, Form, FormVerdict, Goal, Next, Options, RidgeError, RidgeFit, RidgePoint, fit_ridge,
    next_learning_rates,
};
use serde::Serialize;
use std::collections::HashMap;

const WANTED: &[Wanted] = &[
    Wanted::plain("batch", &["batch_size", "bs", "global_batch_size"]),
    Wanted::plain("lr", &["learning_rate", "eta", "peak_lr"]),
    Wanted::plain("seed", &[]),
    Wanted::plain("loss", &["final_loss", "error"]),
    Wanted::plain("steps", &["steps_to_target"]),
    Wanted::plain("examples", &["examples_to_target"]),
];
const BATCH: usize = 0;
const LR: usize = 1;
const SEED: usize = 2;
const LOSS: usize = 3;
const STEPS: usize = 4;
const EXAMPLES: usize = 5;

/// Words for a run without a value.
const DIVERGED: &[&str] = &[
    "",
    "nan",
    "-nan",
    "inf",
    "+inf",
    "-inf",
    "infinity",
    "-infinity",
    "diverged",
    "never",
    "censored",
    "none",
    "null",
    "failed",
];

/// An interval of a learning rate is narrow enough below this ratio of its ends.
const WANTED_RATIO: f64 = 2.0;

#[derive(Serialize)]
struct BestKeys {
    batch: u64,
    lr: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    at_edge: bool,
    edge: Option<Edge>,
    grade: &'static str,
    why: Option<String>,
    value: Option<f64>,
    runs: u64,
    diverged: u64,
    next: Next,
}

/// Reads and answers.
///
/// # Errors
/// A file that is wrong, with the place.
pub(super) fn ridge(source: Source, settings: &Settings) -> Result<Answer, FitError> {
    let (points, goal, file, ignores_steps) = read(source)?;
    let name = file.file.clone();
    match of_points(&points, goal, ignores_steps, settings, &[file]) {
        Ok((answer, _)) => Ok(answer),
        Err(RidgeError::Empty) => Err(FitError::of_file(&name, "no run", "a row for each run is needed")),
        Err(error) => Err(FitError::of_file(&name, error.to_string(), "see --help for what is allowed")),
    }
}

/// The answer to runs that are at hand, and the fit behind it.
///
/// # Errors
/// Runs that are no measurements.
pub(crate) fn of_points(
    points: &[RidgePoint],
    goal: Goal,
    ignores_steps: bool,
    settings: &Settings,
    files: &[FileRead],
) -> Result<(Answer, RidgeFit), RidgeError> {
    let options = Options { goal, confidence: settings.confidence };
    let fit = fit_ridge(points, &options)?;
    let mut draft = Draft::new("ridge");
    let exponent = Number::from(&fit.exponent);
    let best: Vec<BestKeys> = fit.best.iter().map(|best| best_keys(best, points)).collect();
    draft.key("exponent", exponent.value);
    draft.key("low", exponent.low);
    draft.key("high", exponent.high);
    draft.key("best", &best);
    draft.key("grade", exponent.grade);
    draft.key("why", &exponent.why);
    draft.key("goal", goal);
    draft.key("forms", &fit.forms);
    draft.key("comparison_blocked", &fit.comparison_blocked);
    draft.key("unit", settings.examples());
    draft.key("runs", points);
    words(&mut draft, &fit, &exponent, settings);
    if ignores_steps {
        draft.note("The file has losses and steps; the losses were used.");
    }
    draft.next(next(&best));
    let answer = draft.finish(settings, files, || picture::ridge::figure(&fit, settings));
    Ok((answer, fit))
}

fn read(source: Source) -> Result<(Vec<RidgePoint>, Goal, FileRead, bool), FitError> {
    let mut table = Table::open(source, WANTED, None)?;
    table.require(&[BATCH, LR])?;
    let (goal, column) = match (table.has(LOSS), table.has(STEPS), table.has(EXAMPLES)) {
        (true, ..) => (Goal::Loss, LOSS),
        (_, true, _) => (Goal::Steps, STEPS),
        (_, _, true) => (Goal::Steps, EXAMPLES),
        _ => {
            table.require(&[LOSS])?;
            (Goal::Loss, LOSS)
        }
    };
    let ignores_steps = goal == Goal::Loss && (table.has(STEPS) || table.has(EXAMPLES));
    let mut points = Vec::new();
    let mut seen: HashMap<(u64, u64, u64), u64> = HashMap::new();
    while let Some(row) = table.next_row()? {
        let batch = row.whole(BATCH, 1)?;
        let learning_rate = row.positive(LR)?;
        let seed = row.maybe_whole(SEED)?;
        if let Some(seed) = seed
            && let Some(line) = seen.insert((batch, learning_rate.to_bits(), seed), row.line())
        {
            let found = format!(
                "batch {batch}, learning rate {learning_rate} and seed {seed} again, as in line {line}"
            );
            return Err(row.error(found, "each run has one row"));
        }
        let value = if DIVERGED.contains(&row.text(column).to_lowercase().as_str()) {
            None
        } else if goal == Goal::Loss {
            Some(row.finite(column)?)
        } else if column == EXAMPLES {
            Some(row.positive(column)? / batch as f64)
        } else {
            Some(row.positive(column)?)
        };
        points.push(RidgePoint { batch, learning_rate, seed, value });
    }
    Ok((points, goal, table.finish()?, ignores_steps))
}

fn best_keys(best: &BestAtBatch, points: &[RidgePoint]) -> BestKeys {
    let Number { value: lr, low, high, grade, why } = Number::from(&best.learning_rate);
    let tried: Vec<f64> = points.iter().filter(|p| p.batch == best.batch).map(|p| p.learning_rate).collect();
    BestKeys {
        batch: best.batch,
        lr,
        low,
        high,
        at_edge: best.at_edge.is_some(),
        edge: best.at_edge,
        grade,
        why,
        value: best.value.value(),
        runs: best.n + best.n_diverged,
        diverged: best.n_diverged,
        next: next_learning_rates(&tried, best, WANTED_RATIO),
    }
}

fn words(draft: &mut Draft, fit: &RidgeFit, exponent: &Number, settings: &Settings) {
    let law = if exponent.grade == "not_identified" { "" } else { " of LR* ∝ B^p" };
    draft.line("exponent", format!("{}{law}", exponent.words(settings, three)));
    for best in &fit.best {
        let mut words = Number::from(&best.learning_rate).words(settings, num);
        // Where there is no number, its reason names the edge.
        match best.at_edge.filter(|_| best.learning_rate.grade() != "not_identified") {
            Some(Edge::Low) => words.push_str(", at the lower edge of the grid"),
            Some(Edge::High) => words.push_str(", at the upper edge of the grid"),
            None => {}
        }
        draft.line(&format!("batch {}", int(best.batch)), words);
    }
    let law = match &fit.forms.verdict {
        FormVerdict::Preferred { form } => format!("{}, in the range that was tried", form_words(*form)),
        FormVerdict::CannotTell { among } if among.is_empty() || among.len() == Form::ALL.len() => {
            "cannot be told".to_owned()
        }
        FormVerdict::CannotTell { among } => {
            let names: Vec<&str> = among.iter().map(|form| form_words(*form)).collect();
            format!("cannot be told: {}", names.join(", "))
        }
    };
    draft.line("law", law);
    let grade = match exponent.grade {
        "measured" => "measured, with an interval",
        "not_identified" => "not identified: the exponent has no number",
        _ => "a bound only",
    };
    draft.line("grade", grade);
    let (runs, diverged) =
        fit.best.iter().fold((0, 0), |(n, d), b| (n + b.n + b.n_diverged, d + b.n_diverged));
    draft.line(
        "measured",
        format!(
            "{} runs at {} batch sizes, {} of which diverged and count as bounds",
            int(runs),
            fit.best.len(),
            int(diverged)
        ),
    );
    if let Some(why) = &fit.comparison_blocked {
        draft.note(super::answer::sentence(&[format!(
            "do not compare the batch sizes by their best values: {why}"
        )]));
    }
}

/// The law in words.
fn form_words(form: Form) -> &'static str {
    match form {
        Form::Constant => "constant",
        Form::Linear => "linear",
        Form::SquareRoot => "square root",
        Form::Power => "a power",
        Form::NoiseScale => "noise scale (linear, then flat)",
        Form::AdamNoiseScale => "noise scale for Adam (a power, then flat)",
        Form::Surge => "surge (a square root, a peak, a fall)",
    }
}

fn next(best: &[BestKeys]) -> String {
    let list = |rates: &[f64]| rates.iter().map(|v| num(*v)).collect::<Vec<_>>().join(", ");
    let mut all: Vec<String> = Vec::new();
    for keys in best {
        let batch = int(keys.batch);
        match &keys.next {
            Next::Enough => {}
            Next::Extend { learning_rates, .. } if learning_rates.is_empty() => {}
            Next::Extend { learning_rates, .. } | Next::Refine { learning_rates } => {
                all.push(format!("at batch {batch} learning rates {}", list(learning_rates)));
            }
            Next::MoreSeeds { learning_rates } => {
                all.push(format!("at batch {batch} another seed of {}", list(learning_rates)));
            }
        }
    }
    let more = all.len().saturating_sub(3);
    all.truncate(3);
    match (all.is_empty(), best.len()) {
        (true, 0..4) => {
            "Search the learning rate at more batch sizes: 4 or more, over a factor of 8 or more.".to_owned()
        }
        (true, _) => "Nothing: every best learning rate is known within a factor of 2.".to_owned(),
        (false, _) if 0 < more => {
            format!("Run {}; {more} more batch sizes need runs too (--json).", all.join("; "))
        }
        (false, _) => format!("Run {}.", all.join("; ")),
    }
}
