//! What a plan means: all values checked, nothing measured yet.

use super::error::KeyProblem;
use super::file::{ParameterFile, PlanFile, RangeFile, SeedsFile};
use super::grid;
use crate::bytes;
use crate::trial::{Judge, Parameter, Target};
use batchwise_schedule::change::Period;
use batchwise_schedule::{Length, LrSpec};
use std::collections::{BTreeMap, BTreeSet};

/// A plan, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the sweep.
    pub name: String,
    /// What trains.
    pub trainer: TrainerPlan,
    /// The batch sizes, ascending.
    pub batches: Vec<u64>,
    /// The learning rates.
    pub rates: Rates,
    /// How they follow the batch size.
    pub rule: Rule,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Further hyper-parameters.
    pub grid: Grid,
    /// The most that a run may take.
    pub budget: Budget,
    /// What is judged.
    pub judge: Judge,
    /// What ends a run.
    pub target: Option<Target>,
    /// Evaluations running that must meet the target.
    pub confirm: u32,
    /// From one evaluation to the next.
    pub evaluate_every: Option<Length>,
    /// Schedule of the learning rate, without its peak.
    pub schedule: String,
    /// A run ends where nothing was better for so long.
    pub patience: Option<Length>,
    /// What trials may take.
    pub limits: Limits,
    /// When trials are stopped because others are better.
    pub prune: Option<Prune>,
}

/// What trains.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainerPlan {
    /// A workload of the program.
    Workload {
        /// Its name; without it the one that suits the data.
        model: Option<String>,
        /// The data set.
        data: Option<String>,
        /// The optimizer's name.
        optimizer: Option<String>,
        /// The device.
        device: Option<String>,
    },
    /// Another program.
    Command {
        /// Program and arguments.
        command: Vec<String>,
        /// The files it is made of, if they are named.
        files: Option<Vec<String>>,
        /// Examples in its training set.
        dataset_size: Option<u64>,
        /// What a batch size counts, in the plural.
        unit: String,
    },
}

/// The learning rates at the batch size where they hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Rates {
    /// These, ascending.
    Listed(Vec<f64>),
    /// A bracket for each batch size, which widens.
    Bracket {
        /// Its middle.
        start: f64,
        /// From one to the next, above 1.
        factor: f64,
        /// How many it begins with.
        points: u64,
        /// How often it widens at most.
        widenings: u64,
    },
    /// Anything between two ends, for sampled points.
    Range(f64, f64),
}

/// How learning rates follow the batch size: times (B/at)^exponent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// 0: not at all; ½: its root; 1: linearly.
    pub exponent: f64,
    /// The batch size at which they hold as they stand.
    pub at_batch: u64,
}

impl Rule {
    /// By what a learning rate is multiplied at this batch size.
    #[must_use]
    pub fn factor(&self, batch: u64) -> f64 {
        match self.exponent {
            0.0 => 1.0,
            exponent => (batch as f64 / self.at_batch as f64).powf(exponent),
        }
    }
}

/// Further hyper-parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum Grid {
    /// Every combination of these.
    Full(BTreeMap<String, Vec<Parameter>>),
    /// Points spread over them, over the batch sizes and over the learning rates.
    Sampled {
        /// Of each hyper-parameter.
        values: BTreeMap<String, Values>,
        /// How many points.
        points: u64,
        /// Where the sequence begins.
        skip: u64,
    },
}

/// What a sampled hyper-parameter may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// One of these.
    Listed(Vec<Parameter>),
    /// Between two ends.
    Range {
        /// The smallest.
        from: f64,
        /// The largest.
        to: f64,
        /// Whether equal ratios are equally likely.
        log: bool,
    },
}

/// The most that a run may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Examples, tokens or epochs.
    Length(Length),
    /// Optimizer steps.
    Steps(u64),
    /// Seconds of training.
    Seconds(f64),
}

/// What trials may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Trials at once; none: as many as cores and memory allow.
    pub jobs: Option<u64>,
    /// Threads of each trial.
    pub threads: u64,
    /// Bytes of all trials together.
    pub memory: Option<u64>,
    /// Seconds of one attempt.
    pub seconds: Option<f64>,
    /// Seconds without a line after which a command is taken to hang.
    pub silence: f64,
    /// Bytes that a command may print.
    pub output: u64,
    /// How often a trial is tried again.
    pub retries: u64,
    /// Which trials come first.
    pub first: First,
}

