//! The folder of a trial.
//!
//! ```text
//! runs/<id>/trial.json               the configuration, written once
//!           log-<attempt>.<pid>.<nanos>.jsonl   one writer each, appended
//!           end-<log's name>.json    how an attempt ended that brought no result
//!           checkpoints/, …          what a trainer keeps to go on from
//!           result.json              hung here by a hard link: the only meaning of "done"
//!           differs-<…>.json         a second result with other bytes: training is not deterministic
//!           failed.json              given up, and why
//! ```

use super::{Begin, LogLine, TrialResult, TrialSpec, read_log};
use crate::LabError;
use crate::output::write_whole;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialFolder {
    folder: PathBuf,
    id: String,
}

/// How an attempt ended that brought no result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// Seconds since 1970.
    pub at: u64,
    /// What kind of end.
    pub kind: EndKind,
    /// The reason in words.
    pub reason: String,
}

/// What kind of end an attempt had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// A signal ended it that its runner did not send.
    Killed,
    /// It took more memory than it was given.
    Memory,
    /// It took more time than it was given.
    Time,
    /// It said nothing for longer than it may.
    Silent,
    /// It wrote more than it may.
    Output,
    /// It ended in good order, but without a result.
    NoResult,
    /// It said what was wrong.
    Error,
    /// The disk was full, or could not be written.
    Disk,
    /// Its runner is gone.
    RunnerGone,
    /// It was asked to stop, and stored where it was.
    Stopped,
    /// The user gave it up.
    Cancelled,
}

impl EndKind {
    /// As in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Memory => "memory",
            Self::Time => "time",
            Self::Silent => "silent",
            Self::Output => "output",
            Self::NoResult => "no_result",
            Self::Error => "error",
            Self::Disk => "disk",
            Self::RunnerGone => "runner_gone",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it counts against the trial: the machine's faults and the user's wishes do not, nor does want of memory, to
    /// which a smaller micro-batch is the answer.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(self, Self::RunnerGone | Self::Stopped | Self::Cancelled | Self::Disk | Self::Memory)
    }
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is the trial's.
    First,
    /// Another attempt had brought the same bytes.
    Same,
    /// Another attempt had brought other bytes, which stay; these lie beside them.
    Differs,
}

impl TrialFolder {
    /// The folder of the trial `id` below `runs`.
    #[must_use]
    pub fn new(runs: &Path, id: &str) -> Self {
        Self { folder: runs.join(id), id: id.to_owned() }
    }

    /// Creates it, with the configuration.
    ///
    /// # Errors
    /// What the system says; a configuration with this name that differs.
    pub fn create(&self, spec: &TrialSpec) -> Result<(), LabError> {
        let path = self.path("trial.json");
        let text = spec.canonical()? + "\n";
        match fs::read_to_string(&path) {
            Ok(there) if there == text => return Ok(()),
            Ok(_) => {
                let path = path.display();
                return Err(LabError::Input(format!("{path} holds another trial: remove the folder")));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(LabError::io("read", &path, source)),
        }
        fs::create_dir_all(&self.folder).map_err(|source| LabError::io("create", &self.folder, source))?;
        write_whole(&path, text.as_bytes())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The trial's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The configuration.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn spec(&self) -> Result<TrialSpec, LabError> {
        let path = self.path("trial.json");
        let text = fs::read_to_string(&path).map_err(|source| LabError::io("read", &path, source))?;
        TrialSpec::read(&text).map_err(|error| LabError::Input(format!("{}: {error}", path.display())))
    }

    /// The result, if there is one.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn result(&self) -> Result<Option<TrialResult>, LabError> {
        self.json("result.json")
    }

    /// Why the trial was given up, if it was.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn failed(&self) -> Result<Option<AttemptEnd>, LabError> {
        self.json("failed.json")
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, LabError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| LabError::Input(format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LabError::io("read", &path, source)),
        }
    }

    /// Names of the attempts' logs, the oldest first.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn logs(&self) -> Result<Vec<String>, LabError> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            Err(source) => return Err(LabError::io("read", &self.folder, source)),
        };
        for entry in entries.flatten() {
            if let Some(name) = entry.file_name().to_str()
                && name.starts_with("log-")
                && name.ends_with(".jsonl")
            {
                found.push(name.to_owned());
            }
        }
        found.sort_by_key(|name| (attempt_number(name), name.clone()));
        Ok(found)
    }

    /// The lines of a log.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn log(&self, name: &str) -> Result<Vec<LogLine>, LabError> {
        let path = self.path(name);
        let bytes = fs::read(&path).map_err(|source| LabError::io("read", &path, source))?;
        Ok(read_log(&String::from_utf8_lossy(&bytes)).0)
    }

    /// How the attempt of this log ended, if it brought no result and that is known.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn end(&self, log: &str) -> Result<Option<AttemptEnd>, LabError> {
        self.json(&end_name(log))
    }

    /// Records how an attempt ended.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_end(&self, log: &str, end: &AttemptEnd) -> Result<(), LabError> {
        self.write(&end_name(log), end)
    }

    /// Gives the trial up.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_failed(&self, end: &AttemptEnd) -> Result<(), LabError> {
        self.write("failed.json", end)
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), LabError> {
        let mut text = serde_json::to_string(value).map_err(|error| LabError::protocol(error.to_string()))?;
        text.push('\n');
        write_whole(&self.path(name), text.as_bytes())
    }

    /// Begins an attempt: a log that nobody else writes.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(&self, begin: &Begin) -> Result<AttemptLog, LabError> {
        let number = self.logs()?.last().map_or(0, |name| attempt_number(name) + 1);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let name = format!("log-{number}.{}.{nanos}.jsonl", begin.pid);
        let path = self.path(&name);
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(|source| LabError::io("create", &path, source))?;
        let mut log = AttemptLog { file, path, name };
        log.write(&LogLine::Begin(begin.clone()))?;
        Ok(log)
    }

    /// Hangs a result under its name; the first one stays.
    ///
    /// # Errors
    /// What the system says.
    pub fn publish(&self, result: &TrialResult, log: &str) -> Result<Published, LabError> {
        let mut text =
            serde_json::to_string(result).map_err(|error| LabError::protocol(error.to_string()))?;
        text.push('\n');
        let published = publish(&self.folder, "result.json", text.as_bytes(), log)?;
        if published == Published::Differs {
            let name = format!("differs-{}.json", log.trim_end_matches(".jsonl"));
            write_whole(&self.path(&name), text.as_bytes())?;
        }
        Ok(published)
    }

    /// Whether two attempts brought different results.
    #[must_use]
    pub fn differs(&self) -> bool {
        fs::read_dir(&self.folder).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("differs-"))
        })
    }
}

