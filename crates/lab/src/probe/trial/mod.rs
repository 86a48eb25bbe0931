//! One training run from start to end, with its evaluations, its files and its checkpoints.

mod diary;
mod journal;
mod outcome;
mod request;

pub use outcome::{BatchChange, Outcome, Stopped};
pub use request::{CourseRequest, Keep, Request, run_length};

use super::learning_rate::schedule;
use super::{Context, Emit, progress};
use crate::LabError;
use crate::output::write_whole;
use crate::process::{self, Message};
use batchwise_data::Loader;
use batchwise_estimate::fieller::Ratio;
use batchwise_nn::meter::Meter;
use batchwise_nn::{fingerprint, memory};
use batchwise_schedule::{Examples, Length};
use batchwise_train::observe::{EvaluationRecord, Record};
use batchwise_train::period::Every;
use batchwise_train::target::{self, Course, Metric};
use batchwise_train::{
    Clip, Evaluation, OnNonFinite, Plan, Run, StepReport, Tap, Trainer, evaluate, evaluate_on,
};
use diary::{Clock, Diary};
use journal::Journal;
use std::sync::Arc;

/// Lines in the log of a run, about.
const LINES: u64 = 200;
/// The training loss is taken on so many examples, at most.
const TRAIN_LOSS_ON: u64 = 10_000;
/// Share of the time limit that is left for the last checkpoint.
const SPARE: f64 = 0.02;

/// Trains and evaluates. Divergence is an outcome, not an error.
///
/// # Errors
/// A workload that cannot be built, sizes of 0, data and device errors; files that cannot be written; a checkpoint of
/// another run.
pub fn run(context: &Context<'_>, request: &Request, emit: Emit<'_>) -> Result<Outcome, LabError> {
    let mut trainer = trainer(context, request)?;
    let every = (request.examples / LINES).max(1);
    let target = match request.keep.as_ref().and_then(|keep| keep.until) {
        None => None,
        Some(until) => Some(Course::new(until, 1).map_err(|error| LabError::Input(error.to_string()))?),
    };
    let (mut diary, mut journal, mut resumed_at, mut damaged) =
        (Diary::new(every, target), None, None, Vec::new());
    if let Some(keep) = &request.keep {
        let begin = Journal::open(keep, request, &mut trainer)?;
        if let Some(stored) = begin.diary {
            // What is to be reached may be another now; what was evaluated against the old one says nothing of it.
            let target = match (&stored.target, diary.target) {
                (Some(old), Some(new)) if old.target() == new.target() => stored.target.clone(),
                (_, new) => new,
            };
            diary = stored;
            diary.target = target;
            resumed_at = Some(trainer.progress().0);
        }
        (journal, damaged) = (Some(begin.journal), begin.damaged);
    }
    let mut memory = Memory::begin(context, request)?;
    let evaluations = match request.keep.as_ref().and_then(|keep| keep.evaluate_examples) {
        None => None,
        Some(examples) => {
            let run = run_length(context.data.train.as_ref(), Examples(request.examples));
            Some(Every::new(Length::Examples(examples), &run)?)
        }
    };
    let mut live = Live {
        context,
        request,
        journal,
        diary,
        clock: Clock::start(),
        every,
        evaluations,
        checkpointed: 0.0,
    };
    let ending = live.train(&mut trainer, &mut memory, emit)?;
    context.device.synchronize()?;
    let seconds = live.diary.seconds(&live.clock);
    let peak_bytes = memory.end()?;
    if let Some(journal) = &mut live.journal {
        journal.sync()?;
    }
    let is_paused = matches!(ending, Ending::Stopped(Stopped::Asked));
    if let Some(path) = request.weights.as_ref().filter(|_| !is_paused) {
        write_whole(path, &trainer.task().parameters.to_safetensors()?)?;
    }
    if matches!(ending, Ending::Finished) {
        // A longer run may go on from here. The weights come first: they are what the run was for.
        live.checkpoint(&trainer, &mut memory)?;
    }
    let named = trainer.task().parameters.named();
    let weights_sha256 =
        fingerprint::sha256(named.iter().map(|(name, var)| (name.as_str(), var.as_tensor())))?;
    let mut outcome = Outcome {
        examples: trainer.progress().0,
        steps: trainer.steps().0,
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
        target: live.diary.target.as_ref().map(Course::outcome),
        skipped: trainer.skipped(),
        resumed_at,
        damaged,
    };
    match ending {
        Ending::Diverged(how) => outcome.diverged = Some(how),
        Ending::Stopped(why) => outcome.stopped = Some(why),
        Ending::Finished => {}
    }
    if outcome.diverged.is_none() && !is_paused {
        progress(emit, request.examples, request.examples, "evaluating");
        judge(context, &trainer, evaluation_batch(request), &mut outcome)?;
    }
    Ok(outcome)
}

