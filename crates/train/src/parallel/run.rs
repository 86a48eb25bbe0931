//! A whole run on the threads of this process.

use super::{CollectiveError, ParallelError, Threads, Worker};
use crate::{Run, StepReport, Task, TrainError};
use batchwise_data::Dataset;
use batchwise_schedule::{Examples, Steps};
use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a run on several workers has left.
pub struct Finished {
    /// The model of rank 0, which is that of every rank.
    pub task: Task,
    /// Examples processed.
    pub progress: Examples,
    /// Updates made.
    pub steps: Steps,
}

/// Trains with `world` workers that are threads of this process, to the end of the run or until `on_step` breaks.
///
/// `build` makes the model of a rank (it is called once on each rank's thread, with its number) and must give all ranks
/// the same first values; `on_step` sees every step, on the calling thread, which is rank 0.
///
/// The ranks share the machine's cores: the kernels of all of them are served by the one pool of rayon, so that on a
/// machine whose cores one worker already fills, more of them are no faster. What they give is the same bits as a world
/// of machines. Not to be called from within a thread of that pool, which it might wait for.
///
/// # Errors
/// What stopped the run, from the lowest rank that met it itself: as [`Worker::step`]; a panic of a rank. No rank is left
/// waiting for another one. But no thread can be ended from outside: a model or data set that never returns keeps this
/// call from returning.
pub fn run_threads(
    world: usize,
    build: impl Fn(usize) -> Result<Task, TrainError> + Sync,
    dataset: Arc<dyn Dataset>,
    run: Run,
    mut on_step: impl FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<Finished, ParallelError> {
    let mut ranks = Threads::world(world)?.into_iter().enumerate();
    let Some((_, first)) = ranks.next() else {
        let allowed = "at least 1".to_owned();
        return Err(CollectiveError::World { name: "the number of workers", found: world, allowed }.into());
    };
    let train = |number: usize, rank: Threads, on_step: &mut dyn FnMut(&StepReport) -> ControlFlow<()>| {
        let (dataset, run) = (Arc::clone(&dataset), run.clone());
        let work = || train_rank(number, rank, &build, dataset, run, on_step);
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Err(ParallelError::Panicked { rank: number, message: message(panic) }))
    };
    let outcomes = std::thread::scope(|scope| {
        let train = &train;
        let threads: Vec<_> = ranks
            .map(|(number, rank)| {
                let name = format!("batchwise-worker-{number}");
                let work = move || train(number, rank, &mut |_| ControlFlow::Continue(()));
                std::thread::Builder::new().name(name).spawn_scoped(scope, work)
            })
            .collect();
        // A rank without a thread is dropped, which ends the others.
        let first = train(0, first, &mut on_step);
        let others = threads.into_iter().enumerate().map(|(i, thread)| {
            let rank = i + 1;
            match thread {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|panic| Err(ParallelError::Panicked { rank, message: message(panic) })),
                Err(error) => {
                    let (name, found) = ("the thread of a worker", error.to_string());
                    Err(TrainError::Config { name, found, allowed: "one that the system can start" }.into())
                }
            }
        });
        std::iter::once(first).chain(others).collect::<Vec<_>>()
    });
    let (mut finished, mut echo) = (None, None);
    for outcome in outcomes {
        match outcome {
            Ok(of_rank) => {
                finished.get_or_insert(of_rank);
            }
            Err(error) if error.is_echo() => {
                echo.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match (finished, echo) {
        (_, Some(echo)) => Err(echo),
        (Some(finished), None) => Ok(finished),
        (None, None) => {
            let allowed = "at least 1".to_owned();
            Err(CollectiveError::World { name: "the number of workers", found: world, allowed }.into())
        }
    }
}

fn train_rank(
    number: usize,
    mut rank: Threads,
    build: &impl Fn(usize) -> Result<Task, TrainError>,
    dataset: Arc<dyn Dataset>,
    run: Run,
    on_step: &mut dyn FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<Finished, ParallelError> {
    let task = match build(number) {
        Ok(task) => task,
        Err(error) => {
            super::Collective::abort(&mut rank, &error.to_string());
            return Err(error.into());
        }
    };
    let mut worker = Worker::new(rank, task, dataset, run)?;
    while let Some(report) = worker.step()? {
        if worker.agree(on_step(&report).is_break())? {
            break;
        }
    }
    worker.check_replicas()?;
    let (progress, steps) = (worker.progress(), worker.steps());
    Ok(Finished { task: worker.into_task(), progress, steps })
}

/// What a panic said.
fn message(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
