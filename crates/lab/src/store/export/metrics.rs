//! The lines of logs as a table.

use super::table::{Cell, Column, Kind};
use super::{Store, StoreError};
use crate::LabError;
use crate::store::Metric;
use crate::store::query::{METRICS, metric};

pub(super) fn columns() -> Vec<Column> {
    let columns = [
        ("trial", Kind::Text),
        ("log", Kind::Text),
        ("line", Kind::Integer),
        ("kind", Kind::Text),
        ("examples", Kind::Integer),
        ("steps", Kind::Integer),
        ("seconds", Kind::Number),
        ("train_loss", Kind::Number),
        ("loss", Kind::Number),
        ("metric", Kind::Number),
        ("micro_norm2", Kind::Number),
        ("batch_norm2", Kind::Number),
        ("micro_batch", Kind::Integer),
    ];
    columns.map(|(name, kind)| Column::new(name, kind)).to_vec()
}

fn cells(metric: Metric) -> Vec<Cell> {
    vec![
        Cell::Text(metric.trial),
        Cell::Text(metric.log),
        Cell::count(metric.line),
        Cell::Text(metric.kind.name().to_owned()),
        Cell::count(metric.examples),
        Cell::count(metric.steps),
        Cell::Number(metric.seconds),
        metric.train_loss.into(),
        metric.loss.into(),
        metric.metric.into(),
        metric.micro_norm2.into(),
        metric.batch_norm2.into(),
        metric.micro_batch.into(),
    ]
}

impl Store {
    /// Hands every line of the logs of a sweep's trials, or of all trials, to `take`; returns how many there were. They
    /// are never in memory at once.
    pub(super) fn each_metric(
        &self,
        sweep: Option<&str>,
        mut take: impl FnMut(Vec<Cell>) -> Result<(), LabError>,
    ) -> Result<u64, LabError> {
        let wrong = |source| StoreError::sqlite(&self.path, source);
        let ids: Vec<String> = match sweep {
            // A trial that a sweep names twice has one course.
            Some(name) => self.rows(
                "SELECT trial FROM sweeps JOIN sweep_trials ON sweep = key WHERE name = ?1
                 GROUP BY trial ORDER BY min(position)",
                [name],
                |row| row.get(0),
            )?,
            None => self.rows("SELECT id FROM trials ORDER BY id", [], |row| row.get(0))?,
        };
        let sql = format!("{METRICS} WHERE trial = ?1 ORDER BY attempt, line");
        let mut n = 0;
        for id in ids {
            let mut of_trial = self.connection.prepare_cached(&sql).map_err(wrong)?;
            let mut rows = of_trial.query([id]).map_err(wrong)?;
            while let Some(row) = rows.next().map_err(wrong)? {
                take(cells(metric(row).map_err(wrong)?))?;
                n += 1;
            }
        }
        Ok(n)
    }
}
