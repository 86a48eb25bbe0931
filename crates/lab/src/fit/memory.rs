//! `fit memory`: fixed bytes, bytes per example and what surely fits, from peaks.

use super::answer::{Answer, Draft, Number};
use super::columns::{Measure, Wanted};
use super::picture;
use super::settings::Settings;
use super::table::{FileRead, Table};
use super::{FitError, Source};
use crate::report::text::{bytes, int, percent};
use batchwise_estimate::grade::Grade;
use batchwise_estimate::memory::{MemoryError, MemoryFit, MemoryPoint, affine, fit_memory};
use batchwise_estimate::outcome::Outcome;
use serde::Deserialize;

const WANTED: &[Wanted] = &[
    Wanted::plain("batch", &["micro_batch", "batch_size", "micro_batch_size", "bs"]),
    Wanted {
        name: "bytes",
        also: &[
            "peak",
            "memory",
            "peak_memory",
            "mem",
            "allocated",
            "max_memory",
            "max_allocated",
            "max_memory_allocated",
        ],
        measure: Measure::Bytes,
    },
];
const BATCH: usize = 0;
const BYTES: usize = 1;

/// Words for a batch that did not fit.
const DID_NOT_FIT: &[&str] = &["", "oom", "out of memory", "failed", "nan", "none", "killed"];

/// Largest number of bytes of any machine here: beyond it the unit is wrong.
const MOST_BYTES: f64 = 1e18;

/// Share of the limit that is left free: other programs, fragmentation (theory.md §7: 5 to 10 %).
pub(super) const MARGIN: f64 = 0.05;

/// How far the upper band lies above the line, where someone wrote it by hand.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct UpperBand {
    /// Share of the peak.
    pub(super) relative: f64,
    /// Bytes on top of it.
    #[serde(default)]
    pub(super) grain_bytes: f64,
}

/// Beyond this many times the largest batch measured nothing is said to fit.
const FARTHEST: u64 = 4;

/// The largest batch that surely fits in `free` bytes: what did not fit bounds what does, and a line is not believed far
/// beyond its points. `None` where not even the smallest measured does.
pub(super) fn sure_batch(fit: &MemoryFit, free: u64, too_large: Option<u64>) -> Option<u64> {
    let reach = FARTHEST.saturating_mul(fit.points.last().map_or(0, |p| p.batch));
    let bound = too_large.map_or(reach, |batch| reach.min(batch.saturating_sub(1)));
    fit.largest_batch(free).map(|batch| batch.min(bound)).filter(|batch| 0 < *batch)
}

/// Reads and answers.
///
/// # Errors
/// A file that is wrong, with the place.
pub(super) fn memory(source: Source, settings: &Settings) -> Result<Answer, FitError> {
    let (points, too_large, file) = read(source, settings)?;
    let name = file.file.clone();
    of_points(&points, &too_large, settings, &[file])
        .map(|answer| answer.0)
        .map_err(|error| FitError::of_file(&name, error.to_string(), "a batch of 1 or more is needed"))
}

/// The answer to peaks that are at hand, and the fit behind it, where they lie on a line that grows.
///
/// # Errors
/// A batch size of 0.
pub(crate) fn of_points(
    points: &[MemoryPoint],
    too_large: &[u64],
    settings: &Settings,
    files: &[FileRead],
) -> Result<(Answer, Option<MemoryFit>), MemoryError> {
    let mut draft = Draft::new("memory");
    let smallest_too_large = too_large.iter().min().copied();
    draft.leave_out(too_large.len() as u64, "the batch did not fit, so it has no peak");
    draft.key("unit", settings.examples());
    draft.key("did_not_fit", smallest_too_large);
    draft.key("limit_bytes", settings.memory_limit);
    let fit = match fit_memory(points) {
        Ok(fit) => {
            fitted(&mut draft, points, &fit, smallest_too_large, settings);
            Some(fit)
        }
        Err(error @ MemoryError::ZeroBatch { .. }) => return Err(error),
        Err(error) => {
            not_fitted(&mut draft, &error);
            None
        }
    };
    let figure = || picture::memory::figure(points, fit.as_ref(), too_large, settings);
    let answer = draft.finish(settings, files, figure);
    Ok((answer, fit))
}

fn read(source: Source, settings: &Settings) -> Result<(Vec<MemoryPoint>, Vec<u64>, FileRead), FitError> {
    let mut table = Table::open(source, WANTED, settings.column_unit.as_deref())?;
    table.require(&[BATCH, BYTES])?;
    let (mut points, mut too_large) = (Vec::new(), Vec::new());
    while let Some(row) = table.next_row()? {
        let batch = row.whole(BATCH, 1)?;
        if DID_NOT_FIT.contains(&row.text(BYTES).to_lowercase().as_str()) {
            too_large.push(batch);
            continue;
        }
        let peak = row.positive(BYTES)?;
        if !(1.0..=MOST_BYTES).contains(&peak) {
            return Err(row.wrong(BYTES, "a peak lies between 1 and 10¹⁸ bytes; is the unit right?"));
        }
        points.push(MemoryPoint { batch, peak_bytes: peak.round() as u64 });
    }
    Ok((points, too_large, table.finish()?))
}

