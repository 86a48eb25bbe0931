//! The runner's loop: asks the plan for trials, starts them as places become free, takes in how they end.

use super::attempt::is_disk;
use super::child::{Heard, Running};
use super::control::Control;
use super::event::{Event, Row, Table};
use super::lock::Lock;
use super::pilots;
use super::predict::{Pilots, makespan, parameters_in_words};
use super::request::{News, Report, Request};
use super::rungs::{Group, RunEnd, Rungs};
use super::settings::Settings;
use super::strays;
use crate::LabError;
use crate::plan::{Budget, Generated, Plan, RungUnit, Score, World};
use crate::process::{self, Message};
use crate::provenance::now;
use crate::sweep::SweepFile;
use crate::trial::{AttemptEnd, EndKind, LogLine, TrainerSpec, TrialFolder, TrialResult, TrialSpec, VERSION};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Between two looks at the clock and at the user's wishes.
const TICK: Duration = Duration::from_millis(250);
/// Between two tables.
const TABLE: Duration = Duration::from_millis(500);
/// How long a trial that was asked to stop may take to store where it is.
const GRACE: Duration = Duration::from_secs(20);

/// What a sweep came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept {
    /// The sweep's file.
    pub file: SweepFile,
    /// Trials with a result.
    pub done: usize,
    /// Trials that were given up, by the user too.
    pub failed: usize,
    /// Trials that were run now.
    pub ran: usize,
    /// Seconds that it took now.
    pub seconds: f64,
    /// What was predicted, where there were pilots.
    pub prediction: Option<Prediction>,
}

/// What a sweep will take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Trials that are to run.
    pub trials: usize,
    /// Trials whose cost no pilot told.
    pub unknown: usize,
    /// Seconds, if every trial runs to the end of its budget.
    pub seconds: f64,
    /// Most bytes of all trials that run at once.
    pub bytes: Option<u64>,
    /// Bytes on the disk.
    pub disk_bytes: u64,
}

/// How good the predictions were, of the trials that ran.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictionCheck {
    /// Trials that were held against their prediction.
    pub trials: usize,
    /// Seconds that were predicted for them in sum, for the examples they came to.
    pub predicted_seconds: f64,
    /// Seconds that they took in sum.
    pub seconds: f64,
    /// The largest deviation of a peak of memory from its prediction, as a share of the peak.
    pub worst_memory: Option<f64>,
}

/// Lists what a plan asks for first, with what it will take.
///
/// # Errors
/// As [`run`].
pub fn dry_run(
    plan: &Plan,
    world: &World,
    settings: &Settings,
    on_event: &mut dyn FnMut(Event),
) -> Result<(Generated, Pilots, Prediction), LabError> {
    let (_lock, runner) = begin(plan, settings, on_event)?;
    let mut sweep = Sweep::new(plan, world, settings, runner, on_event)?;
    sweep.measure()?;
    let scores = sweep.scores_on_disk()?;
    let generated = plan.generate(&sweep.world, &mut |id| scores.get(id).copied())?;
    let missing = |spec: &&TrialSpec| spec.id().is_ok_and(|id| !scores.contains_key(&id));
    let left: Vec<&TrialSpec> = generated.trials.iter().filter(missing).collect();
    let prediction = sweep.predict(&left);
    Ok((generated, sweep.pilots, prediction))
}

/// Runs what is missing of a sweep, to the end. `store` is told the name of each trial that has changed.
///
/// # Errors
/// Another runner, a full disk, a user who wants no more; lengths that cannot be resolved. A trial that fails is no
/// error: it is recorded.
pub fn run(
    plan: &Plan,
    world: &World,
    settings: &Settings,
    store: &mut dyn FnMut(&str),
    on_event: &mut dyn FnMut(Event),
) -> Result<Swept, LabError> {
    let (_lock, runner) = begin(plan, settings, on_event)?;
    let mut sweep = Sweep::new(plan, world, settings, runner, on_event)?;
    sweep.control.begin()?;
    let needs_rates =
        matches!((&plan.budget, &world.trainer), (Budget::Seconds(_), TrainerSpec::Workload { .. }));
    if settings.pilots || needs_rates {
        sweep.measure()?;
    }
    sweep.go(store)
}

/// Takes the root, and ends what an earlier runner left.
fn begin(
    plan: &Plan,
    settings: &Settings,
    on_event: &mut dyn FnMut(Event),
) -> Result<(Lock, String), LabError> {
    let folder = settings.root.folder();
    fs::create_dir_all(folder).map_err(|error| {
        LabError::Input(format!("cannot create {}: {error}; give another folder by --out", folder.display()))
    })?;
    let lock =
        Lock::take(&settings.root, &plan.name, settings.wait, &mut |text| on_event(Event::Note(text)))?;
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let runner = format!("{}.{nanos}", std::process::id());
    strays::end_strays(&settings.root, &runner);
    Ok((lock, runner))
}

