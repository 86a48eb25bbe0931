//! What was seen of time and memory, over the runs at every learning rate.

use super::trial::Trial;
use super::types::{Peaks, StepTimes};
use crate::fit::{Answer, Settings, memory, speed};
use batchwise_estimate::memory::MemoryPoint;
use batchwise_estimate::time::Timing;
use std::collections::BTreeMap;

/// The time of a step; `None` where nothing was timed.
pub(super) fn times(trials: &[Trial<'_>], settings: &Settings) -> Option<(StepTimes, Answer)> {
    let timings: Vec<Timing> = trials
        .iter()
        .filter(|trial| 0 < trial.batch())
        .filter_map(|trial| Some(Timing { batch: trial.batch() as f64, seconds: trial.step_seconds()? }))
        .collect();
    if timings.is_empty() {
        return None;
    }
    let (answer, fit) = speed::of_timings(&timings, settings, &[]).ok()?;
    let lines = answer.lines.clone();
    Some((StepTimes { timings, fit, lines }, answer))
}

/// Peak memory; `None` where it was not measured.
pub(super) fn peaks(trials: &[Trial<'_>], settings: &Settings) -> Option<(Peaks, Answer)> {
    let mut largest: BTreeMap<u64, u64> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| 0 < trial.batch()) {
        let Some(peak) = peak(trial) else { continue };
        let known = largest.entry(trial.batch()).or_default();
        *known = peak.max(*known);
    }
    if largest.is_empty() {
        return None;
    }
    let points: Vec<MemoryPoint> =
        largest.into_iter().map(|(batch, peak_bytes)| MemoryPoint { batch, peak_bytes }).collect();
    let (answer, fit) = memory::of_points(&points, &[], settings, &[]).ok()?;
    let lines = answer.lines.clone();
    Some((Peaks { points, fit, lines }, answer))
}

/// Most bytes that a run took at once.
pub(super) fn peak(trial: &Trial<'_>) -> Option<u64> {
    trial.record.measured.as_ref()?.peak_bytes.filter(|peak| 0 < *peak)
}