fn fitted(
    draft: &mut Draft,
    points: &[MemoryPoint],
    fit: &MemoryFit,
    too_large: Option<u64>,
    settings: &Settings,
) {
    draft.key("fixed_bytes", fit.fixed_bytes);
    draft.key("bytes_per_example", fit.bytes_per_example);
    draft.key("upper_band", fit.upper_band());
    let line = affine(points, settings.confidence).ok();
    let interval = |outcome: &Outcome, value: f64| match Number::from(outcome) {
        number if outcome.holds(value) == Some(true) => number.words(settings, bytes),
        _ => bytes(value),
    };
    let (fixed, per_example) = match &line {
        Some(line) => (
            interval(&line.fixed_bytes, fit.fixed_bytes),
            interval(&line.bytes_per_example, fit.bytes_per_example),
        ),
        None => (bytes(fit.fixed_bytes), bytes(fit.bytes_per_example)),
    };
    draft.key("fixed", line.as_ref().map(|line| Number::from(&line.fixed_bytes)));
    draft.key("per_example", line.as_ref().map(|line| Number::from(&line.bytes_per_example)));
    let n_segment = fit.points.iter().filter(|p| fit.segment_from <= p.batch).count();
    // Two points lie on one line whatever they are.
    let grade = if n_segment < 3 { Grade::Approximate } else { Grade::Measured };
    draft.key("grade", grade.name());
    draft.key("misfit", fit.misfit);
    draft.key("segment_from", fit.segment_from);
    draft.key("points", &fit.points);
    draft.line("fixed", fixed);
    draft.line("each example", per_example);
    let words = match grade {
        Grade::Measured => {
            format!("measured: {n_segment} batch sizes lie on one line within {}", percent(fit.misfit))
        }
        _ => "approximate: the line goes through the two largest batch sizes alone".to_owned(),
    };
    draft.line("grade", words);
    draft.line(
        "upper band",
        format!(
            "{} and {} above the line where measured, wider beyond",
            percent(fit.band),
            bytes(fit.grain_bytes)
        ),
    );
    let largest = fit.points.last().map_or(0, |p| p.batch);
    draft.line("measured", format!("{} batch sizes, up to {}", fit.points.len(), int(largest)));
    let mut next = "Give --memory LIMIT to hear which batch surely fits.".to_owned();
    let (mut fits, mut tried_in_vain) = (None, None);
    if let Some(limit) = settings.memory_limit {
        let free = (limit as f64 * (1.0 - MARGIN)) as u64;
        let by_line = fit.largest_batch(free);
        fits = sure_batch(fit, free, too_large);
        let reach = FARTHEST.saturating_mul(largest);
        if fits == Some(reach) && by_line.is_some_and(|batch| reach < batch) {
            draft.note(format!(
                "Larger batches than {} may fit, but that is more than {FARTHEST} times the largest measured.",
                int(reach)
            ));
        }
        tried_in_vain = too_large.filter(|batch| by_line.is_some_and(|fits| *batch <= fits));
        let within =
            format!("{} of {} ({} left free)", bytes(free as f64), bytes(limit as f64), percent(MARGIN));
        match fits {
            None => {
                draft.line("fits", format!("not even the smallest batch measured surely fits in {within}"));
                next = "Measure smaller batches, or allow more memory.".to_owned();
            }
            Some(batch) => {
                let sure = if fit.is_extrapolated(batch) { ", beyond what was measured" } else { "" };
                draft.line("fits", format!("batch {} and smaller, in {within}{sure}", int(batch)));
                next = format!("Run batch {} once before relying on it.", int(batch));
            }
        }
    }
    draft.key("largest_batch", fits);
    if let Some(batch) = too_large.filter(|batch| *batch <= largest) {
        draft.note(format!(
            "Batch {} did not fit, though one as large did: the limit changed between the runs.",
            int(batch)
        ));
    } else if let Some(batch) = tried_in_vain {
        draft.note(format!(
            "Batch {} did not fit where it was tried, though it should in this limit.",
            int(batch)
        ));
    }
    draft.next(next);
}

fn not_fitted(draft: &mut Draft, error: &MemoryError) {
    for key in ["fixed_bytes", "bytes_per_example", "upper_band", "largest_batch"] {
        draft.key(key, ());
    }
    draft.key("grade", Grade::NotIdentified.name());
    draft.key("why", error.to_string());
    draft.line("memory", format!("not identified: {error}"));
    draft.line("grade", Grade::NotIdentified.wording());
    draft
        .next("Measure the peak at 4 batch sizes or more, each twice the last, up to the largest that fits.");
}
