//! A run that is going on.

use super::super::{Context, Emit, progress};
use super::diary::{Clock, Diary};
use super::journal::{Journal, Restored};
use super::memory::Memory;
use super::runner::Runner;
use super::{
    AVERAGE_WEIGHTS, BEST_WEIGHTS, Keep, Request, Stopped, evaluation_batch, run_length, write_weights,
};
use crate::LabError;
use crate::process::{self, Message};
use batchwise_estimate::fieller::Ratio;
use batchwise_nn::memory;
use batchwise_schedule::{Examples, Length};
use batchwise_train::average::Average;
use batchwise_train::best::{Rules, Stop, Watch};
use batchwise_train::observe::{EvaluationRecord, Record};
use batchwise_train::period::Every;
use batchwise_train::target::{Mark, Metric};
use batchwise_train::{Evaluation, State, StepReport, TrainError, evaluate};
use std::time::Instant;

/// Lines in the log of a run, about.
const LINES: u64 = 200;
/// Share of the time limit that is left for the last checkpoint.
const SPARE: f64 = 0.02;

/// How a run ends.
pub(super) enum Ending {
    Finished,
    Diverged(String),
    Stopped(Stopped),
    /// By what its evaluations showed.
    Ended(Stop),
}

/// A run that is going on.
pub(super) struct Live<'a> {
    context: &'a Context<'a>,
    request: &'a Request,
    journal: Option<Journal>,
    pub(super) diary: Diary,
    pub(super) average: Option<Average>,
    clock: Clock,
    /// Examples from one line to the next.
    every: u64,
    evaluations: Option<Every>,
    /// Seconds of this process at the last checkpoint.
    checkpointed: f64,
}

/// Where a run begins.
pub(super) struct Begin {
    /// The state it goes on from, if it does.
    pub(super) state: Option<State>,
    /// The examples that it had.
    pub(super) resumed_at: Option<u64>,
    /// Newer checkpoints that are damaged, in words.
    pub(super) damaged: Vec<String>,
}

impl<'a> Live<'a> {
    /// Opens the run's files and goes to where the newest checkpoint was.
    pub(super) fn begin(
        context: &'a Context<'a>,
        request: &'a Request,
        runner: &mut Runner,
    ) -> Result<(Self, Begin), LabError> {
        let keep = request.keep.as_ref();
        let every = (request.examples / LINES).max(1);
        let rules = keep.map_or(NO_RULES, |keep| keep.rules);
        let parameters = &runner.task().parameters;
        let half_life = keep.and_then(|keep| keep.average_half_life);
        let mut average = half_life.map(|half_life| Average::new(parameters, half_life)).transpose()?;
        let mut diary = Diary::new(every, Watch::new(rules)?);
        let mut begin = Begin { state: None, resumed_at: None, damaged: Vec::new() };
        let mut journal = None;
        if let Some(keep) = keep {
            let opened = Journal::open(keep, request, runner)?;
            if let Some(Restored { diary: stored, state, average: averages }) = opened.stored {
                runner.restore(&state)?;
                if let Some(average) = &mut average {
                    average.load_state(&averages)?;
                }
                diary = stored;
                // What is to be reached may be another now; what was evaluated against the old one says nothing of it.
                diary.watch = diary.watch.with_rules(rules)?;
                begin.resumed_at = Some(state.numbers.examples);
                begin.state = Some(state);
            }
            (journal, begin.damaged) = (Some(opened.journal), opened.damaged);
        }
        let evaluations = match keep.and_then(|keep| keep.evaluate_examples) {
            None => None,
            Some(examples) => {
                let run = run_length(context.data.train.as_ref(), Examples(request.examples));
                Some(Every::new(Length::Examples(examples), &run)?)
            }
        };
        let (clock, checkpointed) = (Clock::start(), 0.0);
        Ok((
            Self { context, request, journal, diary, average, clock, every, evaluations, checkpointed },
            begin,
        ))
    }

