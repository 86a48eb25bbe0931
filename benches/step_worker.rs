//! Our training step, and stock candle's, as a worker that a script times beside PyTorch's.
//!
//! Reads lines `MODEL VARIANT BATCH SECONDS` from standard input and answers each with a line of JSON:
//! `{"med": seconds, "min": seconds, "n": steps, "rss": MiB, "loss": loss}` or `{"err": text}`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use batchwise_nn::memory;
use benches::comparison::{OurStep, Phase, Worker, median, peak_mib};
use benches::gemm_gflops;
use serde_json::{Value, json};
use std::error::Error;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: step-worker
       step-worker --phases MODEL BATCH [STEPS]
       step-worker --gemm THREADS (with RAYON_NUM_THREADS=1)
MODEL is one of mlp, lenet, resnet, gpt with _sgd or _adamw; VARIANT is batchwise, batchwise_bf16 or candle.";

fn main() -> ExitCode {
    // Where both sides are given one setting by the environment, that one holds.
    if std::env::var_os("MALLOC_MMAP_THRESHOLD_").is_none() {
        memory::keep_large_blocks();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => serve(),
        ["--phases", model, batch] => phases(model, batch, "51"),
        ["--phases", model, batch, steps] => phases(model, batch, steps),
        ["--gemm", threads] => {
            println!("{}", gemm_gflops(threads.parse()?)?);
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let mut worker = Worker::default();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_whitespace().collect::<Vec<_>>()[..] {
            [] => continue,
            [model, variant, batch, seconds] => burst(&mut worker, model, variant, batch, seconds),
            _ => Err("a line is MODEL VARIANT BATCH SECONDS".into()),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", answer.unwrap_or_else(|error| json!({ "err": error.to_string() })))?;
        out.flush()?;
    }
    Ok(())
}

fn burst(
    worker: &mut Worker,
    model: &str,
    variant: &str,
    batch: &str,
    seconds: &str,
) -> Result<Value, Box<dyn Error>> {
    let measured = worker.run(model.parse()?, variant, batch.parse()?, seconds.parse()?)?;
    Ok(
        json!({ "med": measured.median, "min": measured.min, "n": measured.n, "rss": peak_mib(), "loss": measured.loss }),
    )
}

/// Median milliseconds of each part of a step.
fn phases(model: &str, batch: &str, steps: &str) -> Result<(), Box<dyn Error>> {
    let mut step = OurStep::new(model.parse()?, batch.parse()?)?;
    let mut times =
        [(Phase::Forward, Vec::new()), (Phase::Backward, Vec::new()), (Phase::Optimizer, Vec::new())];
    for _ in 0..3 {
        step.step()?;
    }
    let mut totals = Vec::new();
    for _ in 0..steps.parse::<usize>()?.max(1) {
        let start = Instant::now();
        let mut last = start;
        step.step_with(|phase| {
            let now = Instant::now();
            for (_, times) in times.iter_mut().filter(|(of, _)| *of == phase) {
                times.push((now - last).as_secs_f64());
            }
            last = now;
        })?;
        totals.push(start.elapsed().as_secs_f64());
    }
    for (phase, times) in &mut times {
        println!("{:>9}  {:9.3} ms", format!("{phase:?}").to_lowercase(), 1e3 * median(times));
    }
    println!("{:>9}  {:9.3} ms", "step", 1e3 * median(&mut totals));
    Ok(())
}
