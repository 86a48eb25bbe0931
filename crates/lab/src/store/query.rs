//! Questions to the store.

use super::read::{ATTEMPT, RawAttempt, RawTrial, TRIAL, number};
use super::{Store, StoreError};
use crate::LabError;
use crate::sweep::SweepFile;
use crate::trial::{Attempt, Evaluation, Field, Judge, State, TrialRecord};
use rusqlite::{OptionalExtension, Params, Result as Sql, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Which trials are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter<'a> {
    /// Only those of this sweep, in its order; else all, by batch size, learning rate and seed.
    pub sweep: Option<&'a str>,
    /// Only those that stand here.
    pub state: Option<State>,
}

/// What kind of line a row of metrics is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A stretch of training.
    Step,
    /// An evaluation.
    Evaluation,
}

impl Kind {
    /// As in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Evaluation => "evaluation",
        }
    }
}

/// A line of a log that holds numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// The trial.
    pub trial: String,
    /// The log of the attempt.
    pub log: String,
    /// The line of the log, from 1.
    pub line: u64,
    /// What kind of line.
    pub kind: Kind,
    /// Examples processed.
    pub examples: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds trained.
    pub seconds: f64,
    /// Mean loss on the training set, or of the steps since the line before.
    pub train_loss: Option<f64>,
    /// Mean loss on the test set.
    pub loss: Option<f64>,
    /// Accuracy, or the trainer's metric.
    pub metric: Option<f64>,
    /// Mean squared norm of the gradients of micro-batches.
    pub micro_norm2: Option<f64>,
    /// Squared norm of the gradient of the batch.
    pub batch_norm2: Option<f64>,
    /// Examples of a micro-batch.
    pub micro_batch: Option<u64>,
}

/// The best evaluation of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestEvaluation {
    /// The trial.
    pub trial: String,
    /// The earliest evaluation at which the judged number was best.
    pub evaluation: Evaluation,
}

impl Store {
    /// Trials with all that is known of them, as [`crate::trial::TrialFolder::record`] reads them.
    ///
    /// # Errors
    /// A sweep that is not in the store; what SQLite says.
    pub fn records(&self, filter: &Filter<'_>) -> Result<Vec<TrialRecord>, LabError> {
        if let Some(name) = filter.sweep {
            self.need_sweep(name)?;
        }
        let state = filter.state.map(State::name);
        let (from, order) = match filter.sweep {
            Some(_) => (
                "sweeps JOIN sweep_trials ON sweep_trials.sweep = sweeps.key
                     JOIN trials ON trials.id = sweep_trials.trial WHERE sweeps.name = ?1",
                "sweep_trials.position",
            ),
            None => ("trials WHERE ?1 IS NULL", "trials.batch, trials.learning_rate, trials.seed, trials.id"),
        };
        let sql =
            format!("SELECT {TRIAL} FROM {from} AND (?2 IS NULL OR trials.state = ?2) ORDER BY {order}");
        let trials = self.rows(&sql, params![filter.sweep, state], RawTrial::of)?;
        let all = format!("SELECT {ATTEMPT} FROM attempts ORDER BY trial, position");
        let mut attempts: HashMap<i64, Vec<Attempt>> = HashMap::new();
        for raw in self.rows(&all, [], RawAttempt::of)? {
            attempts.entry(raw.trial).or_default().push(raw.attempt(&self.path)?);
        }
        let record = |raw: RawTrial| {
            let attempts = attempts.get(&raw.key).cloned().unwrap_or_default();
            raw.record(&self.path, attempts)
        };
        trials.into_iter().map(record).collect()
    }

