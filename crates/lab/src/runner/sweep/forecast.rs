//! What a sweep will take, and how good that was.

use super::Sweep;
use crate::LabError;
use crate::plan::Score;
use crate::runner::event::Event;
use crate::runner::pilots;
use crate::runner::predict::{Pilots, makespan};
use crate::runner::settings::Settings;
use crate::sweep::SweepFile;
use crate::trial::TrialSpec;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;

/// What a sweep will take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Trials that are to run.
    pub trials: usize,
    /// Trials whose cost no pilot told.
    pub unknown: usize,
    /// Seconds, if every trial runs to the end of its budget.
    pub seconds: f64,
    /// Most bytes of all trials that run at once.
    pub bytes: Option<u64>,
    /// Bytes on the disk.
    pub disk_bytes: u64,
}

/// How good the predictions were, of the trials that ran.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictionCheck {
    /// Trials that were held against their prediction.
    pub trials: usize,
    /// Seconds that were predicted for them in sum, for the examples they came to.
    pub predicted_seconds: f64,
    /// Seconds that they took in sum.
    pub seconds: f64,
    /// The largest deviation of a peak of memory from its prediction, as a share of the peak.
    pub worst_memory: Option<f64>,
}

impl Sweep<'_> {
    /// Runs the pilots, and takes from them what a budget in seconds needs.
    pub(super) fn measure(&mut self) -> Result<(), LabError> {
        let mut world = self.world.clone();
        // Any length will do to try a batch size.
        world.examples_per_second = self.plan.batches.iter().map(|batch| (*batch, 1e6)).collect();
        let trials = self.plan.generate(&world, &mut |_| None)?.trials;
        let on_event = &mut *self.on_event;
        let mut note = |text| on_event(Event::Note(text));
        self.pilots = pilots::run(self.plan, &trials, self.settings, &self.runner, &mut note)?;
        for known in &self.pilots.known {
            if let Err(why) = &known.pilot {
                let batch = known.batch;
                (self.on_event)(Event::Note(format!("the pilot at batch {batch} measured nothing: {why}")));
            }
        }
        self.world.examples_per_second = self.pilots.examples_per_second();
        Ok(())
    }

    /// What is known of all trials that have a folder and could be the plan's.
    pub(super) fn scores_on_disk(&self) -> Result<HashMap<String, Score>, LabError> {
        let mut scores = HashMap::new();
        let mut failure = None;
        // Brackets grow with what is known: asked for until nothing new is found.
        loop {
            let before = scores.len();
            let generated = self.plan.generate(&self.world, &mut |id| scores.get(id).copied())?;
            for spec in &generated.trials {
                let id = spec.id()?;
                if scores.contains_key(&id) {
                    continue;
                }
                match self.settings.root.trial(&id).result() {
                    Ok(Some(result)) => {
                        scores.insert(id, Score::of(spec, &result));
                    }
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
            if scores.len() == before {
                return Ok(scores);
            }
        }
    }

    /// What these trials will take, the longest first as they are started.
    pub(super) fn predict(&self, trials: &[&TrialSpec]) -> Prediction {
        let costs: Vec<_> = trials.iter().filter_map(|spec| self.pilots.cost(spec)).collect();
        let mut seconds: Vec<f64> = costs.iter().map(|cost| cost.seconds).collect();
        seconds.sort_by(|a, b| b.total_cmp(a));
        let mut bytes: Vec<u64> = costs.iter().filter_map(|cost| cost.bytes).collect();
        bytes.sort_unstable_by(|a, b| b.cmp(a));
        let jobs = usize::try_from(self.settings.jobs).unwrap_or(1);
        let disk = costs.iter().map(|cost| cost.disk_bytes).sum();
        Prediction {
            trials: trials.len(),
            unknown: trials.len() - costs.len(),
            seconds: makespan(seconds, self.settings.jobs),
            bytes: (!bytes.is_empty()).then(|| bytes.iter().take(jobs).sum()),
            disk_bytes: disk,
        }
    }
}

/// How good predictions were, over the trials of a sweep.
///
/// # Errors
/// Files that cannot be read.
pub fn check_predictions(settings: &Settings, file: &SweepFile) -> Result<Option<PredictionCheck>, LabError> {
    let path = settings.root.sweep(&file.name).join("pilots.json");
    let Ok(text) = fs::read(&path) else { return Ok(None) };
    let Ok(pilots) = serde_json::from_slice::<Pilots>(&text) else { return Ok(None) };
    let mut check = PredictionCheck { trials: 0, predicted_seconds: 0.0, seconds: 0.0, worst_memory: None };
    for id in &file.trials {
        let folder = settings.root.trial(id);
        let record = folder.record()?;
        // One attempt from start to end: what was killed in between was not predicted.
        let (Some(result), Some(measured), 1) = (record.result, record.measured, record.attempts.len())
        else {
            continue;
        };
        let Some(cost) = pilots.cost_of(&record.spec, result.examples) else { continue };
        check.trials += 1;
        check.predicted_seconds += cost.seconds;
        check.seconds += measured.wall_seconds;
        if let (Some(predicted), Some(seen)) = (cost.bytes, measured.peak_bytes.filter(|bytes| 0 < *bytes)) {
            let off = (predicted as f64 / seen as f64 - 1.0).abs();
            check.worst_memory = Some(check.worst_memory.map_or(off, |worst: f64| worst.max(off)));
        }
    }
    Ok((0 < check.trials).then_some(check))
}
