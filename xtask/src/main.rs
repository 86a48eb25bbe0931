//! One door: forwards users' commands to the `batchwise` program, built in release with the device features
//! this machine has, and runs the project's checks.
//!
//! No dependency and no parser: it must start within seconds of a cold clone.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod bench;
mod checks;
mod doctor;
mod features;
mod forward;
mod shell;

use std::process::ExitCode;

const HELP: &str = "\
batchwise: which batch size, learning rate and accumulation should this model train with?

Usage: cargo xtask COMMAND [OPTIONS]

Users' commands (built and run in release; `cargo xtask COMMAND --help` tells more):
  advise    Measure memory, speed, learning rate and noise, and recommend a batch size
  memory    Measure peak memory by micro-batch
  speed     Measure the time of a step by batch size
  noise     Measure the gradient noise scale over a short training
  train     Train once and evaluate
  sweep     Run a plan of trials to the end, whatever happens, with any trainer
  runs      List, show, compare and export the trials of sweeps; pause and cancel sweeps
  report    Write the page of a sweep, or lay two side by side
  data      Show what a data set holds
  change    Carry the hyper-parameters of a run to another batch size
  schedule  Show what a schedule of learning rate and batch size will do
  fit       Fit the statistics of batch size to measurements made anywhere
  devices   List the devices this build can use here
  audit     Check the gradients of candle's layers and of ours against finite differences
  check     Check what a training relies on, on your own model and data: accumulation; or a trainer
            of your own
  trial     Make one attempt at one trial; simulate: a trainer whose answers are known

For people who work on the code:
  test      Build and run every test
  lint      Format, clippy, docs, cargo-deny and layering
  bench     Run the criterion benches (arguments go to them: `cargo xtask bench step/cnn`);
            with --save NAME keep what they come to, with --against NAME compare it with that;
            `step --against-torch [OPTIONS]` times our training step, PyTorch's and stock candle's side by
            side (--help tells more), `loader --against-torch [SCRIPT]` our loader and PyTorch's
            ($PYTHON has torch)
  docs      Build the documentation of the crates (--open shows it)
  ci        test and lint, as continuous integration does
  doctor    Say what this machine has and what is missing

The first users' command builds the program, which takes some minutes. The device features are chosen by
what the machine has; BATCHWISE_FEATURES=cuda,cudnn (or an empty value) overrides that.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        None => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some((command, rest)) => (command.as_str(), rest),
    };
    let result = match command {
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        "advise" | "memory" | "speed" | "noise" | "train" | "change" | "schedule" | "data" | "fit"
        | "runs" | "sweep" | "report" | "trial" | "simulate" | "devices" | "audit" | "check" => {
            return forward::to_batchwise(&arguments);
        }
        "test" => checks::test(rest),
        "lint" => checks::lint(),
        "bench" => bench::run(rest),
        "docs" => checks::docs(rest),
        "ci" => checks::ci(),
        "doctor" => doctor::run(),
        _ => {
            eprintln!("error: unknown command `{command}`\n");
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("error: {failed}");
            ExitCode::FAILURE
        }
    }
}
