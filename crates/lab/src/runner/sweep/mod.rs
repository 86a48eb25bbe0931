//! The runner's loop: asks the plan for trials, starts them as places become free, takes in how they end.

mod ask;
mod forecast;
mod hear;
mod start;
mod table;
mod wishes;

pub use forecast::{Prediction, PredictionCheck, check_predictions};
use hear::failures;

use super::child::{Heard, Running};
use super::control::Control;
use super::event::Event;
use super::lock::Lock;
use super::predict::Pilots;
use super::request::Report;
use super::rungs::{Group, RunEnd, Rungs};
use super::settings::Settings;
use super::strays;
use crate::LabError;
use crate::plan::{Budget, Generated, Plan, RungUnit, Score, World};
use crate::sweep::SweepFile;
use crate::trial::{EndKind, TrainerSpec, TrialResult, TrialSpec, VERSION};
use std::collections::{HashMap, HashSet};
use std::fs;
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

/// How many processes the system has ended for want of memory, as far as it tells.
pub(super) fn oom_kills() -> u64 {
    let count = |path: &str, key: &str| {
        let text = fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
    };
    count("/proc/vmstat", "oom_kill ").unwrap_or(0)
        + count("/sys/fs/cgroup/memory.events", "oom_kill ").unwrap_or(0)
}
