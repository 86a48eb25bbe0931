//! `fit decide`: the batch size that the other answers lead to.

mod beliefs;
mod parts;

use self::parts::{Part, Parts};
use super::answer::{Answer, Draft, grade, sentence, three};
use super::picture;
use super::settings::Settings;
use super::{FitError, Source};
use crate::report::text::{bytes, int, num, percent_rough, seconds};
use batchwise_estimate::critical::CriticalBatch;
use batchwise_estimate::decide::{Binding, DecideError, Decision, Memory, Problem};
use batchwise_estimate::grade::Grade;
use batchwise_estimate::unit::Unit;

/// Reads the answers and decides.
///
/// # Errors
/// A file that is wrong, with the place; parts that contradict each other.
pub(super) fn decide(sources: Vec<Source>, settings: &Settings) -> Result<Answer, FitError> {
    with_decision(sources, settings).map(|answer| answer.0)
}

/// The answer, and the decision behind it, where there is one.
///
/// # Errors
/// As [`decide`].
pub(crate) fn with_decision(
    sources: Vec<Source>,
    settings: &Settings,
) -> Result<(Answer, Option<Decision>), FitError> {
    let (parts, files) = Parts::read(sources)?;
    let settings = &Settings { example: unit(&parts, settings)?, ..settings.clone() };
    let mut draft = Draft::new("decide");
    let mut notes = Vec::new();
    let combined = beliefs::critical(&parts, settings, &mut notes)?;
    let critical = combined.belief.as_ref();
    let time = match &parts.speed {
        Some(part) => beliefs::time(part, critical, &mut notes)?,
        None => None,
    };
    let micro_batch = match (&parts.memory, settings.memory_limit) {
        (Some(part), Some(limit)) => beliefs::largest_micro_batch(part, limit)?,
        (Some(part), None) => {
            // Wrong keys are found with or without a limit.
            beliefs::largest_micro_batch(part, u64::MAX / 2)?;
            notes.push("Memory is not counted: give --memory LIMIT.".to_owned());
            None
        }
        (None, Some(_)) => {
            notes.push("--memory is not counted: no answer of `fit memory` was given.".to_owned());
            None
        }
        (None, None) => None,
    };
    if let Some(part) = &parts.ridge {
        beliefs::learning_rate(part, 1)?;
    }
    for part in parts.all() {
        if let Some(confidence) = part.number("confidence")?.filter(|c| (c - 0.95).abs() > 1e-9) {
            notes.push(format!(
                "The {} interval has confidence {confidence}, and is taken for 0.95.",
                part.kind.name()
            ));
        }
    }
    if 0 < parts.repeated {
        notes.push(format!("{} of the answers stood twice and counts once.", parts.repeated));
    }
    draft.key("missing", missing(&parts, settings));
    draft.key("critical_batch", critical);
    draft.key("unit", settings.examples());
    let mut decision = None;
    if let (Some(critical), Some((time, tried))) = (critical, time)
        && micro_batch != Some(None)
    {
        let memory = match (micro_batch.flatten(), settings.memory_limit) {
            (Some(micro_batch), Some(limit)) => {
                let reason = format!("its upper band reaches {} less a margin", bytes(limit as f64));
                Memory::Largest { micro_batch, reason }
            }
            _ => Memory::Unlimited,
        };
        let problem = Problem {
            critical_grade: beliefs::critical_grade(&combined, &parts)?,
            steps: beliefs::steps(&parts, critical)?,
            memory,
            dataset_examples: settings.dataset_examples,
            tried,
            seed: settings.seed,
            ..Problem::new(time, critical.clone())
        };
        match problem.decide() {
            Ok(found) => decision = Some(found),
            Err(error @ DecideError::NothingFeasible { .. }) => notes.push(sentence(&[error.to_string()])),
            Err(error) => {
                let allowed = "the numbers of the parts must be within reason";
                return Err(FitError::of_file(
                    &files.iter().map(|f| f.file.as_str()).collect::<Vec<_>>().join(", "),
                    error.to_string(),
                    allowed,
                ));
            }
        }
    }
    match &decision {
        Some(decision) => decided(&mut draft, decision, &parts, settings)?,
        None => undecided(&mut draft, &parts, critical, micro_batch, settings)?,
    }
    for note in notes {
        draft.note(note);
    }
    let figure = || picture::decide::figure(decision.as_ref(), settings);
    let answer = draft.finish(settings, &files, figure);
    Ok((answer, decision))
}

