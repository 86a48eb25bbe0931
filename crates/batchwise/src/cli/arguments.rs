//! What can be typed.

mod report;
mod runs;
mod sweep;
mod train;

pub(super) use report::{DiffArguments, ReportArguments, ReportCommand};
pub(super) use runs::{RunsArguments, RunsCommand, RunsExport, RunsList};
pub(super) use sweep::{
    CheckTrainerArguments, ShepherdArguments, SimulateArguments, SweepArguments, TrialArguments,
};
pub(super) use train::{CheckpointEvery, MetricName, TrainArguments};

use batchwise_lab::bytes;
use batchwise_nn::device::DeviceSpec;
use batchwise_schedule::change::{Optimizer, Period};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Which batch size, learning rate and accumulation should this model train with, on this data and device?
#[derive(Debug, Parser)]
#[command(name = "batchwise", version, max_term_width = 100, disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) common: Options,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Measure memory, speed, learning rate and noise, and recommend a batch size
    Advise(AdviseArguments),
    /// Measure peak memory by micro-batch
    Memory(ProbeArguments),
    /// Measure the time of a step by batch size
    Speed(ProbeArguments),
    /// Measure the gradient noise scale over a short training
    Noise(NoiseArguments),
    /// Train once and evaluate
    Train(TrainArguments),
    /// Run a plan of trials to the end, whatever happens: batch sizes, learning rates, seeds, with any trainer
    ///
    /// Sweeps and trials lie in the folder --out [default: batchwise-out/store]; the same command goes on where it was.
    Sweep(Box<SweepArguments>),
    /// Carry the hyper-parameters of a run to another batch size, each with its rule, source and caveat
    Change(ChangeArguments),
    /// Show what a schedule of learning rate and batch size will do, before a run
    Schedule(ScheduleArguments),
    /// Show what a data set holds; list, check and fetch data sets
    Data(DataArguments),
    /// Fit the statistics of batch size to measurements made anywhere
    Fit(FitArguments),
    /// List, show, compare and export the trials of sweeps; tidy up after them
    ///
    /// Their folder is --out, or else batchwise-out/store. A trial may be named by the first characters of its name.
    Runs(RunsArguments),
    /// Show what a sweep says and write its report, or set two sweeps side by side
    Report(ReportArguments),
    /// List the devices this build can use here
    Devices,
    /// Check the gradients of candle's layers and of ours against finite differences
    Audit,
    /// Check what a training relies on, on your own model and data
    Check(CheckArguments),
    /// Train the noisy quadratic model, whose answers are known, and print the lines of the trainer protocol
    Simulate(SimulateArguments),
    /// Make one attempt at one trial, as a cluster does for each of its jobs
    Trial(TrialArguments),
    /// Make the attempt that is asked for on standard input (used by sweep)
    #[command(hide = true)]
    Attempt,
    /// Become another program that ends with its parent (used by sweep)
    #[command(hide = true)]
    Shepherd(ShepherdArguments),
    /// Answer one probe request on standard input (used by the other commands)
    #[command(hide = true)]
    Probe,
}

/// The options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub struct Options {
    /// Data set: glyphs (built in), a name in the data folder such as mnist, or the path of a file or folder; settings
    /// follow after a colon, as in glyphs:classes=20,label_noise=0.1 or housing.csv:target=price
    #[arg(long, global = true, value_name = "NAME|DIR", default_value = "glyphs")]
    pub data: String,
    /// Where named data sets are [default: $BATCHWISE_DATA, then the user's cache folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Model to train [default: cnn for images, gpt for text, else mlp]
    #[arg(long, global = true)]
    pub model: Option<String>,
    /// Optimizer to train with [default: adamw for gpt, else sgd]
    #[arg(long, global = true, value_enum)]
    pub optimizer: Option<OptimizerName>,
    /// Device to train on: auto, cpu, cuda:N or metal:N
    #[arg(long, global = true, default_value = "auto")]
    pub device: DeviceSpec,
    /// Memory that training may take beside the data set, such as 2GiB; sets the micro-batch only [default: 80 % of what is free]
    #[arg(long, global = true, value_name = "SIZE", value_parser = bytes::parse)]
    pub memory: Option<u64>,
    /// Seed of initial weights, order of the examples and all else that is random
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
    /// Folder for the results [default: a new one in batchwise-out]
    #[arg(long, global = true, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write into --out even if it holds results
    #[arg(long, global = true)]
    pub force: bool,
    /// Print only the result, as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Also write the log as JSON lines to this file (RUST_LOG sets the level)
    #[arg(long, global = true, value_name = "FILE")]
    pub log_json: Option<PathBuf>,
}

