//! Times the contestants in turn by a script, each cell in fresh processes, which tell their peak memory.

use super::{BF16, CANDLE, Failure, OURS, OURS_BF16, Options, TORCH};
use crate::comparison::{Model, Workload};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The C library keeps large blocks for reuse: the same for all, for otherwise it decides the comparison.
const MALLOC: [(&str, &str); 3] = [
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
    ("MALLOC_TOP_PAD_", "268435456"),
];

/// The largest batch of stock candle beyond the mlp: a step of a larger one takes many seconds.
const CANDLE_LARGEST: usize = 128;

/// The share of foreign time above which a cell says little: on few cores it is the threads that wait for each other
/// which then decide.
const DISTURBED: f64 = 0.06;

/// The contestants of a cell are alive at the same time and must fit into this, and into what is free.
const MEMORY_GIB: f64 = 16.0;

/// One row of the comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What is trained.
    pub workload: Workload,
    /// On batches of so many.
    pub batch: usize,
    /// Share of the machine's time that others used meanwhile.
    pub foreign: f64,
    /// In the order of the table.
    pub contestants: Vec<Contestant>,
}

/// One that was timed.
#[derive(Debug, Clone, PartialEq)]
pub struct Contestant {
    /// Its name.
    pub name: &'static str,
    /// Its figures, or what it said instead.
    pub seen: Result<Seen, String>,
}

/// The figures of one contestant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Median seconds of a step.
    pub median: f64,
    /// The fewest seconds.
    pub min: f64,
    /// Loss of the last step.
    pub loss: f64,
    /// The most memory that a fresh process had in RAM, in MiB.
    pub peak_mib: Option<f64>,
}

impl Cell {
    /// The figures of a contestant, if it has any.
    #[must_use]
    pub fn seen(&self, name: &str) -> Option<&Seen> {
        self.contestants.iter().find(|contestant| contestant.name == name)?.seen.as_ref().ok()
    }

    /// The fewest median seconds of PyTorch's variants.
    #[must_use]
    pub fn best_torch(&self) -> Option<f64> {
        let medians = TORCH.iter().filter_map(|name| self.seen(name)).map(|seen| seen.median);
        medians.min_by(f64::total_cmp)
    }

    /// How many times as fast as the best of PyTorch's variants we are.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        Some(self.best_torch()? / self.seen(OURS)?.median)
    }

    /// The same in bf16.
    #[must_use]
    pub fn ratio_bf16(&self) -> Option<f64> {
        Some(self.seen(BF16)?.median / self.seen(OURS_BF16)?.median)
    }

    /// Whether others used so much of the machine meanwhile that the cell says little.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        DISTURBED < self.foreign
    }

    /// The row that is kept.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut row = Map::new();
        row.insert("model".to_owned(), json!(self.workload.to_string()));
        row.insert("batch".to_owned(), json!(self.batch));
        row.insert("foreign".to_owned(), json!(self.foreign));
        for Contestant { name, seen } in &self.contestants {
            let value = match seen {
                Ok(seen) => {
                    json!({ "med": seen.median, "min": seen.min, "rss": seen.peak_mib, "loss": seen.loss })
                }
                Err(error) => json!({ "err": error }),
            };
            row.insert((*name).to_owned(), value);
        }
        Value::Object(row)
    }
}

/// Measures every cell, one model and batch size after the other, and hands over each batch size's cells as they are
/// ready. What was left out, and why, is returned.
///
/// # Errors
/// What `ready` says, and a program that does not start.
pub fn measure(
    options: &Options,
    python: &Path,
    mut ready: impl FnMut(Vec<Cell>) -> Result<(), Failure>,
) -> Result<Vec<String>, Failure> {
    let mut left_out = Vec::new();
    let runner = Runner { options, python, worker: worker()? };
    for model in Model::ALL {
        let workloads: Vec<Workload> =
            options.workloads.iter().copied().filter(|w| w.model == model).collect();
        if workloads.is_empty() {
            continue;
        }
        for &batch in &options.batches {
            let names = contestants(options, model, batch);
            let (needed, there) = (needed_gib(model, batch, names.len()), available_gib().min(MEMORY_GIB));
            if there < needed {
                left_out
                    .push(format!("{model} {batch}: would take about {needed:.0} GiB, there are {there:.0}"));
                continue;
            }
            for workload in &workloads {
                // A contestant that dies takes its cell along, not the figures of the others.
                match runner.time_undisturbed(*workload, batch, &names) {
                    Ok(cell) => ready(vec![cell])?,
                    Err(error) => left_out.push(format!("{workload} {batch}: {error}")),
                }
            }
        }
    }
    Ok(left_out)
}

fn contestants(options: &Options, model: Model, batch: usize) -> Vec<&'static str> {
    let mut names = vec![OURS];
    names.extend(TORCH);
    if options.with_bf16 {
        names.extend([OURS_BF16, BF16]);
    }
    if options.with_candle && (model == Model::Mlp || batch <= CANDLE_LARGEST) {
        names.push(CANDLE);
    }
    names
}

