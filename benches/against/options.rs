//! What the command line asks for.

use super::Failure;
use crate::comparison::{Model, Workload};
use std::path::PathBuf;

/// How to call it.
pub const USAGE: &str = "\
usage: cargo xtask bench step --against-torch [OPTIONS]
  --models LIST     of mlp, lenet, resnet, gpt with _sgd or _adamw (default: all eight)
  --batches LIST    (default 1,8,32,128,512,2048)
  --threads N       of every contestant (default 2)
  --rounds N        bursts of each contestant in turn (default 3)
  --seconds X       of a burst (default 0.3)
  --tries N         of a cell while others use the machine; the least disturbed counts (default 3)
  --bf16            PyTorch in bfloat16 and we with operands in bf16 too, with a ratio of their own
  --no-candle       without stock candle
  --json FILE       keep every figure
  --python PROGRAM  an interpreter with torch (default: $PYTHON, or one made under target/torch-env)
  --script FILE     PyTorch's worker (default: bench/step_torch.py in $BATCHWISE_SHARED or ../shared)
  --pair FILE       what times them in turn (default: bench/pair.py there)";

/// What is compared, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Models with their optimizers.
    pub workloads: Vec<Workload>,
    /// Batch sizes.
    pub batches: Vec<usize>,
    /// Threads of every contestant.
    pub threads: usize,
    /// Bursts of each contestant.
    pub rounds: usize,
    /// Seconds of a burst.
    pub seconds: f64,
    /// How often a cell is timed at most while others use the machine.
    pub tries: usize,
    /// Whether PyTorch in bfloat16 takes part, and we with operands in bf16.
    pub with_bf16: bool,
    /// Whether stock candle takes part.
    pub with_candle: bool,
    /// Where every figure goes.
    pub json: Option<PathBuf>,
    /// An interpreter with torch.
    pub python: Option<PathBuf>,
    /// PyTorch's worker.
    pub script: PathBuf,
    /// What times the workers in turn.
    pub pair: PathBuf,
}

impl Options {
    /// From the arguments of the command line and the environment.
    ///
    /// # Errors
    /// An option that is unknown or does not read, by name.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, Failure> {
        let shared = std::env::var_os("BATCHWISE_SHARED").map(PathBuf::from);
        let scripts = shared.unwrap_or_else(|| crate::root().join("../shared")).join("bench");
        let mut options = Self {
            workloads: Model::ALL
                .into_iter()
                .flat_map(|model| [false, true].map(|is_adamw| Workload { model, is_adamw }))
                .collect(),
            batches: vec![1, 8, 32, 128, 512, 2048],
            threads: 2,
            rounds: 3,
            seconds: 0.3,
            tries: 3,
            with_bf16: false,
            with_candle: true,
            json: None,
            python: std::env::var_os("PYTHON").map(PathBuf::from),
            script: scripts.join("step_torch.py"),
            pair: scripts.join("pair.py"),
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("`{name}` needs a value\n{USAGE}"));
            match name.as_str() {
                "--bf16" => options.with_bf16 = true,
                "--no-candle" => options.with_candle = false,
                "--models" => options.workloads = list(&name, &value()?)?,
                "--batches" => options.batches = list(&name, &value()?)?,
                "--threads" => options.threads = number(&name, &value()?)?,
                "--rounds" => options.rounds = number(&name, &value()?)?,
                "--tries" => options.tries = number(&name, &value()?)?,
                "--seconds" => options.seconds = number(&name, &value()?)?,
                "--json" => options.json = Some(value()?.into()),
                "--python" => options.python = Some(value()?.into()),
                "--script" => options.script = value()?.into(),
                "--pair" => options.pair = value()?.into(),
                _ => return Err(format!("unknown option `{name}`\n{USAGE}").into()),
            }
        }
        for script in [&options.script, &options.pair] {
            if !script.is_file() {
                return Err(format!("there is no `{}`\n{USAGE}", script.display()).into());
            }
        }
        if options.threads == 0 || options.rounds == 0 || options.batches.contains(&0) {
            return Err("threads, rounds and batches must be at least 1".into());
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, Failure>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| format!("{name} {text}: {error}").into())
}

fn list<T: std::str::FromStr>(name: &str, text: &str) -> Result<Vec<T>, Failure>
where
    T::Err: std::fmt::Display,
{
    text.split(',').map(|item| number(name, item)).collect()
}
