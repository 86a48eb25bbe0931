//! `fit noise`: the gradient noise scale from squared gradient norms.

use super::answer::{Answer, Draft, Number, three};
use super::noise_rows::{self, NoiseRows};
use super::picture;
use super::settings::Settings;
use super::{FitError, Source};
use crate::report::text::{int, percent_rough, with_error};
use batchwise_estimate::critical::{PhiReading, read_phi};
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::noise::{
    Choice, Conditions, GroupedEstimate, Groups, Measurement, NoiseEstimate, Target, plan, shape_from_pilots,
};
use serde::Serialize;

/// A plan is for this relative error of both parts.
const WANTED_ERROR: f64 = 0.2;

#[derive(Serialize)]
struct GroupKeys {
    name: String,
    phi: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    grade: &'static str,
    why: Option<String>,
    g2: f64,
    tr_sigma: f64,
    omega: Option<f64>,
}

/// Reads and answers.
///
/// # Errors
/// A file that is wrong, with the place.
pub(super) fn noise(source: Source, settings: &Settings) -> Result<Answer, FitError> {
    let name = source.name().to_owned();
    let (rows, file) = noise_rows::read(source)?;
    let wrong = |error: &dyn std::fmt::Display| {
        FitError::of_file(&name, error.to_string(), "see --help for what is allowed")
    };
    let target = match (settings.of_training_set, settings.dataset_examples) {
        (true, Some(n)) => Target::TrainingSet { n_examples: n as f64 },
        _ => Target::Population,
    };
    let batch = rows.batches.iter().copied().fold(0.0, f64::max);
    if let Target::TrainingSet { n_examples } = target
        && n_examples <= batch
    {
        return Err(FitError::of_file(
            &name,
            format!("a batch of {batch}, drawn from {n_examples} examples"),
            "--target training-set needs a data set larger than a batch (--dataset-size)",
        ));
    }
    let estimate = estimate(&rows, &target, settings.confidence).map_err(|error| wrong(&error))?;
    let total = &estimate.total;
    let standing = Conditions {
        batch,
        n_examples: settings.dataset_examples.map(|n| n as f64),
        ..Conditions::default()
    }
    .judge();
    let phi = Number::from(&total.phi);
    let grade = match standing.grade(&total.phi) {
        Grade::Approximate => Grade::Approximate.name(),
        _ => phi.grade,
    };
    let mut draft = Draft::new("noise");
    draft.key("phi", phi.value);
    draft.key("low", phi.low);
    draft.key("high", phi.high);
    draft.key("grade", grade);
    draft.key("why", &phi.why);
    draft.key("g2", total.g2);
    draft.key("g2_standard_error", total.g2_standard_error);
    draft.key("tr_sigma", total.tr_sigma);
    draft.key("tr_sigma_standard_error", total.tr_sigma_standard_error);
    draft.key("unit", settings.examples());
    draft.key("measurements", total.n_measurements);
    draft.key("micro_batches", rows.n_micro_batches);
    draft.key("batch", same(&rows.batches));
    draft.key("micro_batch", rows.micro_batch);
    draft.key("target", target);
    draft.key("groups", groups(&estimate));

    let unit = settings.examples();
    draft.line("noise scale φ", phi.words_in(settings, &unit));
    draft.line("grade", words_of_grade(grade));
    draft.line("‖G‖²", plus_minus(total.g2, total.g2_standard_error));
    draft.line(
        "tr Σ",
        format!(
            "{} per {}",
            plus_minus(total.tr_sigma, total.tr_sigma_standard_error),
            settings.example.name()
        ),
    );
    draft.line("measured", measured(&rows, settings));
    if estimate.groups.len() > 1 {
        for group in &estimate.groups {
            let number = Number::from(&group.estimate.phi);
            draft.line(&format!("group {}", group.name), format!("φ {}", number.words(settings, three)));
        }
    }
    meaning(&mut draft, total, settings);
    if let batchwise_estimate::noise::Standing::Approximate { why } = &standing {
        draft.note(super::answer::sentence(why));
    }
    if settings.of_training_set && settings.dataset_examples.is_none() {
        draft.note("The gradient of the training set needs --dataset-size; this is that of the population.");
    }
    draft.next(next(&rows, total, settings));
    let figure = || {
        let totals: Vec<Measurement> = rows.measurements.iter().map(|row| sum(row)).collect();
        picture::noise::figure(&totals, &total.phi, settings)
    };
    Ok(draft.finish(settings, &[file], figure))
}

fn sum(row: &[Measurement]) -> Measurement {
    batchwise_estimate::noise::add(row)
}

fn estimate(
    rows: &NoiseRows,
    target: &Target,
    confidence: f64,
) -> Result<GroupedEstimate, batchwise_estimate::noise::NoiseError> {
    let names = rows.groups.iter().map(|name| if name.is_empty() { "all" } else { name });
    let mut groups = Groups::new(names)?;
    for row in &rows.measurements {
        let row = row.iter().map(|m| target.apply(*m)).collect::<Result<Vec<_>, _>>()?;
        groups.push(&row)?;
    }
    groups.estimate(confidence)
}