/// Which trials come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// In the plan's order.
    Plan,
    /// Those that are predicted to take least.
    Short,
    /// Those that are predicted to take longest.
    Long,
}

/// Successive halving.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prune {
    /// The first rung.
    pub first: f64,
    /// What rungs count.
    pub unit: RungUnit,
    /// From one rung to the next, and the part that goes on; above 1.
    pub factor: f64,
}

/// What rungs count: never steps, of which a small batch needs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RungUnit {
    /// Examples.
    Examples,
    /// Epochs, which become examples.
    Epochs,
    /// Seconds of training.
    Seconds,
}

/// Batch sizes, learning rates and values at most, so that a slip of the keyboard makes no million trials.
const MOST_VALUES: usize = 1000;
/// What a command may print unless the plan says otherwise.
const OUTPUT: u64 = 64 << 20;

type Checked<T> = Result<T, KeyProblem>;

pub(super) fn check(file: &PlanFile, usual_name: &str) -> Checked<Plan> {
    let name = file.name.clone().unwrap_or_else(|| usual_name.to_owned());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || 100 < name.len() || !name.chars().all(is_plain) {
        let problem = format!("`{name}` is no name of a sweep: write letters, digits, `-`, `_` and `.`");
        return Err(KeyProblem::new("name", problem));
    }
    let trainer = trainer(file)?;
    let batches = grid::batches(&file.batch)?;
    let (rates, rule) = grid::rates(&file.lr, &batches)?;
    let seeds = seeds(file)?;
    let grid = parameters(file)?;
    let rates = match (rates, &grid) {
        (Rates::Bracket { .. }, Grid::Sampled { .. }) => {
            let problem = "points that are sampled need `values`, or `from` and `to`; a bracket needs a grid";
            return Err(KeyProblem::new("lr.start", problem));
        }
        (Rates::Listed(_), Grid::Sampled { .. }) if file.lr.values.is_none() => {
            Rates::Range(file.lr.from.unwrap_or(1.0), file.lr.to.unwrap_or(1.0))
        }
        (rates, _) => rates,
    };
    let target = file.run.target.as_deref().map(str::parse::<Target>).transpose();
    let target = target.map_err(|problem| KeyProblem::new("run.target", problem))?;
    let judge = file.run.judge.as_deref().map(str::parse::<Judge>).transpose();
    let judge = judge.map_err(|problem| KeyProblem::new("run.judge", problem))?;
    let judge = match (judge, target) {
        (Some(judge), Some(target)) if judge != target.judge => {
            let problem = format!("a target of {target} is judged by itself: leave one of the two out");
            return Err(KeyProblem::new("run.judge", problem));
        }
        (_, Some(target)) => target.judge,
        (Some(judge), None) => judge,
        (None, None) => Judge::LOSS,
    };
    let confirm = file.run.confirm.unwrap_or(1);
    if confirm == 0 {
        return Err(KeyProblem::new("run.confirm", "it must be at least 1"));
    }
    let schedule = file.run.schedule.clone().unwrap_or_else(|| "constant".to_owned());
    match schedule.parse::<LrSpec>() {
        Ok(LrSpec { peak: None, .. }) => {}
        Ok(_) => {
            let problem =
                "a schedule here has no peak, which is each trial's learning rate: write it without";
            return Err(KeyProblem::new("run.schedule", problem));
        }
        Err(error) => return Err(KeyProblem::new("run.schedule", error.to_string())),
    }
    let plan = Plan {
        name,
        batches,
        rates,
        rule,
        seeds,
        grid,
        budget: budget(&file.run.budget)?,
        judge,
        target,
        confirm,
        evaluate_every: length("run.evaluate_every", file.run.evaluate_every.as_deref())?,
        schedule,
        patience: length("run.patience", file.run.patience.as_deref())?,
        limits: limits(file)?,
        prune: prune(file)?,
        trainer,
    };
    placeholders(&plan)?;
    Ok(plan)
}