/// The optimizers by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OptimizerName {
    /// Stochastic gradient descent with momentum 0.9
    Sgd,
    /// Adam
    Adam,
    /// Adam with decoupled weight decay 0.01
    #[value(name = "adamw")]
    AdamW,
    /// RMSprop
    #[value(name = "rmsprop")]
    RmsProp,
    /// Lion
    Lion,
    /// SGD with a trust ratio for each tensor
    Lars,
    /// Adam with a trust ratio for each tensor
    Lamb,
}

impl OptimizerName {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        self.rules().name()
    }

    /// By which rules it follows a change of batch size.
    pub(super) fn rules(self) -> Optimizer {
        match self {
            Self::Sgd => Optimizer::Sgd,
            Self::Adam => Optimizer::Adam,
            Self::AdamW => Optimizer::AdamW,
            Self::RmsProp => Optimizer::RmsProp,
            Self::Lion => Optimizer::Lion,
            Self::Lars => Optimizer::Lars,
            Self::Lamb => Optimizer::Lamb,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(super) struct CheckArguments {
    #[command(subcommand)]
    pub(super) what: Check,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Check {
    /// Whether accumulation is exact: micro-batches of any size give the whole batch's gradient and loss
    Accumulation(AccumulationArguments),
    /// Whether another program speaks the trainer protocol, and what a sweep would take from it
    Trainer(CheckTrainerArguments),
}

#[derive(Debug, Clone, Args)]
pub(super) struct AccumulationArguments {
    /// Examples of the batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..=1 << 24))]
    pub(super) batch: u64,
    /// Sizes of micro-batches to split it into, such as 32,7,1 [default: about a half, a third and an eighth, 7 and 1]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub(super) micro_batches: Vec<u64>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ProbeArguments {
    /// Largest batch to try [default: 2048; of sequences 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    pub(super) max_batch: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct AdviseArguments {
    /// A plan: run what is missing of its trials, and choose by what they show [default: measure --model on --data]
    #[arg(value_name = "PLAN.toml", conflicts_with_all = ["max_batch", "examples", "confirmation_seeds"])]
    pub(super) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(super) probe: ProbeArguments,
    /// Examples of each short training [default: one epoch, at most 60,000; of sequences 8,192]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(super) examples: Option<u64>,
    /// Seeds with which the advice is confirmed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) confirmation_seeds: u64,
}

#[derive(Debug, Clone, Args)]
pub(super) struct NoiseArguments {
    #[command(flatten)]
    pub(super) probe: ProbeArguments,
    /// Examples of the training [default: one epoch, at most 60,000; of sequences 8,192]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(super) examples: Option<u64>,
    /// Peak learning rate of the training [default: the best of a range test]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) lr: Option<f64>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ChangeArguments {
    /// Batch size that the hyper-parameters suit [default: that of --advice]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) from: Option<u64>,
    /// Batch size to change to
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) to: u64,
    /// Peak learning rate [default: that of --advice]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) lr: Option<f64>,
    /// Momentum
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) momentum: Option<f64>,
    /// β1 of Adam and its kin
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) beta1: Option<f64>,
    /// β2 of Adam and its kin, α of RMSprop
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) beta2: Option<f64>,
    /// ε of Adam and its kin
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) eps: Option<f64>,
    /// Weight decay
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) weight_decay: Option<f64>,
    /// Decay of an average of the weights
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) ema: Option<f64>,
    /// Warmup: 10000ex, 2Mtok, "5 epochs", 5% or "500 steps"
    #[arg(long, value_name = "LENGTH")]
    pub(super) warmup: Option<Period>,
    /// Length of the run, likewise
    #[arg(long, value_name = "LENGTH")]
    pub(super) total: Option<Period>,
    /// Between evaluations, likewise
    #[arg(long, value_name = "LENGTH")]
    pub(super) evaluate_every: Option<Period>,
    /// Between checkpoints, likewise
    #[arg(long, value_name = "LENGTH")]
    pub(super) checkpoint_every: Option<Period>,
    /// Largest norm of the gradient
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) clip_norm: Option<f64>,
    /// Examples that fit in memory at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) micro_batch: Option<u64>,
    /// Examples of the training set [default: that of --advice]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) dataset_size: Option<u64>,
    /// Gradient noise scale in examples [default: that of --advice]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) noise_scale: Option<f64>,
    /// Take noise scale, batch, learning rate and data set from this advice.json
    #[arg(long, value_name = "FILE")]
    pub(super) advice: Option<PathBuf>,
    /// How the learning rate follows the batch
    #[arg(long, value_enum, default_value_t)]
    pub(super) rule: RuleName,
    /// Exponent of --rule power, as fitted by `fit ridge`
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) exponent: Option<f64>,
    /// Batch size of the highest learning rate, for --rule surge
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) peak_batch: Option<f64>,
    /// Decays by 1 − κ(1 − β) (Malladi et al. 2022) instead of β^κ
    #[arg(long)]
    pub(super) first_order: bool,
    /// β1 and momentum follow the batch as well
    #[arg(long)]
    pub(super) momentum_follows: bool,
    /// Print the new settings for PyTorch
    #[arg(long, group = "framework", conflicts_with = "json")]
    pub(super) pytorch: bool,
    /// Print the new settings for optax
    #[arg(long, group = "framework", conflicts_with = "json")]
    pub(super) optax: bool,
    /// Print the new settings for candle
    #[arg(long, group = "framework", conflicts_with = "json")]
    pub(super) candle: bool,
    /// Print the new settings as TOML
    #[arg(long, group = "framework", conflicts_with = "json")]
    pub(super) toml: bool,
}

