//! `runs pause`, `resume`, `cancel` and `first`: wishes for a sweep that runs elsewhere.

use crate::cli::show;
use batchwise_lab::LabError;
use batchwise_lab::runner::Control;
use batchwise_lab::store::Store;
use batchwise_lab::sweep::Root;

/// What is wanted of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Pause,
    Resume,
}

pub(super) fn sweep(root: &Root, name: &str, wish: Wish) -> Result<(), LabError> {
    root.read_sweep(name)?;
    let control = Control::new(root, name);
    match wish {
        Wish::Pause => control.pause()?,
        Wish::Resume => control.resume()?,
    }
    let words = match wish {
        Wish::Pause => "no further trial begins, and those that can store where they are stop",
        Wish::Resume => "trials begin again",
    };
    show::line(&format!("{name}: {words}"));
    Ok(())
}

/// Gives a sweep up, or one trial of it.
pub(super) fn cancel(root: &Root, store: &Store, name: &str, trial: Option<&str>) -> Result<(), LabError> {
    root.read_sweep(name)?;
    let trial = trial.map(|trial| store.resolve(trial)).transpose()?;
    Control::new(root, name).cancel(trial.as_deref())?;
    match trial {
        None => show::line(&format!("{name}: the sweep stops; the same command goes on with it")),
        Some(trial) => show::line(&format!("{name}: the trial {trial} is given up")),
    }
    Ok(())
}

/// Puts a trial before all others.
pub(super) fn first(root: &Root, store: &Store, name: &str, trial: &str) -> Result<(), LabError> {
    root.read_sweep(name)?;
    let trial = store.resolve(trial)?;
    Control::new(root, name).first(&trial)?;
    show::line(&format!("{name}: the trial {trial} comes next"));
    Ok(())
}