    fn keep(&self) -> Option<&'a Keep> {
        self.request.keep.as_ref()
    }

    /// Seconds trained since the start of the run.
    pub(super) fn seconds(&self) -> f64 {
        self.diary.seconds(&self.clock)
    }

    /// What the average of the weights takes.
    pub(super) fn average_bytes(&self) -> u64 {
        let state = self.average.as_ref().and_then(|average| average.state().ok()).unwrap_or_default();
        state.values().map(|tensor| (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64).sum()
    }

    /// Runs to the end, to what the evaluations show, to a stop in good order, or to the step where the loss is no longer
    /// finite.
    pub(super) fn train(
        &mut self,
        runner: &mut Runner,
        memory: &mut Memory,
        emit: Emit<'_>,
    ) -> Result<Ending, LabError> {
        let total = self.request.examples;
        let keep_norms = self.keep().is_some_and(|keep| keep.update_norm);
        let layers = self.request.noise.is_some_and(|noise| noise.layers);
        // Reached before this process began, which only has to say so.
        let mut ending = self.diary.watch.stop().map(Ending::Ended);
        let mut is_first = true;
        loop {
            if process::is_cancelled() {
                return Err(LabError::Cancelled);
            }
            let ending_now = ending.take().or_else(|| self.stop().map(Ending::Stopped));
            if !is_first {
                runner.agree(ending_now.is_some())?;
            }
            if let Some(ending) = ending_now {
                if matches!(ending, Ending::Stopped(_)) {
                    self.checkpoint(runner, memory, false)?;
                }
                return Ok(ending);
            }
            let start = runner.progress().0;
            let next = start.saturating_add(runner.plan().batch(runner.progress()));
            if keep_norms && self.diary.line_is_due(next, total) {
                runner.watch_next_step();
            }
            let begun = Instant::now();
            let step = match runner.step() {
                Ok(None) => return Ok(Ending::Finished),
                Ok(Some(step)) => step,
                Err(error) if error.is_divergence() => {
                    return Ok(Ending::Diverged(self.diverged(&error.to_string())));
                }
                Err(error) => return Err(error),
            };
            if std::mem::take(&mut is_first) {
                memory::allocate_workspaces();
            } else {
                self.diary.time(&step, begun.elapsed().as_secs_f64());
            }
            if let Some(average) = self.average.as_mut().filter(|_| step.skipped.is_none()) {
                let _span = tracing::trace_span!("average").entered();
                average.follow(&runner.task().parameters, step.batch)?;
            }
            self.diary.take(&step, layers);
            if self.diary.line_is_due(step.progress.0, total) {
                self.line(&step, runner, emit)?;
            }
            ending = self.evaluate(start, runner, memory, emit)?.map(Ending::Ended);
            let seconds = self.clock.wall() - self.checkpointed;
            if self.journal.as_ref().is_some_and(|journal| journal.is_due(start, step.progress.0, seconds)) {
                self.checkpoint(runner, memory, false)?;
            }
        }
    }

    /// Whether the run is to stop here in good order.
    fn stop(&self) -> Option<Stopped> {
        let keep = self.keep()?;
        if process::is_asked_to_stop() {
            return Some(Stopped::Asked);
        }
        if process::asked_rung().is_some() {
            return Some(Stopped::Pruned);
        }
        let limit = keep.max_seconds?;
        (limit * (1.0 - SPARE) <= self.clock.wall()).then_some(Stopped::Time)
    }

    /// What is said of a run that diverged.
    fn diverged(&self, how: &str) -> String {
        // What is the same in every run says nothing of where its files lie.
        if self.keep().is_some_and(|keep| keep.result_only) {
            return how.to_owned();
        }
        match self.journal.as_ref().and_then(Journal::last) {
            None => how.to_owned(),
            Some(last) => format!("{how}; the last good checkpoint is {last}"),
        }
    }

    fn line(&mut self, step: &StepReport, runner: &Runner, emit: Emit<'_>) -> Result<(), LabError> {
        let _span = tracing::trace_span!("line").entered();
        let clips = self.keep().is_some_and(|keep| keep.clip_norm.is_some());
        let line = self.diary.line(step, runner, self.every, clips, &mut self.clock);
        if let Some(journal) = &mut self.journal {
            self.clock.pause(|| journal.record(&line))?;
        }
        progress(emit, line.examples, self.request.examples, note(&line));
        if let Ok(value) = serde_json::to_value(&line) {
            emit(Message::Point { value });
        }
        Ok(())
    }

    /// Evaluates where it is due; whether and why the run ends by it.
    fn evaluate(
        &mut self,
        start: u64,
        runner: &Runner,
        memory: &mut Memory,
        emit: Emit<'_>,
    ) -> Result<Option<Stop>, LabError> {
        let end = runner.progress().0;
        if !self.evaluations.is_some_and(|every| every.is_due(start, end, self.request.examples)) {
            return Ok(None);
        }
        let begun = Instant::now();
        let at = self.diary.mark(runner, &self.clock);
        let judged = memory.aside(|| self.evaluate_all(runner, at, emit))?;
        self.diary.evaluating.0 += 1;
        self.diary.evaluating.1 += begun.elapsed().as_secs_f64();
        let verdict = self.diary.watch.observe(at, &judged)?;
        let keep = self.keep().filter(|keep| keep.keep_best && verdict.is_best);
        if let Some(keep) = keep {
            let path = keep.folder.join(BEST_WEIGHTS);
            self.averaged(runner, || write_weights(&path, runner))?;
        }
        self.clock.pause_since(begun);
        if keep.is_some() {
            self.checkpoint(runner, memory, true)?;
        }
        Ok(verdict.stop)
    }

    /// The weights, and their average in their place, on the test set; what is judged is the latter, where there is one.
    fn evaluate_all(&mut self, runner: &Runner, at: Mark, emit: Emit<'_>) -> Result<Evaluation, LabError> {
        let (task, test) = (runner.task(), &self.context.data.test);
        let batch = evaluation_batch(self.context, self.request);
        let mut seen = vec![("test", evaluate(task, test, batch)?)];
        if let Some(average) = &mut self.average {
            let on_average = average.evaluate(&task.parameters, || evaluate(task, test, batch))?;
            seen.push(("test_average", on_average));
        }
        let mut judged = seen[0].1;
        for (set, evaluation) in seen {
            let record = EvaluationRecord {
                examples: at.examples.0,
                steps: at.steps.0,
                seconds: at.seconds,
                set: set.to_owned(),
                loss: evaluation.loss,
                loss_error: evaluation.loss_error,
                accuracy: evaluation.accuracy,
                accuracy_error: evaluation.accuracy_error(),
            };
            if let Some(journal) = &mut self.journal {
                journal.evaluation(&record)?;
            }
            if let Ok(value) = serde_json::to_value(&record) {
                emit(Message::Point { value: serde_json::json!({ "evaluation": value }) });
            }
            if self.keep().is_some_and(|keep| keep.result_only) {
                self.diary.evaluations.push(record);
            }
            judged = evaluation;
        }
        Ok(judged)
    }

    /// Does something with the average in the place of the weights, where there is one.
    fn averaged(
        &mut self,
        runner: &Runner,
        work: impl FnOnce() -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let Some(average) = &mut self.average else { return work() };
        average.evaluate(&runner.task().parameters, || Ok::<_, TrainError>(work()))?
    }

    /// Writes the weights, and their average.
    pub(super) fn write_weights(&mut self, runner: &Runner) -> Result<(), LabError> {
        if let Some(path) = &self.request.weights {
            write_weights(path, runner)?;
        }
        match self.keep() {
            Some(keep) if self.average.is_some() => {
                let path = keep.folder.join(AVERAGE_WEIGHTS);
                self.averaged(runner, || write_weights(&path, runner))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn checkpoint(
        &mut self,
        runner: &Runner,
        memory: &mut Memory,
        is_best: bool,
    ) -> Result<(), LabError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let _span = tracing::trace_span!("checkpoint").entered();
        let (diary, average, start) = (&self.diary, self.average.as_ref(), Instant::now());
        let stored = diary.stored(&self.clock);
        memory.aside(|| journal.save(runner, average, &stored, is_best))?;
        self.clock.pause_since(start);
        self.checkpointed = self.clock.wall();
        Ok(())
    }

    /// Puts all lines on the disk.
    pub(super) fn sync(&mut self) -> Result<(), LabError> {
        match &mut self.journal {
            None => Ok(()),
            Some(journal) => Ok(journal.sync()?),
        }
    }
}

/// Of a run that nobody watches.
const NO_RULES: Rules = Rules { target: None, confirm: 1, patience: None, best_by: Metric::Loss };

/// What the live view shows of a line.
fn note(line: &Record) -> String {
    let phi = line.phi.as_ref().and_then(|phi| match phi {
        Ratio::Measured { value, .. } => Some(format!(", φ {value:.0}")),
        Ratio::LowerBound { low } => Some(format!(", φ ≥ {low:.0}")),
        Ratio::WholeLine | Ratio::NotIdentified { .. } => None,
    });
    let batch = if phi.is_some() { format!(", batch {}", line.batch) } else { String::new() };
    format!(
        "loss {:.3}{batch}{}, {:.0} examples/s",
        line.loss,
        phi.unwrap_or_default(),
        line.examples_per_second
    )
}