fn trainer(file: &PlanFile) -> Checked<TrainerPlan> {
    let given = &file.trainer;
    let Some(command) = &given.command else {
        for (key, is_given) in [
            ("files", given.files.is_some()),
            ("dataset_size", given.dataset_size.is_some()),
            ("unit", given.unit.is_some()),
        ] {
            if is_given {
                return Err(KeyProblem::new(
                    format!("trainer.{key}"),
                    "it belongs to a `command`, which is not given",
                ));
            }
        }
        return Ok(TrainerPlan::Workload {
            model: given.model.clone(),
            data: given.data.clone(),
            optimizer: given.optimizer.clone(),
            device: given.device.clone(),
        });
    };
    for (key, is_given) in [
        ("model", given.model.is_some()),
        ("data", given.data.is_some()),
        ("optimizer", given.optimizer.is_some()),
        ("device", given.device.is_some()),
    ] {
        if is_given {
            let problem = "a `command` brings its own: put it among its arguments";
            return Err(KeyProblem::new(format!("trainer.{key}"), problem));
        }
    }
    if command.first().is_none_or(String::is_empty) {
        return Err(KeyProblem::new("trainer.command", "it is empty: name a program and its arguments"));
    }
    if given.dataset_size == Some(0) {
        return Err(KeyProblem::new("trainer.dataset_size", "it must be at least 1"));
    }
    Ok(TrainerPlan::Command {
        command: command.clone(),
        files: given.files.clone(),
        dataset_size: given.dataset_size,
        unit: given.unit.clone().unwrap_or_else(|| "examples".to_owned()),
    })
}

/// Placeholders of a command that are filled for every trial, beside the plan's own hyper-parameters.
pub(super) const PLACEHOLDERS: &[&str] = &[
    "batch",
    "lr",
    "seed",
    "examples",
    "evaluate_every",
    "micro_batch",
    "target",
    "schedule",
    "folder",
    "threads",
    "seconds",
];

