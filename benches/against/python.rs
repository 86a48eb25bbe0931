//! An interpreter that has PyTorch.

use super::Failure;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The one that was named, or else one with an environment of its own, which is made the first time.
///
/// # Errors
/// An interpreter that cannot import torch; no `python3` to make one with; no network the first time.
pub fn interpreter(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(python) = named {
        return match has_torch(python) {
            true => Ok(python.to_owned()),
            false => Err(format!("`{}` cannot import torch", python.display()).into()),
        };
    }
    let folder = crate::root().join("target/torch-env");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !has_torch(&python) {
        make(&folder, &python)?;
    }
    Ok(python)
}

fn has_torch(python: &Path) -> bool {
    let mut command = Command::new(python);
    let status =
        command.args(["-c", "import torch, numpy"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn make(folder: &Path, python: &Path) -> Result<(), Failure> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(Command::new(python).args(["-m", "pip", "install", "--quiet", "torch", "numpy"]))?;
    match has_torch(python) {
        true => Ok(()),
        false => Err(format!("`{}` cannot import torch after it was installed", python.display()).into()),
    }
}

fn run(command: &mut Command) -> Result<(), Failure> {
    // What a table is read from is standard output.
    let status =
        command.stdout(std::io::stderr()).status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
