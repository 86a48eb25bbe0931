//! What the children of a sweep say and how they end.

use super::{Going, Sweep, Waiting, end_at_rungs, oom_kills};
use crate::LabError;
use crate::plan::{RungUnit, Score};
use crate::process::Message;
use crate::provenance::now;
use crate::report::text::{digits, int};
use crate::runner::attempt::is_disk;
use crate::runner::child::Heard;
use crate::runner::event::Event;
use crate::runner::request::{News, Report};
use crate::runner::rungs::Group;
use crate::trial::{AttemptEnd, EndKind, EndOfTrial, TrainerSpec, TrialFolder, TrialResult, TrialSpec};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

impl Sweep<'_> {
    /// Takes in what a child did; an error ends the sweep.
    pub(super) fn hear(
        &mut self,
        key: usize,
        heard: Heard,
        store: &mut dyn FnMut(&str),
    ) -> Result<(), LabError> {
        let Some(going) = self.going.get_mut(&key) else { return Ok(()) };
        match heard {
            Heard::Message(Message::Point { value }) => match serde_json::from_value(value) {
                Ok(News::Begun { log, .. }) => going.log = Some(log),
                Ok(News::At { examples, seconds, value }) => {
                    going.examples = examples;
                    if let Some(value) = value {
                        going.value = Some(value);
                        self.meet_rung(key, examples, seconds, value);
                    }
                }
                Err(_) => {}
            },
            Heard::Message(Message::Done { value }) => {
                going.report = Some(serde_json::from_value(value).map_err(|error| error.to_string()));
            }
            Heard::Message(Message::Failed { text, .. }) => going.report = Some(Err(text)),
            Heard::Garbage(line) => going.report = Some(Err(format!("the child said `{line}`"))),
            Heard::Message(Message::Progress { .. }) => {}
            Heard::Ended(status, words) => {
                if let Some(going) = self.going.remove(&key) {
                    let id = going.id.clone();
                    self.has_news = true;
                    let settled = self.settle(going, status, &words);
                    store(&id);
                    return settled;
                }
            }
        }
        Ok(())
    }

    /// Whether a run is stopped at a rung.
    fn meet_rung(&mut self, key: usize, examples: u64, seconds: f64, value: f64) {
        let Some((rungs, unit)) = &mut self.rungs else { return };
        let Some(going) = self.going.get_mut(&key) else { return };
        let at = if *unit == RungUnit::Seconds { seconds } else { examples as f64 };
        let group: Group = (going.spec.batch, going.spec.parameters_in_words());
        if let Some(rung) = rungs.observe(&group, &going.id, at, value) {
            self.verdicts.insert(going.id.clone(), rung);
        }
        // One that was killed before it could obey is told again, once it is there again.
        if let Some(rung) = self.verdicts.get(&going.id).filter(|rung| **rung <= at) {
            going.child.prune(*rung);
        }
    }

    /// Takes in how an attempt ended; an error ends the sweep.
    fn settle(&mut self, going: Going, status: Option<ExitStatus>, words: &str) -> Result<(), LabError> {
        let folder = self.settings.root.trial(&going.id);
        // It may have been killed right after it had brought its result.
        if let Some(result) = folder.result()? {
            let differs = matches!(going.report, Some(Ok(Report::Result { differs: true })));
            self.settle_result(&going, &result, differs);
            return Ok(());
        }
        let was_oom = going.oom_kills < oom_kills();
        let end = match (&going.cut, &going.report) {
            // The system took the trainer and left the attempt, which cannot know why.
            (None, Some(Ok(Report::Ended(end))))
                if was_oom && end.kind == EndKind::Killed && end.reason.contains("signal 9") =>
            {
                let reason = "the system ended it for want of memory".to_owned();
                let end = AttemptEnd { kind: EndKind::Memory, reason, ..end.clone() };
                if let Some(log) = &going.log {
                    folder.write_end(log, &end)?;
                }
                end
            }
            (None, Some(Ok(Report::Ended(end)))) => end.clone(),
            (cut, report) => {
                let (kind, reason) = match (cut, report) {
                    (Some(cut), _) => cut.clone(),
                    (None, Some(Err(text))) if is_disk(text) => (EndKind::Disk, text.clone()),
                    (None, Some(Err(text))) => (EndKind::Error, text.clone()),
                    _ => died(status, words, was_oom),
                };
                let end = AttemptEnd { at: now(), kind, reason };
                match log_of(&folder, &going)? {
                    Some(log) => folder.write_end(&log, &end)?,
                    // It did not come as far as its log.
                    None if end.kind.counts() => *self.lost.entry(going.id.clone()).or_default() += 1,
                    None => {}
                }
                end
            }
        };
        self.settle_end(going, &folder, end)
    }

    fn settle_result(&mut self, going: &Going, result: &TrialResult, differs: bool) {
        if let Some((rungs, _)) = &mut self.rungs {
            end_at_rungs(rungs, &(going.spec.batch, going.spec.parameters_in_words()), &going.id, result);
        }
        self.n_done += 1;
        self.n_ran += 1;
        self.scores.insert(going.id.clone(), Score::of(&going.spec, result));
        if differs {
            (self.on_event)(Event::Note(format!(
                "{}: two attempts brought different results, so training is not deterministic",
                going.spec.label()
            )));
        }
        let result = in_words(&going.spec, result);
        (self.on_event)(Event::Done { trial: going.spec.label(), result });
    }

    fn settle_end(&mut self, going: Going, folder: &TrialFolder, end: AttemptEnd) -> Result<(), LabError> {
        let Going { id, spec, order, micro_batch, bytes, .. } = going;
        let label = spec.label();
        let mut say = |again: bool, end: &AttemptEnd| {
            let (kind, reason) = (end.kind, end.reason.clone());
            (self.on_event)(Event::Ended { trial: label.clone(), kind, reason, again });
        };
        match end.kind {
            EndKind::Stopped | EndKind::RunnerGone => {
                // It goes on where it was, now or with the next runner.
                self.queue.push(Waiting { id, spec, order });
                return Ok(());
            }
            EndKind::Disk => {
                say(true, &end);
                let reason = end.reason;
                return Err(LabError::Stopped(format!(
                    "{label}: {reason}; nothing that was done is lost: make room and run the same command"
                )));
            }
            _ => {}
        }
        let failures = (failures(folder)? + self.lost.get(&id).copied().unwrap_or(0))
            .saturating_sub(self.forgiven.get(&id).copied().unwrap_or(0));
        let can_shrink = match &spec.trainer {
            TrainerSpec::Workload { .. } => true,
            TrainerSpec::Command { command, .. } => command.iter().any(|a| a.contains("{micro_batch}")),
        };
        let mut again = (failures as u64) <= self.plan.limits.retries
            && !matches!(end.kind, EndKind::Cancelled | EndKind::NoResult | EndKind::Output | EndKind::Time);
        if end.kind == EndKind::Memory {
            // Not a matter of luck. Where it was given less than there is, its prediction was too low; else only a smaller
            // micro-batch helps, and that changes nothing else.
            let can_grow = self.settings.memory_is_given && bytes < self.settings.memory;
            again = can_grow || (can_shrink && 1 < micro_batch);
            if can_grow {
                self.grants.insert(id.clone(), bytes.saturating_mul(2).min(self.settings.memory));
            } else if again {
                self.micro.insert(id.clone(), micro_batch.div_ceil(2));
            }
        }
        say(again, &end);
        if again {
            self.queue.push(Waiting { id, spec, order });
        } else {
            folder.write_failed(&end)?;
            self.n_failed += 1;
            self.scores.insert(id, Score::Failed);
        }
        Ok(())
    }
}