    /// One trial with all that is known of it, if it is in the store.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn record(&self, id: &str) -> Result<Option<TrialRecord>, LabError> {
        let sql = format!("SELECT {TRIAL} FROM trials WHERE id = ?1");
        let Some(raw) = self.rows(&sql, [id], RawTrial::of)?.pop() else { return Ok(None) };
        let sql = format!("SELECT {ATTEMPT} FROM attempts WHERE trial = ?1 ORDER BY position");
        let attempts = self.rows(&sql, [raw.key], RawAttempt::of)?;
        let attempts = attempts.into_iter().map(|raw| raw.attempt(&self.path)).collect::<Result<_, _>>()?;
        raw.record(&self.path, attempts).map(Some)
    }

    /// The trial whose name begins with `prefix`.
    ///
    /// # Errors
    /// A prefix of no trial's name or of several; what SQLite says.
    pub fn resolve(&self, prefix: &str) -> Result<String, LabError> {
        let sql = "SELECT id FROM trials WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id";
        let mut found: Vec<String> = self.rows(sql, [prefix], |row| row.get(0))?;
        if let Some(exact) = found.iter().position(|id| id == prefix) {
            return Ok(found.swap_remove(exact));
        }
        match found.as_slice() {
            [one] if !prefix.is_empty() => Ok(one.clone()),
            [] => Err(LabError::Input(format!("no trial has a name that begins with `{prefix}`"))),
            several => {
                let (n, some) = (several.len(), several.iter().take(5).cloned().collect::<Vec<_>>());
                let dots = if some.len() < n { ", …" } else { "" };
                let names = some.join(", ");
                Err(LabError::Input(format!("names of {n} trials begin with `{prefix}`: {names}{dots}")))
            }
        }
    }

    /// All lines of a trial's logs that hold numbers: attempt by attempt, each in its order.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn metrics(&self, id: &str) -> Result<Vec<Metric>, LabError> {
        let sql = format!("{METRICS} WHERE trial = ?1 ORDER BY attempt, line");
        Ok(self.rows(&sql, [id], metric)?)
    }

    /// The course of a trial: one line for each number of examples, of the latest attempt that came by it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn curve(&self, id: &str, kind: Kind) -> Result<Vec<Metric>, LabError> {
        let sql = format!("{METRICS} WHERE trial = ?1 AND kind = ?2 ORDER BY examples, attempt, line");
        let mut lines: Vec<Metric> = self.rows(&sql, params![id, kind.name()], metric)?;
        // The last of equals stays.
        lines.reverse();
        lines.dedup_by_key(|line| line.examples);
        lines.reverse();
        Ok(lines)
    }

    /// The best evaluation of every trial that has one, by trial.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn best_evaluations(&self, judge: Judge) -> Result<Vec<BestEvaluation>, LabError> {
        let field = match judge.field {
            Field::Loss => "loss",
            Field::TrainLoss => "train_loss",
            Field::Metric => "metric",
        };
        let best = if judge.more_is_better { "max" } else { "min" };
        // With min() the other columns are those of its row.
        let sql = format!(
            "WITH best AS (
                 SELECT trial, {best}({field}) AS value FROM metrics INDEXED BY evaluations
                 WHERE kind = 'evaluation' AND {field} IS NOT NULL GROUP BY trial)
             SELECT trials.id, min(m.examples), m.steps, m.train_loss, m.loss, m.metric
             FROM best JOIN metrics AS m INDEXED BY evaluations
                 ON m.trial = best.trial AND m.kind = 'evaluation' AND m.{field} = best.value
             JOIN trials ON trials.key = m.trial
             GROUP BY m.trial ORDER BY trials.id"
        );
        let read = |row: &Row<'_>| {
            let evaluation = Evaluation {
                examples: number(row.get(1)?),
                steps: number(row.get(2)?),
                train_loss: row.get(3)?,
                loss: row.get(4)?,
                metric: row.get(5)?,
            };
            Ok(BestEvaluation { trial: row.get(0)?, evaluation })
        };
        Ok(self.rows(&sql, [], read)?)
    }

    /// How many lines of each kind there are: steps, evaluations.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn n_metrics(&self) -> Result<(u64, u64), LabError> {
        let n = |kind: Kind| {
            let sql = "SELECT count(*) FROM metrics WHERE kind = ?1";
            self.connection.query_row(sql, [kind.name()], |row| row.get(0).map(number))
        };
        let both = n(Kind::Step).and_then(|steps| Ok((steps, n(Kind::Evaluation)?)));
        Ok(both.map_err(|source| self.wrong(source))?)
    }

    /// Names of the sweeps, sorted.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sweep_names(&self) -> Result<Vec<String>, LabError> {
        Ok(self.rows("SELECT name FROM sweeps ORDER BY name", [], |row| row.get(0))?)
    }

    /// A sweep as its file said, if it is in the store.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sweep(&self, name: &str) -> Result<Option<SweepFile>, LabError> {
        let sql = "SELECT file FROM sweeps WHERE name = ?1";
        let text = self.connection.query_row(sql, [name], |row| row.get::<_, String>(0)).optional();
        let text = text.map_err(|source| self.wrong(source))?;
        super::read::optional_json(&self.path, text.as_deref())
    }

    /// Names of the sweeps that a trial is of, sorted.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sweeps_of(&self, id: &str) -> Result<Vec<String>, LabError> {
        let sql = "SELECT DISTINCT name FROM sweeps JOIN sweep_trials ON sweep_trials.sweep = sweeps.key
                   WHERE trial = ?1 ORDER BY name";
        Ok(self.rows(sql, [id], |row| row.get(0))?)
    }

    /// Refuses the name of a sweep that is not in the store.
    pub(super) fn need_sweep(&self, name: &str) -> Result<(), LabError> {
        let names = self.sweep_names()?;
        if names.iter().any(|there| there == name) {
            return Ok(());
        }
        let there = match names.as_slice() {
            [] => "there is none".to_owned(),
            names => format!("there are {}", names.join(", ")),
        };
        Err(LabError::Input(format!("no sweep `{name}`: {there}")))
    }

    /// All rows of an answer.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        parameters: impl Params,
        read: impl Fn(&Row<'_>) -> Sql<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows =
            || -> Sql<Vec<T>> { self.connection.prepare_cached(sql)?.query_map(parameters, read)?.collect() };
        rows().map_err(|source| self.wrong(source))
    }
}

/// The lines by name, with the columns that [`metric`] takes.
pub(super) const METRICS: &str = "SELECT trial, log, line, kind, examples, steps, seconds, train_loss, loss, metric, \
    micro_norm2, batch_norm2, micro_batch FROM lines";

/// A row of [`METRICS`].
pub(super) fn metric(row: &Row<'_>) -> Sql<Metric> {
    let is_step = row.get_ref(3)?.as_str()? == Kind::Step.name();
    Ok(Metric {
        trial: row.get(0)?,
        log: row.get(1)?,
        line: number(row.get(2)?),
        kind: if is_step { Kind::Step } else { Kind::Evaluation },
        examples: number(row.get(4)?),
        steps: number(row.get(5)?),
        seconds: row.get(6)?,
        train_loss: row.get(7)?,
        loss: row.get(8)?,
        metric: row.get(9)?,
        micro_norm2: row.get(10)?,
        batch_norm2: row.get(11)?,
        micro_batch: row.get::<_, Option<i64>>(12)?.map(number),
    })
}