/// Writes a file under a name of the attempt's own, puts it on the disk, and hangs it under `name` unless there is one.
///
/// # Errors
/// What the system says, with the path.
pub fn publish(folder: &Path, name: &str, content: &[u8], own: &str) -> Result<Published, LabError> {
    let partial = folder.join(format!(".{name}.{own}.partial"));
    let path = folder.join(name);
    let failed = |source| LabError::io("write", &path, source);
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let linked = written.and_then(|()| match fs::hard_link(&partial, &path) {
        Ok(()) => Ok(Published::First),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let there = fs::read(&path)?;
            Ok(if there == content { Published::Same } else { Published::Differs })
        }
        Err(error) => Err(error),
    });
    let _ = fs::remove_file(&partial);
    let published = linked.map_err(failed)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(published)
}

fn end_name(log: &str) -> String {
    format!("end-{}.json", log.trim_end_matches(".jsonl"))
}

/// The number of the attempt that a log is of.
fn attempt_number(name: &str) -> u64 {
    name.strip_prefix("log-").and_then(|rest| rest.split('.').next()?.parse().ok()).unwrap_or(0)
}

/// The log of an attempt that is going on.
#[derive(Debug)]
pub struct AttemptLog {
    file: File,
    path: PathBuf,
    name: String,
}

impl AttemptLog {
    /// Appends a line, whole.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn write(&mut self, line: &LogLine) -> Result<(), LabError> {
        let mut text = serde_json::to_string(line).map_err(|error| LabError::protocol(error.to_string()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|source| LabError::io("write", &self.path, source))
    }

    /// Puts what was written on the disk.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn sync(&self) -> Result<(), LabError> {
        self.file.sync_data().map_err(|source| LabError::io("write", &self.path, source))
    }

    /// Its name in the trial's folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::super::{EndOfTrial, VERSION};
    use super::*;

    fn result(loss: f64) -> TrialResult {
        TrialResult {
            version: VERSION,
            trial: "x".to_owned(),
            end: EndOfTrial::Finished,
            examples: 10,
            steps: 1,
            train_loss: None,
            loss: Some(loss),
            metric: None,
            reached: None,
            evaluations: Vec::new(),
            weights_sha256: None,
        }
    }

    #[test]
    fn the_first_result_stays() {
        let dir = tempfile::tempdir().unwrap();
        let spec = spec(8, 0.1, 1);
        let folder = TrialFolder::new(dir.path(), &spec.id().unwrap());
        folder.create(&spec).unwrap();
        folder.create(&spec).unwrap();
        assert_eq!(folder.spec().unwrap(), spec);
        assert_eq!(folder.result().unwrap(), None);
        let a = folder.begin(&Begin { pid: 7, ..Begin::default() }).unwrap();
        let b = folder.begin(&Begin { pid: 8, ..Begin::default() }).unwrap();
        assert_eq!(folder.logs().unwrap(), [a.name(), b.name()]);
        assert_eq!(folder.publish(&result(0.5), a.name()).unwrap(), Published::First);
        assert_eq!(folder.publish(&result(0.5), b.name()).unwrap(), Published::Same);
        assert!(!folder.differs());
        assert_eq!(folder.publish(&result(0.25), b.name()).unwrap(), Published::Differs);
        assert!(folder.differs());
        assert_eq!(folder.result().unwrap(), Some(result(0.5)));
        let partial = fs::read_dir(folder.folder()).unwrap().flatten();
        assert!(partial.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains("partial")));
    }

    #[test]
    fn another_trial_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let folder = TrialFolder::new(dir.path(), "x");
        folder.create(&spec(8, 0.1, 1)).unwrap();
        assert!(folder.create(&spec(8, 0.2, 1)).unwrap_err().to_string().contains("another trial"));
    }

    #[test]
    fn ends_are_recorded_by_their_log() {
        let dir = tempfile::tempdir().unwrap();
        let folder = TrialFolder::new(dir.path(), "x");
        folder.create(&spec(8, 0.1, 1)).unwrap();
        let log = folder.begin(&Begin::default()).unwrap();
        let end = AttemptEnd { at: 1, kind: EndKind::Silent, reason: "said nothing for 5 s".to_owned() };
        assert_eq!(folder.end(log.name()).unwrap(), None);
        folder.write_end(log.name(), &end).unwrap();
        assert_eq!(folder.end(log.name()).unwrap(), Some(end));
    }
}
