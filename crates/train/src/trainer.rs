//! One run, step by step.

use crate::accumulate::{Accumulated, accumulate, forget_requests};
use crate::kept::Kept;
use crate::preconditioned::{Measuring, preconditioner};
use crate::update::Update;
use crate::{MicroBatch, Plan, Run, StepReport, Task, TrainError};
use batchwise_data::{Dataset, Loader, LoaderStats, Order};
use batchwise_nn::Gradients;
use batchwise_nn::optim::Optimizer;
use batchwise_schedule::{Examples, Steps};
use std::ops::Range;
use std::sync::Arc;

/// A run in progress.
pub struct Trainer {
    task: Task,
    run: Run,
    /// Makes the micro-batch smaller where memory is short, if asked for.
    micro: Option<MicroBatch>,
    loader: Loader,
    optimizer: Box<dyn Optimizer>,
    gradients: Gradients,
    progress: Examples,
    steps: Steps,
    skipped: u64,
    watch: bool,
}

impl Trainer {
    /// A run that has not started.
    ///
    /// # Errors
    /// A batch or micro-batch of 0, a learning rate that is not finite, a training in bf16 on a GPU, data and device errors.
    pub fn new(task: Task, dataset: Arc<dyn Dataset>, run: Run) -> Result<Self, TrainError> {
        run.check()?;
        task.check()?;
        let order = Order::new(run.seed, dataset.len())?;
        let loader = Loader::new(dataset, order, task.device.clone())?;
        let optimizer = run.optimizer.build(&task.parameters)?;
        Ok(Self {
            task,
            run,
            micro: None,
            loader,
            optimizer,
            gradients: Gradients::new(),
            progress: Examples(0),
            steps: Steps(0),
            skipped: 0,
            watch: false,
        })
    }

    /// One optimizer update, or `None` at the end of the run.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] and [`TrainError::NonFiniteGradient`] where the run stops at them (the update is not
    /// made); data and device errors.
    pub fn step(&mut self) -> Result<Option<StepReport>, TrainError> {
        let Some(batch) = self.run.batch_at(self.progress.0, self.loader.order()) else { return Ok(None) };
        let _span = tracing::trace_span!("step").entered();
        let n_examples = batch.end - batch.start;
        let first = self.micro.as_ref().map_or(self.run.micro_batch, MicroBatch::first);
        let tap = self.run.tap_at(self.steps, n_examples, first);
        let p = preconditioner(&self.run, tap, self.optimizer.as_ref())?;
        let measuring = Measuring::with(tap, p.as_ref());
        let accumulated = self.accumulate_in_memory(batch.clone(), measuring)?;
        let micro_batch = self.run.micro_batch;
        let update = Update {
            task: &self.task,
            run: &mut self.run,
            optimizer: self.optimizer.as_mut(),
            gradients: &mut self.gradients,
            skipped: &mut self.skipped,
            watch: std::mem::take(&mut self.watch),
            dataset_size: self.loader.order().len(),
        };
        let report = update.finish(self.steps, batch, measuring, &accumulated)?;
        // Freed here, so that the next forward pass does not hold them beside its activations.
        self.gradients.clear();
        if let Some(micro) = &mut self.micro {
            micro.on_good_step(micro_batch.min(n_examples));
            self.run.micro_batch = micro.size();
        }
        self.progress = report.progress;
        self.steps.0 += 1;
        Ok(Some(report))
    }

    /// The gradient of a batch; where memory runs out and the micro-batch may follow it, again with a smaller one.
    ///
    /// An attempt leaves nothing behind: what it has added up is dropped, what it has requested is forgotten, and what
    /// layers keep but do not train is put back.
    fn accumulate_in_memory(
        &mut self,
        batch: Range<u64>,
        measuring: Measuring<'_>,
    ) -> Result<Accumulated, TrainError> {
        let next = self.run.batch_at(batch.end, self.loader.order());
        let kept = match self.micro {
            Some(_) => Kept::of(&self.task)?,
            None => Kept::default(),
        };
        loop {
            let size = self.run.micro_batch;
            let next = next.clone().map(|next| next.start..next.end.min(next.start.saturating_add(size)));
            let (task, loader, gradients) = (&self.task, &mut self.loader, &mut self.gradients);
            let error = match accumulate(task, loader, batch.clone(), size, next, measuring, gradients) {
                Ok(accumulated) => return Ok(accumulated),
                Err(error) => error,
            };
            let Some(micro) = self.micro.as_mut().filter(|_| error.is_out_of_memory()) else {
                return Err(error);
            };
            self.gradients.clear();
            forget_requests(&mut self.loader);
            kept.put_back()?;
            // A GPU frees in the order of its work.
            self.task.device.synchronize()?;
            self.run.micro_batch = micro.on_out_of_memory(size.min(batch.end - batch.start))?;
            tracing::warn!(%error, from = size, to = self.run.micro_batch, "out of memory: the batch is repeated");
        }
    }

    /// From now on a step that runs out of memory is repeated with a smaller micro-batch, which grows back later; batch,
    /// data and learning rate stay as they are. Without this call such a step is an error, as measurements of memory need it.
    ///
    /// The result is that of a run which has used these micro-batches from the start: equal to rounding to that of any other,
    /// if [`crate::check::accumulation`] passes. Only the forward and backward passes are repeated: memory that runs out
    /// within the update of the parameters ends the run, as a part of them may have been updated.
    pub fn follow_memory(&mut self, micro: MicroBatch) {
        self.run.micro_batch = micro.size();
        self.micro = Some(micro);
    }

    /// How the micro-batch follows memory, if it does.
    pub fn micro_batch(&self) -> Option<&MicroBatch> {
        self.micro.as_ref()
    }

    /// Makes the next step measure the norm of its update, which costs a copy of the parameters.
    pub fn watch_next_step(&mut self) {
        self.watch = true;
    }

    /// Batches left out so far because their loss or gradient was not finite.
    pub fn skipped(&self) -> u64 {
        self.skipped
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
        if let Some(micro) = &mut self.micro {
            *micro = MicroBatch::new(micro_batch, micro.patience())?;
        }
        self.run.plan = Plan::constant(batch, self.run.plan.schedule().clone());
        self.run.micro_batch = micro_batch;
        Ok(())
    }

    /// The settings, as they are now.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Batch size and learning rate over the run, as they are now.
    pub fn plan(&self) -> &Plan {
        &self.run.plan
    }

    /// What a saved state is put into.
    pub(crate) fn parts(&mut self) -> (&Task, &mut dyn Optimizer, &Plan) {
        (&self.task, self.optimizer.as_mut(), &self.run.plan)
    }

    /// The next step is the one after these. What the loader has prefetched for another is dropped when it arrives.
    pub(crate) fn resume_at(&mut self, plan: Plan, progress: Examples, steps: Steps, skipped: u64) {
        self.run.plan = plan;
        (self.progress, self.steps, self.skipped) = (progress, steps, skipped);
    }

    /// Examples of the training set.
    pub fn dataset_size(&self) -> u64 {
        self.loader.order().len()
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
}