/// A trial that waits.
struct Waiting {
    id: String,
    spec: TrialSpec,
    /// In which order it was asked for.
    order: usize,
}

/// A trial that runs.
struct Going {
    id: String,
    spec: TrialSpec,
    order: usize,
    child: Running,
    started: Instant,
    log: Option<String>,
    micro_batch: u64,
    bytes: u64,
    examples: u64,
    value: Option<f64>,
    report: Option<Result<Report, String>>,
    /// Why the runner ended it.
    cut: Option<(EndKind, String)>,
    asked: Option<Instant>,
    oom_kills: u64,
}

/// A sweep that is going on.
struct Sweep<'a> {
    plan: &'a Plan,
    world: World,
    settings: &'a Settings,
    runner: String,
    control: Control,
    pilots: Pilots,
    rungs: Option<(Rungs, RungUnit)>,
    scores: HashMap<String, Score>,
    known: HashSet<String>,
    queue: Vec<Waiting>,
    going: HashMap<usize, Going>,
    generated: Generated,
    micro: HashMap<String, u64>,
    /// Bytes that a trial is given beyond its prediction, which was too low.
    grants: HashMap<String, u64>,
    /// Ends of attempts that count against a trial but not in this sweep, and those that left no log.
    forgiven: HashMap<String, usize>,
    lost: HashMap<String, usize>,
    /// Rungs at which trials are to be stopped.
    verdicts: HashMap<String, f64>,
    next_key: usize,
    n_done: usize,
    n_failed: usize,
    n_ran: usize,
    is_paused: bool,
    /// Whether a trial has ended since the plan was asked last.
    has_news: bool,
    /// The sweep's file as it was written last.
    written: Option<SweepFile>,
    on_event: &'a mut dyn FnMut(Event),
    sender: Sender<(usize, Heard)>,
    receiver: Receiver<(usize, Heard)>,
}

impl<'a> Sweep<'a> {
    fn new(
        plan: &'a Plan,
        world: &World,
        settings: &'a Settings,
        runner: String,
        on_event: &'a mut dyn FnMut(Event),
    ) -> Result<Self, LabError> {
        let (sender, receiver) = channel();
        let rungs = match &plan.prune {
            None => None,
            Some(prune) => {
                let first = prune.first_rung(world)?;
                Some((Rungs::new(plan.judge, first, prune.factor), prune.unit))
            }
        };
        Ok(Self {
            plan,
            world: world.clone(),
            settings,
            runner,
            control: Control::new(&settings.root, &plan.name),
            pilots: Pilots::default(),
            rungs,
            scores: HashMap::new(),
            known: HashSet::new(),
            queue: Vec::new(),
            going: HashMap::new(),
            generated: Generated::default(),
            micro: HashMap::new(),
            grants: HashMap::new(),
            forgiven: HashMap::new(),
            lost: HashMap::new(),
            verdicts: HashMap::new(),
            next_key: 0,
            n_done: 0,
            n_failed: 0,
            n_ran: 0,
            is_paused: false,
            has_news: false,
            written: None,
            on_event,
            sender,
            receiver,
        })
    }

    /// Runs the pilots, and takes from them what a budget in seconds needs.
    fn measure(&mut self) -> Result<(), LabError> {
        let mut world = self.world.clone();
        // Any length will do to try a batch size.
        world.examples_per_second = self.plan.batches.iter().map(|batch| (*batch, 1e6)).collect();
        let trials = self.plan.generate(&world, &mut |_| None)?.trials;
        let on_event = &mut *self.on_event;
        let mut note = |text| on_event(Event::Note(text));
        self.pilots = pilots::run(self.plan, &trials, self.settings, &self.runner, &mut note)?;
        for known in &self.pilots.known {
            if let Err(why) = &known.pilot {
                let batch = known.batch;
                (self.on_event)(Event::Note(format!("the pilot at batch {batch} measured nothing: {why}")));
            }
        }
        self.world.examples_per_second = self.pilots.examples_per_second();
        Ok(())
    }

