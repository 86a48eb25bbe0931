//! `fit speed`: overhead, time per example and the knee from times of steps.

use super::answer::{Answer, Draft, Number, three};
use super::columns::{Measure, Wanted};
use super::picture;
use super::settings::Settings;
use super::table::{FileRead, Table};
use super::{FitError, Source};
use crate::report::text::{int, percent, percent_rough, seconds};
use batchwise_estimate::grade::Grade;
use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::time::{Options, SpeedFit, TimeError, Timing, fit_timings};
use serde::Serialize;

const WANTED: &[Wanted] = &[
    Wanted::plain("batch", &["batch_size", "bs", "global_batch_size"]),
    Wanted {
        name: "seconds",
        also: &["time", "step_time", "duration", "latency", "elapsed", "seconds_per_step", "time_per_step"],
        measure: Measure::Time,
    },
];
const BATCH: usize = 0;
const SECONDS: usize = 1;

/// The share of the peak throughput that is called the knee, as in `advise`.
pub(crate) const KNEE: f64 = crate::advise::KNEE_EFFICIENCY;

#[derive(Serialize)]
struct KneeKeys {
    batch: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    efficiency: f64,
    grade: &'static str,
    why: Option<String>,
}

/// Reads and answers.
///
/// # Errors
/// A file that is wrong, with the place.
pub(super) fn speed(source: Source, settings: &Settings) -> Result<Answer, FitError> {
    let (timings, file) = read(source, settings)?;
    let name = file.file.clone();
    of_timings(&timings, settings, &[file])
        .map(|answer| answer.0)
        .map_err(|error| FitError::of_file(&name, error.to_string(), "see --help for what is allowed"))
}

/// The answer to timings that are at hand, and the fit behind it, where there are enough batch sizes for one.
///
/// # Errors
/// Timings that are no measurements.
pub(crate) fn of_timings(
    timings: &[Timing],
    settings: &Settings,
    files: &[FileRead],
) -> Result<(Answer, Option<SpeedFit>), TimeError> {
    let mut efficiencies = vec![0.5, 0.8, 0.9];
    if !efficiencies.contains(&KNEE) {
        efficiencies.push(KNEE);
    }
    let options =
        Options { confidence: settings.confidence, seed: settings.seed, efficiencies, ..Options::default() };
    let fit = match fit_timings(timings, &options) {
        Ok(fit) => fit,
        Err(error @ TimeError::TooFewBatches { .. }) => {
            return Ok((too_few(&error, timings, settings, files), None));
        }
        Err(error) => return Err(error),
    };
    let mut draft = Draft::new("speed");
    let (overhead, per_example) =
        (Number::from(&fit.overhead_seconds), Number::from(&fit.seconds_per_example));
    let knees: Vec<KneeKeys> = fit
        .knees
        .iter()
        .map(|knee| {
            let Number { value, low, high, grade, why } = Number::from(&knee.batch);
            KneeKeys { batch: value, low, high, efficiency: knee.efficiency, grade, why }
        })
        .collect();
    draft.key("model", fit.time.name());
    draft.key("overhead_seconds", overhead.value);
    draft.key("seconds_per_example", per_example.value);
    draft.key("knee", knees.iter().find(|knee| knee.efficiency == KNEE));
    draft.key("grade", fit.verdict.name());
    draft.key("overhead", &overhead);
    draft.key("per_example", &per_example);
    draft.key("gamma", Number::from(&fit.gamma));
    draft.key("knees", &knees);
    draft.key("undecided", &fit.undecided);
    draft.key("shape_identified", fit.shape_identified);
    draft.key("between_batches", fit.between_batches);
    draft.key("points", &fit.points);
    draft.key("unit", settings.examples());
    draft.key("fit", &fit.time);
    draft.key("band", &fit.band);
    words(&mut draft, &fit, settings);
    draft.next(next(&fit));
    let answer = draft.finish(settings, files, || picture::speed::figure(&fit, KNEE, settings));
    Ok((answer, Some(fit)))
}

fn read(source: Source, settings: &Settings) -> Result<(Vec<Timing>, FileRead), FitError> {
    let mut table = Table::open(source, WANTED, settings.column_unit.as_deref())?;
    table.require(&[BATCH, SECONDS])?;
    let mut timings = Vec::new();
    while let Some(row) = table.next_row()? {
        let batch = row.whole(BATCH, 1)? as f64;
        let seconds = row.positive(SECONDS)?;
        // A step of less than a femtosecond, or of a thousand years, is a wrong unit.
        if !(1e-15..=1e12).contains(&seconds) {
            return Err(row.wrong(SECONDS, "a step takes between 10⁻¹⁵ and 10¹² s; is the unit right?"));
        }
        timings.push(Timing { batch, seconds });
    }
    Ok((timings, table.finish()?))
}

