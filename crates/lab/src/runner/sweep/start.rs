//! Which trial is next, and its start.

use super::{Going, Sweep, Waiting, oom_kills};
use crate::LabError;
use crate::plan::First;
use crate::process;
use crate::runner::child::Running;
use crate::runner::request::Request;
use crate::trial::TrialSpec;
use std::time::Instant;

impl Sweep<'_> {
    /// Starts trials while there are places, memory and trials.
    pub(super) fn start_some(&mut self) -> Result<(), LabError> {
        while !self.is_paused && (self.going.len() as u64) < self.settings.jobs && !process::is_cancelled() {
            let Some(index) = self.next() else { break };
            let waiting = self.queue.remove(index);
            self.start(waiting)?;
        }
        Ok(())
    }

    /// The trial that is next and fits.
    fn next(&self) -> Option<usize> {
        let taken: u64 = self.going.values().map(|going| going.bytes).sum();
        let free = self.settings.memory.saturating_sub(taken);
        let has_wishes = self.control.is_any();
        let rank = |waiting: &Waiting| {
            let is_first = has_wishes && self.control.is_first(&waiting.id);
            let seconds = self.pilots.cost(&waiting.spec).map_or(0.0, |cost| cost.seconds);
            let by = match self.plan.limits.first {
                First::Plan => 0.0,
                First::Short => seconds,
                First::Long => -seconds,
            };
            (!is_first, by, waiting.order)
        };
        let fits =
            |waiting: &Waiting| self.going.is_empty() || self.bytes_of(&waiting.id, &waiting.spec) <= free;
        let candidates = self.queue.iter().enumerate().filter(|(_, waiting)| fits(waiting));
        let before = |a: &(bool, f64, usize), b: &(bool, f64, usize)| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        };
        candidates.map(|(i, waiting)| (i, rank(waiting))).min_by(|a, b| before(&a.1, &b.1)).map(|(i, _)| i)
    }

    /// Bytes that a trial is believed to take: its pilot's peak with a margin, or its share.
    fn bytes_of(&self, id: &str, spec: &TrialSpec) -> u64 {
        if let Some(bytes) = self.grants.get(id) {
            return *bytes;
        }
        match self.pilots.cost(spec).and_then(|cost| cost.bytes) {
            Some(bytes) => bytes + bytes / 20 + (4 << 20),
            None => self.settings.memory / self.settings.jobs.max(1),
        }
    }

    fn start(&mut self, waiting: Waiting) -> Result<(), LabError> {
        let Waiting { id, spec, order } = waiting;
        let bytes = self.bytes_of(&id, &spec);
        let usual = self.pilots.of(&spec).map_or(spec.batch, |known| known.micro_batch);
        let micro_batch = self.micro.get(&id).copied().unwrap_or(usual);
        let limits = &self.plan.limits;
        let request = Request {
            root: self.settings.root.folder().to_owned(),
            trial: id.clone(),
            runner: Some(self.runner.clone()),
            data_dir: self.settings.data_dir.clone(),
            folder: self.settings.folder.clone(),
            micro_batch,
            threads: limits.threads,
            limit_bytes: self.settings.memory_is_given.then_some(bytes),
            seconds: limits.seconds,
            silence: limits.silence,
            output: limits.output,
            pilot: None,
        };
        let key = self.next_key;
        self.next_key += 1;
        let child = Running::start(&self.settings.child, &request, key, &self.sender)?;
        let going = Going {
            id,
            spec,
            order,
            child,
            started: Instant::now(),
            log: None,
            micro_batch,
            bytes,
            examples: 0,
            value: None,
            report: None,
            cut: None,
            asked: None,
            oom_kills: oom_kills(),
        };
        self.going.insert(key, going);
        Ok(())
    }
}
