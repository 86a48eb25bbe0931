//! What makes the steps: one trainer, or a worker that shares every batch with others on threads.

use super::super::Context;
use super::{Request, trainer_settings};
use crate::LabError;
use batchwise_schedule::{Examples, Steps};
use batchwise_train::parallel::{Threads, Worker};
use batchwise_train::{MicroBatch, Numbers, PATIENCE, Plan, Run, State, StepReport, Task, Trainer};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long workers wait for each other: the first one evaluates and stores while the others wait.
const WAIT: Duration = Duration::from_secs(24 * 3600);

/// Makes the steps of a run.
pub(super) enum Runner {
    One(Box<Trainer>),
    /// The first of several workers.
    Many(Box<Worker<Threads>>),
}

macro_rules! either {
    ($runner:expr, $own:ident => $value:expr) => {
        match $runner {
            Runner::One($own) => $value,
            Runner::Many($own) => $value,
        }
    };
}

impl Runner {
    pub(super) fn step(&mut self) -> Result<Option<StepReport>, LabError> {
        match self {
            Self::One(trainer) => Ok(trainer.step()?),
            Self::Many(worker) => Ok(worker.step()?),
        }
    }

    /// Whether the run ends here, which the other workers have to know. To be asked once between two steps.
    pub(super) fn agree(&mut self, ends: bool) -> Result<bool, LabError> {
        match self {
            Self::One(_) => Ok(ends),
            Self::Many(worker) => Ok(worker.agree(ends)?),
        }
    }

    pub(super) fn restore(&mut self, state: &State) -> Result<(), LabError> {
        match self {
            Self::One(trainer) => Ok(trainer.restore(state)?),
            Self::Many(worker) => Ok(worker.restore(state)?),
        }
    }

    pub(super) fn watch_next_step(&mut self) {
        either!(self, run => run.watch_next_step());
    }

    pub(super) fn progress(&self) -> Examples {
        either!(self, run => run.progress())
    }

    pub(super) fn steps(&self) -> Steps {
        either!(self, run => run.steps())
    }

    pub(super) fn skipped(&self) -> u64 {
        either!(self, run => run.skipped())
    }

    pub(super) fn run(&self) -> &Run {
        either!(self, run => run.run())
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.run().plan
    }

    pub(super) fn task(&self) -> &Task {
        either!(self, run => run.task())
    }

    pub(super) fn dataset_size(&self) -> u64 {
        either!(self, run => run.dataset_size())
    }

    pub(super) fn data_wait(&self) -> Duration {
        either!(self, run => run.loader_stats().wait)
    }

    pub(super) fn numbers(&self) -> Numbers {
        either!(self, run => run.numbers())
    }

    pub(super) fn tensors(&self) -> BTreeMap<String, Tensor> {
        either!(self, run => run.tensors())
    }
}

/// The other workers of a run, each waiting for the state that the run begins with.
pub(super) struct Others {
    starts: Vec<Sender<Option<Arc<State>>>>,
}

impl Others {
    /// Lets them begin, where the first worker does.
    pub(super) fn begin(self, state: Option<State>) {
        let state = state.map(Arc::new);
        for start in self.starts {
            // One that is gone has said why, which ends the run at its first step.
            let _ = start.send(state.clone());
        }
    }
}

/// Makes a runner, does `work` with it, and waits for the other workers, if there are any.
///
/// # Errors
/// What `work` says, or the worker that ended it.
pub(super) fn with<T>(
    context: &Context<'_>,
    request: &Request,
    work: impl FnOnce(Runner, Others) -> Result<T, LabError>,
) -> Result<T, LabError> {
    let run = trainer_settings(context, request)?;
    let data = || Arc::clone(&context.data.train);
    let Some(world) = request.keep.as_ref().and_then(|keep| keep.workers) else {
        let mut trainer = Trainer::new(context.task(request.seed)?, data(), run)?;
        if !context.device.is_cpu() && request.keep.is_some() {
            // On a GPU a lack of memory is an error that can be met; elsewhere the system ends the process.
            trainer.follow_memory(MicroBatch::new(request.micro_batch, PATIENCE).map_err(train)?);
        }
        return work(Runner::One(Box::new(trainer)), Others { starts: Vec::new() });
    };
    let world = usize::try_from(world).unwrap_or(usize::MAX);
    let mut ranks = Threads::with_limit(world, WAIT).map_err(parallel)?.into_iter();
    let first = ranks.next().ok_or_else(|| LabError::protocol("a world without a worker".to_owned()))?;
    std::thread::scope(|scope| {
        let (mut starts, mut threads) = (Vec::new(), Vec::new());
        for rank in ranks {
            let (start, begin) = channel();
            starts.push(start);
            let run = run.clone();
            let name = format!("batchwise-worker-{}", threads.len() + 1);
            let follow = move || follow(context, request.seed, rank, run, &begin);
            let thread = std::thread::Builder::new().name(name).spawn_scoped(scope, follow);
            threads
                .push(thread.map_err(|error| LabError::Protocol(format!("a worker cannot start: {error}")))?);
        }
        let task = context.task(request.seed)?;
        let worker = Worker::new(first, task, data(), run).map_err(parallel);
        let result = worker.and_then(|worker| work(Runner::Many(Box::new(worker)), Others { starts }));
        // The worker is gone by now, and lets the others go.
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        match result {
            Err(LabError::Parallel(echo)) if echo.is_echo() => {
                for end in ends {
                    match end {
                        Ok(Err(LabError::Parallel(error))) if error.is_echo() => {}
                        Ok(end) => end?,
                        Err(_) => return Err(LabError::protocol("a worker panicked".to_owned())),
                    }
                }
                Err(LabError::Parallel(echo))
            }
            result => result,
        }
    })
}

/// A worker that is not the first: makes the same steps, until the first one says that the run ends.
fn follow(
    context: &Context<'_>,
    seed: u64,
    rank: Threads,
    run: Run,
    begin: &Receiver<Option<Arc<State>>>,
) -> Result<(), LabError> {
    let task = context.task(seed)?;
    let mut worker = Worker::new(rank, task, Arc::clone(&context.data.train), run)?;
    // The first one is gone where nothing comes.
    let Ok(state) = begin.recv() else { return Ok(()) };
    if let Some(state) = state {
        worker.restore(&state)?;
    }
    while worker.step()?.is_some() {
        if worker.agree(false)? {
            break;
        }
    }
    Ok(())
}

fn parallel(error: impl Into<batchwise_train::parallel::ParallelError>) -> LabError {
    error.into().into()
}

fn train(error: impl Into<batchwise_train::TrainError>) -> LabError {
    error.into().into()
}
