//! What a run remembers beside the trainer's own state, and the lines it writes.

use super::runner::Runner;
use super::{BatchChange, NoiseCost};
use batchwise_estimate::noise::Measurement;
use batchwise_schedule::controller::Reason;
use batchwise_train::StepReport;
use batchwise_train::best::Watch;
use batchwise_train::observe::{EvaluationRecord, PreconditionedSums, Record};
use batchwise_train::target::Mark;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What a run remembers beside the trainer's own state; a checkpoint holds it, so that a resumed run writes the lines of
/// one that was never interrupted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Diary {
    /// Seconds trained before this process began.
    before: f64,
    next_line: u64,
    stretch: Stretch,
    size: Option<u64>,
    why: Option<Reason>,
    pub(super) changes: Vec<BatchChange>,
    pub(super) watch: Watch,
    cost: Cost,
    /// Evaluations so far, where the run's result holds them.
    #[serde(default)]
    pub(super) evaluations: Vec<EvaluationRecord>,
    /// How many evaluations were made, and their seconds.
    #[serde(default)]
    pub(super) evaluating: (u64, f64),
}

/// Time and examples of the steps that measure the noise, and of those that do not.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Cost {
    measured: Timed,
    others: Timed,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Timed {
    n_steps: u64,
    examples: u64,
    seconds: f64,
}

/// Sums since the last line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Stretch {
    n_steps: u64,
    n_clipped: u64,
    loss: f64,
    examples: u64,
    seconds: f64,
    g2: f64,
    tr_sigma: f64,
    n_readings: u64,
    preconditioned: PreconditionedSums,
    /// Of each parameter, where they are asked for.
    groups: Vec<Measurement>,
}

/// Steps with and without a measurement that a comparison of their times takes, at least.
const LEAST_COMPARED: u64 = 10;

/// The clock of this process's training, which stands still during evaluations and checkpoints.
pub(super) struct Clock {
    start: Instant,
    paused: Duration,
    waited: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), paused: Duration::ZERO, waited: Duration::ZERO }
    }

    /// Seconds of training in this process.
    pub(super) fn seconds(&self) -> f64 {
        self.start.elapsed().saturating_sub(self.paused).as_secs_f64()
    }

    /// Seconds since this process began to train, pauses included.
    pub(super) fn wall(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// What began then was no training.
    pub(super) fn pause_since(&mut self, start: Instant) {
        self.paused += start.elapsed();
    }

    /// Does something that is no training.
    pub(super) fn pause<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.paused += start.elapsed();
        result
    }
}

impl Diary {
    /// Of a run that has not started; a line is due every `every` examples.
    pub(super) fn new(every: u64, watch: Watch) -> Self {
        Self {
            before: 0.0,
            next_line: every,
            stretch: Stretch::default(),
            size: None,
            why: None,
            changes: Vec::new(),
            watch,
            cost: Cost::default(),
            evaluations: Vec::new(),
            evaluating: (0, 0.0),
        }
    }

    /// Seconds trained since the start of the run.
    pub(super) fn seconds(&self, clock: &Clock) -> f64 {
        self.before + clock.seconds()
    }

    /// As it has to be stored now.
    pub(super) fn stored(&self, clock: &Clock) -> Self {
        Self { before: self.seconds(clock), ..self.clone() }
    }

    /// Whether a line is due after so many examples of `total`.
    pub(super) fn line_is_due(&self, examples: u64, total: u64) -> bool {
        self.next_line <= examples || total <= examples
    }

    /// Takes in what a step took.
    pub(super) fn time(&mut self, step: &StepReport, seconds: f64) {
        let timed = if step.noise.is_some() { &mut self.cost.measured } else { &mut self.cost.others };
        timed.n_steps += 1;
        timed.examples += step.batch;
        timed.seconds += seconds;
    }

    /// Seconds of one evaluation, where there was one.
    pub(super) fn evaluation_seconds(&self) -> Option<f64> {
        let (n, seconds) = self.evaluating;
        (0 < n).then(|| seconds / n as f64)
    }

    /// What the noise cost, where there are steps with and without it.
    pub(super) fn noise_cost(&self) -> Option<NoiseCost> {
        let Cost { measured, others } = self.cost;
        let each = |timed: Timed| timed.seconds / timed.examples.max(1) as f64;
        let can_tell = LEAST_COMPARED <= measured.n_steps.min(others.n_steps) && 0.0 < others.seconds;
        can_tell.then(|| {
            let more = each(measured) / each(others) - 1.0;
            NoiseCost {
                per_measurement: more,
                of_training: more * each(others) * measured.examples as f64
                    / (measured.seconds + others.seconds),
                n_measured: measured.n_steps,
                n_others: others.n_steps,
            }
        })
    }

