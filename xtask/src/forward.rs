//! Users' commands: build the program if it is out of date, then become it.

use crate::features;
use crate::shell::{cargo, output};
use std::process::{Command, ExitCode};

/// Builds `batchwise` in release and runs it with these arguments; returns its exit status.
pub(crate) fn to_batchwise(arguments: &[String]) -> ExitCode {
    let features = features::choose();
    let mut build = cargo();
    build.args([
        "build",
        "--release",
        "--package",
        "batchwise",
        "--bin",
        "batchwise",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if !features.names.is_empty() {
        build.args(["--features", &features.names]);
    }
    if !std::path::Path::new(&crate::shell::root().join("target/release/batchwise")).exists() {
        eprintln!("Building batchwise for the first time ({}); this takes some minutes.", features.reason);
    }
    if let Some(commit) = commit() {
        build.env("BATCHWISE_COMMIT", commit);
    }
    let built = match build.stderr(std::process::Stdio::inherit()).output() {
        Ok(built) if built.status.success() => String::from_utf8_lossy(&built.stdout).into_owned(),
        Ok(_) => {
            eprintln!("error: the build failed");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("error: cargo does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Some(program) = executable(&built) else {
        eprintln!("error: cargo did not say where it put the program");
        return ExitCode::FAILURE;
    };
    become_program(Command::new(program).args(arguments))
}

/// The last executable that cargo names in its JSON messages.
fn executable(messages: &str) -> Option<String> {
    let key = "\"executable\":\"";
    let start = messages.rfind(key)? + key.len();
    let end = messages[start..].find('"')?;
    Some(messages[start..start + end].replace("\\\\", "\\"))
}

/// The commit of the source, marked where the tree differs from it.
fn commit() -> Option<String> {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"])?;
    let is_clean = output("git", &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_clean { commit } else { format!("{commit}-modified") })
}

#[cfg(unix)]
fn become_program(command: &mut Command) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    eprintln!("error: batchwise does not start: {error}");
    ExitCode::FAILURE
}

#[cfg(not(unix))]
fn become_program(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: batchwise does not start: {error}");
            ExitCode::FAILURE
        }
    }
}
