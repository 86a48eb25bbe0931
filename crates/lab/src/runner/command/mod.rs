//! One attempt at a trial of another program, in the child: starts it, reads its lines, ends it.

mod fill;
mod line;
mod spawn;

pub use line::PROTOCOL;
use line::{Line, Read, read};
pub use spawn::shepherd;

use super::attempt::{Attempt, Ended};
use super::mark::Marks;
use super::request::{News, Pilot};
use crate::LabError;
use crate::process;
use crate::trial::{EndKind, EndOfTrial, Evaluation, Field, LogLine, Measured, TrainerSpec};
use spawn::{Heard, Trainer};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long a trainer may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long what it started may hold its output open once it has ended.
const LINGER: Duration = Duration::from_millis(300);
/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// The same while lines come.
const LOOK: Duration = Duration::from_millis(10);
/// Characters of a text that a log or a reason holds.
const LONGEST: usize = 2000;
/// Records that a pilot waits for: the first says where training began, two more what it takes.
const PILOT_LINES: u64 = 3;
/// Seconds that it goes on after the first, so that evaluations are among them.
const PILOT_SECONDS: f64 = 3.0;

/// Runs it.
pub(super) fn run(attempt: &mut Attempt<'_>, start: Instant) -> Result<Ended, LabError> {
    let TrainerSpec::Command { command, .. } = &attempt.spec.trainer else {
        return Err(LabError::protocol("a workload is no command".to_owned()));
    };
    let values = fill::values(attempt);
    let command: Vec<String> = command.iter().map(|argument| fill::fill(argument, &values)).collect();
    let mut trainer = Trainer::start(&command, attempt)?;
    let mut run = Run::new(attempt, start);
    let why = run.follow(&mut trainer)?;
    let status = match why {
        Why::Exited(status) => status,
        _ => trainer.end(GRACE),
    };
    // What it told; else the most that the largest of its processes held, or all of them together when looked at.
    let peak = run.bytes.or_else(|| spawn::peak_of_children().max(run.resident));
    let last_words = trainer.last_words(LINGER);
    run.settle(why, status, peak, &last_words)
}

/// Why the trainer is no longer followed.
enum Why {
    /// It ended by itself.
    Exited(Option<ExitStatus>),
    /// It has done what was to be done.
    Enough(EndOfTrial),
    /// It was asked to stop, or took too much.
    Cut(EndKind, String),
}

/// A trainer that is followed.
struct Run<'a, 'b> {
    attempt: &'a mut Attempt<'b>,
    start: Instant,
    marks: Marks,
    last: Option<(Line, f64)>,
    first: Option<(u64, f64)>,
    /// Seconds on the wall's clock at the first record and at the last.
    walls: (f64, f64),
    n_lines: u64,
    /// The largest that the trainer told.
    bytes: Option<u64>,
    /// The most that all of its processes were seen to hold together, where that was looked at.
    resident: Option<u64>,
    printed: u64,
    /// The first lines that were no records.
    texts: Vec<String>,
    diverged: Option<String>,
    noise: Noise,
    own_clock: bool,
}

/// Sums from which the noise scale follows.
#[derive(Default)]
struct Noise {
    g2: f64,
    s: f64,
    n: u64,
}

impl Noise {
    /// E|g_b|² = |G|² + tr Σ/b at both sizes (McCandlish et al. 2018, appendix A.1).
    fn take(&mut self, micro: f64, batch: f64, small: f64, large: f64) {
        if small < large {
            self.g2 += (large * batch - small * micro) / (large - small);
            self.s += (micro - batch) / (1.0 / small - 1.0 / large);
            self.n += 1;
        }
    }

    fn scale(&self) -> Option<f64> {
        (0 < self.n && 0.0 < self.g2 && 0.0 < self.s).then(|| self.s / self.g2)
    }
}