/// The rules for the learning rate by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum RuleName {
    /// By optimizer and evidence
    #[default]
    Auto,
    /// η·κ
    Linear,
    /// η·√κ
    Sqrt,
    /// η·κ(φ + B)/(φ + κB)
    NoiseScale,
    /// η times the root of that
    RootNoiseScale,
    /// η·κ^p
    Power,
    /// Square root up to a peak, then falling
    Surge,
    /// No change
    Keep,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ScheduleArguments {
    /// Learning rate such as "0.1 warmup 5% then cosine to 0", batch size such as "batch 64 doubling at 25%,50%", or both
    /// with a semicolon between
    #[arg(value_name = "SPEC")]
    pub(super) spec: String,
    /// Length of the run in examples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 50))]
    pub(super) examples: u64,
    /// Batch size, or a schedule of it [default: 64]
    #[arg(long, value_name = "SPEC")]
    pub(super) batch: Option<String>,
    /// Peak learning rate where SPEC has none [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) lr: Option<f64>,
    /// Examples of an epoch: for lengths in epochs, and no batch goes beyond an epoch's end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) dataset_size: Option<u64>,
    /// Tokens of an example: for lengths in tokens
    #[arg(long, value_name = "X")]
    pub(super) tokens_per_example: Option<f64>,
    /// Rows to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) rows: u64,
    /// Write a picture of learning rate, batch size and their ratio
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,
    /// Print the rows as CSV
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct DataArguments {
    #[command(subcommand)]
    pub(super) command: Option<DataCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum DataCommand {
    /// Show what the data set of --data holds, as `data` alone does
    Info,
    /// List the data sets in the data folder, those that are built in, and those that can be fetched by name
    List,
    /// Look at every example of --data, and at the checksums if it was fetched
    Check,
    /// Show the first examples of --data
    Head(HeadArguments),
    /// Fetch a data set from the Hugging Face hub into the data folder, or check it if it is there
    Fetch(FetchArguments),
}

#[derive(Debug, Clone, Args)]
pub(super) struct HeadArguments {
    /// How many examples
    #[arg(short, long = "examples", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(super) n: u64,
}

#[derive(Debug, Clone, Args)]
pub(super) struct FetchArguments {
    /// A short name such as mnist (see `data list`), or owner/name on the hub
    #[arg(value_name = "NAME|OWNER/NAME")]
    pub(super) name: String,
    /// Commit, branch or tag [default: the one fetched before, else main]
    #[arg(long, value_name = "REVISION")]
    pub(super) revision: Option<String>,
    /// Only files whose names end so, such as .parquet; may be repeated [default: all that can be read]
    #[arg(long, value_name = "SUFFIX")]
    pub(super) include: Vec<String>,
    /// Only the files below this folder of the data set
    #[arg(long, value_name = "FOLDER")]
    pub(super) folder: Option<String>,
    /// Follow a branch that has moved since it was first fetched
    #[arg(long)]
    pub(super) update: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct FitArguments {
    #[command(subcommand)]
    pub(super) command: FitCommand,
}

/// How every file may be written.
const FORMS: &str = "Forms: CSV (comma, semicolon or tab), white space with a header, or JSON lines with the columns as \
keys. The order of the columns is free, other columns are ignored, capitals do not matter; blank lines and lines that \
begin with # are skipped.";

#[derive(Debug, Clone, Subcommand)]
pub(super) enum FitCommand {
    /// The gradient noise scale, from squared gradient norms
    ///
    /// Long form, any micro-batches: `measurement,micro_batch,weight,norm2`. One row for each micro-batch: the squared
    /// norm of its MEAN gradient, and its examples as the weight. One row for each measurement whose micro_batch is
    /// `all`: the squared norm of the whole batch's mean gradient (the weight may be empty).
    ///
    /// Short form, equal micro-batches: `batch,micro_batch,micro_norm2,batch_norm2`. One row for each measurement;
    /// micro_norm2 is the mean of the squared norms over all micro-batches.
    ///
    /// All micro-batches of a measurement are taken at the same parameters, and measurements with other examples. A
    /// column `group` names groups of parameters: each measurement has rows for every group.
    #[command(after_long_help = FORMS)]
    Noise(NoiseFile),
    /// The critical batch size, from steps to a target
    ///
    /// `batch,seed,steps` (or `examples`). Empty or `censored`: the run never reached the target; it counts as a bound.
    /// Columns that refine: `after` (how long such a run went on) and `evaluation_period`, both in steps, or in
    /// examples where the file counts examples.
    #[command(after_long_help = FORMS)]
    Tradeoff(TradeoffFile),
    /// Overhead, time per example and the knee, from times of steps
    ///
    /// `batch,seconds`, one row for each step that was timed. The unit stands in the header (`seconds`, `ms`,
    /// `time_ms`, `step_time[us]`) or is given by --unit.
    #[command(after_long_help = FORMS)]
    Speed(SpeedFile),
    /// Fixed memory, memory per example and what surely fits, from peaks
    ///
    /// `batch,bytes`, one row for each run; `oom` or empty: it did not fit. The unit stands in the header (`bytes`,
    /// `MiB`, `peak_mib`, `memory (GB)`) or is given by --unit. --memory LIMIT asks which batch fits.
    #[command(after_long_help = FORMS)]
    Memory(MemoryFile),
    /// The best learning rate at each batch size and its exponent, from a grid of runs
    ///
    /// `batch,lr,seed,loss` (or `steps` or `examples` to a target). Empty, `nan`, `inf` or `diverged`: the run
    /// diverged; it bounds the best learning rate and is never averaged in.
    #[command(after_long_help = FORMS)]
    Ridge(MeasurementsFile),
    /// The batch size that the answers of the other kinds lead to
    ///
    /// Files of JSON: what `fit --json` wrote, one or more in a file, or one object such as {"speed": {...}, "noise":
    /// {...}}. By hand these keys suffice: noise {phi, low, high}; tradeoff {b_crit, low, high, s_min}; speed {model,
    /// overhead_seconds, seconds_per_example}; memory {fixed_bytes, bytes_per_example, upper_band}; ridge {exponent,
    /// best: [{batch, lr, low, high, at_edge}]}; null where there is no number. Speed, and noise or tradeoff, are needed
    /// for a batch size; without them the answer says what it can. --memory LIMIT splits the batch into micro-batches.
    Decide(DecideFiles),
}

#[derive(Debug, Clone, Args)]
pub(super) struct NoiseFile {
    /// Examples in the training set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1 << 50))]
    pub(super) dataset_size: Option<u64>,
    /// Whose gradient the noise is counted against
    #[arg(long, value_enum, default_value_t)]
    pub(super) target: TargetName,
    /// Which published runs turn a noise scale into a critical batch size
    #[arg(long, value_enum, default_value_t)]
    pub(super) task: TaskName,
    #[command(flatten)]
    pub(super) common: MeasurementsFile,
}

#[derive(Debug, Clone, Args)]
pub(super) struct TradeoffFile {
    /// Steps between evaluations (examples, where the file counts those): the target was met within the last of them
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(super) evaluation_period: Option<f64>,
    /// How the learning rate was chosen at each batch size
    #[arg(long, value_enum, default_value_t)]
    pub(super) tuning: TuningName,
    #[command(flatten)]
    pub(super) common: MeasurementsFile,
}

#[derive(Debug, Clone, Args)]
pub(super) struct SpeedFile {
    /// Unit of the times, where the header names none: s, ms, us or ns
    #[arg(long, value_name = "UNIT")]
    pub(super) unit: Option<String>,
    #[command(flatten)]
    pub(super) common: MeasurementsFile,
}

#[derive(Debug, Clone, Args)]
pub(super) struct MemoryFile {
    /// Unit of the peaks, where the header names none: bytes, KiB, MiB, GiB, kB, MB or GB
    #[arg(long, value_name = "UNIT")]
    pub(super) unit: Option<String>,
    #[command(flatten)]
    pub(super) common: MeasurementsFile,
}

/// What every kind but `decide` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct MeasurementsFile {
    /// File of measurements; - for standard input
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Two-sided confidence of every interval, from 0.5 to 0.999
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    pub(super) confidence: f64,
    #[command(flatten)]
    pub(super) answer: AnswerOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct DecideFiles {
    /// Files of JSON; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Examples in the training set: no batch above a tenth of it is chosen
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1 << 50))]
    pub(super) dataset_size: Option<u64>,
    /// Which published runs turn a noise scale into a critical batch size
    #[arg(long, value_enum, default_value_t)]
    pub(super) task: TaskName,
    #[command(flatten)]
    pub(super) answer: AnswerOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct AnswerOptions {
    /// What a batch size counts: examples, tokens, sequences or frames
    #[arg(long, value_name = "NAME", default_value = "examples")]
    pub(super) unit_of_example: String,
    /// Also write a picture, an SVG file
    #[arg(long, value_name = "FILE.svg")]
    pub(super) plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum TargetName {
    /// The population that the examples come from
    #[default]
    Population,
    /// The training set, drawn without replacement (needs --dataset-size)
    TrainingSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum TaskName {
    /// Classification and the like: known within a factor of 5
    #[default]
    Supervised,
    /// Any task, with autoencoders and games: known within a factor of 50
    Any,
    /// A language model under Adam: no published runs agree, so no critical batch follows
    AdamLanguageModel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum TuningName {
    /// Anew at each batch size, the best inside its grid
    #[default]
    Tuned,
    /// At some batch size the best was the outermost that was tried
    AtEdge,
    /// One learning rate for all batch sizes
    Untuned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum ScheduleName {
    /// A tenth of warmup, then half a cosine to 0
    #[default]
    Cosine,
    /// The same throughout
    Constant,
}
