//! What can be typed after `sweep`, `trial`, `simulate` and `check trainer`.

use batchwise_lab::plan::{
    BatchFile, LimitsFile, LrFile, ParameterFile, PlanFile, PruneFile, RunFile, SeedsFile, TrainerFile,
};
use batchwise_lab::trial::Parameter;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SweepArguments {
    /// The plan; without one, the options below say all
    #[arg(value_name = "PLAN.toml")]
    pub(in crate::cli) plan: Option<PathBuf>,
    /// List the first trials with the time, memory and disk they will take, and run none
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Print the plan that the options make, as TOML, and run nothing
    #[arg(long, conflicts_with = "plan")]
    pub(in crate::cli) print_plan: bool,
    /// Print the JSON schema of plans
    #[arg(long)]
    pub(in crate::cli) schema: bool,
    /// Wait where another sweep runs in the same folder
    #[arg(long)]
    pub(in crate::cli) wait: bool,
    /// Try trials again that were given up
    #[arg(long)]
    pub(in crate::cli) retry_failed: bool,
    /// Start without pilots: nothing is known of time and memory beforehand
    #[arg(long)]
    pub(in crate::cli) no_pilots: bool,
    #[command(flatten)]
    pub(in crate::cli) flags: PlanFlags,
}

/// A plan by options.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "A plan by options")]
pub(in crate::cli) struct PlanFlags {
    /// Name of the sweep
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Batch sizes, such as 16,64,256, or 16..1024 for all doublings
    #[arg(long, value_name = "N,…|N..N")]
    batches: Option<String>,
    /// Learning rates, such as 0.01,0.1, or 0.01..1 for all doublings; one alone begins a bracket that widens until the best is inside
    #[arg(long, value_name = "X,…|X..X|X")]
    lrs: Option<String>,
    /// How learning rates follow the batch size, from the smallest on: sqrt or linear
    #[arg(long, value_name = "RULE")]
    lr_rule: Option<String>,
    /// How many seeds
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Values of a further hyper-parameter, such as momentum=0,0.9; may be repeated
    #[arg(long = "param", value_name = "NAME=X,…")]
    parameters: Vec<String>,
    /// What a run may take: "10 epochs", 600000ex, "5000 steps" or "60 s"
    #[arg(long, value_name = "LENGTH")]
    budget: Option<String>,
    /// What ends a run: "accuracy >= 0.9", "loss <= 0.3"
    #[arg(long, value_name = "TARGET")]
    until: Option<String>,
    /// What is judged where there is no target: loss, accuracy, train_loss, metric, "metric down"
    #[arg(long, value_name = "NAME")]
    judge: Option<String>,
    /// From one evaluation to the next: "1 epoch", 5%, 20000ex
    #[arg(long, value_name = "LENGTH")]
    evaluate_every: Option<String>,
    /// Schedule of the learning rate without its peak: constant, "warmup 5% then cosine to 0"
    #[arg(long, value_name = "SPEC")]
    schedule: Option<String>,
    /// A run ends where nothing was better for so long
    #[arg(long, value_name = "LENGTH")]
    patience: Option<String>,
    /// Trials at once [default: as many as cores and memory allow]
    #[arg(long, value_name = "N")]
    jobs: Option<u64>,
    /// Threads of each trial [default: 1]
    #[arg(long, value_name = "N")]
    threads: Option<u64>,
    /// Seconds of one attempt
    #[arg(long, value_name = "X")]
    time_limit: Option<f64>,
    /// How often a trial is tried again that failed [default: 2]
    #[arg(long, value_name = "N")]
    retries: Option<u64>,
    /// First rung of successive halving: "1 epoch", 20000ex or "20 s"
    #[arg(long, value_name = "LENGTH")]
    prune: Option<String>,
    /// Examples in the training set of a command
    #[arg(long, value_name = "N")]
    dataset_size: Option<u64>,
    /// A trainer of your own after --, such as -- python train.py --batch {batch} --lr {lr} --seed {seed}
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl PlanFlags {
    /// Whether none of them was given.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The plan they make.
    ///
    /// # Errors
    /// A text that cannot be read, or one that is missing, with its option.
    pub(in crate::cli) fn plan(&self) -> Result<PlanFile, String> {
        let missing = |option: &str, example: &str| {
            format!(
                "give a plan, or {option} such as {example}: a sweep needs batch sizes, learning rates and a budget"
            )
        };
        let batches = self.batches.as_deref().ok_or_else(|| missing("--batches", "16..1024"))?;
        let lrs = self.lrs.as_deref().ok_or_else(|| missing("--lrs", "0.1"))?;
        let budget = self.budget.clone().ok_or_else(|| missing("--budget", "\"10 epochs\""))?;
        let command = (!self.command.is_empty()).then(|| self.command.clone());
        Ok(PlanFile {
            name: self.name.clone(),
            seeds: self.seeds.map(SeedsFile::Count),
            trainer: TrainerFile { command, dataset_size: self.dataset_size, ..TrainerFile::default() },
            batch: batch_sizes(batches)?,
            lr: LrFile { rule: self.lr_rule.clone(), ..learning_rates(lrs)? },
            parameters: self.parameters.iter().map(|text| parameter(text)).collect::<Result<_, _>>()?,
            sample: None,
            run: RunFile {
                budget,
                target: self.until.clone(),
                confirm: None,
                judge: self.judge.clone(),
                evaluate_every: self.evaluate_every.clone(),
                schedule: self.schedule.clone(),
                patience: self.patience.clone(),
            },
            limits: LimitsFile {
                jobs: self.jobs,
                threads: self.threads,
                seconds: self.time_limit,
                retries: self.retries,
                ..LimitsFile::default()
            },
            prune: self.prune.clone().map(|first| PruneFile { first, factor: None }),
        })
    }
}

fn batch_sizes(text: &str) -> Result<BatchFile, String> {
    let number = |part: &str| {
        part.trim().parse::<u64>().map_err(|_| {
            format!("--batches {text}: `{part}` is no batch size; write such as 16,64,256 or 16..1024")
        })
    };
    match text.split_once("..") {
        Some((from, to)) => {
            Ok(BatchFile { from: Some(number(from)?), to: Some(number(to)?), ..BatchFile::default() })
        }
        None => {
            let values = text.split(',').map(number).collect::<Result<_, _>>()?;
            Ok(BatchFile { values: Some(values), ..BatchFile::default() })
        }
    }
}

fn learning_rates(text: &str) -> Result<LrFile, String> {
    let number = |part: &str| {
        part.trim().parse::<f64>().map_err(|_| {
            format!("--lrs {text}: `{part}` is no learning rate; write such as 0.01,0.1, or 0.01..1, or 0.1")
        })
    };
    match text.split_once("..") {
        Some((from, to)) => {
            Ok(LrFile { from: Some(number(from)?), to: Some(number(to)?), ..LrFile::default() })
        }
        None => {
            let values: Vec<f64> = text.split(',').map(number).collect::<Result<_, _>>()?;
            match values[..] {
                [start] => Ok(LrFile { start: Some(start), ..LrFile::default() }),
                _ => Ok(LrFile { values: Some(values), ..LrFile::default() }),
            }
        }
    }
}

fn parameter(text: &str) -> Result<(String, ParameterFile), String> {
    let (name, values) =
        text.split_once('=').ok_or_else(|| format!("--param {text}: write such as momentum=0,0.9"))?;
    let value = |text: &str| match (text.parse::<i64>(), text.parse::<f64>(), text.parse::<bool>()) {
        (Ok(n), ..) => Parameter::Integer(n),
        (_, Ok(x), _) => Parameter::Number(x),
        (_, _, Ok(flag)) => Parameter::Flag(flag),
        _ => Parameter::Text(text.to_owned()),
    };
    Ok((name.to_owned(), ParameterFile::Many(values.split(',').map(|part| value(part.trim())).collect())))
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct TrialArguments {
    /// Name of the trial
    #[arg(value_name = "ID", required_unless_present = "sweep", conflicts_with = "sweep")]
    pub(in crate::cli) id: Option<String>,
    /// A sweep, of which --index names the trial
    #[arg(long, value_name = "NAME", requires = "index")]
    pub(in crate::cli) sweep: Option<String>,
    /// Number of the trial in the sweep, from 0, as a cluster's job arrays count
    #[arg(long, value_name = "N")]
    pub(in crate::cli) index: Option<usize>,
    /// Examples of one forward and backward pass [default: the batch]
    #[arg(long, value_name = "N")]
    pub(in crate::cli) micro_batch: Option<u64>,
    /// Threads to compute with
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) threads: u64,
    /// Where a command runs [default: here]
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) folder: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ShepherdArguments {
    /// The process that this one must not outlive
    pub(in crate::cli) parent: u32,
    /// What it becomes
    #[arg(last = true, required = true)]
    pub(in crate::cli) command: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SimulateArguments {
    /// Batch size
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(in crate::cli) batch: u64,
    /// Learning rate
    #[arg(long, value_name = "X")]
    pub(in crate::cli) lr: f64,
    /// Examples after which the run ends
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) examples: u64,
    /// Examples from one line to the next [default: a hundredth of the run]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) evaluate_every: Option<u64>,
    /// Modes of the quadratic, of which each has less curvature than the one before
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(in crate::cli) modes: u64,
    /// By which power curvatures fall: 1 is 1, 1/2, 1/3, …
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(in crate::cli) power: f64,
    /// Tell the expected loss in place of a sampled one, times a factor of each run's own, whose logarithm has this deviation
    #[arg(long, value_name = "X")]
    pub(in crate::cli) luck: Option<f64>,
    /// Factor of the gradient noise: the critical batch grows with it
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(in crate::cli) noise: f64,
    /// Seconds that each step takes on the simulated clock, beside its examples
    #[arg(long, value_name = "X", default_value_t = 0.01)]
    pub(in crate::cli) step_seconds: f64,
    /// Seconds that each example takes on the simulated clock
    #[arg(long, value_name = "X", default_value_t = 0.0005)]
    pub(in crate::cli) example_seconds: f64,
    /// Real seconds to sleep at each line
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub(in crate::cli) sleep: f64,
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct CheckTrainerArguments {
    /// Batch size to fill in for {batch}
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(in crate::cli) batch: u64,
    /// Learning rate to fill in for {lr}
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    pub(in crate::cli) lr: f64,
    /// Examples to fill in for {examples}
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) examples: u64,
    /// What a plan would judge: loss, train_loss, accuracy, metric, "metric down"
    #[arg(long, value_name = "NAME", default_value = "loss")]
    pub(in crate::cli) judge: String,
    /// Value of a further placeholder, such as width=64; may be repeated
    #[arg(long = "param", value_name = "NAME=X")]
    pub(in crate::cli) parameters: Vec<String>,
    /// Seconds that it may take
    #[arg(long, value_name = "X", default_value_t = 120.0)]
    pub(in crate::cli) time_limit: f64,
    /// The trainer, such as -- python train.py --batch {batch} --lr {lr}
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<String>,
}

impl CheckTrainerArguments {
    /// The further placeholders.
    ///
    /// # Errors
    /// A text that is none.
    pub(in crate::cli) fn parameters(&self) -> Result<std::collections::BTreeMap<String, Parameter>, String> {
        let one = |text: &String| match parameter(text)? {
            (name, ParameterFile::Many(mut values)) if values.len() == 1 => Ok((name, values.remove(0))),
            _ => Err(format!("--param {text}: one value is needed")),
        };
        self.parameters.iter().map(one).collect()
    }
}
