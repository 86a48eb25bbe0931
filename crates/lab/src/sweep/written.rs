//! The answer of a sweep as files in its folder.

use super::answer::ANSWER_VERSION;
use super::{Reading, Root, SweepAnswer, answer};
use crate::LabError;
use crate::output::write_whole;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// An answer and where it lies.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The answer.
    pub answer: SweepAnswer,
    /// The page, `report.html`.
    pub page: PathBuf,
    /// The same as JSON, `answer.json`.
    pub json: PathBuf,
}

/// Reads the sweep `name` and its trials, and writes `answer.json` and `report.html` into its folder.
///
/// # Errors
/// A name that no sweep has; a file that cannot be read or written.
pub fn write_report(root: &Root, name: &str, reading: &Reading) -> Result<Written, LabError> {
    let answer = read_sweep(root, name, reading)?;
    let folder = root.sweep(name);
    let (page, json) = (folder.join("report.html"), folder.join("answer.json"));
    let mut text =
        serde_json::to_string_pretty(&answer).map_err(|error| LabError::protocol(error.to_string()))?;
    text.push('\n');
    write_whole(&json, text.as_bytes())?;
    write_whole(&page, crate::report::sweep::html(&answer).as_bytes())?;
    Ok(Written { answer, page, json })
}

/// What the sweep `name` says as its trials stand now.
///
/// # Errors
/// A name that no sweep has; a file that cannot be read.
pub fn read_sweep(root: &Root, name: &str, reading: &Reading) -> Result<SweepAnswer, LabError> {
    let file = root.read_sweep(name)?;
    let records = root.records(&file)?;
    Ok(answer(&file, &records, reading))
}

/// Reads an `answer.json`.
///
/// # Errors
/// A file that cannot be read, is none, or is of a newer version.
pub fn read_answer(path: &Path) -> Result<SweepAnswer, LabError> {
    /// What is read first: a newer form may have other keys.
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|source| LabError::io("read", path, source))?;
    let wrong = |error: serde_json::Error| {
        LabError::Input(format!("{shown} is no answer of a sweep: {error}; `report SWEEP` writes one"))
    };
    let head: Head = serde_json::from_str(&text).map_err(wrong)?;
    if ANSWER_VERSION < head.version {
        return Err(LabError::Input(format!(
            "{shown} is an answer of version {}, but this program knows up to {ANSWER_VERSION}",
            head.version
        )));
    }
    serde_json::from_str(&text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::answer::world::World;
    use super::*;
    use crate::trial::Begin;

    #[test]
    fn the_files_of_a_sweep_are_read_and_answered() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let mut world = World::usual();
        (world.batches, world.seeds) = (vec![8, 64], 1);
        let (file, records) = world.sweep();
        for record in &records {
            let folder = root.trial(&record.id);
            folder.create(&record.spec).unwrap();
            let log = folder.begin(&Begin::default()).unwrap();
            folder.publish(record.result.as_ref().unwrap(), log.name()).unwrap();
        }
        file.write(&root).unwrap();
        let written = write_report(&root, &file.name, &Reading::default()).unwrap();
        assert_eq!(written.answer.fates.results(), records.len() as u64);
        assert!(fs::read_to_string(&written.page).unwrap().starts_with("<!DOCTYPE html>"));
        assert_eq!(read_answer(&written.json).unwrap().name, file.name);
        let missing = write_report(&root, "other", &Reading::default()).unwrap_err().to_string();
        assert!(missing.contains("there are quadratic"), "{missing}");
        fs::write(&written.json, "{\"version\": 99}").unwrap();
        assert!(read_answer(&written.json).unwrap_err().to_string().contains("version 99"));
    }
}