/// What all parts count; they must agree.
fn unit(parts: &Parts, settings: &Settings) -> Result<Unit, FitError> {
    let mut known: Option<(Unit, &Part)> = None;
    for part in parts.all() {
        let Some(name) = part.text("unit")? else { continue };
        let Some(unit) = Unit::from_name(name) else {
            return Err(part.wrong(
                "unit",
                "found an empty text",
                "examples, tokens, sequences or frames is needed",
            ));
        };
        match &known {
            Some((other, _)) => {
                if let Err(error) = other.check_same(&unit) {
                    return Err(part.wrong("unit", error.to_string(), "all parts must count the same"));
                }
            }
            None => known = Some((unit, part)),
        }
    }
    Ok(known.map_or_else(|| settings.example.clone(), |(unit, _)| unit))
}

/// What would be good to have.
fn missing(parts: &Parts, settings: &Settings) -> Vec<&'static str> {
    let mut missing = Vec::new();
    let mut need = |is_there: bool, name: &'static str| {
        if !is_there {
            missing.push(name);
        }
    };
    need(parts.speed.is_some(), "speed");
    need(parts.tradeoff.is_some() || parts.noise.is_some(), "noise or tradeoff");
    need(parts.memory.is_some() && settings.memory_limit.is_some(), "memory");
    need(parts.ridge.is_some(), "ridge");
    missing
}

fn decided(
    draft: &mut Draft,
    decision: &Decision,
    parts: &Parts,
    settings: &Settings,
) -> Result<(), FitError> {
    let rate = match &parts.ridge {
        Some(part) => beliefs::learning_rate(part, decision.batch_size)?,
        None => None,
    };
    let next = decision.next_measurement.as_ref().map(|worth| worth.words.clone());
    draft.key("batch_size", decision.batch_size);
    draft.key("equivalent_batch_sizes", &decision.equivalent_batch_sizes);
    draft.key("binding", decision.binding);
    draft.key("grade", decision.grade.name());
    draft.key("expected_regret", decision.expected_regret);
    draft.key("binding_reason", &decision.binding_reason);
    draft.key("grade_reasons", &decision.grade_reasons);
    draft.key("micro_batch", decision.micro_batch);
    draft.key("accumulation_steps", decision.accumulation_steps);
    draft.key("learning_rate", &rate);
    draft.key("time_optimal", decision.time_optimal);
    draft.key("perfect_information", decision.perfect_information);
    draft.key("worth", &decision.worth);
    draft.key("standings", &decision.standings);

    let unit = settings.examples();
    let others: Vec<String> = decision
        .equivalent_batch_sizes
        .iter()
        .filter(|b| **b != decision.batch_size)
        .map(|b| int(*b))
        .collect();
    let others = if others.is_empty() {
        "no other is as good".to_owned()
    } else {
        format!("{} are as good", others.join(", "))
    };
    draft.line("batch size", format!("{} {unit} ({others})", int(decision.batch_size)));
    if 1 < decision.accumulation_steps {
        draft.line(
            "micro-batch",
            format!(
                "{} in {} accumulation steps",
                int(decision.micro_batch),
                int(decision.accumulation_steps)
            ),
        );
    }
    match &rate {
        Some(rate) => {
            let interval = match (rate.low, rate.high) {
                (Some(low), Some(high)) => format!(" ({} to {})", num(low), num(high)),
                _ => String::new(),
            };
            let beyond = if rate.extrapolated { ", beyond the batch sizes tuned" } else { "" };
            draft.line("learning rate", format!("{}{interval}, {}{beyond}", num(rate.lr), rate.how));
        }
        None if parts.ridge.is_some() => {
            draft.line("learning rate", "not identified by the ridge at this batch size")
        }
        None => {}
    }
    draft.line("binding", format!("{}: {}", binding(decision.binding), decision.binding_reason));
    draft.line("grade", grade(decision.grade));
    for reason in &decision.grade_reasons {
        draft.line("because", reason.clone());
    }
    draft.line(
        "expected regret",
        format!("{} of the time to the target", percent_rough(decision.expected_regret)),
    );
    if let Some(standing) = decision.chosen().filter(|_| decision.absolute) {
        let band = |b: &batchwise_estimate::decide::Band, shown: &dyn Fn(f64) -> String| {
            format!("{} (90 % {} to {})", shown(b.median), shown(b.low), shown(b.high))
        };
        draft.line("time to target", band(&standing.time, &seconds));
        draft.line(&format!("{unit} to target"), band(&standing.examples, &three));
    }
    match next {
        Some(words) => draft.next(words),
        None => draft.next("Nothing: no measurement is expected to gain half a per cent of the time."),
    }
    Ok(())
}