    /// What is known of all trials that have a folder and could be the plan's.
    fn scores_on_disk(&self) -> Result<HashMap<String, Score>, LabError> {
        let mut scores = HashMap::new();
        let mut failure = None;
        // Brackets grow with what is known: asked for until nothing new is found.
        loop {
            let before = scores.len();
            let generated = self.plan.generate(&self.world, &mut |id| scores.get(id).copied())?;
            for spec in &generated.trials {
                let id = spec.id()?;
                if scores.contains_key(&id) {
                    continue;
                }
                match self.settings.root.trial(&id).result() {
                    Ok(Some(result)) => {
                        scores.insert(id, Score::of(spec, &result));
                    }
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
            if scores.len() == before {
                return Ok(scores);
            }
        }
    }

    /// What these trials will take, the longest first as they are started.
    fn predict(&self, trials: &[&TrialSpec]) -> Prediction {
        let costs: Vec<_> = trials.iter().filter_map(|spec| self.pilots.cost(spec)).collect();
        let mut seconds: Vec<f64> = costs.iter().map(|cost| cost.seconds).collect();
        seconds.sort_by(|a, b| b.total_cmp(a));
        let mut bytes: Vec<u64> = costs.iter().filter_map(|cost| cost.bytes).collect();
        bytes.sort_unstable_by(|a, b| b.cmp(a));
        let jobs = usize::try_from(self.settings.jobs).unwrap_or(1);
        let disk = costs.iter().map(|cost| cost.disk_bytes).sum();
        Prediction {
            trials: trials.len(),
            unknown: trials.len() - costs.len(),
            seconds: makespan(seconds, self.settings.jobs),
            bytes: (!bytes.is_empty()).then(|| bytes.iter().take(jobs).sum()),
            disk_bytes: disk,
        }
    }

    fn go(mut self, store: &mut dyn FnMut(&str)) -> Result<Swept, LabError> {
        let start = Instant::now();
        self.ask(store)?;
        let prediction = (!self.pilots.known.is_empty()).then(|| {
            let waiting: Vec<&TrialSpec> = self.queue.iter().map(|waiting| &waiting.spec).collect();
            self.predict(&waiting)
        });
        let (mut asked_at, mut shown_at) = (Instant::now(), None::<Instant>);
        let mut stop = None;
        loop {
            if stop.is_none() {
                stop = self.wishes()?;
            }
            if stop.is_none() {
                let is_short = self.queue.len() < 2 * usize::try_from(self.settings.jobs).unwrap_or(1);
                let is_time = is_short || Duration::from_secs(1) < asked_at.elapsed();
                if self.has_news && self.generated.may_grow && is_time {
                    self.ask(store)?;
                    (self.has_news, asked_at) = (false, Instant::now());
                }
                self.start_some()?;
            }
            if self.going.is_empty() && (stop.is_some() || self.queue.is_empty()) {
                break;
            }
            if shown_at.is_none_or(|at| TABLE <= at.elapsed()) {
                let table = self.table();
                (self.on_event)(Event::Table(table));
                shown_at = Some(Instant::now());
            }
            match self.receiver.recv_timeout(TICK) {
                Ok((key, heard)) => {
                    if let Err(error) = self.hear(key, heard, store) {
                        self.stop_all();
                        stop.get_or_insert(error);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.end_late();
        }
        let is_complete = stop.is_none();
        let written = self.write_file(is_complete);
        let table = self.table();
        (self.on_event)(Event::Table(table));
        match stop {
            Some(error) => Err(error),
            None => Ok(Swept {
                file: written?,
                done: self.n_done,
                failed: self.n_failed,
                ran: self.n_ran,
                seconds: start.elapsed().as_secs_f64(),
                prediction,
            }),
        }
    }

    /// Asks the plan for trials, given what is known now.
    fn ask(&mut self, store: &mut dyn FnMut(&str)) -> Result<(), LabError> {
        loop {
            let scores = &self.scores;
            self.generated = self.plan.generate(&self.world, &mut |id| scores.get(id).copied())?;
            let trials = std::mem::take(&mut self.generated.trials);
            let mut is_news = false;
            for (order, spec) in trials.iter().enumerate() {
                let id = spec.id()?;
                if self.known.insert(id.clone()) {
                    is_news |= self.meet(id, spec, order, store)?;
                }
            }
            self.generated.trials = trials;
            // What was there already may widen a bracket further.
            if !is_news {
                break;
            }
        }
        self.write_file(false).map(|_| ())
    }

    /// Meets a trial for the first time; whether something is known of it already.
    fn meet(
        &mut self,
        id: String,
        spec: &TrialSpec,
        order: usize,
        store: &mut dyn FnMut(&str),
    ) -> Result<bool, LabError> {
        let folder = self.settings.root.trial(&id);
        folder.create(spec)?;
        if let Some(result) = folder.result()? {
            self.n_done += 1;
            self.scores.insert(id.clone(), Score::of(spec, &result));
            self.remember_rungs(&folder, spec, Some(&result))?;
            store(&id);
            return Ok(true);
        }
        strays::close_attempts(&self.settings.root, &id)?;
        if folder.failed()?.is_some() {
            if !self.settings.retry_failed {
                self.n_failed += 1;
                self.scores.insert(id.clone(), Score::Failed);
                store(&id);
                return Ok(true);
            }
            self.control.want(&id)?;
            self.forgiven.insert(id.clone(), failures(&folder)?);
            let path = folder.path("failed.json");
            fs::remove_file(&path).map_err(|source| LabError::io("remove", &path, source))?;
        }
        self.remember_rungs(&folder, spec, None)?;
        if let Some(micro_batch) = micro_batch_after_memory(&folder)? {
            self.micro.insert(id.clone(), micro_batch);
        }
        self.queue.push(Waiting { id, spec: spec.clone(), order });
        Ok(false)
    }

    /// What the user wants; an error ends the sweep.
    fn wishes(&mut self) -> Result<Option<LabError>, LabError> {
        if process::is_cancelled() {
            self.stop_all();
            let folder = self.settings.root.folder().display();
            return Ok(Some(LabError::Stopped(format!(
                "stopped; what is done lies in {folder}: the same command goes on from there"
            ))));
        }
        if !self.control.is_any() {
            return Ok(None);
        }
        if self.control.is_cancelled() {
            self.stop_all();
            return Ok(Some(LabError::Stopped(format!(
                "the sweep `{}` was cancelled; the same command goes on with it",
                self.plan.name
            ))));
        }
        let is_paused = self.control.is_paused();
        if is_paused && !self.is_paused {
            (self.on_event)(Event::Note(format!("paused: go on by `runs resume {}`", self.plan.name)));
            for going in self.going.values_mut() {
                if matches!(going.spec.trainer, TrainerSpec::Workload { .. }) {
                    going.child.stop();
                }
            }
        }
        self.is_paused = is_paused;
        let mut given_up = Vec::new();
        self.queue.retain(|waiting| {
            let is_cancelled = self.control.is_trial_cancelled(&waiting.id);
            if is_cancelled {
                given_up.push(waiting.id.clone());
            }
            !is_cancelled
        });
        self.has_news |= !given_up.is_empty();
        for id in given_up {
            let reason = "the user gave it up".to_owned();
            let end = AttemptEnd { at: now(), kind: EndKind::Cancelled, reason };
            self.settings.root.trial(&id).write_failed(&end)?;
            self.scores.insert(id, Score::Failed);
            self.n_failed += 1;
        }
        for going in self.going.values_mut() {
            if going.cut.is_none() && self.control.is_trial_cancelled(&going.id) {
                going.cut = Some((EndKind::Cancelled, "the user gave it up".to_owned()));
                going.child.kill();
            }
        }
        Ok(None)
    }

    /// Asks all trials to store where they are and end.
    fn stop_all(&mut self) {
        for going in self.going.values_mut() {
            going.child.stop();
            going.asked.get_or_insert_with(Instant::now);
        }
    }

    /// Ends trials that take longer to stop than they may, or longer than they were given.
    fn end_late(&mut self) {
        let limit = self.plan.limits.seconds;
        for going in self.going.values_mut() {
            if going.cut.is_some() {
                continue;
            }
            if going.asked.is_some_and(|at| GRACE < at.elapsed()) {
                going.cut = Some((EndKind::Stopped, "stopped".to_owned()));
                going.child.kill();
            } else if let Some(limit) = limit
                // The child keeps the limit itself; one that hangs does not.
                && limit + GRACE.as_secs_f64() < going.started.elapsed().as_secs_f64()
            {
                going.cut = Some((EndKind::Time, format!("it took more than the {limit} s it was given")));
                going.child.kill();
            }
        }
    }

    /// Starts trials while there are places, memory and trials.
    fn start_some(&mut self) -> Result<(), LabError> {
        while !self.is_paused && (self.going.len() as u64) < self.settings.jobs && !process::is_cancelled() {
            let Some(index) = self.next() else { break };
            let waiting = self.queue.remove(index);
            self.start(waiting)?;
        }
        Ok(())
    }

    /// The trial that is next and fits.
    fn next(&self) -> Option<usize> {
        use crate::plan::First;
        let taken: u64 = self.going.values().map(|going| going.bytes).sum();
        let free = self.settings.memory.saturating_sub(taken);
        let has_wishes = self.control.is_any();
        let rank = |waiting: &Waiting| {
            let is_first = has_wishes && self.control.is_first(&waiting.id);
            let seconds = self.pilots.cost(&waiting.spec).map_or(0.0, |cost| cost.seconds);
            let by = match self.plan.limits.first {
                First::Plan => 0.0,
                First::Short => seconds,
                First::Long => -seconds,
            };
            (!is_first, by, waiting.order)
        };
        let fits =
            |waiting: &Waiting| self.going.is_empty() || self.bytes_of(&waiting.id, &waiting.spec) <= free;
        let candidates = self.queue.iter().enumerate().filter(|(_, waiting)| fits(waiting));
        let before = |a: &(bool, f64, usize), b: &(bool, f64, usize)| {
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        };
        candidates.map(|(i, waiting)| (i, rank(waiting))).min_by(|a, b| before(&a.1, &b.1)).map(|(i, _)| i)
    }

    /// Bytes that a trial is believed to take: its pilot's peak with a margin, or its share.
    fn bytes_of(&self, id: &str, spec: &TrialSpec) -> u64 {
        if let Some(bytes) = self.grants.get(id) {
            return *bytes;
        }
        match self.pilots.cost(spec).and_then(|cost| cost.bytes) {
            Some(bytes) => bytes + bytes / 20 + (4 << 20),
            None => self.settings.memory / self.settings.jobs.max(1),
        }
    }

    fn start(&mut self, waiting: Waiting) -> Result<(), LabError> {
        let Waiting { id, spec, order } = waiting;
        let bytes = self.bytes_of(&id, &spec);
        let usual = self.pilots.of(&spec).map_or(spec.batch, |known| known.micro_batch);
        let micro_batch = self.micro.get(&id).copied().unwrap_or(usual);
        let limits = &self.plan.limits;
        let request = Request {
            root: self.settings.root.folder().to_owned(),
            trial: id.clone(),
            runner: Some(self.runner.clone()),
            data_dir: self.settings.data_dir.clone(),
            folder: self.settings.folder.clone(),
            micro_batch,
            threads: limits.threads,
            limit_bytes: self.settings.memory_is_given.then_some(bytes),
            seconds: limits.seconds,
            silence: limits.silence,
            output: limits.output,
            pilot: None,
        };
        let key = self.next_key;
        self.next_key += 1;
        let child = Running::start(&self.settings.child, &request, key, &self.sender)?;
        let going = Going {
            id,
            spec,
            order,
            child,
            started: Instant::now(),
            log: None,
            micro_batch,
            bytes,
            examples: 0,
            value: None,
            report: None,
            cut: None,
            asked: None,
            oom_kills: oom_kills(),
        };
        self.going.insert(key, going);
        Ok(())
    }

    /// Takes in what a child did; an error ends the sweep.
    fn hear(&mut self, key: usize, heard: Heard, store: &mut dyn FnMut(&str)) -> Result<(), LabError> {
        let Some(going) = self.going.get_mut(&key) else { return Ok(()) };
        match heard {
            Heard::Message(Message::Point { value }) => match serde_json::from_value(value) {
                Ok(News::Begun { log, .. }) => going.log = Some(log),
                Ok(News::At { examples, seconds, value }) => {
                    going.examples = examples;
                    if let Some(value) = value {
                        going.value = Some(value);
                        self.meet_rung(key, examples, seconds, value);
                    }
                }
                Err(_) => {}
            },
            Heard::Message(Message::Done { value }) => {
                going.report = Some(serde_json::from_value(value).map_err(|error| error.to_string()));
            }
            Heard::Message(Message::Failed { text, .. }) => going.report = Some(Err(text)),
            Heard::Garbage(line) => going.report = Some(Err(format!("the child said `{line}`"))),
            Heard::Message(Message::Progress { .. }) => {}
            Heard::Ended(status, words) => {
                if let Some(going) = self.going.remove(&key) {
                    let id = going.id.clone();
                    self.has_news = true;
                    let settled = self.settle(going, status, &words);
                    store(&id);
                    return settled;
                }
            }
        }
        Ok(())
    }

    /// Whether a run is stopped at a rung.
    fn meet_rung(&mut self, key: usize, examples: u64, seconds: f64, value: f64) {
        let Some((rungs, unit)) = &mut self.rungs else { return };
        let Some(going) = self.going.get_mut(&key) else { return };
        let at = if *unit == RungUnit::Seconds { seconds } else { examples as f64 };
        let group: Group = (going.spec.batch, parameters_in_words(&going.spec));
        if let Some(rung) = rungs.observe(&group, &going.id, at, value) {
            self.verdicts.insert(going.id.clone(), rung);
        }
        // One that was killed before it could obey is told again, once it is there again.
        if let Some(rung) = self.verdicts.get(&going.id).filter(|rung| **rung <= at) {
            going.child.prune(*rung);
        }
    }

    /// Takes in how an attempt ended; an error ends the sweep.
    fn settle(&mut self, going: Going, status: Option<ExitStatus>, words: &str) -> Result<(), LabError> {
        let folder = self.settings.root.trial(&going.id);
        // It may have been killed right after it had brought its result.
        if let Some(result) = folder.result()? {
            let differs = matches!(going.report, Some(Ok(Report::Result { differs: true })));
            self.settle_result(&going, &result, differs);
            return Ok(());
        }
        let was_oom = going.oom_kills < oom_kills();
        let end = match (&going.cut, &going.report) {
            // The system took the trainer and left the attempt, which cannot know why.
            (None, Some(Ok(Report::Ended(end))))
                if was_oom && end.kind == EndKind::Killed && end.reason.contains("signal 9") =>
            {
                let reason = "the system ended it for want of memory".to_owned();
                let end = AttemptEnd { kind: EndKind::Memory, reason, ..end.clone() };
                if let Some(log) = &going.log {
                    folder.write_end(log, &end)?;
                }
                end
            }
            (None, Some(Ok(Report::Ended(end)))) => end.clone(),
            (cut, report) => {
                let (kind, reason) = match (cut, report) {
                    (Some(cut), _) => cut.clone(),
                    (None, Some(Err(text))) if is_disk(text) => (EndKind::Disk, text.clone()),
                    (None, Some(Err(text))) => (EndKind::Error, text.clone()),
                    _ => died(status, words, was_oom),
                };
                let end = AttemptEnd { at: now(), kind, reason };
                match log_of(&folder, &going)? {
                    Some(log) => folder.write_end(&log, &end)?,
                    // It did not come as far as its log.
                    None if end.kind.counts() => *self.lost.entry(going.id.clone()).or_default() += 1,
                    None => {}
                }
                end
            }
        };
        self.settle_end(going, &folder, end)
    }

    /// Takes in at which rungs a trial was that an earlier runner saw.
    fn remember_rungs(
        &mut self,
        folder: &TrialFolder,
        spec: &TrialSpec,
        result: Option<&TrialResult>,
    ) -> Result<(), LabError> {
        let Some((rungs, unit)) = &mut self.rungs else { return Ok(()) };
        let group: Group = (spec.batch, parameters_in_words(spec));
        for log in folder.logs()? {
            for line in folder.log(&log)? {
                let LogLine::Evaluation { seconds, evaluation } = line else { continue };
                let at = if *unit == RungUnit::Seconds { seconds } else { evaluation.examples as f64 };
                let value = evaluation.get(spec.judge.field);
                if let Some(rung) = value.and_then(|value| rungs.observe(&group, folder.id(), at, value)) {
                    self.verdicts.insert(folder.id().to_owned(), rung);
                }
            }
        }
        if let Some(result) = result {
            end_at_rungs(rungs, &group, folder.id(), result);
        }
        Ok(())
    }

    fn settle_result(&mut self, going: &Going, result: &TrialResult, differs: bool) {
        if let Some((rungs, _)) = &mut self.rungs {
            end_at_rungs(rungs, &(going.spec.batch, parameters_in_words(&going.spec)), &going.id, result);
        }
        self.n_done += 1;
        self.n_ran += 1;
        self.scores.insert(going.id.clone(), Score::of(&going.spec, result));
        if differs {
            (self.on_event)(Event::Note(format!(
                "{}: two attempts brought different results, so training is not deterministic",
                going.spec.label()
            )));
        }
        let result = in_words(&going.spec, result);
        (self.on_event)(Event::Done { trial: going.spec.label(), result });
    }

    fn settle_end(&mut self, going: Going, folder: &TrialFolder, end: AttemptEnd) -> Result<(), LabError> {
        let Going { id, spec, order, micro_batch, bytes, .. } = going;
        let label = spec.label();
        let mut say = |again: bool, end: &AttemptEnd| {
            let (kind, reason) = (end.kind, end.reason.clone());
            (self.on_event)(Event::Ended { trial: label.clone(), kind, reason, again });
        };
        match end.kind {
            EndKind::Stopped | EndKind::RunnerGone => {
                // It goes on where it was, now or with the next runner.
                self.queue.push(Waiting { id, spec, order });
                return Ok(());
            }
            EndKind::Disk => {
                say(true, &end);
                let reason = end.reason;
                return Err(LabError::Stopped(format!(
                    "{label}: {reason}; nothing that was done is lost: make room and run the same command"
                )));
            }
            _ => {}
        }
        let failures = (failures(folder)? + self.lost.get(&id).copied().unwrap_or(0))
            .saturating_sub(self.forgiven.get(&id).copied().unwrap_or(0));
        let can_shrink = match &spec.trainer {
            TrainerSpec::Workload { .. } => true,
            TrainerSpec::Command { command, .. } => command.iter().any(|a| a.contains("{micro_batch}")),
        };
        let mut again = (failures as u64) <= self.plan.limits.retries
            && !matches!(end.kind, EndKind::Cancelled | EndKind::NoResult | EndKind::Output | EndKind::Time);
        if end.kind == EndKind::Memory {
            // Not a matter of luck. Where it was given less than there is, its prediction was too low; else only a smaller
            // micro-batch helps, and that changes nothing else.
            let can_grow = self.settings.memory_is_given && bytes < self.settings.memory;
            again = can_grow || (can_shrink && 1 < micro_batch);
            if can_grow {
                self.grants.insert(id.clone(), bytes.saturating_mul(2).min(self.settings.memory));
            } else if again {
                self.micro.insert(id.clone(), micro_batch.div_ceil(2));
            }
        }
        say(again, &end);
        if again {
            self.queue.push(Waiting { id, spec, order });
        } else {
            folder.write_failed(&end)?;
            self.n_failed += 1;
            self.scores.insert(id, Score::Failed);
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut rows: Vec<&Going> = self.going.values().collect();
        rows.sort_by_key(|going| going.started);
        let left_of = |going: &Going| {
            let seconds = going.started.elapsed().as_secs_f64();
            match self.pilots.cost(&going.spec) {
                Some(cost) => Some((cost.seconds - seconds).max(0.0)),
                None if 0 < going.examples && going.spec.examples < 1 << 50 => {
                    Some(seconds * (going.spec.examples as f64 / going.examples as f64 - 1.0).max(0.0))
                }
                None => None,
            }
        };
        let mut costs: Option<Vec<f64>> =
            Some(rows.iter().map(|going| left_of(going).unwrap_or(0.0)).collect());
        for waiting in &self.queue {
            match (self.pilots.cost(&waiting.spec), &mut costs) {
                (Some(cost), Some(costs)) => costs.push(cost.seconds),
                _ => costs = None,
            }
        }
        Table {
            running: rows
                .iter()
                .map(|going| Row {
                    trial: going.spec.label(),
                    examples: going.examples,
                    of: going.spec.examples,
                    value: going.value,
                    seconds: going.started.elapsed().as_secs_f64(),
                    seconds_left: left_of(going),
                })
                .collect(),
            done: self.n_done,
            failed: self.n_failed,
            waiting: self.queue.len(),
            may_grow: self.generated.may_grow,
            is_paused: self.is_paused,
            seconds_left: costs.map(|costs| makespan(costs, self.settings.jobs)),
        }
    }

    fn write_file(&mut self, is_complete: bool) -> Result<SweepFile, LabError> {
        let mut machine = self.settings.machine.clone();
        machine.insert("jobs".to_owned(), self.settings.jobs.to_string());
        machine.insert("threads".to_owned(), self.plan.limits.threads.to_string());
        let file = SweepFile {
            version: VERSION,
            name: self.plan.name.clone(),
            trainer: self.settings.trainer.clone(),
            unit: self.settings.unit.clone(),
            dataset_examples: self.world.dataset_examples,
            trials: self.generated.trials.iter().map(TrialSpec::id).collect::<Result<_, _>>()?,
            brackets: self.generated.brackets.clone(),
            is_complete: is_complete && !self.generated.may_grow,
            machine,
        };
        if self.written.as_ref() != Some(&file) {
            file.write(&self.settings.root)?;
            self.written = Some(file.clone());
        }
        Ok(file)
    }
}

/// Takes in how a run ended, at the rungs that it did not come to.
fn end_at_rungs(rungs: &mut Rungs, group: &Group, trial: &str, result: &TrialResult) {
    if result.reached.is_some() {
        rungs.end(group, trial, RunEnd::Reached);
    } else if result.has_diverged() {
        rungs.end(group, trial, RunEnd::Diverged);
    }
}

/// Attempts whose ends count against a trial.
fn failures(folder: &TrialFolder) -> Result<usize, LabError> {
    let record = folder.record()?;
    Ok(record.attempts.iter().filter_map(|a| a.end.as_ref()).filter(|end| end.kind.counts()).count())
}

/// The micro-batch to go on with where the last attempt took more memory than there is.
fn micro_batch_after_memory(folder: &TrialFolder) -> Result<Option<u64>, LabError> {
    let Some(log) = folder.logs()?.pop() else { return Ok(None) };
    if folder.end(&log)?.is_none_or(|end| end.kind != EndKind::Memory) {
        return Ok(None);
    }
    let begin = folder.log(&log)?.into_iter().find_map(|line| match line {
        LogLine::Begin(begin) => Some(begin.micro_batch),
        _ => None,
    });
    Ok(begin.map(|micro_batch| micro_batch.div_ceil(2)))
}

/// How a child ended that had no last word.
fn died(status: Option<ExitStatus>, words: &str, was_oom: bool) -> (EndKind, String) {
    let words = words.trim();
    let last = if words.is_empty() { String::new() } else { format!(": {words}") };
    let signal = status.and_then(|status| status.signal());
    match (signal, status) {
        _ if words.contains("memory allocation of") => {
            (EndKind::Memory, format!("it took more memory than it was given{last}"))
        }
        (Some(9), _) if was_oom => (EndKind::Memory, "the system ended it for want of memory".to_owned()),
        (Some(signal), _) => (EndKind::Killed, format!("signal {signal} ended it{last}")),
        (None, Some(status)) => (EndKind::Error, format!("it ended without a last word ({status}){last}")),
        (None, None) => (EndKind::Error, format!("nobody knows how it ended{last}")),
    }
}

/// The log of an attempt, also where it was killed before it could say which.
fn log_of(folder: &TrialFolder, going: &Going) -> Result<Option<String>, LabError> {
    if going.log.is_some() {
        return Ok(going.log.clone());
    }
    let pid = format!(".{}.", going.child.pid());
    for log in folder.logs()?.into_iter().rev() {
        if log.contains(&pid) && folder.end(&log)?.is_none() {
            return Ok(Some(log));
        }
    }
    Ok(None)
}

/// How many processes the system has ended for want of memory, as far as it tells.
pub(super) fn oom_kills() -> u64 {
    let count = |path: &str, key: &str| {
        let text = fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
    };
    count("/proc/vmstat", "oom_kill ").unwrap_or(0)
        + count("/sys/fs/cgroup/memory.events", "oom_kill ").unwrap_or(0)
}

/// What a trial brought, in a few words.
fn in_words(spec: &TrialSpec, result: &TrialResult) -> String {
    use crate::trial::EndOfTrial;
    let judged = result.get(spec.judge.field).map_or_else(String::new, |value| {
        let value = crate::report::text::digits(value, 4);
        format!(", {} {value}", spec.judge.name())
    });
    let after = format!("after {} examples{judged}", crate::report::text::int(result.examples));
    match &result.end {
        EndOfTrial::Target => {
            let at = result.reached.map_or(result.examples as f64, |reached| reached.examples.value);
            format!("target reached at {} examples", crate::report::text::int(at.round() as u64))
        }
        EndOfTrial::Finished => format!("finished {after}"),
        EndOfTrial::Patience => format!("no longer better {after}"),
        EndOfTrial::Diverged { why } => format!("diverged: {why}"),
        EndOfTrial::Pruned { rung } => format!("stopped at rung {rung}{judged}"),
    }
}

/// How good predictions were, over the trials of a sweep.
///
/// # Errors
/// Files that cannot be read.
pub fn check_predictions(settings: &Settings, file: &SweepFile) -> Result<Option<PredictionCheck>, LabError> {
    let path = settings.root.sweep(&file.name).join("pilots.json");
    let Ok(text) = fs::read(&path) else { return Ok(None) };
    let Ok(pilots) = serde_json::from_slice::<Pilots>(&text) else { return Ok(None) };
    let mut check = PredictionCheck { trials: 0, predicted_seconds: 0.0, seconds: 0.0, worst_memory: None };
    for id in &file.trials {
        let folder = settings.root.trial(id);
        let record = folder.record()?;
        // One attempt from start to end: what was killed in between was not predicted.
        let (Some(result), Some(measured), 1) = (record.result, record.measured, record.attempts.len())
        else {
            continue;
        };
        let Some(cost) = pilots.cost_of(&record.spec, result.examples) else { continue };
        check.trials += 1;
        check.predicted_seconds += cost.seconds;
        check.seconds += measured.wall_seconds;
        if let (Some(predicted), Some(seen)) = (cost.bytes, measured.peak_bytes.filter(|bytes| 0 < *bytes)) {
            let off = (predicted as f64 / seen as f64 - 1.0).abs();
            check.worst_memory = Some(check.worst_memory.map_or(off, |worst: f64| worst.max(off)));
        }
    }
    Ok((0 < check.trials).then_some(check))
}