    /// Takes a step in, and the noise of each parameter with it where `layers` asks for that.
    pub(super) fn take(&mut self, step: &StepReport, layers: bool) {
        if let Some(before) = self.size.replace(step.batch_size).filter(|before| *before != step.batch_size) {
            let examples = step.progress.0 - step.batch;
            let (after, phi, reason) = (step.batch_size, step.phi.clone(), self.why.take());
            self.changes.push(BatchChange { examples, before, after, phi, reason });
        }
        self.why = step.verdict.map(|verdict| verdict.reason).or(self.why);
        let stretch = &mut self.stretch;
        stretch.n_steps += 1;
        stretch.n_clipped += u64::from(step.clipped);
        if step.skipped.is_none() {
            stretch.loss += step.loss * step.batch as f64;
            stretch.examples += step.batch;
        }
        if let Some(reading) = &step.noise {
            stretch.g2 += reading.total.g2;
            stretch.tr_sigma += reading.total.tr_sigma;
            stretch.n_readings += 1;
            if let Some(noise) = &reading.preconditioned {
                let (inverse, identity) = (noise.inverse_curvature.parts(), noise.identity_curvature.parts());
                let sums = &mut stretch.preconditioned;
                sums.inverse_curvature_g2 += inverse.g2;
                sums.inverse_curvature_tr_sigma += inverse.tr_sigma;
                sums.identity_curvature_g2 += identity.g2;
                sums.identity_curvature_tr_sigma += identity.tr_sigma;
                sums.n_readings += 1;
            }
            if layers {
                stretch.groups.resize(reading.groups.len(), Measurement { g2: 0.0, tr_sigma: 0.0 });
                for (sum, group) in stretch.groups.iter_mut().zip(&reading.groups) {
                    sum.g2 += group.g2;
                    sum.tr_sigma += group.tr_sigma;
                }
            }
        }
    }

    /// The line since the last one, which begins the next.
    pub(super) fn line(
        &mut self,
        step: &StepReport,
        trainer: &Runner,
        every: u64,
        clips: bool,
        clock: &mut Clock,
    ) -> Record {
        let seconds = self.seconds(clock);
        let stretch = std::mem::take(&mut self.stretch);
        self.stretch.seconds = seconds;
        self.next_line = step.progress.0.saturating_add(every);
        let waited = trainer.data_wait();
        let wait = waited.saturating_sub(clock.waited);
        clock.waited = waited;
        let named = trainer.task().parameters.named().into_iter().map(|(name, _)| name);
        let groups = stretch.groups.iter().zip(named).map(|(sum, name)| (name, sum.g2, sum.tr_sigma));
        let groups = Some(groups.collect::<Vec<_>>()).filter(|groups| !groups.is_empty());
        let noise = |sum: f64| (0 < stretch.n_readings).then_some(sum);
        Record {
            examples: step.progress.0,
            steps: step.step.0 + 1,
            epoch: step.progress.0 as f64 / trainer.dataset_size().max(1) as f64,
            seconds,
            batch: step.batch,
            batch_size: step.batch_size,
            n_micro_batches: step.n_micro_batches as u64,
            loss: stretch.loss / stretch.examples as f64,
            learning_rate: step.learning_rate.0,
            gradient_norm: Some(step.gradient_norm),
            update_norm: step.update_norm,
            clipped: clips.then(|| stretch.n_clipped as f64 / stretch.n_steps.max(1) as f64),
            skipped: trainer.skipped(),
            g2: noise(stretch.g2),
            tr_sigma: noise(stretch.tr_sigma),
            n_readings: stretch.n_readings,
            phi: step.phi.clone(),
            examples_per_second: stretch.examples as f64 / (seconds - stretch.seconds).max(1e-9),
            data_wait_seconds: wait.as_secs_f64(),
            preconditioned: Some(stretch.preconditioned).filter(|sums| 0 < sums.n_readings),
            groups,
        }
    }

    /// Where the run is, on all its clocks.
    pub(super) fn mark(&self, trainer: &Runner, clock: &Clock) -> Mark {
        Mark {
            examples: trainer.progress(),
            steps: trainer.steps(),
            epochs: trainer.progress().0 as f64 / trainer.dataset_size().max(1) as f64,
            seconds: self.seconds(clock),
        }
    }
}