fn too_few(error: &TimeError, timings: &[Timing], settings: &Settings, files: &[FileRead]) -> Answer {
    let mut draft = Draft::new("speed");
    for key in ["model", "overhead_seconds", "seconds_per_example"] {
        draft.key(key, ());
    }
    let why = error.to_string();
    let knee = KneeKeys {
        batch: None,
        low: None,
        high: None,
        efficiency: KNEE,
        grade: "not_identified",
        why: Some(why.clone()),
    };
    draft.key("knee", knee);
    draft.key("grade", Grade::NotIdentified.name());
    draft.key("why", &why);
    draft.key("points", Vec::<f64>::new());
    draft.key("unit", settings.examples());
    draft.line("time of a step", format!("not identified: {why}"));
    draft.line("grade", Grade::NotIdentified.wording());
    draft.next("Time steps at 5 batch sizes or more, each twice the last, 10 steps at each.");
    let figure = || picture::speed::nothing(timings, settings);
    draft.finish(settings, files, figure)
}

fn words(draft: &mut Draft, fit: &SpeedFit, settings: &Settings) {
    let unit = settings.example.name();
    let model = match fit.time.name() {
        "sum" => "overhead and work one after the other: a + cB",
        "max" => "the larger of overhead and work: max(a, cB)",
        "overlap" => "overhead and work overlap in part: (a^γ + (cB)^γ)^(1/γ)",
        "quantised" => "work in whole quanta: a + c·q·⌈B/q⌉",
        "two_slopes" => "work whose cost per example changes once",
        _ => "no model fits; the measured curve is used",
    };
    draft.line("model", model);
    draft.line(
        "overhead",
        format!("{} per step", Number::from(&fit.overhead_seconds).words(settings, seconds)),
    );
    draft.line(
        "work",
        format!("{} per {unit}", Number::from(&fit.seconds_per_example).words(settings, seconds)),
    );
    if fit.time.name() == "overlap" {
        draft.line("γ", Number::from(&fit.gamma).words(settings, three));
    }
    for knee in fit.knees.iter().filter(|knee| [0.5, KNEE].contains(&knee.efficiency)) {
        let words = Number::from(&knee.batch).words(settings, |v| three(v.max(0.0)));
        draft.line(&format!("knee at {}", percent(knee.efficiency)), format!("batch {words}"));
    }
    let best = fit.points.iter().map(|p| p.batch / p.seconds).fold(0.0, f64::max);
    draft.line("throughput", format!("{} {}/s at the best batch timed", three(best), settings.examples()));
    let grade = match fit.verdict {
        Grade::Measured => "measured: one model describes the times".to_owned(),
        Grade::NotIdentified => format!(
            "the model is not identified: {} would fit as well, and the intervals cover them all",
            fit.undecided.join(", ")
        ),
        other => super::answer::grade(other),
    };
    draft.line("grade", grade);
    let timed: usize = fit.points.iter().map(|p| p.timings).sum();
    draft.line("measured", format!("{} steps at {} batch sizes", int(timed as u64), fit.points.len()));
    let stalls: usize = fit.points.iter().map(|p| p.stalls).sum();
    draft.leave_out(
        stalls as u64,
        "more than five robust standard deviations from the median of their batch (stalls)",
    );
    if 0.05 < fit.between_batches {
        draft.note(format!(
            "Between batch sizes the times scatter by {} beyond their own errors: the machine drifted, or no model fits.",
            percent_rough(fit.between_batches)
        ));
    }
}

fn next(fit: &SpeedFit) -> String {
    if fit.points.iter().any(|p| p.timings < 4) {
        return "Time each batch size 10 times or more, in several rounds and in random order: few timings tell no error."
            .to_owned();
    }
    let largest = fit.points.last().map_or(0.0, |p| p.batch);
    match fit.knees.iter().find(|knee| knee.efficiency == KNEE).map(|knee| &knee.batch) {
        Some(Outcome::Measured { value, .. }) if largest < *value => {
            format!("Time batches up to {}: the knee rests on the model, not on a measurement.", three(2.0 * value))
        }
        _ if fit.verdict == Grade::NotIdentified => {
            "Time more batch sizes around a/c, where overhead and work are alike: it shows how they join.".to_owned()
        }
        _ if fit.verdict == Grade::ModelMisfit => {
            "Time more batch sizes between those timed: the measured curve is all there is.".to_owned()
        }
        _ => "Nothing: the times are known well enough to choose a batch size. Next comes the critical batch (noise, \
              trade-off)."
            .to_owned(),
    }
}
