//! One rank of a run.

mod share;

use super::record::Form;
use super::tree::tree_sum;
use super::{BUCKET_BYTES, Buckets, Collective, ParallelError, flat, replicas};
use crate::accumulate::Accumulated;
use crate::preconditioned::{Measuring, preconditioner};
use crate::state::{self, Numbers, State};
use crate::update::Update;
use crate::{Run, StepReport, Tap, Task, TrainError};
use batchwise_data::{Dataset, Loader, LoaderStats, Order};
use batchwise_nn::optim::Optimizer;
use batchwise_schedule::{Examples, Steps};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Steps between two checks that all ranks hold the same parameters, unless said otherwise.
pub const CHECK_EVERY: u64 = 100;

/// One rank of a run: a whole model, and its share of every batch.
///
/// Every rank is given the same run and the same data set, and a model of its own from the same seed; then all ranks
/// report the same steps, and hold the same parameters, to the bit. These are also those of a world of 1, which is the
/// reference. They are those of a [`Trainer`](crate::Trainer) where a batch has up to three micro-batches and no layer
/// shares its parameters with another; a `Trainer` adds more of them one after the other, which differs by rounding.
///
/// Beside its model a rank holds about ⌊log₂ c⌋ + 3 flat gradients, for c micro-batches of its own in a batch.
pub struct Worker<C: Collective> {
    collective: C,
    task: Task,
    run: Run,
    loader: Loader,
    optimizer: Box<dyn Optimizer>,
    buckets: Buckets,
    /// Flat gradients that are not in use.
    spare: Vec<Vec<f32>>,
    progress: Examples,
    steps: Steps,
    skipped: u64,
    check_every: u64,
    watch: bool,
}

impl<C: Collective> Worker<C> {
    /// A rank of a run that has not started. Waits for the other ranks.
    ///
    /// # Errors
    /// As [`Trainer::new`](crate::Trainer::new); parameters that are not f32, layers with running statistics; ranks that
    /// were given another run, data set or model, or other first values; what the collective says. An error that only
    /// this rank meets ends the others.
    pub fn new(
        mut collective: C,
        task: Task,
        dataset: Arc<dyn Dataset>,
        run: Run,
    ) -> Result<Self, ParallelError> {
        match Self::parts(&mut collective, &task, dataset, &run) {
            Ok((loader, optimizer, buckets)) => Ok(Self {
                collective,
                task,
                run,
                loader,
                optimizer,
                buckets,
                spare: Vec::new(),
                progress: Examples(0),
                steps: Steps(0),
                skipped: 0,
                check_every: CHECK_EVERY,
                watch: false,
            }),
            Err(error) => {
                end(&mut collective, &error);
                Err(error)
            }
        }
    }

    fn parts(
        collective: &mut C,
        task: &Task,
        dataset: Arc<dyn Dataset>,
        run: &Run,
    ) -> Result<(Loader, Box<dyn Optimizer>, Buckets), ParallelError> {
        flat::check(&task.parameters)?;
        run.check()?;
        task.check()?;
        let (name, len) = (dataset.schema().name.clone(), dataset.len());
        let loader =
            Loader::new(dataset, Order::new(run.seed, len).map_err(TrainError::from)?, task.device.clone())
                .map_err(TrainError::from)?;
        let optimizer = run.optimizer.build(&task.parameters)?;
        let buckets = Buckets::new(task.parameters.n_elements(), collective.world(), BUCKET_BYTES)?;
        replicas::same(collective, &format!("{run:?}"), "run")?;
        replicas::same(collective, &format!("{name} {len}"), "data set")?;
        replicas::same(collective, &replicas::layout(&task.parameters), "model")?;
        replicas::check(collective, &task.parameters, Steps(0))?;
        Ok((loader, optimizer, buckets))
    }

    /// From now on checks after every `steps` steps that all ranks hold the same parameters; never with 0. A check hashes
    /// all parameters. Must be the same on every rank.
    #[must_use]
    pub fn check_every(mut self, steps: u64) -> Self {
        self.check_every = steps;
        self
    }

    /// One update, or `None` at the end of the run; the same on every rank.
    ///
    /// # Errors
    /// As [`Trainer::step`](crate::Trainer::step), the loss of any rank's share being meant, and then on every rank; what
    /// another rank has met; parameters that have become different, every [`Worker::check_every`] steps. An error that
    /// only this rank meets ends the others.
    pub fn step(&mut self) -> Result<Option<StepReport>, ParallelError> {
        let outcome = self.try_step();
        if let Err(error) = &outcome {
            end(&mut self.collective, error);
        }
        outcome
    }