impl<'a, 'b> Run<'a, 'b> {
    fn new(attempt: &'a mut Attempt<'b>, start: Instant) -> Self {
        let marks = Marks::new(&attempt.spec);
        Self {
            attempt,
            start,
            marks,
            last: None,
            first: None,
            walls: (0.0, 0.0),
            n_lines: 0,
            bytes: None,
            resident: None,
            printed: 0,
            texts: Vec::new(),
            diverged: None,
            noise: Noise::default(),
            own_clock: false,
        }
    }

    /// Reads until there is a reason to stop.
    fn follow(&mut self, trainer: &mut Trainer) -> Result<Why, LabError> {
        let (mut heard_at, mut looked_at) = (Instant::now(), Instant::now());
        let mut ended: Option<ExitStatus> = None;
        // How long its output was waited for in vain after its end: what is on its way is taken however late this process
        // comes to it, but something that it left running may hold the output open.
        let mut waited = Duration::ZERO;
        let (mut is_closed, mut weighed_at) = (false, None::<Instant>);
        loop {
            let patience = if ended.is_some() { LINGER.saturating_sub(waited) } else { TICK };
            let heard = match trainer.hear(Duration::ZERO) {
                Heard::Nothing => {
                    let since = Instant::now();
                    let heard = trainer.hear(patience);
                    waited += if ended.is_some() { since.elapsed() } else { Duration::ZERO };
                    heard
                }
                heard => heard,
            };
            match heard {
                Heard::Line(bytes) => {
                    heard_at = Instant::now();
                    if let Some(why) = self.take(&bytes)? {
                        return Ok(why);
                    }
                    self.attempt.fail_if_unwritten()?;
                    // A trainer that prints without a pause is looked at all the same.
                    if looked_at.elapsed() < LOOK {
                        continue;
                    }
                }
                Heard::TooLong(bytes) => {
                    let reason = format!("it printed a line of more than {bytes} bytes");
                    return Ok(Why::Cut(EndKind::Output, reason));
                }
                Heard::End => {
                    // As a rule it ends at once. One that only closed its output goes on under the usual limits.
                    let nap = if is_closed { TICK } else { LINGER };
                    is_closed = true;
                    if let Some(status) = ended.or_else(|| trainer.wait(nap)) {
                        return Ok(Why::Exited(Some(status)));
                    }
                }
                Heard::Nothing if ended.is_some() && LINGER <= waited => return Ok(Why::Exited(ended)),
                Heard::Nothing => {}
            }
            if ended.is_none() {
                ended = trainer.has_ended();
            }
            looked_at = Instant::now();
            let is_weighed =
                self.attempt.request.pilot.is_some() || self.attempt.request.limit_bytes.is_some();
            // All processes are looked through for it, which a trainer that prints fast must not pay for at each look.
            if is_weighed && weighed_at.is_none_or(|at| TICK <= at.elapsed()) {
                weighed_at = Some(Instant::now());
                self.resident = self.resident.max(trainer.resident_bytes());
            }
            if let Some(why) = self.over_limit(heard_at) {
                return Ok(why);
            }
        }
    }

    /// Time, silence, memory, and what the parent wants.
    fn over_limit(&self, heard_at: Instant) -> Option<Why> {
        let request = self.attempt.request;
        if process::is_asked_to_stop() || process::is_cancelled() {
            let reason = "stopped; a trainer that stores where it was goes on from there".to_owned();
            return Some(Why::Cut(EndKind::Stopped, reason));
        }
        if let Some(rung) = process::asked_rung() {
            return Some(Why::Enough(EndOfTrial::Pruned { rung }));
        }
        if let Some(pilot) = request.pilot
            && pilot <= self.start.elapsed().as_secs_f64()
        {
            return Some(Why::Enough(EndOfTrial::Finished));
        }
        if let Some(limit) = request.seconds
            && limit <= self.start.elapsed().as_secs_f64()
        {
            return Some(Why::Cut(EndKind::Time, format!("it took more than the {limit} s it was given")));
        }
        if request.silence <= heard_at.elapsed().as_secs_f64() {
            let silence = request.silence;
            let reason =
                format!("it printed nothing for {silence} s and is taken to hang (`limits.silence`)");
            return Some(Why::Cut(EndKind::Silent, reason));
        }
        let limit = request.limit_bytes?;
        let bytes = self.resident?;
        (limit < bytes).then(|| {
            let (bytes, limit) = (crate::bytes::human(bytes), crate::bytes::human(limit));
            Why::Cut(EndKind::Memory, format!("it took {bytes} of the {limit} it was given"))
        })
    }