/// About what the contestants take together, from what PyTorch's libraries and one example were seen to take.
fn needed_gib(model: Model, batch: usize, n_contestants: usize) -> f64 {
    let example_mib = match model {
        Model::Mlp => 0.03,
        Model::LeNet => 0.8,
        Model::ResNet => 1.6,
        Model::Gpt => 3.6,
    };
    n_contestants as f64 * (batch as f64).mul_add(example_mib, 600.0) / 1024.0
}

/// What is free, where the system tells.
fn available_gib() -> f64 {
    let kib = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    });
    kib.map_or(MEMORY_GIB, |kib| kib / f64::from(1 << 20))
}

/// Our worker, which is built together with this program.
fn worker() -> Result<PathBuf, Failure> {
    let worker =
        std::env::current_exe()?.with_file_name(format!("step-worker{}", std::env::consts::EXE_SUFFIX));
    if worker.is_file() { Ok(worker) } else { Err(format!("there is no `{}`", worker.display()).into()) }
}

/// GFLOP/s of a large matrix product on so many threads.
///
/// # Errors
/// A worker that is missing or fails.
pub fn ceiling(threads: usize) -> Result<f64, Failure> {
    let mut command = Command::new(worker()?);
    let output = command.args(["--gemm", &threads.to_string()]).env("RAYON_NUM_THREADS", "1").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim()
        .parse()
        .map_err(|_| format!("no rate: {text}{}", String::from_utf8_lossy(&output.stderr)).into())
}

struct Runner<'a> {
    options: &'a Options,
    python: &'a Path,
    worker: PathBuf,
}

impl Runner<'_> {
    /// The program and arguments that start a contestant.
    fn command(&self, name: &str) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        match name {
            OURS | OURS_BF16 | CANDLE => vec![text(&self.worker)],
            _ => vec![text(self.python), text(&self.options.script)],
        }
    }

    /// The settings that are the same for all.
    fn with_settings<'b>(&self, command: &'b mut Command) -> &'b mut Command {
        let threads = self.options.threads.to_string();
        command
            .envs(["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NT"].map(|name| (name, threads.clone())))
            .envs(MALLOC)
    }

    /// The same again for as often as is allowed while others disturb it, of which the least disturbed counts.
    fn time_undisturbed(
        &self,
        workload: Workload,
        batch: usize,
        names: &[&'static str],
    ) -> Result<Cell, Failure> {
        let mut cell = self.time(workload, batch, names)?;
        for _ in 1..self.options.tries {
            if !cell.is_disturbed() {
                break;
            }
            let again = self.time(workload, batch, names)?;
            if again.foreign < cell.foreign {
                cell = again;
            }
        }
        Ok(cell)
    }

    /// All contestants in turn, in processes of their own for each cell, so that their peak memory is the cell's.
    fn time(&self, workload: Workload, batch: usize, names: &[&'static str]) -> Result<Cell, Failure> {
        let json = std::env::temp_dir().join(format!("batchwise-pair-{}.json", std::process::id()));
        let mut command = Command::new(self.python);
        command
            .arg(&self.options.pair)
            .args(["--rounds", &self.options.rounds.to_string()])
            .args(["--seconds", &self.options.seconds.to_string()])
            .args(["--models", &workload.to_string()])
            .args(["--batches", &batch.to_string()])
            .arg("--json")
            .arg(&json)
            .args(names.iter().map(|name| format!("{name}={}:{name}", quoted(&self.command(name)))));
        let status = self.with_settings(&mut command).stdout(std::io::stderr()).status()?;
        if !status.success() {
            return Err(format!("`{}`: {status}", self.options.pair.display()).into());
        }
        let rows: Value = serde_json::from_str(&std::fs::read_to_string(&json)?)?;
        std::fs::remove_file(&json)?;
        cell(rows.get(0).ok_or("the script that times in turn gave no row")?, names)
    }
}

/// Words as a shell reads them.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', "'\\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A row of the script.
fn cell(row: &Value, names: &[&'static str]) -> Result<Cell, Failure> {
    let contestant = |name: &&'static str| {
        let value = &row[*name];
        let number = |key: &str| value[key].as_f64();
        let seen = match (number("med"), number("min"), value["err"].as_str()) {
            (Some(median), Some(min), _) => {
                Ok(Seen { median, min, loss: number("loss").unwrap_or(f64::NAN), peak_mib: number("rss") })
            }
            (_, _, error) => Err(error.unwrap_or("no figures").to_owned()),
        };
        Contestant { name, seen }
    };
    Ok(Cell {
        workload: row["model"].as_str().unwrap_or_default().parse()?,
        batch: row["batch"].as_u64().ok_or("a row without a batch")? as usize,
        foreign: row["foreign"].as_f64().unwrap_or(f64::NAN),
        contestants: names.iter().map(contestant).collect(),
    })
}
