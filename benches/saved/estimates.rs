//! What criterion writes about each bench.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// Nanoseconds of one iteration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// Their mean.
    pub mean: Estimate,
    /// Their median.
    pub median: Estimate,
}

/// A number with what is known about its error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub point_estimate: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Where it lies with a given confidence.
    pub confidence_interval: Interval,
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Such as 0.95.
    pub confidence_level: f64,
    /// Its lower end.
    pub lower_bound: f64,
    /// Its upper end.
    pub upper_bound: f64,
}

/// The name of a bench.
#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

/// What criterion has written under its folder since then, by the name of the bench.
///
/// # Errors
/// A folder or file that does not read.
pub fn read_since(folder: &Path, since: SystemTime) -> io::Result<BTreeMap<String, Estimates>> {
    let mut found = BTreeMap::new();
    if folder.is_dir() {
        collect(folder, since, &mut found)?;
    }
    Ok(found)
}

fn collect(folder: &Path, since: SystemTime, found: &mut BTreeMap<String, Estimates>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let estimates = path.join("estimates.json");
        if path.file_name().is_some_and(|name| name == "new") && estimates.is_file() {
            if since <= estimates.metadata()?.modified()? {
                let Benchmark { full_id } = read(&path.join("benchmark.json"))?;
                found.insert(full_id, read(&estimates)?);
            }
        } else {
            collect(&path, since, found)?;
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use std::time::Duration;

    #[test]
    fn what_criterion_wrote_is_found_by_name_and_age() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("step_mlp/32/new");
        std::fs::create_dir_all(&new).unwrap();
        let of = |point: f64| {
            format!(
                r#"{{"confidence_interval":{{"confidence_level":0.95,"lower_bound":1.0,"upper_bound":2.0}},
                    "point_estimate":{point:?},"standard_error":0.1}}"#
            )
        };
        let estimates =
            format!(r#"{{"mean":{},"median":{},"slope":null,"std_dev":{}}}"#, of(1.5), of(1.4), of(0.2));
        std::fs::write(new.join("estimates.json"), estimates).unwrap();
        std::fs::write(new.join("benchmark.json"), r#"{"group_id":"step/mlp","full_id":"step/mlp/32"}"#)
            .unwrap();
        let found = read_since(folder.path(), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(found["step/mlp/32"].median.point_estimate, 1.4);
        let later = SystemTime::now() + Duration::from_secs(3600);
        assert!(read_since(folder.path(), later).unwrap().is_empty());
        assert!(read_since(&folder.path().join("nothing"), later).unwrap().is_empty());
    }
}
