//! What this machine has, and what is missing.

use crate::features;
use crate::shell::output;

pub(crate) fn run() -> Result<(), String> {
    let tools: [(&str, &[&str], &str); 5] = [
        ("rustc", &["--version"], "needed"),
        ("git", &["--version"], "names the commit in results"),
        ("cargo-deny", &["--version"], "checks licences in `cargo xtask lint`: cargo install cargo-deny"),
        (
            "chromium",
            &["--version"],
            "opens the report in `cargo xtask test`; its test is skipped without it",
        ),
        ("nvcc", &["--version"], "builds for CUDA devices"),
    ];
    for (tool, arguments, purpose) in tools {
        let found = output(tool, arguments).and_then(|text| text.lines().last().map(str::to_owned));
        match found {
            Some(version) => println!("{tool:>12}  {version}"),
            None => println!("{tool:>12}  not found ({purpose})"),
        }
    }
    let chosen = features::choose();
    let names = if chosen.names.is_empty() { "none" } else { &chosen.names };
    println!("{:>12}  {names}: {}", "features", chosen.reason);
    println!(
        "{:>12}  driver {}, compiler {}",
        "cuda",
        if features::has_cuda_driver() { "found" } else { "not found" },
        if features::has_cuda_compiler() { "found" } else { "not found" }
    );
    Ok(())
}