/// Names in braces of an argument.
pub(super) fn names_in(argument: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = argument;
    while let Some(at) = rest.find('{') {
        rest = &rest[at + 1..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if 0 < end && rest[end..].starts_with('}') {
            names.push(&rest[..end]);
        }
    }
    names
}

/// What varies must reach the command, and what it asks for must be there.
fn placeholders(plan: &Plan) -> Checked<()> {
    let TrainerPlan::Command { command, .. } = &plan.trainer else { return Ok(()) };
    let used: BTreeSet<&str> = command.iter().flat_map(|argument| names_in(argument)).collect();
    let own: Vec<&String> = match &plan.grid {
        Grid::Full(values) => values.keys().collect(),
        Grid::Sampled { values, .. } => values.keys().collect(),
    };
    for name in &used {
        if !PLACEHOLDERS.contains(name) && !own.iter().any(|own| own == name) {
            let mut known: Vec<&str> = PLACEHOLDERS.to_vec();
            known.extend(own.iter().map(|name| name.as_str()));
            let problem = format!("nothing fills {{{name}}}: there are {}", known.join(", "));
            return Err(KeyProblem::new("trainer.command", problem));
        }
    }
    let needed = ["batch", "lr"].into_iter().chain(own.into_iter().map(String::as_str));
    for name in needed {
        if !used.contains(name) {
            let problem = format!("no argument holds {{{name}}}, so trials would not differ by it");
            return Err(KeyProblem::new("trainer.command", problem));
        }
    }
    let is_open = matches!(plan.budget, Budget::Seconds(_));
    let is_part = |length: &Option<Length>| matches!(length, Some(Length::Fraction(_)));
    if is_open
        && (is_part(&plan.evaluate_every)
            || (plan.evaluate_every.is_none() && used.contains("evaluate_every")))
    {
        let problem = "with a budget in seconds nobody knows a part of the run: write examples or epochs";
        return Err(KeyProblem::new("run.evaluate_every", problem));
    }
    if is_open && is_part(&plan.patience) {
        let problem = "with a budget in seconds nobody knows a part of the run: write examples or epochs";
        return Err(KeyProblem::new("run.patience", problem));
    }
    if is_open && used.contains("examples") {
        let problem = "{examples} is filled with the budget, which is in seconds here: use {seconds}";
        return Err(KeyProblem::new("trainer.command", problem));
    }
    if 1 < plan.seeds.len() && !used.contains("seed") {
        return Err(KeyProblem::new(
            "trainer.command",
            "no argument holds {seed}, but there are several seeds",
        ));
    }
    Ok(())
}

fn seeds(file: &PlanFile) -> Checked<Vec<u64>> {
    let seeds = match &file.seeds {
        None => vec![1],
        Some(SeedsFile::Count(n)) => (1..=(*n).min(MOST_VALUES as u64 + 1)).collect(),
        Some(SeedsFile::List(seeds)) => seeds.clone(),
    };
    let distinct: BTreeSet<u64> = seeds.iter().copied().collect();
    match seeds.len() {
        0 => Err(KeyProblem::new("seeds", "there must be at least 1")),
        n if MOST_VALUES < n => Err(KeyProblem::new("seeds", format!("there are more than {MOST_VALUES}"))),
        n if distinct.len() < n => Err(KeyProblem::new("seeds", "one of them stands twice")),
        _ => Ok(seeds),
    }
}

fn parameters(file: &PlanFile) -> Checked<Grid> {
    let mut listed = BTreeMap::new();
    let mut values = BTreeMap::new();
    for (name, value) in &file.parameters {
        let key = format!("parameters.{name}");
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if PLACEHOLDERS.contains(&name.as_str()) || !name.chars().all(is_name) {
            let problem =
                "a hyper-parameter has a name of letters, digits and `_`, and none that a plan has already";
            return Err(KeyProblem::new(key, problem));
        }
        let list = match value {
            ParameterFile::One(one) => vec![one.clone()],
            ParameterFile::Many(many) => many.clone(),
            ParameterFile::Range(RangeFile { from, to, log }) => {
                let is_range = from.is_finite() && to.is_finite() && from < to && (!log || 0.0 < *from);
                if !is_range {
                    let problem = format!(
                        "{from} to {to} is no range: `from` lies below `to`, above 0 where it is `log`"
                    );
                    return Err(KeyProblem::new(key, problem));
                }
                if file.sample.is_none() {
                    let problem =
                        "a range is for sampled points: add [sample] with `points`, or list the values";
                    return Err(KeyProblem::new(key, problem));
                }
                values.insert(name.clone(), Values::Range { from: *from, to: *to, log: *log });
                continue;
            }
        };
        if list.is_empty() || MOST_VALUES < list.len() {
            return Err(KeyProblem::new(key, format!("between 1 and {MOST_VALUES} values are allowed")));
        }
        if list.iter().any(|p| matches!(p, Parameter::Number(x) if !x.is_finite())) {
            return Err(KeyProblem::new(key, "a value is not finite"));
        }
        let mut seen: Vec<String> = list.iter().map(Parameter::to_string).collect();
        seen.sort();
        seen.dedup();
        if seen.len() < list.len() {
            return Err(KeyProblem::new(key, "a value stands twice"));
        }
        values.insert(name.clone(), Values::Listed(list.clone()));
        listed.insert(name.clone(), list);
    }
    match &file.sample {
        None => Ok(Grid::Full(listed)),
        Some(sample) if (1..=1_000_000).contains(&sample.points) => {
            Ok(Grid::Sampled { values, points: sample.points, skip: sample.skip })
        }
        Some(sample) => Err(KeyProblem::new(
            "sample.points",
            format!("{} points: 1 to 1,000,000 are allowed", sample.points),
        )),
    }
}

/// Seconds of a text such as `60 s`, `10 min` or `2 h`, if it is one.
fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "s" | "seconds" | "second" => 1.0,
        "min" | "minutes" | "minute" => 60.0,
        "h" | "hours" | "hour" => 3600.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor).filter(|s| s.is_finite() && 0.0 < *s)
}

