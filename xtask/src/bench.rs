//! The benches, and the comparisons with PyTorch.

use crate::shell::{cargo, root, step};
use std::path::{Path, PathBuf};

/// The criterion benches, with `--save NAME` or `--against NAME` kept or compared; or with `--against-torch` our loader
/// or our training step and PyTorch's side by side.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let [what, against, rest @ ..] = arguments
        && against == "--against-torch"
    {
        return match what.as_str() {
            "loader" => loader_against_torch(rest),
            "step" => step_against_torch(rest),
            _ => Err(format!("`{what}` has no counterpart in PyTorch here: `loader` and `step` have")),
        };
    }
    let mut arguments = arguments.to_vec();
    let save = take(&mut arguments, "--save")?;
    let against = take(&mut arguments, "--against")?;
    let arguments = with_file(arguments)?;
    match (save, against) {
        (None, None) => step("bench", cargo().args(["bench", "--package", "benches"]).args(arguments)),
        (Some(name), None) => saved("save", name, arguments),
        (None, Some(name)) => saved("against", name, arguments),
        (Some(_), Some(_)) => Err("--save and --against do not go together".to_owned()),
    }
}

/// Takes an option and its value out of the arguments.
fn take(arguments: &mut Vec<String>, option: &str) -> Result<Option<String>, String> {
    let Some(at) = arguments.iter().position(|argument| argument == option) else { return Ok(None) };
    if arguments.len() <= at + 1 {
        return Err(format!("{option} needs a name"));
    }
    Ok(arguments.drain(at..at + 2).nth(1))
}

/// What cargo is told: of a filter such as `step/cnn` only the file `step` knows, and the others would run for nothing.
fn with_file(arguments: Vec<String>) -> Result<Vec<String>, String> {
    let files = files(&root().join("benches/Cargo.toml"))?;
    let file = arguments.first().and_then(|filter| filter.split('/').next());
    let mut out = match file.filter(|file| files.iter().any(|name| name == file)) {
        Some(file) => vec!["--bench".to_owned(), file.to_owned()],
        None => Vec::new(),
    };
    out.push("--".to_owned());
    out.extend(arguments);
    Ok(out)
}

/// The names of the bench files.
fn files(manifest: &Path) -> Result<Vec<String>, String> {
    let text =
        std::fs::read_to_string(manifest).map_err(|error| format!("`{}`: {error}", manifest.display()))?;
    let sections = text.split("[[bench]]").skip(1);
    let name = |section: &str| section.split("name = \"").nth(1)?.split('"').next().map(str::to_owned);
    Ok(sections.filter_map(name).collect())
}

/// Runs benches, and keeps what they came to or compares it with what was kept.
fn saved(what: &str, name: String, arguments: Vec<String>) -> Result<(), String> {
    program("benches", "saved-benches", [what.to_owned(), name].into_iter().chain(arguments))
}

fn step_against_torch(arguments: &[String]) -> Result<(), String> {
    let worker = ["build", "--release", "--package", "benches", "--bin", "step-worker"];
    step("our worker", cargo().args(worker))?;
    program("our training step against PyTorch's", "step-against-torch", arguments.iter().cloned())
}

fn loader_against_torch(arguments: &[String]) -> Result<(), String> {
    let script = match arguments {
        [] => {
            let shared = std::env::var_os("BATCHWISE_SHARED").map(PathBuf::from);
            shared.unwrap_or_else(|| root().join("../shared")).join("bench/loader_torch.py")
        }
        [script] => PathBuf::from(script),
        _ => return Err("usage: cargo xtask bench loader --against-torch [SCRIPT]".to_owned()),
    };
    let script = script.canonicalize().map_err(|error| format!("`{}`: {error}", script.display()))?;
    program("our loader against PyTorch's", "loader-against-torch", [script.display().to_string()])
}

/// A program of the benches, run where the user is, so that paths mean what they say.
fn program(headline: &str, name: &str, arguments: impl IntoIterator<Item = String>) -> Result<(), String> {
    let here = std::env::current_dir().map_err(|error| format!("no current folder: {error}"))?;
    let run = ["run", "--release", "--package", "benches", "--bin", name, "--"];
    step(headline, cargo().current_dir(here).args(run).args(arguments))
}
