//! Our training step and PyTorch's side by side in one run: `cargo xtask bench step --against-torch [OPTIONS]`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use benches::against::{Cell, Failure, Options, USAGE, ceiling, interpreter, measure, table};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(arguments)?;
    let python = interpreter(options.python.as_deref())?;
    let before = ceiling(options.threads)?;
    let mut cells: Vec<Cell> = Vec::new();
    let left_out = measure(&options, &python, |ready| {
        cells.extend(ready);
        let Some(path) = &options.json else { return Ok(()) };
        let rows: Vec<_> = cells.iter().map(Cell::to_json).collect();
        Ok(std::fs::write(path, serde_json::to_string_pretty(&rows)?)?)
    })?;
    if cells.is_empty() {
        return Err(format!("nothing was measured\n{}", left_out.join("\n")).into());
    }
    // The rate drifts with the machine: the better of two is closer to what it can do.
    let ceiling = before.max(ceiling(options.threads)?);
    println!("{} threads each, f32, the same malloc settings, learning rate 0\n", options.threads);
    println!("{}", table(&cells, ceiling));
    for what in left_out {
        println!("left out: {what}");
    }
    Ok(())
}
