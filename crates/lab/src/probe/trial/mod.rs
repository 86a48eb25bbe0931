//! One training run from start to end, with its evaluations, its files and its checkpoints.

mod diary;
mod journal;
mod judge;
mod live;
mod memory;
mod outcome;
mod request;
mod runner;
mod timing;

pub use outcome::{BatchChange, Generalisation, NoiseCost, Outcome, Stopped};
pub use request::{CourseRequest, Keep, Noise, Request, run_length};
pub use timing::{Timing, Trace};

use super::learning_rate::schedule;
use super::{Context, Emit, progress};
use crate::LabError;
use crate::output::write_whole;
use batchwise_data::Unit;
use batchwise_nn::fingerprint;
use batchwise_schedule::Examples;
use batchwise_train::average::Average;
use batchwise_train::{Clip, OnNonFinite, Plan, Run, Tap, evaluate};
use live::{Ending, Live};
use memory::Memory;
use runner::{Others, Runner};

/// Trains and evaluates. Divergence is an outcome, not an error.
///
/// # Errors
/// A workload that cannot be built, sizes of 0, data and device errors; files that cannot be written; a checkpoint of
/// another run.
pub fn run(context: &Context<'_>, request: &Request, emit: Emit<'_>) -> Result<Outcome, LabError> {
    let work = |runner, others| run_with(context, request, runner, others, emit);
    let (mut outcome, timing) =
        timing::timed(request.keep.as_ref(), || runner::with(context, request, work))?;
    outcome.timing = timing;
    Ok(outcome)
}

fn run_with(
    context: &Context<'_>,
    request: &Request,
    mut runner: Runner,
    others: Others,
    emit: Emit<'_>,
) -> Result<Outcome, LabError> {
    let (mut live, begin) = Live::begin(context, request, &mut runner)?;
    // The average of the weights is not training: it lies beside the limit, and is added to the peak.
    let mut memory = Memory::begin(context, request)?;
    others.begin(begin.state);
    let ending = live.train(&mut runner, &mut memory, emit)?;
    context.device.synchronize()?;
    let seconds = live.seconds();
    let beside = live.average_bytes();
    let peak_bytes = memory.end()?.map(|peak| peak + beside);
    live.sync()?;
    let is_paused = matches!(ending, Ending::Stopped(Stopped::Asked | Stopped::Pruned));
    let is_kept = !request.keep.as_ref().is_some_and(|keep| keep.result_only);
    if !is_paused {
        live.write_weights(&runner)?;
    }
    if is_kept && matches!(ending, Ending::Finished | Ending::Ended(_)) {
        // A longer run may go on from here. The weights come first: they are what the run was for.
        live.checkpoint(&runner, &mut memory, false)?;
    }
    let named = runner.task().parameters.named();
    let weights_sha256 =
        fingerprint::sha256(named.iter().map(|(name, var)| (name.as_str(), var.as_tensor())))?;
    let mut outcome = Outcome {
        examples: runner.progress().0,
        steps: runner.steps().0,
        seconds,
        train_loss: None,
        test_loss: None,
        test_loss_error: None,
        test_accuracy: None,
        test_accuracy_error: None,
        peak_bytes,
        weights_sha256,
        diverged: None,
        changes: live.diary.changes.clone(),
        stopped: None,
        ended: None,
        best: live.diary.watch.best().get().copied(),
        average: None,
        noise_cost: live.diary.noise_cost(),
        timing: None,
        generalisation: None,
        target: live.diary.watch.outcome(),
        skipped: runner.skipped(),
        evaluations: live.diary.evaluations.clone(),
        evaluation_seconds: live.diary.evaluation_seconds(),
        resumed_at: begin.resumed_at,
        damaged: begin.damaged,
    };
    match ending {
        Ending::Diverged(how) => outcome.diverged = Some(how),
        Ending::Stopped(why) => outcome.stopped = Some(why),
        Ending::Ended(why) => outcome.ended = Some(why),
        Ending::Finished => {}
    }
    if outcome.diverged.is_none() && !is_paused {
        progress(emit, request.examples, request.examples, "evaluating");
        judge(context, request, &runner, live.average.as_mut(), emit, &mut outcome)?;
    }
    Ok(outcome)
}

/// What the trained model, and the average of its weights, is worth.
fn judge(
    context: &Context<'_>,
    request: &Request,
    runner: &Runner,
    average: Option<&mut Average>,
    emit: Emit<'_>,
    outcome: &mut Outcome,
) -> Result<(), LabError> {
    let batch = evaluation_batch(context, request);
    let Some((on_train, on_test)) = judge::judge(context, runner, batch, outcome)? else { return Ok(()) };
    if let Some(average) = average {
        let (task, test) = (runner.task(), &context.data.test);
        outcome.average = Some(average.evaluate(&task.parameters, || evaluate(task, test, batch))?);
    }
    if let Some(n) = request.keep.as_ref().and_then(|keep| keep.generalisation) {
        progress(emit, request.examples, request.examples, "sharpness and curvature");
        let seen = (&on_train, &on_test);
        outcome.generalisation = Some(judge::generalisation(context, runner, seen, n, batch)?);
    }
    Ok(())
}

/// The settings of a run.
fn trainer_settings(context: &Context<'_>, request: &Request) -> Result<Run, LabError> {
    let total = Examples(request.examples);
    let plan = match &request.course {
        Some(course) => course.plan(context, total, request.learning_rate)?,
        None => Plan::constant(request.batch, schedule(request.learning_rate, total)),
    };
    let keep = request.keep.as_ref();
    Ok(Run {
        tap: match request.noise {
            None => Tap::Off,
            Some(Noise { examples: true, .. }) => Tap::Examples,
            Some(_) => Tap::Auto,
        },
        tap_every: request.noise.map_or(1, |noise| noise.every),
        tap_preconditioned: request.noise.is_some_and(|noise| noise.preconditioned),
        clip: keep.and_then(|keep| keep.clip_norm).map(Clip::Norm),
        on_non_finite: match keep.map_or(0, |keep| keep.skip) {
            0 => OnNonFinite::Stop,
            at_most => OnNonFinite::Skip { at_most },
        },
        ..Run::new(plan, request.micro_batch, total, context.workload.optimizer(), request.seed)
    })
}

/// What an evaluation takes at a time: what is fast, or where memory is limited what training takes.
fn evaluation_batch(context: &Context<'_>, request: &Request) -> u64 {
    let usual = match context.data.train.schema().unit {
        // Of sequences a few fill the caches.
        Unit::Token => 16,
        _ => 256,
    };
    request.limit_bytes.map_or(usual, |_| request.micro_batch.clamp(1, usual))
}

/// Where in a folder the weights of the best evaluation are, beside those of the last step.
pub const BEST_WEIGHTS: &str = "best.safetensors";
/// Where in a folder the average of the weights is.
pub const AVERAGE_WEIGHTS: &str = "average.safetensors";

/// Makes the folder that a file is to lie in.
fn make_folder_of(path: &std::path::Path) -> Result<(), LabError> {
    match path.parent() {
        None => Ok(()),
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|source| LabError::io("create", folder, source))
        }
    }
}

/// Writes the weights as they are.
fn write_weights(path: &std::path::Path, runner: &Runner) -> Result<(), LabError> {
    write_whole(path, &runner.task().parameters.to_safetensors()?)
}
