//! `runs`: the trials of a folder; one file for each command.

mod compare;
mod export;
mod gc;
mod list;
mod rebuild;
mod show_sweep;
mod show_trial;
mod steer;

use super::trial::root_folder;
use crate::cli::arguments::{RunsArguments, RunsCommand};
use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_lab::store::{Skipped, Store};
use batchwise_lab::sweep::Root;

pub(super) fn run(options: &Options, arguments: &RunsArguments) -> Result<(), LabError> {
    match &arguments.command {
        RunsCommand::List(arguments) => list::run(options, arguments),
        RunsCommand::Show { name } => show_one(options, name),
        RunsCommand::Compare { trials } => compare::run(options, trials),
        RunsCommand::Export(arguments) => export::run(options, arguments),
        RunsCommand::Gc { yes } => gc::run(options, *yes),
        RunsCommand::Rebuild => rebuild::run(options),
        RunsCommand::Pause { sweep } => steer::sweep(&root(options)?, sweep, steer::Wish::Pause),
        RunsCommand::Resume { sweep } => steer::sweep(&root(options)?, sweep, steer::Wish::Resume),
        RunsCommand::Cancel { sweep, trial } => {
            let (root, store) = open(options)?;
            steer::cancel(&root, &store, sweep, trial.as_deref())
        }
        RunsCommand::First { sweep, trial } => {
            let (root, store) = open(options)?;
            steer::first(&root, &store, sweep, trial)
        }
    }
}

/// A sweep of this name, or else the trial whose name begins so.
fn show_one(options: &Options, name: &str) -> Result<(), LabError> {
    let (root, store) = open(options)?;
    match store.sweep(name)? {
        Some(_) => show_sweep::show_sweep(options, &root, name),
        None => show_trial::show_trial(options, &store, &store.resolve(name)?),
    }
}

/// Where sweeps and trials are.
fn root(options: &Options) -> Result<Root, LabError> {
    let folder = root_folder(options);
    let root = Root::new(&folder);
    if root.runs().is_dir() || root.sweeps().is_dir() {
        return Ok(root);
    }
    Err(LabError::Input(format!(
        "there are no trials in {}: give their folder by --out, or run a sweep first",
        folder.display()
    )))
}

/// The store, with all that changed since it was last open.
fn open(options: &Options) -> Result<(Root, Store), LabError> {
    let root = root(options)?;
    let mut store = Store::open(&root)?;
    let refreshed = store.refresh(&root)?;
    warn(options, &refreshed.skipped);
    Ok((root, store))
}

/// Tells what could not be read.
fn warn(options: &Options, skipped: &[Skipped]) {
    if options.quiet {
        return;
    }
    for Skipped { name, reason } in skipped {
        show::error_line(&format!("left out {name}: {reason}"));
    }
}

/// A row of a result with its name.
fn named(name: &str, value: &str) {
    show::line(&format!("{name:>20}  {value}"));
}

/// Four digits; nothing where there is no number.
pub(super) fn digits(value: Option<f64>) -> String {
    let Some(value) = value else { return String::new() };
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    let size = rounded.abs();
    if size == 0.0 || (1e-3..1e9).contains(&size) { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// A time of which the seconds since 1970 are known, to people: how long ago.
fn ago(at: u64) -> String {
    let seconds = batchwise_lab::provenance::now().saturating_sub(at);
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_tell_numbers_apart() {
        let shown = [0.123_456, 1e-5, 123_456.0, 0.0, -2.5e12].map(|x| digits(Some(x)));
        assert_eq!(shown, ["0.1235", "1e-5", "123500", "0", "-2.5e12"]);
        assert_eq!(digits(None), "");
    }
}
