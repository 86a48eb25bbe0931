//! The `tensorboard` package from PyPI reads what is written.
#![cfg(unix)]

use crate::events::{clock, wanted};
use crate::records::{Kind, Told, full};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a Python with the package is kept, so that only the first run installs it.
const CACHE: &str = "BATCHWISE_TEST_CACHE";
/// Set to 1, a missing package fails the test.
const REQUIRE: &str = "BATCHWISE_REQUIRE_TENSORBOARD";

/// Prints `tag<TAB>step<TAB>wall time<TAB>value` for each scalar; steps in the order in which they are shown.
const READER: &str = "
import sys
from tensorboard.backend.event_processing import event_multiplexer
runs = event_multiplexer.EventMultiplexer(size_guidance={'scalars': 0}, purge_orphaned_data=True)
runs.AddRunsFromDirectory(sys.argv[1])
runs.Reload()
for run, found in sorted(runs.Runs().items()):
    for tag in found['scalars']:
        for e in runs.Scalars(run, tag):
            print(tag, e.step, repr(float(e.wall_time)), repr(float(e.value)), sep='\\t')
";

fn ran(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// A Python that has the package.
fn python() -> Result<PathBuf, String> {
    let cache = std::env::var_os(CACHE)
        .map_or_else(|| std::env::temp_dir().join("batchwise-test-cache"), PathBuf::from);
    std::fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    let (folder, done) = (cache.join("tensorboard"), cache.join("tensorboard.done"));
    let python = folder.join("bin").join("python");
    // One process installs, others wait for it.
    let lock = File::create(cache.join("tensorboard.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !done.exists() {
        ran(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
        ran(Command::new(&python).args(pip).args(["--timeout", "15", "tensorboard>=2.15,<3"]))?;
        File::create(&done).map_err(|error| error.to_string())?;
    }
    Ok(python)
}

fn read(python: &Path, folder: &Path) -> Vec<(String, u64, f64, f64)> {
    let text = ran(Command::new(python).args(["-c", READER]).arg(folder)).unwrap();
    text.lines()
        .map(|line| {
            let [tag, step, time, value] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            (tag.to_owned(), step.parse().unwrap(), time.parse().unwrap(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn the_real_tensorboard_reads_a_file_that_was_resumed() {
    let python = match python() {
        Ok(python) => python,
        Err(why) if std::env::var_os(REQUIRE).is_some_and(|value| value == "1") => {
            panic!("{REQUIRE}=1, but the package cannot be installed: {why}")
        }
        Err(why) => {
            eprintln!(
                "SKIPPED: nothing was read with the real TensorBoard ({REQUIRE}=1 makes this fail): {why}"
            );
            return;
        }
    };
    let told: Vec<Told> = (0..20).flat_map(full).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut observer = Kind::TensorBoard.create(folder.path());
    told[..15].iter().for_each(|told| told.to(observer.as_mut()).unwrap());
    let length = observer.sync().unwrap();
    told[15..25].iter().for_each(|told| told.to(observer.as_mut()).unwrap());
    let mut observer = Kind::TensorBoard.resume(folder.path(), length).unwrap();
    told[15..].iter().for_each(|told| told.to(observer.as_mut()).unwrap());

    let mut want: Vec<(String, u64, f64, f64)> = told
        .iter()
        .flat_map(|told| {
            let (examples, time) = clock(told);
            wanted(told).into_iter().map(move |(tag, x)| (tag, examples, time, f64::from(x as f32)))
        })
        .collect();
    let mut got = read(&python, folder.path());
    let order = |a: &(String, u64, f64, f64), b: &(String, u64, f64, f64)| (&a.0, a.1).cmp(&(&b.0, b.1));
    want.sort_by(order);
    got.sort_by(order);
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(&want) {
        assert_eq!(got, want);
    }
}