fn trainer(context: &Context<'_>, request: &Request) -> Result<Trainer, LabError> {
    let total = Examples(request.examples);
    let plan = match &request.course {
        Some(course) => course.plan(context, total, request.learning_rate)?,
        None => Plan::constant(request.batch, schedule(request.learning_rate, total)),
    };
    let keep = request.keep.as_ref();
    let run = Run {
        tap: if request.tap { Tap::Norms } else { Tap::Off },
        tap_every: keep.map_or(1, |keep| keep.tap_every),
        clip: keep.and_then(|keep| keep.clip_norm).map(Clip::Norm),
        on_non_finite: match keep.map_or(0, |keep| keep.skip) {
            0 => OnNonFinite::Stop,
            at_most => OnNonFinite::Skip { at_most },
        },
        ..Run::new(plan, request.micro_batch, total, context.workload.optimizer(), request.seed)
    };
    Ok(Trainer::new(context.task(request.seed)?, Arc::clone(&context.data.train), run)?)
}

/// Evaluation has no gradients, so it may take larger batches than training at the same memory.
fn evaluation_batch(request: &Request) -> u64 {
    request.micro_batch.clamp(1, 256)
}

/// The losses after the run.
fn judge(
    context: &Context<'_>,
    trainer: &Trainer,
    batch: u64,
    outcome: &mut Outcome,
) -> Result<(), LabError> {
    let mut loader = Loader::sequential(Arc::clone(&context.data.train), context.device.clone())?;
    let judged = context.data.train.len().min(TRAIN_LOSS_ON);
    let on_train = evaluate_on(trainer.task(), &mut loader, 0..judged, batch)?;
    let on_test = evaluate(trainer.task(), &context.data.test, batch)?;
    if !(on_train.loss.is_finite() && on_test.loss.is_finite()) {
        outcome.diverged = Some("the loss after training is not finite".to_owned());
        return Ok(());
    }
    outcome.train_loss = Some(on_train.loss);
    outcome.test_loss = Some(on_test.loss);
    outcome.test_loss_error = on_test.loss_error;
    outcome.test_accuracy = on_test.accuracy;
    outcome.test_accuracy_error = on_test.accuracy_error();
    Ok(())
}

/// How a run ends.
enum Ending {
    Finished,
    Diverged(String),
    Stopped(Stopped),
}

/// A run that is going on.
struct Live<'a> {
    context: &'a Context<'a>,
    request: &'a Request,
    journal: Option<Journal>,
    diary: Diary,
    clock: Clock,
    /// Examples from one line to the next.
    every: u64,
    evaluations: Option<Every>,
    /// Seconds of this process at the last checkpoint.
    checkpointed: f64,
}

