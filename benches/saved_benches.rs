//! Runs the criterion benches and keeps what they came to, or compares it with what was kept:
//! `cargo xtask bench [FILTER] --save NAME` and `--against NAME`.
//!
//! A slower bench is no failure: the exit status says only whether they ran.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use benches::root;
use benches::saved::{Machine, Saved, Ticks, commit, read_since, report, utc};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

const USAGE: &str = "usage: saved-benches save|against NAME [ARGUMENTS OF CARGO BENCH]";

type Failure = Box<dyn std::error::Error>;

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
    let [what, name, rest @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    if name.is_empty() || name.contains(['/', '\\']) {
        return Err(format!("`{name}` is no name of a file").into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let target = std::path::absolute(target)?;
    let path = target.join("bench").join(format!("{name}.json"));
    match what.as_str() {
        "save" => {
            let now = run_benches(&target, rest)?;
            now.write(&path)?;
            println!("{} benches are saved in {}", now.benches.len(), path.display());
        }
        "against" => {
            // Before the benches, which take minutes.
            let then = Saved::read(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
            println!("{}", report(&then, &run_benches(&target, rest)?));
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// Runs the benches and reads what they came to.
fn run_benches(target: &Path, arguments: &[String]) -> Result<Saved, Failure> {
    let folder = std::env::var_os("CRITERION_HOME").map_or_else(|| target.join("criterion"), PathBuf::from);
    let (since, before) = (SystemTime::now(), Ticks::now());
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["bench", "--package", "benches"]).args(arguments);
    let status = cargo.env("CRITERION_HOME", &folder).env("CARGO_TARGET_DIR", target).status()?;
    if !status.success() {
        return Err(format!("the benches failed ({status})").into());
    }
    let foreign = before.zip(Ticks::now()).map(|(before, after)| after.foreign_since(before));
    let benches = read_since(&folder, since)?;
    if benches.is_empty() {
        return Err("no bench has this name".into());
    }
    Ok(Saved { machine: Machine::here(), commit: commit(), date: utc(since), foreign, benches })
}
