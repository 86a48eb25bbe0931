//! What one trial says: its fate and its score.

use super::types::{Fate, SeedRun};
use crate::trial::{EndOfTrial, Evaluation, Judge, Reached, State, Target, TrialRecord, TrialResult};

/// A trial with what became of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) record: &'a TrialRecord,
    pub(super) fate: Fate,
}

impl<'a> Trial<'a> {
    pub(super) fn of(record: &'a TrialRecord) -> Self {
        let fate = match (record.state, &record.result) {
            (State::Done, Some(result)) => fate(result, record.spec.target.as_ref()),
            (State::Failed, _) => Fate::Failed,
            (State::Cancelled, _) => Fate::Cancelled,
            // A result without its mark, or a mark without its result, is not done.
            (State::Waiting | State::Done, _) => Fate::Waiting,
        };
        Self { record, fate }
    }

    pub(super) fn batch(&self) -> u64 {
        self.record.spec.batch
    }

    pub(super) fn rate(&self) -> f64 {
        self.record.spec.learning_rate
    }

    pub(super) fn judge(&self) -> Judge {
        self.record.spec.target.map_or(self.record.spec.judge, |target| target.judge)
    }

    /// The result, where the trial is done.
    pub(super) fn result(&self) -> Option<&'a TrialResult> {
        self.record.result.as_ref().filter(|_| self.record.state == State::Done)
    }

    /// Whether it says something about its learning rate: it trained, to whatever end.
    pub(super) fn has_trained(&self) -> bool {
        !matches!(self.fate, Fate::Failed | Fate::Cancelled | Fate::Waiting)
    }

    /// Where it reached its target, if it did.
    pub(super) fn reached(&self) -> Option<Reached> {
        self.result().and_then(|result| result.reached).filter(|_| self.fate == Fate::Reached)
    }

    /// The judged value at the end: the result's own, else that of the last evaluation.
    pub(super) fn value(&self) -> Option<f64> {
        let (result, field) = (self.result()?, self.judge().field);
        if self.fate == Fate::Diverged {
            return None;
        }
        let last = || result.evaluations.iter().rev().find_map(|e| finite(e.get(field)));
        finite(result.get(field)).or_else(last)
    }

    /// The judged value where a clock stands at `at`, on a straight line between the evaluations beside it.
    pub(super) fn value_at(&self, at: f64, clock: fn(&Evaluation) -> u64) -> Option<f64> {
        let points = self.points(clock);
        let after = points.iter().position(|p| at <= p.0)?;
        let (x, y) = points[after];
        if x == at {
            return Some(y);
        }
        let (x0, y0) = *points.get(after.checked_sub(1)?)?;
        finite(Some(y0 + (y - y0) * (at - x0) / (x - x0)))
    }

    /// Where a clock stands at the last evaluation.
    pub(super) fn evaluated_up_to(&self, clock: fn(&Evaluation) -> u64) -> Option<u64> {
        self.points(clock).last().map(|p| p.0 as u64)
    }

    /// (clock, judged value) of the evaluations, ascending, without repeats.
    fn points(&self, clock: fn(&Evaluation) -> u64) -> Vec<(f64, f64)> {
        let field = self.judge().field;
        let mut points: Vec<(f64, f64)> = self
            .result()
            .into_iter()
            .flat_map(|result| &result.evaluations)
            .filter_map(|e| Some((clock(e) as f64, finite(e.get(field))?)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by(|a, b| a.0 == b.0);
        points
    }

    /// Seconds of training to the target, or all of them.
    fn seconds(&self) -> Option<f64> {
        let measured = self.record.measured.as_ref()?;
        let whole = finite(Some(measured.seconds)).filter(|s| *s > 0.0);
        let Some(reached) = self.reached() else { return whole };
        let share = reached.steps.value / self.result()?.steps.max(1) as f64;
        let by_share = || whole.map(|whole| whole * share.clamp(0.0, 1.0));
        finite(measured.seconds_to_target).or_else(by_share).filter(|s| *s > 0.0)
    }

    /// Mean seconds of its steps.
    pub(super) fn step_seconds(&self) -> Option<f64> {
        let (measured, steps) = (self.record.measured.as_ref()?, self.result()?.steps);
        let mean = || (0 < steps).then(|| measured.seconds / steps as f64);
        // What lies beyond is a clock that is wrong.
        finite(measured.step_seconds).or_else(mean).filter(|s| (1e-12..1e9).contains(s))
    }

    /// What it counts with at the learning rate that counts.
    pub(super) fn seed_run(&self) -> Option<SeedRun> {
        let result = self.result()?;
        let (examples, steps) = match self.reached() {
            Some(reached) => (reached.examples.value, reached.steps.value),
            None => (result.examples as f64, result.steps as f64),
        };
        Some(SeedRun {
            trial: self.record.id.clone(),
            seed: self.record.spec.seed,
            fate: self.fate,
            examples,
            steps,
            period: self.reached().map_or(0.0, |reached| (reached.steps.high - reached.steps.low).max(0.0)),
            seconds: self.seconds(),
            value: self.value(),
        })
    }
}

fn fate(result: &TrialResult, target: Option<&Target>) -> Fate {
    match (&result.end, target, &result.reached) {
        (_, Some(_), Some(reached)) if is_sound(reached) => Fate::Reached,
        (EndOfTrial::Diverged { .. }, ..) => Fate::Diverged,
        (EndOfTrial::Pruned { .. }, ..) => Fate::Pruned,
        (_, Some(_), _) => Fate::NotReached,
        (_, None, _) => Fate::Finished,
    }
}

/// Whether the spans hold numbers that a run can have.
fn is_sound(reached: &Reached) -> bool {
    [reached.examples, reached.steps].iter().all(|span| {
        let all = [span.low, span.value, span.high];
        all.iter().all(|v| v.is_finite() && (0.0..1e18).contains(v)) && 0.0 < span.value && 0.0 < span.high
    })
}

/// The number, if it is one.
pub(super) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|v| v.is_finite())
}