impl Live<'_> {
    /// Runs to the end, to the target, to a stop in good order, or to the step where the loss is no longer finite.
    fn train(
        &mut self,
        trainer: &mut Trainer,
        memory: &mut Memory,
        emit: Emit<'_>,
    ) -> Result<Ending, LabError> {
        let total = self.request.examples;
        let keep_norms = self.request.keep.as_ref().is_some_and(|keep| keep.update_norm);
        // Reached before this process began, which only has to say so.
        if let Some(target::Outcome::Reached(_)) = self.diary.target.as_ref().map(Course::outcome) {
            return Ok(Ending::Finished);
        }
        let mut is_first = true;
        loop {
            if process::is_cancelled() {
                return Err(LabError::Cancelled);
            }
            if let Some(why) = self.stop() {
                self.checkpoint(trainer, memory)?;
                return Ok(Ending::Stopped(why));
            }
            let start = trainer.progress().0;
            let next = start.saturating_add(trainer.plan().batch(trainer.progress()));
            if keep_norms && self.diary.line_is_due(next, total) {
                trainer.watch_next_step();
            }
            let step = match trainer.step() {
                Ok(None) => return Ok(Ending::Finished),
                Ok(Some(step)) => step,
                Err(error) if error.is_divergence() => {
                    return Ok(Ending::Diverged(self.diverged(&error.to_string())));
                }
                Err(error) => return Err(error.into()),
            };
            if std::mem::take(&mut is_first) {
                memory::allocate_workspaces();
            }
            self.diary.take(&step);
            if self.diary.line_is_due(step.progress.0, total) {
                self.line(&step, trainer, emit)?;
            }
            if self.evaluate(start, trainer, memory)? {
                return Ok(Ending::Finished);
            }
            let seconds = self.clock.wall() - self.checkpointed;
            if self.journal.as_ref().is_some_and(|journal| journal.is_due(start, step.progress.0, seconds)) {
                self.checkpoint(trainer, memory)?;
            }
        }
    }

    /// Whether the run is to stop here in good order.
    fn stop(&self) -> Option<Stopped> {
        let keep = self.request.keep.as_ref()?;
        if process::is_asked_to_stop() {
            return Some(Stopped::Asked);
        }
        let limit = keep.max_seconds?;
        (limit * (1.0 - SPARE) <= self.clock.wall()).then_some(Stopped::Time)
    }

    /// What is said of a run that diverged.
    fn diverged(&self, how: &str) -> String {
        match self.journal.as_ref().and_then(Journal::last) {
            None => how.to_owned(),
            Some(last) => format!("{how}; the last good checkpoint is {last}"),
        }
    }

    fn line(&mut self, step: &StepReport, trainer: &Trainer, emit: Emit<'_>) -> Result<(), LabError> {
        let clips = self.request.keep.as_ref().is_some_and(|keep| keep.clip_norm.is_some());
        let line = self.diary.line(step, trainer, self.every, clips, &mut self.clock);
        if let Some(journal) = &mut self.journal {
            self.clock.pause(|| journal.record(&line))?;
        }
        progress(emit, line.examples, self.request.examples, note(&line));
        if let Ok(value) = serde_json::to_value(&line) {
            emit(Message::Point { value });
        }
        Ok(())
    }

    /// Evaluates where it is due; whether the target is reached.
    fn evaluate(&mut self, start: u64, trainer: &Trainer, memory: &mut Memory) -> Result<bool, LabError> {
        let end = trainer.progress().0;
        if !self.evaluations.is_some_and(|every| every.is_due(start, end, self.request.examples)) {
            return Ok(false);
        }
        let (context, batch) = (self.context, evaluation_batch(self.request));
        let at = self.diary.mark(trainer, &self.clock);
        let seen: Evaluation =
            self.clock.pause(|| memory.aside(|| Ok(evaluate(trainer.task(), &context.data.test, batch)?)))?;
        let record = EvaluationRecord {
            examples: end,
            steps: trainer.steps().0,
            seconds: at.seconds,
            set: "test".to_owned(),
            loss: seen.loss,
            loss_error: seen.loss_error,
            accuracy: seen.accuracy,
            accuracy_error: seen.accuracy_error(),
        };
        if let Some(journal) = &mut self.journal {
            self.clock.pause(|| journal.evaluation(&record))?;
        }
        let Some(target) = &mut self.diary.target else { return Ok(false) };
        let metric = match target.target().metric() {
            Metric::Loss => Some(seen.loss),
            Metric::Accuracy => seen.accuracy,
        };
        let metric = metric.ok_or_else(|| {
            LabError::Input(
                "--until accuracy needs a data set of classes; this one has --until loss".to_owned(),
            )
        })?;
        target.observe(at, metric).map_err(|error| LabError::Protocol(error.to_string()))
    }

    fn checkpoint(&mut self, trainer: &Trainer, memory: &mut Memory) -> Result<(), LabError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let (diary, start) = (&self.diary, std::time::Instant::now());
        let stored = diary.stored(&self.clock);
        memory.aside(|| journal.save(trainer, &stored))?;
        self.clock.pause_since(start);
        self.checkpointed = self.clock.wall();
        Ok(())
    }
}

/// The meter of what training takes, with its limit.
struct Memory {
    meter: Option<Meter>,
    base: u64,
    peak: u64,
    limit: u64,
}

impl Memory {
    /// Without a meter the peak stays unknown, which is no reason not to train.
    fn begin(context: &Context<'_>, request: &Request) -> Result<Self, LabError> {
        let meter = Meter::new(&context.device).ok();
        let mut memory = Self { meter, base: 0, peak: 0, limit: u64::MAX };
        if let Some(meter) = &memory.meter {
            memory.base = meter.live()?;
            memory.limit = request.limit_bytes.map_or(u64::MAX, |limit| memory.base.saturating_add(limit));
            meter.set_limit(memory.limit);
            memory::allocate_workspaces();
            meter.reset_peak()?;
        }
        Ok(memory)
    }

    /// Does something that is no training: what it takes is not the user's concern.
    fn aside<T>(&mut self, work: impl FnOnce() -> Result<T, LabError>) -> Result<T, LabError> {
        let Some(meter) = &self.meter else { return work() };
        self.peak = self.peak.max(meter.peak()?);
        meter.set_limit(u64::MAX);
        let result = work();
        meter.set_limit(self.limit);
        meter.reset_peak()?;
        result
    }

    /// The most that training took; what follows is none.
    fn end(&mut self) -> Result<Option<u64>, LabError> {
        let Some(meter) = &self.meter else { return Ok(None) };
        let peak = self.peak.max(meter.peak()?).saturating_sub(self.base);
        self.limit = u64::MAX;
        meter.set_limit(self.limit);
        Ok(Some(peak))
    }
}

/// What the live view shows of a line.
fn note(line: &Record) -> String {
    let phi = line.phi.as_ref().and_then(|phi| match phi {
        Ratio::Measured { value, .. } => Some(format!(", φ {value:.0}")),
        Ratio::LowerBound { low } => Some(format!(", φ ≥ {low:.0}")),
        Ratio::WholeLine | Ratio::NotIdentified { .. } => None,
    });
    let batch = if phi.is_some() { format!(", batch {}", line.batch) } else { String::new() };
    format!("loss {:.3}{batch}{}", line.loss, phi.unwrap_or_default())
}
