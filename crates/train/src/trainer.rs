//! One run, step by step.

use crate::accumulate::accumulate;
use crate::plan::Finished;
use crate::{NoiseReading, Plan, Tap, Task, TrainError};
use batchwise_data::{Dataset, Loader, LoaderStats, Order};
use batchwise_estimate::fieller::Ratio;
use batchwise_nn::Gradients;
use batchwise_nn::optim::{Optimizer, OptimizerConfig};
use batchwise_schedule::controller::Verdict;
use batchwise_schedule::{Examples, LearningRate, Schedule, Steps};
use std::ops::Range;
use std::sync::Arc;

/// The settings of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Examples of each optimizer step, at least 1, and its learning rate. The last batch of an epoch, and of the run, is
    /// shorter where it must be.
    pub plan: Plan,
    /// Examples of one forward and backward pass, at least 1; changes memory and speed only.
    pub micro_batch: u64,
    /// Where the run ends.
    pub total: Examples,
    /// The optimizer and its hyper-parameters.
    pub optimizer: OptimizerConfig,
    /// Of the order of the examples.
    pub seed: u64,
    /// Whether each step measures the gradient noise.
    pub tap: Tap,
}

impl Run {
    /// An endless run that learns nothing: its steps cost what steps of a training cost, while the loss does
    /// not fall to where gradients become denormal numbers. For measurements of time and memory.
    pub fn idle(batch: u64, micro_batch: u64, optimizer: OptimizerConfig, seed: u64) -> Self {
        let plan = Plan::constant(batch, Schedule::constant(LearningRate(0.0)));
        Self { plan, micro_batch, total: Examples(u64::MAX), optimizer, seed, tap: Tap::Off }
    }
}

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// This step, counted from 0.
    pub step: Steps,
    /// Examples processed after it.
    pub progress: Examples,
    /// Examples in its batch.
    pub batch: u64,
    /// Its batch size as planned.
    pub batch_size: u64,
    /// Micro-batches it took.
    pub n_micro_batches: usize,
    /// Mean loss over the batch, before the update.
    pub loss: f64,
    /// The learning rate of the update.
    pub learning_rate: LearningRate,
    /// The gradient noise, if tapped and there were at least two micro-batches.
    pub noise: Option<NoiseReading>,
    /// φ over the last readings, where the batch size follows it.
    pub phi: Option<Ratio>,
    /// What was decided of the batch size after this step, where it follows measurements and a reading was due.
    pub verdict: Option<Verdict>,
}

/// A run in progress.
pub struct Trainer {
    task: Task,
    run: Run,
    loader: Loader,
    optimizer: Box<dyn Optimizer>,
    gradients: Gradients,
    progress: Examples,
    steps: Steps,
}

impl Trainer {
    /// A run that has not started.
    ///
    /// # Errors
    /// A batch or micro-batch of 0, a learning rate that is not finite, data and device errors.
    pub fn new(task: Task, dataset: Arc<dyn Dataset>, run: Run) -> Result<Self, TrainError> {
        let size = |name, value: u64| match value {
            0 => Err(TrainError::Config { name, found: value.to_string(), allowed: "at least 1" }),
            _ => Ok(()),
        };
        size("the batch size", run.plan.base())?;
        size("the micro-batch size", run.micro_batch)?;
        let peak = run.plan.schedule().peak().0;
        if !(peak.is_finite() && 0.0 <= peak) {
            let found = peak.to_string();
            return Err(TrainError::Config {
                name: "the learning rate",
                found,
                allowed: "finite and not negative",
            });
        }
        let order = Order::new(run.seed, dataset.len())?;
        let loader = Loader::new(dataset, order, task.device.clone())?;
        let optimizer = run.optimizer.build(&task.parameters)?;
        let (progress, steps) = (Examples(0), Steps(0));
        Ok(Self { task, run, loader, optimizer, gradients: Gradients::new(), progress, steps })
    }

