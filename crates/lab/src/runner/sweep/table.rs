//! How a sweep stands, for who watches it.

use super::{Going, Sweep};
use crate::runner::event::{Row, Table};
use crate::runner::predict::makespan;

impl Sweep<'_> {
    pub(super) fn table(&self) -> Table {
        let mut rows: Vec<&Going> = self.going.values().collect();
        rows.sort_by_key(|going| going.started);
        let left_of = |going: &Going| {
            let seconds = going.started.elapsed().as_secs_f64();
            match self.pilots.cost(&going.spec) {
                Some(cost) => Some((cost.seconds - seconds).max(0.0)),
                None if 0 < going.examples && going.spec.examples < 1 << 50 => {
                    Some(seconds * (going.spec.examples as f64 / going.examples as f64 - 1.0).max(0.0))
                }
                None => None,
            }
        };
        let mut costs: Option<Vec<f64>> =
            Some(rows.iter().map(|going| left_of(going).unwrap_or(0.0)).collect());
        for waiting in &self.queue {
            match (self.pilots.cost(&waiting.spec), &mut costs) {
                (Some(cost), Some(costs)) => costs.push(cost.seconds),
                _ => costs = None,
            }
        }
        Table {
            running: rows
                .iter()
                .map(|going| Row {
                    trial: going.spec.label(),
                    examples: going.examples,
                    of: going.spec.examples,
                    value: going.value,
                    seconds: going.started.elapsed().as_secs_f64(),
                    seconds_left: left_of(going),
                })
                .collect(),
            done: self.n_done,
            failed: self.n_failed,
            waiting: self.queue.len(),
            may_grow: self.generated.may_grow,
            is_paused: self.is_paused,
            seconds_left: costs.map(|costs| makespan(costs, self.settings.jobs)),
        }
    }
}
