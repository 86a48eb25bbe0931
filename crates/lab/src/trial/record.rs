//! What the files of a trial say of it.

use super::{AttemptEnd, EndKind, LogLine, Measured, TrialFolder, TrialResult, TrialSpec};
use crate::LabError;
use serde::{Deserialize, Serialize};

/// A trial with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Its name.
    pub id: String,
    /// Its configuration.
    pub spec: TrialSpec,
    /// Where it stands.
    pub state: State,
    /// What it brought.
    pub result: Option<TrialResult>,
    /// What was measured, of the attempt that brought it.
    pub measured: Option<Measured>,
    /// Why it was given up.
    pub failed: Option<AttemptEnd>,
    /// The attempts, the oldest first.
    pub attempts: Vec<Attempt>,
    /// Whether two attempts brought different results.
    pub differs: bool,
}

/// One attempt at a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its log.
    pub log: String,
    /// Seconds since 1970 at its start.
    pub at: u64,
    /// How it ended, if it brought no result.
    pub end: Option<AttemptEnd>,
}

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has no result yet.
    Waiting,
    /// It has a result.
    Done,
    /// It was given up.
    Failed,
    /// The user gave it up.
    Cancelled,
}

impl State {
    /// As in files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TrialFolder {
    /// All that the files say.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn record(&self) -> Result<TrialRecord, LabError> {
        let (spec, result, failed) = (self.spec()?, self.result()?, self.failed()?);
        let mut attempts = Vec::new();
        let mut measured = None;
        for log in self.logs()? {
            let lines = self.log(&log)?;
            let at = lines.iter().find_map(|line| match line {
                LogLine::Begin(begin) => Some(begin.at),
                _ => None,
            });
            if measured.is_none()
                && let Some(LogLine::End(end)) = lines.last()
            {
                measured = Some(end.clone());
            }
            let end = self.end(&log)?;
            attempts.push(Attempt { log, at: at.unwrap_or(0), end });
        }
        let state = match (&result, &failed) {
            (Some(_), _) => State::Done,
            (None, Some(end)) if end.kind == EndKind::Cancelled => State::Cancelled,
            (None, Some(_)) => State::Failed,
            (None, None) => State::Waiting,
        };
        let measured = measured.filter(|_| result.is_some());
        let (id, differs) = (self.id().to_owned(), self.differs());
        Ok(TrialRecord { id, spec, state, result, measured, failed, attempts, differs })
    }
}