    /// Takes in one line of output.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<Why>, LabError> {
        self.printed += bytes.len() as u64 + 1;
        if self.attempt.request.output < self.printed {
            let limit = crate::bytes::human(self.attempt.request.output);
            let reason = format!("it printed more than {limit} (`limits.output`)");
            return Ok(Some(Why::Cut(EndKind::Output, reason)));
        }
        let text = String::from_utf8_lossy(bytes);
        match read(&text) {
            Read::Text => {
                let text: String = text.trim_end().chars().take(LONGEST).collect();
                if !text.is_empty() {
                    if self.texts.len() < 3 {
                        self.texts.push(text.chars().take(200).collect());
                    }
                    self.attempt.write(&LogLine::Text { text });
                }
                Ok(None)
            }
            Read::Wrong(problem) => {
                let text: String = text.trim_end().chars().take(200).collect();
                let n = self.n_lines + 1;
                Ok(Some(Why::Cut(EndKind::Error, format!("record {n} is wrong: {problem}, in `{text}`"))))
            }
            Read::Line(line) => self.record(*line),
        }
    }

    fn record(&mut self, line: Line) -> Result<Option<Why>, LabError> {
        let wall = self.start.elapsed().as_secs_f64();
        let seconds = line.seconds.unwrap_or(wall);
        self.own_clock |= line.seconds.is_some();
        self.n_lines += 1;
        if let Some((before, at)) = &self.last {
            let n = self.n_lines;
            let back = |what: &str, from: f64, to: f64| {
                Ok(Some(Why::Cut(
                    EndKind::Error,
                    format!("record {n}: `{what}` goes back from {from} to {to}"),
                )))
            };
            if line.examples < before.examples {
                return back("examples", before.examples as f64, line.examples as f64);
            }
            if line.steps.zip(before.steps).is_some_and(|(now, before)| now < before) {
                let (from, to) = (before.steps.unwrap_or(0), line.steps.unwrap_or(0));
                return back("steps", from as f64, to as f64);
            }
            if line.seconds.is_some() && seconds < *at {
                return back("seconds", *at, seconds);
            }
        } else if line.resumed {
            self.remember(line.examples)?;
        }
        if self.first.is_none() {
            (self.first, self.walls.0) = (Some((line.examples, seconds)), wall);
        }
        self.walls.1 = wall;
        self.bytes = self.bytes.max(line.bytes);
        let batch = self.attempt.spec.batch;
        if let (Some(micro), Some(whole)) = (line.micro_norm2, line.batch_norm2) {
            let small = line.micro_batch.unwrap_or(self.attempt.request.micro_batch);
            self.noise.take(micro, whole, small as f64, batch as f64);
        }
        let why = self.judge(&line, seconds);
        self.last = Some((line, seconds));
        Ok(why)
    }

    /// Writes the record, and says whether the run is over with it.
    fn judge(&mut self, line: &Line, seconds: f64) -> Option<Why> {
        let (batch, judge) = (self.attempt.spec.batch, self.attempt.spec.judge);
        let evaluation = line.evaluation(batch);
        let is_evaluation = line.loss.is_some()
            || line.metric.is_some()
            || (judge.field == Field::TrainLoss && line.train_loss.is_some());
        if is_evaluation {
            self.attempt.write(&LogLine::Evaluation { seconds, evaluation });
        }
        if !is_evaluation || line.micro_norm2.is_some() {
            self.attempt.write(&LogLine::Step {
                examples: evaluation.examples,
                steps: evaluation.steps,
                seconds,
                train_loss: line.train_loss,
                micro_norm2: line.micro_norm2,
                batch_norm2: line.batch_norm2,
                micro_batch: line.micro_batch,
            });
        }
        let value = evaluation.get(judge.field).filter(|_| is_evaluation);
        self.attempt.say(&News::At { examples: line.examples, seconds, value });
        if let Some(why) = &line.diverged {
            self.diverged = Some(why.clone());
            return Some(Why::Enough(EndOfTrial::Diverged { why: why.clone() }));
        }
        let is_reached = is_evaluation && self.marks.observe((evaluation, seconds));
        let spec = &self.attempt.spec;
        let is_over = match self.attempt.request.pilot {
            Some(_) => PILOT_LINES <= self.n_lines && self.walls.0 + PILOT_SECONDS <= self.walls.1,
            None => {
                if is_reached {
                    return Some(Why::Enough(EndOfTrial::Target));
                }
                if spec.patience_examples.is_some_and(|most| most <= self.marks.without_improvement()) {
                    return Some(Why::Enough(EndOfTrial::Patience));
                }
                false
            }
        };
        // At the budget the record that is judged may be the next one.
        let is_spent = value.is_some()
            && (spec.examples <= line.examples || spec.seconds.is_some_and(|most| most <= seconds));
        (is_over || is_spent).then_some(Why::Enough(EndOfTrial::Finished))
    }

    /// Takes over what earlier attempts evaluated, from where the trainer goes on.
    fn remember(&mut self, examples: u64) -> Result<(), LabError> {
        let mut known = std::collections::BTreeMap::new();
        for log in self.attempt.folder.logs()? {
            if log == self.attempt.log.name() {
                continue;
            }
            for line in self.attempt.folder.log(&log)? {
                if let LogLine::Evaluation { seconds, evaluation } = line
                    && evaluation.examples < examples
                {
                    known.insert(evaluation.examples, (evaluation, seconds));
                }
            }
        }
        for timed in known.into_values() {
            self.marks.observe(timed);
        }
        Ok(())
    }

    /// What came out.
    fn settle(
        mut self,
        why: Why,
        status: Option<ExitStatus>,
        peak_bytes: Option<u64>,
        last_words: &str,
    ) -> Result<Ended, LabError> {
        self.attempt.fail_if_unwritten()?;
        let wall = self.start.elapsed().as_secs_f64();
        let (line, seconds) = self.last.clone().unwrap_or((Line::default(), wall));
        if self.attempt.request.pilot.is_some() {
            return Ok(self.pilot(&why, status, peak_bytes, last_words, wall));
        }
        let end = match why {
            Why::Cut(kind, reason) => return Ok(Ended::Without(kind, with_words(reason, last_words))),
            Why::Enough(end) => end,
            Why::Exited(status) => match self.exited(status, last_words) {
                Ok(end) => end,
                Err((kind, reason)) => return Ok(Ended::Without(kind, reason)),
            },
        };
        let steps = line.evaluation(self.attempt.spec.batch).steps;
        let measured = Measured {
            seconds,
            seconds_to_target: self.marks.seconds_to_target(),
            wall_seconds: wall,
            step_seconds: self.step_seconds(&line, seconds, steps),
            evaluation_seconds: None,
            peak_bytes,
            noise_scale: self.noise.scale(),
        };
        let at_end = match end {
            EndOfTrial::Pruned { rung } if self.attempt.spec.pruning_counts_examples() => {
                self.marks.cut(rung.ceil() as u64)
            }
            _ => self.at_end(&line),
        };
        let result = self.marks.result(&self.attempt.request.trial, end, at_end);
        Ok(Ended::With(Box::new(result), measured))
    }

    /// The last record, with what the last evaluations say of it.
    fn at_end(&self, line: &Line) -> Evaluation {
        let mut at_end = line.evaluation(self.attempt.spec.batch);
        if at_end.get(self.attempt.spec.judge.field).is_none() {
            let value = self.marks.value();
            match self.attempt.spec.judge.field {
                Field::Loss => at_end.loss = value,
                Field::TrainLoss => at_end.train_loss = value,
                Field::Metric => at_end.metric = value,
            }
        }
        at_end
    }

    /// Seconds of a step, from the first record on where the clock is the wall's: what came before is no training.
    fn step_seconds(&self, line: &Line, seconds: f64, steps: u64) -> Option<f64> {
        let batch = self.attempt.spec.batch as f64;
        if self.own_clock {
            return (0 < steps && 0.0 < seconds).then(|| seconds / steps as f64);
        }
        let (examples, at) = self.first?;
        let n = line.examples.saturating_sub(examples) as f64 / batch;
        (1.0 <= n).then(|| (seconds - at) / n)
    }

    /// What an end that the trainer chose means.
    fn exited(&self, status: Option<ExitStatus>, last_words: &str) -> Result<EndOfTrial, (EndKind, String)> {
        let Some(status) = status else {
            return Err((EndKind::Error, "nobody knows how it ended".to_owned()));
        };
        if status.success() {
            if self.marks.has_value() {
                return Ok(EndOfTrial::Finished);
            }
            let field = self.attempt.spec.judge.field.name();
            let reason = match (self.n_lines, self.texts.first()) {
                (0, None) => "it ended with status 0 and printed nothing".to_owned(),
                (0, Some(text)) => {
                    format!("it ended with status 0 and printed no record, only text such as `{text}`")
                }
                (n, _) => format!(
                    "it ended with status 0, but none of its {n} records holds `{field}`, which is judged"
                ),
            };
            return Err((EndKind::NoResult, reason));
        }
        Err(spawn::in_words(status, last_words))
    }

    fn pilot(
        &self,
        why: &Why,
        status: Option<ExitStatus>,
        peak_bytes: Option<u64>,
        last_words: &str,
        wall: f64,
    ) -> Ended {
        let (Some((line, _)), Some((examples, _))) = (&self.last, self.first) else {
            return match why {
                Why::Cut(kind, reason) => Ended::Without(*kind, reason.clone()),
                Why::Exited(status) => match self.exited(*status, last_words) {
                    Ok(_) => Ended::Without(EndKind::NoResult, "it printed no record".to_owned()),
                    Err((kind, reason)) => Ended::Without(kind, reason),
                },
                Why::Enough(_) => {
                    let how = status.map_or_else(String::new, |status| format!(" ({status})"));
                    Ended::Without(
                        EndKind::Silent,
                        format!("it printed no record within the pilot's time{how}"),
                    )
                }
            };
        };
        // On the wall's clock, whatever the trainer's own says: between the first record and the last, or of one alone from
        // the start. What lies before the first is training in part, as many examples as it says.
        let (from, to) = self.walls;
        let (n, seconds, before) = match line.examples.saturating_sub(examples) {
            0 => (line.examples, wall, 0.0),
            n => (n, to - from, from),
        };
        let fixed_seconds = (before - seconds / n.max(1) as f64 * examples as f64).max(0.0);
        Ended::Pilot(Pilot {
            examples: n,
            seconds,
            evaluation_seconds: 0.0,
            fixed_seconds,
            // Enforced is what all processes hold together, which may be more than it told.
            peak_bytes: peak_bytes.max(self.resident),
            disk_bytes: 0,
        })
    }
}

/// A reason with what the trainer said last.
fn with_words(reason: String, last_words: &str) -> String {
    match last_words.trim() {
        "" => reason,
        words => format!("{reason}; its last words were: {}", spawn::tail(words)),
    }
}