    fn try_step(&mut self) -> Result<Option<StepReport>, ParallelError> {
        let Some(batch) = self.run.batch_at(self.progress.0, self.loader.order()) else { return Ok(None) };
        let _span = tracing::trace_span!("step").entered();
        let expected = (batch.end - batch.start) as f64;
        let tap = self.run.tap_at(self.steps, batch.end - batch.start, self.run.micro_batch);
        let shares = self.shares(&batch);

        // All ranks have made the same steps, so that theirs is the same.
        let p = preconditioner(&self.run, tap, self.optimizer.as_ref())?;
        let measuring = Measuring::with(tap, p.as_ref());
        let (sum, own) = self.compute(&batch, &shares, measuring)?;
        let form = Form {
            n_norms: match tap {
                Tap::Off => 0,
                Tap::Norms | Tap::Auto => 1,
                Tap::Examples => self.run.micro_batch.min(batch.end - batch.start) as usize,
            },
            n_groups: self.task.parameters.named().len(),
            has_forms: p.is_some(),
        };
        let all = {
            let _span = tracing::trace_span!("exchange").entered();
            form.gather(&mut self.collective, &shares, &own)?
        };
        let weight = tree_sum(all.iter().map(|micro| micro.weight));
        let loss = tree_sum(all.iter().map(|micro| micro.loss)) / weight;
        let mut gradients = self.reduce(sum, &shares)?;
        if weight != expected {
            // Losses that weigh tokens, say: the true weight is known only now.
            gradients.scale(expected / weight)?;
        }
        let n_micro_batches = all.len();
        // A noise scale counts examples: what one example weighs on average is 1.
        let forms = all.iter().filter_map(|micro| micro.forms).collect();
        let norms = all.into_iter().flat_map(|micro| micro.norms);
        let norms = norms.map(|(of_micro, norms)| (of_micro * (expected / weight), norms)).collect();
        let accumulated = Accumulated::from_parts(loss, n_micro_batches, norms, forms);
        let update = Update {
            task: &self.task,
            run: &mut self.run,
            optimizer: self.optimizer.as_mut(),
            gradients: &mut gradients,
            skipped: &mut self.skipped,
            watch: std::mem::take(&mut self.watch),
            dataset_size: self.loader.order().len(),
        };
        let report = update.finish(self.steps, batch, measuring, &accumulated)?;
        self.progress = report.progress;
        self.steps.0 += 1;
        if self.check_every != 0 && self.steps.0.is_multiple_of(self.check_every) {
            self.check_replicas()?;
        }
        Ok(Some(report))
    }

    /// Whether any rank says yes: how all of them stop, or save, after the same step.
    ///
    /// # Errors
    /// What the collective says.
    pub fn agree(&mut self, yes: bool) -> Result<bool, ParallelError> {
        let mut all = vec![0; self.collective.world()];
        self.collective.all_gather_bytes(&[u8::from(yes)], &mut all)?;
        Ok(all.iter().any(|yes| *yes != 0))
    }

    /// Checks now that all ranks hold the same parameters, to the bit.
    ///
    /// # Errors
    /// [`ParallelError::ReplicasDiffer`], on every rank; what the collective says.
    pub fn check_replicas(&mut self) -> Result<(), ParallelError> {
        let outcome = replicas::check(&mut self.collective, &self.task.parameters, self.steps);
        if let Err(error) = &outcome {
            end(&mut self.collective, error);
        }
        outcome
    }

    /// Makes the next step measure the norm of its update, which costs a copy of the parameters. Of this rank alone: all
    /// ranks make the same update.
    pub fn watch_next_step(&mut self) {
        self.watch = true;
    }

    /// What the run remembers beside its tensors, the same on every rank.
    pub fn numbers(&self) -> Numbers {
        let (examples, steps) = (self.progress.0, self.steps.0);
        Numbers { examples, steps, skipped: self.skipped, plan: self.run.plan.state() }
    }

    /// The tensors of the run as they are now, which share its storage, as [`Trainer::tensors`](crate::Trainer::tensors)
    /// names them; the same on every rank.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        state::tensors(&self.task, self.optimizer.as_ref())
    }

    /// Goes on from a saved state, of a run with any number of workers. To be called on every rank.
    ///
    /// # Errors
    /// A state of another model, optimizer or plan; then nothing changes, but where a device fails, and the other ranks
    /// are let go.
    pub fn restore(&mut self, state: &State) -> Result<(), ParallelError> {
        match state::load(&self.task, self.optimizer.as_mut(), &self.run.plan, state) {
            Ok(plan) => {
                let Numbers { examples, steps, skipped, .. } = state.numbers;
                self.run.plan = plan;
                (self.progress, self.steps, self.skipped) = (Examples(examples), Steps(steps), skipped);
                Ok(())
            }
            Err(error) => {
                self.collective.abort(&error.to_string());
                Err(error.into())
            }
        }
    }

    /// Batches left out so far because their loss or gradient was not finite.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The settings, as they are now.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Examples of the training set.
    pub fn dataset_size(&self) -> u64 {
        self.loader.order().len()
    }

    /// Examples processed so far, by all ranks together.
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

    /// What is trained, and an end to this rank.
    pub fn into_task(self) -> Task {
        self.task
    }

    /// The optimizer with its state.
    pub fn optimizer(&self) -> &dyn Optimizer {
        self.optimizer.as_ref()
    }

    /// What this rank's loader has done so far.
    pub fn loader_stats(&self) -> LoaderStats {
        self.loader.stats()
    }

    /// How this rank talks to the others.
    pub fn collective(&mut self) -> &mut C {
        &mut self.collective
    }
}

/// Lets the other ranks go where only this one has met the error.
fn end(collective: &mut impl Collective, error: &ParallelError) {
    if !error.is_shared() {
        collective.abort(&error.to_string());
    }
}