    /// One optimizer update, or `None` at the end of the run.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] when the loss is not finite (the update is not made); data and device
    /// errors.
    pub fn step(&mut self) -> Result<Option<StepReport>, TrainError> {
        let Some(batch) = self.batch_at(self.progress.0) else { return Ok(None) };
        let progress = Examples(batch.end);
        let next = self
            .batch_at(batch.end)
            .map(|next| next.start..next.end.min(next.start.saturating_add(self.run.micro_batch)));
        let tap = self.tap(batch.end - batch.start);
        let accumulated = accumulate(
            &self.task,
            &mut self.loader,
            batch.clone(),
            self.run.micro_batch,
            next,
            tap,
            &mut self.gradients,
        )?;
        let batch_size = self.run.plan.batch(self.progress);
        let learning_rate = self.run.plan.learning_rate(self.progress, progress);
        if !accumulated.loss.is_finite() {
            let (loss, step, progress) = (accumulated.loss, self.steps, self.progress);
            return Err(TrainError::NonFinite { loss, step, progress, learning_rate });
        }
        let noise = match tap {
            Tap::Off => None,
            Tap::Norms | Tap::Examples => accumulated.noise(&self.gradients)?,
        };
        {
            let _span = tracing::trace_span!("optimizer").entered();
            self.optimizer.step(&self.task.parameters, &self.gradients, learning_rate.0)?;
        }
        // Freed here, so that the next forward pass does not hold them beside its activations.
        self.gradients.clear();
        let verdict = self.run.plan.observe(&Finished {
            progress,
            loss: accumulated.loss,
            learning_rate,
            noise: noise.as_ref(),
            dataset_size: self.loader.order().len(),
        });
        let report = StepReport {
            step: self.steps,
            progress,
            batch: batch.end - batch.start,
            batch_size,
            n_micro_batches: accumulated.n_micro_batches,
            loss: accumulated.loss,
            learning_rate,
            noise,
            phi: self.run.plan.phi().cloned(),
            verdict,
        };
        self.progress = progress;
        self.steps.0 += 1;
        Ok(Some(report))
    }

    /// What the next step measures: what the run asks for, and what its plan needs to know.
    fn tap(&self, batch: u64) -> Tap {
        match self.run.tap {
            Tap::Off if self.run.plan.wants_noise() => {
                if batch <= self.run.micro_batch {
                    Tap::Examples
                } else {
                    Tap::Norms
                }
            }
            tap => tap,
        }
    }

    /// From now on batches and micro-batches have these sizes; learning rate and data order stay as they are.
    ///
    /// # Errors
    /// A size of 0.
    pub fn set_batch(&mut self, batch: u64, micro_batch: u64) -> Result<(), TrainError> {
        if batch == 0 || micro_batch == 0 {
            let found = format!("{batch} in micro-batches of {micro_batch}");
            return Err(TrainError::Config { name: "the batch size", found, allowed: "at least 1" });
        }
        self.run.plan = Plan::constant(batch, self.run.plan.schedule().clone());
        self.run.micro_batch = micro_batch;
        Ok(())
    }

    /// Examples processed so far.
    pub fn progress(&self) -> Examples {
        self.progress
    }

    /// Updates made so far.
    pub fn steps(&self) -> Steps {
        self.steps
    }

    /// What is trained, as it is now.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// The optimizer with its state.
    pub fn optimizer(&self) -> &dyn Optimizer {
        self.optimizer.as_ref()
    }

    /// What the loader has done so far.
    pub fn loader_stats(&self) -> LoaderStats {
        self.loader.stats()
    }

    /// How long steps have waited for data.
    pub fn data_wait(&self) -> std::time::Duration {
        self.loader.stats().wait
    }

    /// The positions of the batch that starts at `start`: cut at the end of an epoch and of the run.
    fn batch_at(&self, start: u64) -> Option<Range<u64>> {
        let left = self.run.total.0.saturating_sub(start);
        let size =
            self.run.plan.batch(Examples(start)).min(self.loader.order().remaining_in_epoch(start)).min(left);
        (0 < size).then(|| start..start + size)
    }
}
