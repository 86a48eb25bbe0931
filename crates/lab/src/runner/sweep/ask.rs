//! Which trials a sweep asks for next, and what their files say already.

use super::{Sweep, Waiting, end_at_rungs, failures};
use crate::LabError;
use crate::plan::{RungUnit, Score};
use crate::runner::rungs::Group;
use crate::runner::strays;
use crate::trial::{EndKind, LogLine, TrialFolder, TrialResult, TrialSpec};
use std::fs;

impl Sweep<'_> {
    /// Asks the plan for trials, given what is known now.
    pub(super) fn ask(&mut self, store: &mut dyn FnMut(&str)) -> Result<(), LabError> {
        loop {
            let scores = &self.scores;
            self.generated = self.plan.generate(&self.world, &mut |id| scores.get(id).copied())?;
            let trials = std::mem::take(&mut self.generated.trials);
            let mut is_news = false;
            for (order, spec) in trials.iter().enumerate() {
                let id = spec.id()?;
                if self.known.insert(id.clone()) {
                    is_news |= self.meet(id, spec, order, store)?;
                }
            }
            self.generated.trials = trials;
            // What was there already may widen a bracket further.
            if !is_news {
                break;
            }
        }
        self.write_file(false).map(|_| ())
    }

    /// Meets a trial for the first time; whether something is known of it already.
    fn meet(
        &mut self,
        id: String,
        spec: &TrialSpec,
        order: usize,
        store: &mut dyn FnMut(&str),
    ) -> Result<bool, LabError> {
        let folder = self.settings.root.trial(&id);
        folder.create(spec)?;
        if let Some(result) = folder.result()? {
            self.n_done += 1;
            self.scores.insert(id.clone(), Score::of(spec, &result));
            self.remember_rungs(&folder, spec, Some(&result))?;
            store(&id);
            return Ok(true);
        }
        strays::close_attempts(&self.settings.root, &id)?;
        if folder.failed()?.is_some() {
            if !self.settings.retry_failed {
                self.n_failed += 1;
                self.scores.insert(id.clone(), Score::Failed);
                store(&id);
                return Ok(true);
            }
            self.control.want(&id)?;
            self.forgiven.insert(id.clone(), failures(&folder)?);
            let path = folder.path("failed.json");
            fs::remove_file(&path).map_err(|source| LabError::io("remove", &path, source))?;
        }
        self.remember_rungs(&folder, spec, None)?;
        if let Some(micro_batch) = micro_batch_after_memory(&folder)? {
            self.micro.insert(id.clone(), micro_batch);
        }
        self.queue.push(Waiting { id, spec: spec.clone(), order });
        Ok(false)
    }

    /// Takes in at which rungs a trial was that an earlier runner saw.
    fn remember_rungs(
        &mut self,
        folder: &TrialFolder,
        spec: &TrialSpec,
        result: Option<&TrialResult>,
    ) -> Result<(), LabError> {
        let Some((rungs, unit)) = &mut self.rungs else { return Ok(()) };
        let group: Group = (spec.batch, spec.parameters_in_words());
        for log in folder.logs()? {
            for line in folder.log(&log)? {
                let LogLine::Evaluation { seconds, evaluation } = line else { continue };
                let at = if *unit == RungUnit::Seconds { seconds } else { evaluation.examples as f64 };
                let value = evaluation.get(spec.judge.field);
                if let Some(rung) = value.and_then(|value| rungs.observe(&group, folder.id(), at, value)) {
                    self.verdicts.insert(folder.id().to_owned(), rung);
                }
            }
        }
        if let Some(result) = result {
            end_at_rungs(rungs, &group, folder.id(), result);
        }
        Ok(())
    }
}

/// The micro-batch to go on with where the last attempt took more memory than there is.
fn micro_batch_after_memory(folder: &TrialFolder) -> Result<Option<u64>, LabError> {
    let Some(log) = folder.logs()?.pop() else { return Ok(None) };
    if folder.end(&log)?.is_none_or(|end| end.kind != EndKind::Memory) {
        return Ok(None);
    }
    let begin = folder.log(&log)?.into_iter().find_map(|line| match line {
        LogLine::Begin(begin) => Some(begin.micro_batch),
        _ => None,
    });
    Ok(begin.map(|micro_batch| micro_batch.div_ceil(2)))
}
