//! What the user wants of a sweep while it runs, and trials that take longer to obey than they may.

use super::{GRACE, Sweep};
use crate::LabError;
use crate::plan::Score;
use crate::process;
use crate::provenance::now;
use crate::runner::event::Event;
use crate::trial::{AttemptEnd, EndKind, TrainerSpec};
use std::time::Instant;

impl Sweep<'_> {
    /// What the user wants; an error ends the sweep.
    pub(super) fn wishes(&mut self) -> Result<Option<LabError>, LabError> {
        if process::is_cancelled() {
            self.stop_all();
            let folder = self.settings.root.folder().display();
            return Ok(Some(LabError::Stopped(format!(
                "stopped; what is done lies in {folder}: the same command goes on from there"
            ))));
        }
        if !self.control.is_any() {
            return Ok(None);
        }
        if self.control.is_cancelled() {
            self.stop_all();
            return Ok(Some(LabError::Stopped(format!(
                "the sweep `{}` was cancelled; the same command goes on with it",
                self.plan.name
            ))));
        }
        let is_paused = self.control.is_paused();
        if is_paused && !self.is_paused {
            (self.on_event)(Event::Note(format!("paused: go on by `runs resume {}`", self.plan.name)));
            for going in self.going.values_mut() {
                if matches!(going.spec.trainer, TrainerSpec::Workload { .. }) {
                    going.child.stop();
                }
            }
        }
        self.is_paused = is_paused;
        let mut given_up = Vec::new();
        self.queue.retain(|waiting| {
            let is_cancelled = self.control.is_trial_cancelled(&waiting.id);
            if is_cancelled {
                given_up.push(waiting.id.clone());
            }
            !is_cancelled
        });
        self.has_news |= !given_up.is_empty();
        for id in given_up {
            let reason = "the user gave it up".to_owned();
            let end = AttemptEnd { at: now(), kind: EndKind::Cancelled, reason };
            self.settings.root.trial(&id).write_failed(&end)?;
            self.scores.insert(id, Score::Failed);
            self.n_failed += 1;
        }
        for going in self.going.values_mut() {
            if going.cut.is_none() && self.control.is_trial_cancelled(&going.id) {
                going.cut = Some((EndKind::Cancelled, "the user gave it up".to_owned()));
                going.child.kill();
            }
        }
        Ok(None)
    }

    /// Asks all trials to store where they are and end.
    pub(super) fn stop_all(&mut self) {
        for going in self.going.values_mut() {
            going.child.stop();
            going.asked.get_or_insert_with(Instant::now);
        }
    }

    /// Ends trials that take longer to stop than they may, or longer than they were given.
    pub(super) fn end_late(&mut self) {
        let limit = self.plan.limits.seconds;
        for going in self.going.values_mut() {
            if going.cut.is_some() {
                continue;
            }
            if going.asked.is_some_and(|at| GRACE < at.elapsed()) {
                going.cut = Some((EndKind::Stopped, "stopped".to_owned()));
                going.child.kill();
            } else if let Some(limit) = limit
                // The child keeps the limit itself; one that hangs does not.
                && limit + GRACE.as_secs_f64() < going.started.elapsed().as_secs_f64()
            {
                going.cut = Some((EndKind::Time, format!("it took more than the {limit} s it was given")));
                going.child.kill();
            }
        }
    }
}
