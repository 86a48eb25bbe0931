//! The checks, each a list of programs to run.

use crate::shell::{cargo, output, step};

/// Every test of the workspace. The tests of the command line run the program itself, so it is built first, and with all
/// else: alone it would have dependencies of other features, which the tests would build again.
pub(crate) fn test(arguments: &[String]) -> Result<(), String> {
    let all = ["build", "--profile", "test", "--workspace", "--bins", "--tests"];
    step("build the program and the tests", cargo().args(all))?;
    step("test", cargo().args(["test", "--workspace", "--no-fail-fast"]).args(arguments))
}

/// Format, clippy, documentation, licences and layering, the cheapest first.
pub(crate) fn lint() -> Result<(), String> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    step("layering", cargo().args(["test", "--package", "tests", "--test", "layering"]))?;
    deny()?;
    step("clippy", cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // The workspace turns their features on.
    let bare = ["--package", "batchwise-estimate", "--package", "batchwise-schedule"];
    step(
        "clippy, without features",
        cargo().arg("clippy").args(bare).args(["--no-default-features", "--", "-D", "warnings"]),
    )?;
    step(
        "documentation",
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Licences, duplicates and sources; the database of advisories needs a network and is left out.
fn deny() -> Result<(), String> {
    if output("cargo-deny", &["--version"]).is_none() {
        if std::env::var_os("CI").is_some() {
            return Err("cargo-deny is missing: .ci/run installs it".to_owned());
        }
        eprintln!("\n== cargo-deny: SKIPPED, it is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    // Crates for other systems too, whose licences are read; what is missing then, cargo-deny says.
    let _ = step("fetch the crates", cargo().args(["fetch", "--locked"]));
    step("cargo-deny", cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]))
}

pub(crate) fn docs(arguments: &[String]) -> Result<(), String> {
    step("documentation", cargo().args(["doc", "--workspace", "--no-deps"]).args(arguments))
}

/// What continuous integration runs.
pub(crate) fn ci() -> Result<(), String> {
    lint()?;
    step("benches compile", cargo().args(["bench", "--package", "benches", "--no-run"]))?;
    test(&[])
}
