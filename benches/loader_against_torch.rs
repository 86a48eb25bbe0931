//! Our loader and PyTorch's side by side in one run: `cargo xtask bench loader --against-torch [SCRIPT]`.
//!
//! For each batch size the two take turns: the script in a process of its own, then ours in this one, on arrays of the
//! same shape (u8 to normalised f32, shuffled). Prints a table of ratios and rates, and the same as JSON lines.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use batchwise_data::{Batches, LastBatch, Loader, LoaderConfig, Order, Row};
use benches::{N_FEATURES, copy_rate, mapped_images, single_pass_rows, synthetic_images};
use candle_core::Device;
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

const N: usize = 60_000;
const BATCHES: [u64; 4] = [1, 32, 256, 4096];
const WORKERS: [usize; 2] = [0, 2];
const SECONDS: f64 = 2.0;

type Failure = Box<dyn std::error::Error>;

/// One line of the table: examples per second.
struct Cell {
    batch: u64,
    workers: usize,
    ours: f64,
    usual: f64,
    batched: f64,
}

fn main() -> Result<(), Failure> {
    let script = std::env::args().nth(1).ok_or("usage: loader-against-torch SCRIPT")?;
    let dataset = synthetic_images(N)?;
    let order = Order::new(1, N as u64)?;
    let copy = [1, 2].map(copy_rate);
    // As many threads copy as load.
    let limit = |workers: usize| single_pass_rows(copy[workers.clamp(1, 2) - 1]);
    let mut cells = Vec::new();
    for batch in BATCHES {
        for workers in WORKERS {
            eprintln!("batch {batch}, {workers} workers …");
            let (usual, batched) = torch(&script, batch, workers)?;
            let config = LoaderConfig { n_threads: workers, n_ready: 2 * workers.max(1) };
            let mut loader = Loader::with(dataset.clone(), order.clone(), Device::Cpu, config)?;
            let ours = rate(&mut loader, &order, batch)?;
            cells.push(Cell { batch, workers, ours, usual, batched });
        }
    }
    println!("\n{N} × {N_FEATURES} bytes to normalised f32, shuffled; examples per second");
    println!(
        "{:>6} {:>8} {:>12} {:>12} {:>12} {:>12} {:>14} {:>16}",
        "batch",
        "workers",
        "ours/usual",
        "ours/best",
        "ours",
        "torch usual",
        "torch batched",
        "of single pass"
    );
    for Cell { batch, workers, ours, usual, batched } in &cells {
        println!(
            "{batch:>6} {workers:>8} {:>11.1}x {:>11.1}x {ours:>12.0} {usual:>12.0} {batched:>14.0} {:>14.0} %",
            ours / usual,
            ours / usual.max(*batched),
            100.0 * ours / limit(*workers),
        );
    }
    println!(
        "\ncopy bandwidth {:.1} GB/s on one thread, {:.1} on two (bytes read plus written); one pass over 1 byte in and \
         4 bytes out per value is then {:.0} and {:.0} examples/s",
        copy[0] / 1e9,
        copy[1] / 1e9,
        limit(1),
        limit(2)
    );
    let mut rows = Vec::new();
    for (n, positions) in [(N as u64, 0..1 << 24), (1 << 33, 0..1 << 24)] {
        println!("index of {n} examples: {:.1} ns each", index_nanoseconds(n, positions, &mut rows)?);
    }
    for n in [10_000, N] {
        println!("plain files of {n} examples, mapped and all read: {}", mapped_memory(n)?);
    }
    for Cell { batch, workers, ours, usual, batched } in cells {
        println!(
            "{}",
            serde_json::json!({ "batch": batch, "workers": workers, "ours": ours.round(), "torch_usual": usual,
                "torch_batched": batched, "ratio": ours / usual, "ratio_to_best": ours / usual.max(batched), "share_of_single_pass": ours / limit(workers) })
        );
    }
    Ok(())
}

/// What a mapped set of `n` examples holds of memory that is not the file's, once all of it was gathered.
fn mapped_memory(n: usize) -> Result<String, Failure> {
    let before = anonymous_bytes();
    let dataset = mapped_images(n)?;
    let held = dataset.resident_bytes();
    let mut loader = Loader::sequential(dataset, Device::Cpu)?;
    let order = loader.order().clone();
    let mut batches = loader.iter(Batches::new(&order, 0..n as u64, 256, LastBatch::Keep)?);
    while let Some(batch) = batches.next() {
        let batch = batch?;
        batches.recycle(batch);
    }
    Ok(match (before, anonymous_bytes()) {
        (Some(before), Some(after)) => {
            format!(
                "{held} bytes held, the process grew by {:.1} MB",
                after.saturating_sub(before) as f64 / 1e6
            )
        }
        _ => format!("{held} bytes held"),
    })
}

/// Memory of this process that belongs to no file, where the system tells.
fn anonymous_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| 1024 * kib)
}

/// Epoch after epoch; as in the script the first batch pays for the start.
fn rate(loader: &mut Loader, order: &Order, batch: u64) -> Result<f64, Failure> {
    let mut start = None;
    let mut n = 0;
    let mut batches = loader.iter(Batches::new(order, 0..u64::MAX, batch, LastBatch::Keep)?);
    while let Some(received) = batches.next() {
        let received = received?;
        match start {
            None => start = Some(Instant::now()),
            Some(_) => n += received.n_examples,
        }
        batches.recycle(received);
        let elapsed = start.map_or(Duration::ZERO, |start| start.elapsed()).as_secs_f64();
        if SECONDS < elapsed {
            return Ok(n as f64 / elapsed);
        }
    }
    Err("the positions have come to an end".into())
}

/// The script's two rates: the usual way, and by batched index.
fn torch(script: &str, batch: u64, workers: usize) -> Result<(f64, f64), Failure> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&python)
        .args([script, "--n", &N.to_string(), "--features", &N_FEATURES.to_string()])
        .args(["--batches", &batch.to_string(), "--workers", &workers.to_string()])
        .args(["--seconds", &SECONDS.to_string()])
        .output()
        .map_err(|error| {
            format!("cannot run `{python}`: {error}; set PYTHON to an interpreter with torch")
        })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(
            format!("`{python} {script}` failed; set PYTHON to an interpreter with torch:\n{text}").into()
        );
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line: Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    let rate =
        |name: &str| line[name].as_f64().ok_or_else(|| format!("`{script}` printed no `{name}`: {text}"));
    Ok((rate("usual")?, rate("batched")?))
}

fn index_nanoseconds(
    n: u64,
    positions: std::ops::Range<u64>,
    rows: &mut Vec<Row>,
) -> Result<f64, batchwise_data::DataError> {
    let order = Order::new(1, n)?;
    let start = Instant::now();
    let total = positions.end - positions.start;
    let mut sum = 0;
    for first in positions.step_by(4096) {
        order.rows(first..first + 4096, rows);
        sum ^= rows.iter().map(|row| row.index).fold(0, u64::wrapping_add);
    }
    std::hint::black_box(sum);
    Ok(start.elapsed().as_secs_f64() * 1e9 / total as f64)
}