fn groups(estimate: &GroupedEstimate) -> Vec<GroupKeys> {
    if estimate.groups.len() < 2 {
        return Vec::new();
    }
    let keys = estimate.groups.iter().map(|group| {
        let Number { value: phi, low, high, grade, why } = Number::from(&group.estimate.phi);
        let (g2, tr_sigma) = (group.estimate.g2, group.estimate.tr_sigma);
        GroupKeys { name: group.name.clone(), phi, low, high, grade, why, g2, tr_sigma, omega: group.omega }
    });
    keys.collect()
}

/// The value, where all are equal.
fn same(values: &[f64]) -> Option<f64> {
    let first = *values.first()?;
    values.iter().all(|v| (v - first).abs() <= 1e-9 * first.abs()).then_some(first)
}

fn plus_minus(value: f64, error: Option<f64>) -> String {
    match error {
        Some(error) if (1e-3..1e6).contains(&value.abs()) => with_error(value, error),
        Some(error) => format!("{} ± {}", three(value), super::answer::two(error)),
        None => three(value),
    }
}

fn words_of_grade(grade: &str) -> &'static str {
    match grade {
        "measured" => "measured: both parts are separated from 0, so the interval is bounded",
        "lower_bound" => "lower bound: ‖G‖² is not separated from 0, so φ may be any amount larger",
        "whole_line" => "not identified: neither part is separated from 0, every φ agrees with the data",
        "approximate" => "approximate: an order of size, see the note",
        _ => "not identified: there is no number to show",
    }
}

fn measured(rows: &NoiseRows, settings: &Settings) -> String {
    let batches = match same(&rows.batches) {
        Some(batch) => format!("a batch of {} {}", three(batch), settings.examples()),
        None => "batches of several sizes".to_owned(),
    };
    let micro = match rows.micro_batch {
        Some(size) => format!("micro-batches of {}", three(size)),
        None => "uneven micro-batches".to_owned(),
    };
    let n = rows.measurements.len();
    format!("{} measurement{} of {batches} in {micro}", int(n as u64), if n == 1 { "" } else { "s" })
}

/// What follows for the batch size.
fn meaning(draft: &mut Draft, total: &NoiseEstimate, settings: &Settings) {
    let words = match read_phi(&total.phi, settings.calibration) {
        PhiReading::Belief { belief } => {
            draft.key("critical_batch", &belief);
            let words = match belief.lower_bound_only {
                true => format!("at least about {}", three(belief.low)),
                false => format!(
                    "about {}, 90 % between {} and {}",
                    three(belief.median),
                    three(belief.low),
                    three(belief.high)
                ),
            };
            format!("{words} (from φ by the runs of McCandlish et al. 2018)")
        }
        PhiReading::TrendOnly { why } => format!("does not follow: {why}; φ shows a trend only"),
        PhiReading::NotIdentified { .. } => return,
    };
    draft.line("critical batch", words);
}

fn next(rows: &NoiseRows, total: &NoiseEstimate, settings: &Settings) -> String {
    let n = total.n_measurements;
    if n < 2 {
        return "Measure again with other examples at the same parameters: one measurement has no error, 10 or more \
                are wanted."
            .to_owned();
    }
    let widest = |low: f64, high: f64, value: f64| (high - low) / (2.0 * value);
    let precision = match &total.phi {
        Ratio::Measured { value, low, high } if *value > 0.0 => Some(widest(*low, *high, *value)),
        _ => None,
    };
    if let Some(half) = precision.filter(|half| *half <= 2.0 * WANTED_ERROR) {
        let percent = percent_rough(half);
        return format!(
            "φ is known to ±{percent} here. Measure it at other moments of the training: it grows, often tenfold."
        );
    }
    if let (Some(batch), Some(micro)) = (same(&rows.batches), rows.micro_batch) {
        let totals: Vec<Measurement> = rows.measurements.iter().map(|row| sum(row)).collect();
        let shape = shape_from_pilots(&totals, batch, micro, settings.confidence)
            .ok()
            .and_then(|pilot| pilot.shape());
        let choices: Vec<Choice> =
            (0..5).map(|k| Choice { batch: batch * f64::from(1 << k), micro_batch: micro }).collect();
        let best = shape.and_then(|shape| plan(&shape, &choices, WANTED_ERROR).ok()).and_then(|plan| {
            let row = plan.rows.get(plan.best?)?;
            Some((row.measurements?, row.choice.batch))
        });
        if let Some((k, size)) = best.filter(|(k, _)| *k <= 1_000_000) {
            return format!(
                "For both parts to ±20 %: {} measurements of a batch of {} in micro-batches of {}.",
                int(k),
                three(size),
                three(micro)
            );
        }
    }
    let n = rows.measurements.len() as f64;
    let tr_sigma = rows.measurements.iter().map(|row| sum(row).tr_sigma).sum::<f64>() / n;
    if tr_sigma <= 0.0 {
        return "Look at the columns first: gradients of micro-batches are on average no longer than the batch's, so the noise \
                comes out at or below 0. Are the two norms swapped, or gradients of sums instead of means?"
            .to_owned();
    }
    "The noisy part is ‖G‖²: measure larger batches (twice to ten times), and more of them.".to_owned()
}
