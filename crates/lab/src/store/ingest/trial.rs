//! What the files beside the logs say of a trial.

use super::{count, json};
use crate::LabError;
use crate::store::{StoreError, read};
use crate::trial::{
    AttemptEnd, EndKind, EndOfTrial, Measured, Parameter, Reached, State, TrialFolder, TrialResult, TrialSpec,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Result as Sql, params, params_from_iter};
use std::collections::BTreeMap;
use std::path::Path;

/// What the files beside the logs say of a trial.
pub(super) struct Files {
    spec: TrialSpec,
    result: Option<TrialResult>,
    failed: Option<AttemptEnd>,
    differs: bool,
    /// The name of each log, and how its attempt ended.
    pub(super) logs: Vec<(String, Option<AttemptEnd>)>,
    /// Configuration, its parameters and the result as JSON.
    texts: (String, String, Option<String>),
}

impl Files {
    pub(super) fn read(folder: &TrialFolder) -> Result<Self, LabError> {
        let (spec, result, failed) = (folder.spec()?, folder.result()?, folder.failed()?);
        let logs = folder.logs()?.into_iter().map(|log| folder.end(&log).map(|end| (log, end)));
        let logs = logs.collect::<Result<_, LabError>>()?;
        let texts = (
            spec.canonical()?,
            json::<BTreeMap<String, Parameter>>(&spec.parameters)?,
            result.as_ref().map(json).transpose()?,
        );
        Ok(Self { spec, result, failed, differs: folder.differs(), logs, texts })
    }

    /// Writes the row of the trial but for what follows from its logs, and returns its key.
    pub(super) fn write(&self, connection: &Connection, id: &str) -> Sql<i64> {
        let columns: Vec<(&str, Value)> =
            [vec![("id", id.to_owned().into())], self.configuration(), self.state(), self.numbers()].concat();
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let updates: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        let sql = format!(
            "INSERT INTO trials ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {} RETURNING key",
            names.join(", "),
            vec!["?"; names.len()].join(", "),
            updates.join(", "),
        );
        let values = columns.into_iter().map(|(_, value)| value);
        connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))
    }

    fn configuration(&self) -> Vec<(&'static str, Value)> {
        let spec = &self.spec;
        let seed = i64::try_from(spec.seed);
        vec![
            ("spec", self.texts.0.clone().into()),
            ("trainer", spec.trainer.name().into()),
            ("batch", count(spec.batch).into()),
            ("learning_rate", spec.learning_rate.into()),
            ("seed", seed.map_or_else(|_| spec.seed.to_string().into(), Value::Integer)),
            ("parameters", self.texts.1.clone().into()),
        ]
    }

    fn state(&self) -> Vec<(&'static str, Value)> {
        let state = match (&self.result, &self.failed) {
            (Some(_), _) => State::Done,
            (None, Some(end)) if end.kind == EndKind::Cancelled => State::Cancelled,
            (None, Some(_)) => State::Failed,
            (None, None) => State::Waiting,
        };
        let failed = self.failed.as_ref();
        vec![
            ("state", state.name().to_owned().into()),
            ("failed_at", failed.map(|end| count(end.at)).into()),
            ("failed_kind", failed.map(|end| end.kind.name().to_owned()).into()),
            ("failed_reason", failed.map(|end| end.reason.clone()).into()),
            ("n_attempts", (self.logs.len() as i64).into()),
            ("differs", self.differs.into()),
        ]
    }

    fn numbers(&self) -> Vec<(&'static str, Value)> {
        let result = self.result.as_ref();
        let (end, detail) = result.map(|result| end(&result.end)).unzip();
        let reached: Option<Reached> = result.and_then(|result| result.reached);
        vec![
            ("result", self.texts.2.clone().into()),
            ("end_kind", end.map(str::to_owned).into()),
            ("end_detail", detail.flatten().into()),
            ("examples", result.map(|result| count(result.examples)).into()),
            ("steps", result.map(|result| count(result.steps)).into()),
            ("train_loss", result.and_then(|result| result.train_loss).into()),
            ("loss", result.and_then(|result| result.loss).into()),
            ("metric", result.and_then(|result| result.metric).into()),
            ("reached_value", reached.map(|reached| reached.value).into()),
            ("reached_examples", reached.map(|reached| reached.examples.value).into()),
            ("reached_examples_low", reached.map(|reached| reached.examples.low).into()),
            ("reached_examples_high", reached.map(|reached| reached.examples.high).into()),
            ("reached_steps", reached.map(|reached| reached.steps.value).into()),
            ("reached_steps_low", reached.map(|reached| reached.steps.low).into()),
            ("reached_steps_high", reached.map(|reached| reached.steps.high).into()),
            ("weights_sha256", result.and_then(|result| result.weights_sha256.clone()).into()),
        ]
    }

    /// Writes what follows from the logs: what was measured, of the first attempt that ended as a run does.
    pub(super) fn finish(
        &self,
        connection: &Connection,
        path: &Path,
        key: i64,
        signature: i64,
    ) -> Result<(), LabError> {
        let wrong = |source| StoreError::sqlite(path, source);
        let text = self.measured(connection, key).map_err(wrong)?;
        let measured: Option<Measured> = read::optional_json(path, text.as_deref())?;
        let measured = measured.as_ref();
        let columns = params![
            key,
            signature,
            text,
            measured.map(|measured| measured.seconds),
            measured.and_then(|measured| measured.seconds_to_target),
            measured.map(|measured| measured.wall_seconds),
            measured.and_then(|measured| measured.step_seconds),
            measured.and_then(|measured| measured.evaluation_seconds),
            measured.and_then(|measured| measured.peak_bytes).map(count),
            measured.and_then(|measured| measured.noise_scale),
        ];
        let update = connection.prepare_cached(
            "UPDATE trials SET signature = ?2, measured = ?3, seconds = ?4, seconds_to_target = ?5, wall_seconds = ?6,
                 step_seconds = ?7, evaluation_seconds = ?8, peak_bytes = ?9, noise_scale = ?10
             WHERE key = ?1",
        );
        update.and_then(|mut update| update.execute(columns)).map_err(wrong)?;
        Ok(())
    }

    fn measured(&self, connection: &Connection, key: i64) -> Sql<Option<String>> {
        if self.result.is_none() {
            return Ok(None);
        }
        let first =
            "SELECT measured FROM attempts WHERE trial = ?1 AND measured IS NOT NULL ORDER BY position";
        connection.prepare_cached(first)?.query_row([key], |row| row.get(0)).optional()
    }
}

/// How a trial ended, and the words or number that go with it.
fn end(end: &EndOfTrial) -> (&'static str, Option<String>) {
    match end {
        EndOfTrial::Finished => ("finished", None),
        EndOfTrial::Target => ("target", None),
        EndOfTrial::Patience => ("patience", None),
        EndOfTrial::Diverged { why } => ("diverged", Some(why.clone())),
        EndOfTrial::Pruned { rung } => ("pruned", Some(rung.to_string())),
    }
}