fn binding(binding: Binding) -> &'static str {
    match binding {
        Binding::Memory => "memory",
        Binding::Knee => "knee",
        Binding::NoiseScale => "noise scale",
        Binding::Generalisation => "generalisation",
        Binding::Data => "data",
        Binding::Tried => "tried",
    }
}

/// What can be said all the same.
fn undecided(
    draft: &mut Draft,
    parts: &Parts,
    critical: Option<&CriticalBatch>,
    micro_batch: Option<Option<u64>>,
    settings: &Settings,
) -> Result<(), FitError> {
    let nothing_fits = micro_batch == Some(None);
    draft.key("batch_size", ());
    draft.key("equivalent_batch_sizes", Vec::<u64>::new());
    draft.key("binding", nothing_fits.then_some(Binding::Memory));
    draft.key("grade", Grade::NotIdentified.name());
    draft.key("expected_regret", ());
    draft.line("batch size", "not identified");
    let unit = settings.examples();
    if let Some(critical) = critical {
        let words = match critical.lower_bound_only {
            true => format!("at least {} {unit}", three(critical.low)),
            false => format!(
                "{} {unit} (90 % {} to {})",
                three(critical.median),
                three(critical.low),
                three(critical.high)
            ),
        };
        let safe = if critical.lower_bound_only { critical.low } else { critical.median } / 4.0;
        draft.line(
            "critical batch",
            format!("{words}; up to {} keeps 80 % of the example efficiency", three(safe)),
        );
    }
    if let Some(part) = &parts.speed
        && let Some(knee) = part.stored::<serde_json::Value>("knee")?
        && let Some(batch) = knee.get("batch").and_then(serde_json::Value::as_f64)
    {
        draft.line(
            "knee",
            format!(
                "batch {}: beyond it a larger batch hardly processes more {unit} per second",
                three(batch)
            ),
        );
    }
    match micro_batch {
        Some(Some(batch)) => draft.line("memory", format!("a micro-batch of {} surely fits", int(batch))),
        Some(None) => draft.line("memory", "not even one example surely fits in the limit"),
        None => {}
    }
    if parts.ridge.is_some() {
        draft.line(
            "learning rate",
            "known for the batch sizes of the ridge only, once a batch size is chosen",
        );
    }
    draft.line("grade", Grade::NotIdentified.wording());
    draft.next(match () {
        () if nothing_fits => "Allow more memory, or measure memory at smaller micro-batches.",
        () if parts.speed.is_none() && critical.is_none() => {
            "Time steps at several batch sizes (fit speed), and measure the noise scale (fit noise) or the steps to a target (fit tradeoff)."
        }
        () if critical.is_none() => "Measure the noise scale (fit noise), or the steps to a target (fit tradeoff).",
        () => "Time steps at 5 batch sizes or more (fit speed).",
    });
    Ok(())
}
