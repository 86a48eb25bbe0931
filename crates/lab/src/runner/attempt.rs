//! One attempt at a trial, in the child: its log, its result, its end.

use super::command;
use super::request::{News, Pilot, Report, Request};
use super::workload::{self, Make, say};
use crate::LabError;
use crate::probe::Emit;
use crate::provenance::now;
use crate::sweep::Root;
use crate::trial::{
    AttemptEnd, AttemptLog, Begin, EndKind, LogLine, Measured, Published, TrainerSpec, TrialFolder,
    TrialResult, TrialSpec,
};
use std::time::Instant;

/// An attempt that is going on.
pub(super) struct Attempt<'a> {
    pub(super) request: &'a Request,
    pub(super) folder: TrialFolder,
    pub(super) spec: TrialSpec,
    pub(super) log: AttemptLog,
    /// The noise scale that was last measured.
    pub(super) phi: Option<f64>,
    emit: Emit<'a>,
    /// The first line that could not be written.
    unwritten: Option<LabError>,
}

/// How an attempt ended.
pub(super) enum Ended {
    /// With a result.
    With(Box<TrialResult>, Measured),
    /// Without one.
    Without(EndKind, String),
    /// As a pilot.
    Pilot(Pilot),
}

impl Attempt<'_> {
    /// Appends a line to the log; a fault ends the attempt at its next stop.
    pub(super) fn write(&mut self, line: &LogLine) {
        if let Err(error) = self.log.write(line) {
            self.unwritten.get_or_insert(error);
        }
    }

    /// Says something to the parent.
    pub(super) fn say(&mut self, news: &News) {
        say(self.emit, news);
    }

    /// The fault of a line that could not be written.
    pub(super) fn fail_if_unwritten(&mut self) -> Result<(), LabError> {
        self.unwritten.take().map_or(Ok(()), Err)
    }
}

/// Runs one attempt; this is what a child does between its request and its last word. Whatever ends it is recorded in the
/// trial's folder, if that can be written.
///
/// # Errors
/// A trial that is not there, a log that cannot be begun.
pub fn attempt(request: &Request, make: Make<'_>, emit: Emit<'_>) -> Result<Report, LabError> {
    let start = Instant::now();
    let mut folder = Root::new(&request.root).trial(&request.trial);
    let spec = folder.spec()?;
    let mut scratch = None;
    if request.pilot.is_some() {
        // A pilot must not leave a log or a checkpoint among the trial's.
        let pilots = request.root.join("pilots");
        folder = TrialFolder::new(&pilots, &format!("{}.{}", request.trial, std::process::id()));
        folder.create(&spec)?;
        scratch = Some(folder.folder().to_owned());
    }
    let begin = Begin {
        at: now(),
        pid: std::process::id(),
        host: sysinfo::System::host_name().unwrap_or_default(),
        runner: request.runner.clone(),
        micro_batch: request.micro_batch,
        threads: request.threads,
        resumed_at: None,
    };
    let log = folder.begin(&begin)?;
    say(emit, &News::Begun { log: log.name().to_owned(), begin });
    let is_command = matches!(spec.trainer, TrainerSpec::Command { .. });
    let mut attempt = Attempt { request, folder, spec, log, phi: None, emit, unwritten: None };
    let ended =
        if is_command { command::run(&mut attempt, start) } else { workload::run(&mut attempt, make, start) };
    let report = ended.and_then(|ended| attempt.settle(ended));
    if let Some(scratch) = scratch {
        let _ = std::fs::remove_dir_all(scratch);
    }
    report.or_else(|error| {
        use batchwise_train::checkpoint::CheckpointError::InUse;
        let kind = match &error {
            LabError::Cancelled => EndKind::Stopped,
            // Another attempt is going on; its result will do.
            LabError::Checkpoint(error) if matches!(error.as_ref(), InUse { .. }) => EndKind::Stopped,
            error if is_disk(&error.to_string()) => EndKind::Disk,
            _ => EndKind::Error,
        };
        let end = AttemptEnd { at: now(), kind, reason: error.to_string() };
        if request.pilot.is_none() {
            // Where it cannot be written either, the parent says it.
            let _ = attempt.folder.write_end(attempt.log.name(), &end);
        }
        Ok(Report::Ended(end))
    })
}

impl Attempt<'_> {
    /// Writes what came out.
    fn settle(&mut self, ended: Ended) -> Result<Report, LabError> {
        match ended {
            Ended::Pilot(pilot) => {
                let disk_bytes = size(self.folder.folder());
                Ok(Report::Pilot(Pilot { disk_bytes, ..pilot }))
            }
            Ended::Without(kind, reason) => {
                let end = AttemptEnd { at: now(), kind, reason };
                if self.request.pilot.is_none() {
                    self.folder.write_end(self.log.name(), &end)?;
                }
                Ok(Report::Ended(end))
            }
            Ended::With(result, measured) => {
                self.fail_if_unwritten()?;
                // On the disk before the result: who sees the result finds its log whole.
                self.log.write(&LogLine::End(measured))?;
                self.log.sync()?;
                let published = self.folder.publish(&result, self.log.name())?;
                // Nothing goes on from here.
                let _ = std::fs::remove_dir_all(self.folder.path("checkpoints"));
                Ok(Report::Result { differs: published == Published::Differs })
            }
        }
    }
}

/// Whether the disk is at fault: full, or not to be written.
pub(super) fn is_disk(reason: &str) -> bool {
    ["No space left", "Disk quota", "File too large", "Read-only file system"]
        .iter()
        .any(|sign| reason.contains(sign))
}

/// Bytes of a folder.
fn size(folder: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}