fn budget(text: &str) -> Checked<Budget> {
    if let Some(seconds) = seconds(text) {
        return Ok(Budget::Seconds(seconds));
    }
    let wrong = |why: String| {
        let problem = format!("{why}; write such as `10 epochs`, `600000ex`, `5000 steps` or `60 s`");
        KeyProblem::new("run.budget", problem)
    };
    match text.parse::<Period>().map_err(|error| wrong(error.to_string()))? {
        Period::Steps(0) | Period::Length(Length::Examples(0) | Length::Tokens(0)) => {
            Err(wrong("nothing would be trained".to_owned()))
        }
        Period::Steps(steps) => Ok(Budget::Steps(steps)),
        Period::Length(Length::Fraction(_)) => Err(wrong("a part of what?".to_owned())),
        Period::Length(Length::Epochs(0.0)) => Err(wrong("nothing would be trained".to_owned())),
        Period::Length(length) => Ok(Budget::Length(length)),
    }
}

fn length(key: &str, text: Option<&str>) -> Checked<Option<Length>> {
    let Some(text) = text else { return Ok(None) };
    let length: Length = text.parse().map_err(|error| {
        KeyProblem::new(
            key,
            format!(
                "{error}; write such as `1 epoch`, `5%` or `20000ex` (steps would depend on the batch size)"
            ),
        )
    })?;
    match length {
        Length::Examples(0) | Length::Tokens(0) | Length::Epochs(0.0) | Length::Fraction(0.0) => {
            Err(KeyProblem::new(key, "it must be more than nothing"))
        }
        length => Ok(Some(length)),
    }
}

fn limits(file: &PlanFile) -> Checked<Limits> {
    let given = &file.limits;
    let positive = |key: &str, value: Option<f64>| match value {
        Some(value) if !(value.is_finite() && 0.0 < value) => {
            Err(KeyProblem::new(format!("limits.{key}"), format!("{value} seconds: it must be above 0")))
        }
        value => Ok(value),
    };
    let size = |key: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(bytes::parse).transpose();
        parsed.map_err(|problem| KeyProblem::new(format!("limits.{key}"), problem))
    };
    let at_least_one = |key: &str, value: Option<u64>| match value {
        Some(0) => Err(KeyProblem::new(format!("limits.{key}"), "it must be at least 1")),
        value => Ok(value),
    };
    let first = match given.first.as_deref() {
        None | Some("long") => First::Long,
        Some("short") => First::Short,
        Some("plan") => First::Plan,
        Some(other) => {
            let problem = format!("`{other}` is no order: `long`, `short` and `plan` are allowed");
            return Err(KeyProblem::new("limits.first", problem));
        }
    };
    Ok(Limits {
        jobs: at_least_one("jobs", given.jobs)?,
        threads: at_least_one("threads", given.threads)?.unwrap_or(1),
        memory: size("memory", &given.memory)?,
        seconds: positive("seconds", given.seconds)?,
        silence: positive("silence", given.silence)?.unwrap_or(600.0),
        output: size("output", &given.output)?.unwrap_or(OUTPUT),
        retries: given.retries.unwrap_or(2),
        first,
    })
}

fn prune(file: &PlanFile) -> Checked<Option<Prune>> {
    let Some(given) = &file.prune else { return Ok(None) };
    let factor = given.factor.unwrap_or(3.0);
    if !(1.0 < factor && factor <= 100.0) {
        return Err(KeyProblem::new("prune.factor", format!("{factor}: it must lie above 1, at most 100")));
    }
    if let Some(first) = seconds(&given.first) {
        return Ok(Some(Prune { first, unit: RungUnit::Seconds, factor }));
    }
    let wrong = || {
        let problem = format!(
            "`{}` is no rung: write examples or seconds, such as `1 epoch`, `20000ex` or `20 s` (steps would favour large batches)",
            given.first
        );
        KeyProblem::new("prune.first", problem)
    };
    match given.first.parse::<Length>().map_err(|_| wrong())? {
        Length::Examples(n) if 0 < n => Ok(Some(Prune { first: n as f64, unit: RungUnit::Examples, factor })),
        Length::Epochs(n) if 0.0 < n => Ok(Some(Prune { first: n, unit: RungUnit::Epochs, factor })),
        _ => Err(wrong()),
    }
}