/// Attempts whose ends count against a trial.
pub(super) fn failures(folder: &TrialFolder) -> Result<usize, LabError> {
    let record = folder.record()?;
    Ok(record.attempts.iter().filter_map(|a| a.end.as_ref()).filter(|end| end.kind.counts()).count())
}

/// How a child ended that had no last word.
fn died(status: Option<ExitStatus>, words: &str, was_oom: bool) -> (EndKind, String) {
    let words = words.trim();
    let last = if words.is_empty() { String::new() } else { format!(": {words}") };
    let signal = status.and_then(|status| status.signal());
    match (signal, status) {
        _ if words.contains("memory allocation of") => {
            (EndKind::Memory, format!("it took more memory than it was given{last}"))
        }
        (Some(9), _) if was_oom => (EndKind::Memory, "the system ended it for want of memory".to_owned()),
        (Some(signal), _) => (EndKind::Killed, format!("signal {signal} ended it{last}")),
        (None, Some(status)) => (EndKind::Error, format!("it ended without a last word ({status}){last}")),
        (None, None) => (EndKind::Error, format!("nobody knows how it ended{last}")),
    }
}

/// The log of an attempt, also where it was killed before it could say which.
fn log_of(folder: &TrialFolder, going: &Going) -> Result<Option<String>, LabError> {
    if going.log.is_some() {
        return Ok(going.log.clone());
    }
    let pid = format!(".{}.", going.child.pid());
    for log in folder.logs()?.into_iter().rev() {
        if log.contains(&pid) && folder.end(&log)?.is_none() {
            return Ok(Some(log));
        }
    }
    Ok(None)
}

/// What a trial brought, in a few words.
fn in_words(spec: &TrialSpec, result: &TrialResult) -> String {
    let judged = result.get(spec.judge.field).map_or_else(String::new, |value| {
        let value = digits(value, 4);
        format!(", {} {value}", spec.judge.name())
    });
    let after = format!("after {} examples{judged}", int(result.examples));
    match &result.end {
        EndOfTrial::Target => {
            let at = result.reached.map_or(result.examples as f64, |reached| reached.examples.value);
            format!("target reached at {} examples", int(at.round() as u64))
        }
        EndOfTrial::Finished => format!("finished {after}"),
        EndOfTrial::Patience => format!("no longer better {after}"),
        EndOfTrial::Diverged { why } => format!("diverged: {why}"),
        EndOfTrial::Pruned { rung } => format!("stopped at rung {rung}{judged}"),
    }
}
