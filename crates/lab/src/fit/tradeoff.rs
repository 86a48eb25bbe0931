//! `fit tradeoff`: the critical batch size from steps to a target.

use super::answer::{Answer, Draft, Number, grade, sentence, three};
use super::columns::Wanted;
use super::picture;
use super::row::Row;
use super::settings::Settings;
use super::table::{FileRead, Table};
use super::{FitError, Source};
use crate::report::text::{int, percent_rough};
use batchwise_estimate::grade::Grade;
use batchwise_estimate::tradeoff::{End, Options, Run, TradeoffError, TradeoffFit, fit_tradeoff};
use serde::Serialize;
use std::collections::HashMap;

const WANTED: &[Wanted] = &[
    Wanted::plain("batch", &["batch_size", "bs", "global_batch_size"]),
    Wanted::plain("seed", &[]),
    Wanted::plain("steps", &["steps_to_target"]),
    Wanted::plain("examples", &["examples_to_target"]),
    Wanted::plain("after", &["ran", "max_steps"]),
    Wanted::plain("evaluation_period", &["eval_period", "eval_every"]),
];
const BATCH: usize = 0;
const SEED: usize = 1;
const STEPS: usize = 2;
const EXAMPLES: usize = 3;
const AFTER: usize = 4;
const PERIOD: usize = 5;

/// Words for a run that never reached the target.
const CENSORED: &[&str] =
    &["", "censored", "never", "nan", "inf", "+inf", "infinity", "none", "null", "diverged", "failed"];

/// Steps and examples of one row may differ by this share: the last batch of an epoch may be smaller.
const ROUNDING: f64 = 0.01;

/// Reads and answers.
///
/// # Errors
/// A file that is wrong, with the place.
pub(super) fn tradeoff(source: Source, settings: &Settings) -> Result<Answer, FitError> {
    let (runs, file) = read(source, settings)?;
    let name = file.file.clone();
    let answer = of_runs(&runs, settings, &[file])
        .map_err(|error| FitError::of_file(&name, error.to_string(), "see --help for what is allowed"))?;
    Ok(answer.0)
}

/// The answer to runs that are at hand, and the fit behind it.
///
/// # Errors
/// Runs that are no measurements.
pub(crate) fn of_runs(
    runs: &[Run],
    settings: &Settings,
    files: &[FileRead],
) -> Result<(Answer, TradeoffFit), TradeoffError> {
    let options = Options { confidence: settings.confidence, tuning: settings.tuning, ..Options::default() };
    let fit = fit_tradeoff(runs, &options)?;
    let mut draft = Draft::new("tradeoff");
    keys(&mut draft, &fit, settings);
    words(&mut draft, &fit, settings);
    draft.next(next(&fit, settings));
    let answer = draft.finish(settings, files, || picture::tradeoff::figure(&fit, runs, settings));
    Ok((answer, fit))
}

fn read(source: Source, settings: &Settings) -> Result<(Vec<Run>, FileRead), FitError> {
    let mut table = Table::open(source, WANTED, None)?;
    table.require(&[BATCH])?;
    if !table.has(EXAMPLES) {
        table.require(&[STEPS])?;
    }
    let in_steps = table.has(STEPS);
    let mut runs = Vec::new();
    let mut seen: HashMap<(u64, u64), u64> = HashMap::new();
    while let Some(row) = table.next_row()? {
        let batch = row.whole(BATCH, 1)?;
        let seed = row.maybe_whole(SEED)?;
        if let Some(seed) = seed
            && let Some(line) = seen.insert((batch, seed), row.line())
        {
            let found = format!("batch {batch} with seed {seed} again, as in line {line}");
            return Err(row.error(found, "a seed stands once at a batch size"));
        }
        // One step is `unit` of what the file counts.
        let unit = if in_steps { 1.0 } else { batch as f64 };
        let end = match reached(&row, batch)? {
            Some(steps) => {
                let period = if row.text(PERIOD).is_empty() {
                    settings.evaluation_period
                } else {
                    Some(row.not_negative(PERIOD)?)
                };
                End::Reached { steps, period: period.map(|period| period / unit) }
            }
            None if row.text(AFTER).is_empty() => End::Censored { after: None },
            None => End::Censored { after: Some(row.positive(AFTER)? / unit) },
        };
        runs.push(Run { batch: batch as f64, seed, end });
    }
    Ok((runs, table.finish()?))
}

