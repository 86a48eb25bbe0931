//! The `batchwise` program that was built with these tests, run in a folder of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

/// A new folder in which the program runs; it is removed in the end.
#[derive(Debug)]
pub struct Place {
    dir: tempfile::TempDir,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The program, built now if it is missing or older than its sources; `BATCHWISE_PROGRAM` names another one.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(other) = std::env::var_os("BATCHWISE_PROGRAM") {
            return other.into();
        }
        let test = std::env::current_exe().expect("the test knows its own path");
        let folder = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
        let program = folder.join(format!("batchwise{}", std::env::consts::EXE_SUFFIX));
        let built = modified(&program);
        if built.is_none() || built < newest_source(&root().join("crates")) {
            build(folder.ends_with("release"));
        }
        program
    })
}

fn build(is_release: bool) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    let profile = if is_release { "release" } else { "test" };
    command.current_dir(root()).args(["build", "--quiet", "--profile", profile, "--package", "batchwise"]);
    let status = command.status().expect("cargo starts");
    assert!(status.success(), "the program does not build");
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// When the newest file in any `src` below was changed.
fn newest_source(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    entries
        .filter_map(|path| match path.is_dir() {
            true => newest_source(&path),
            false => path.components().any(|part| part.as_os_str() == "src").then(|| modified(&path))?,
        })
        .max()
}

impl Place {
    /// A new, empty folder.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The text of a file in it.
    pub fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        let mut command = self.command(program());
        finish(command.args(arguments))
    }

    /// Runs the program by a line of `sh`, in which it is `"$PROGRAM"`.
    pub fn shell(&self, line: &str) -> Ran {
        finish(self.command(Path::new("sh")).args(["-c", line]))
    }

    /// Starts the program and returns at once.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(program());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    /// A command that sees neither the user's data sets nor the user's settings.
    fn command(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.current_dir(self.path()).env("PROGRAM", program());
        command.env("HOME", self.path()).env("XDG_CACHE_HOME", self.path().join("cache"));
        for name in ["BATCHWISE_DATA", "HF_ENDPOINT", "HF_TOKEN", "RUST_LOG", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command
    }
}

fn finish(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    ran(&output)
}

/// What a finished process left.
pub fn ran(output: &std::process::Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

impl Ran {
    /// Standard output as one JSON value, after a run that must have succeeded.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, Some(0), "the run failed: {}", self.stderr);
        crate::json::parse("standard output", &self.stdout)
    }

    /// Fails unless the run ended with this status and its error names each of these.
    pub fn assert_refused(&self, case: &str, status: i32, named: &[&str]) {
        assert_eq!(self.status, Some(status), "{case}: exit status; it said: {}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{case}: not an error message: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{case}: {}", self.stderr);
        for part in named {
            assert!(self.stderr.contains(part), "{case}: `{part}` is not named in: {}", self.stderr);
        }
    }
}