/// Steps to the target; `None` for a run that never got there.
fn reached(row: &Row<'_>, batch: u64) -> Result<Option<f64>, FitError> {
    let is_censored = |column| CENSORED.contains(&row.text(column).to_lowercase().as_str());
    match (is_censored(STEPS), is_censored(EXAMPLES)) {
        (true, true) => Ok(None),
        (false, true) => row.positive(STEPS).map(Some),
        (true, false) => Ok(Some(row.positive(EXAMPLES)? / batch as f64)),
        (false, false) => {
            let (steps, examples) = (row.positive(STEPS)?, row.positive(EXAMPLES)?);
            let product = steps * batch as f64;
            if (product - examples).abs() <= (ROUNDING * product).max(batch as f64) {
                return Ok(Some(steps));
            }
            let found = format!("{steps} steps of {batch} examples and {examples} examples");
            Err(row
                .error(found, "steps times batch must be the examples, within 1 %; leave one of the two out"))
        }
    }
}

#[derive(Serialize)]
struct Ends {
    low: Option<f64>,
    high: Option<f64>,
}

fn keys(draft: &mut Draft, fit: &TradeoffFit, settings: &Settings) {
    let (b_crit, s_min, e_min) =
        (Number::from(&fit.b_crit), Number::from(&fit.s_min), Number::from(&fit.e_min));
    draft.key("b_crit", b_crit.value);
    draft.key("low", b_crit.low);
    draft.key("high", b_crit.high);
    draft.key("s_min", s_min.value);
    draft.key("e_min", e_min.value);
    draft.key("grade", fit.grade.name());
    draft.key("misfit", fit.misfit);
    draft.key("reasons", &fit.reasons);
    draft.key("s_min_interval", Ends { low: s_min.low, high: s_min.high });
    draft.key("e_min_interval", Ends { low: e_min.low, high: e_min.high });
    draft.key("unit", settings.examples());
    draft.key("runs", fit.runs);
    draft.key("batches", &fit.batches);
    draft.key("slopes", &fit.slopes);
    draft.key("three_parameter", &fit.three_parameter);
    draft.key("fit", fit);
}

fn words(draft: &mut Draft, fit: &TradeoffFit, settings: &Settings) {
    let unit = settings.examples();
    draft.line("critical batch B_c", Number::from(&fit.b_crit).words_in(settings, &unit));
    draft.line("least steps", Number::from(&fit.s_min).words(settings, three));
    draft.line("least examples", Number::from(&fit.e_min).words(settings, three));
    draft.line("grade", grade(fit.grade));
    if !fit.reasons.is_empty() {
        draft.line("because", sentence(&fit.reasons));
    }
    if let Some(misfit) = fit.misfit {
        draft.line("misfit", format!("{} at the batch size that fits worst", percent_rough(misfit)));
    }
    let n = fit.runs.reached + fit.runs.censored + fit.runs.unused;
    draft.line(
        "measured",
        format!(
            "{} runs at {} batch sizes; {} reached the target, {} never did and count as bounds",
            int(n as u64),
            fit.batches.len(),
            int(fit.runs.reached as u64),
            int(fit.runs.censored as u64)
        ),
    );
    draft.leave_out(
        fit.runs.unused as u64,
        "the run never reached the target, nobody knows after how many steps, and no other run of its batch size did",
    );
    if let Some(b_crit) = fit.b_crit.value() {
        draft.line(
            "meaning",
            format!(
                "at batch {} steps and examples are twice their least; at {} it is 1.25 times the examples",
                three(b_crit),
                three(b_crit / 4.0)
            ),
        );
    }
}

fn next(fit: &TradeoffFit, settings: &Settings) -> String {
    let reached = || fit.batches.iter().filter(|b| b.steps.is_some()).map(|b| b.batch);
    let (smallest, largest) = (reached().fold(f64::INFINITY, f64::min), reached().fold(0.0, f64::max));
    match fit.grade {
        Grade::LowerBound => format!("Run larger batches, up to {} and beyond: all those tried scale nearly perfectly.", int((4.0 * largest) as u64)),
        Grade::UpperBound => format!("Run smaller batches, down to {}: all those tried are saturated.", int((smallest / 8.0).max(1.0) as u64)),
        Grade::Untuned => "Tune the learning rate at each batch size and run again.".to_owned(),
        Grade::ModelMisfit => "Look at the picture: tune the learning rate where a point is off, or run that batch size again.".to_owned(),
        Grade::Measured => match fit.b_crit {
            _ if fit.seed_sd.is_none() => "Run a second seed at each batch size: the seeds tell how sure each point is.".to_owned(),
            _ => format!("Nothing: B_c is known. Next comes the time of a step ({} per second by batch).", settings.examples()),
        },
        _ => "Run more batch sizes, from where doubling the batch halves the steps to where it buys nothing, 2 seeds each.".to_owned(),
    }
}
