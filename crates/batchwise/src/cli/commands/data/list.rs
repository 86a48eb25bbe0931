//! `data list`: the data sets in the data folder, those built in, and those that can be fetched by name.

use super::data_dir;
use crate::cli::{Options, show};
use batchwise_data::BUILT_IN;
use batchwise_lab::{LabError, bytes};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct List {
    data_dir: String,
    data_sets: Vec<DataSet>,
    built_in: Vec<&'static str>,
    can_be_fetched: Vec<Known>,
}

#[derive(Serialize)]
struct DataSet {
    name: String,
    format: Option<&'static str>,
    bytes: u64,
    /// Where it was fetched from, and at which commit.
    source: Option<String>,
}

#[derive(Serialize)]
struct Known {
    name: &'static str,
    repository: &'static str,
    about: &'static str,
}

pub(super) fn run(options: &Options) -> Result<(), LabError> {
    let dir = data_dir(options)?;
    let list = List {
        data_dir: dir.display().to_string(),
        data_sets: data_sets(&dir),
        built_in: BUILT_IN.to_vec(),
        can_be_fetched: known(),
    };
    if options.json {
        show::json(&list);
        return Ok(());
    }
    match list.data_sets.is_empty() {
        true => show::line(&format!("No data set in {}", list.data_dir)),
        false => show::line(&format!("In {}", list.data_dir)),
    }
    for set in &list.data_sets {
        let source = set.source.as_ref().map_or(String::new(), |source| format!(", from {source}"));
        // What comes in brackets tells which files make it one.
        let format = set.format.map_or("of no known format", |format| {
            format.split_once(" (").map_or(format, |(short, _)| short)
        });
        show::line(&format!("{:>20}  {format}, {}{source}", set.name, bytes::human(set.bytes)));
    }
    show::line(&format!("\nBuilt in\n{:>20}  drawn characters, no file needed", list.built_in.join(", ")));
    if !list.can_be_fetched.is_empty() {
        show::line("\nCan be fetched by name, or any other as owner/name (data fetch)");
    }
    for Known { name, repository, about } in &list.can_be_fetched {
        show::line(&format!("{name:>20}  {about} ({repository})"));
    }
    Ok(())
}

/// What lies in the data folder; a folder that is not there holds nothing.
fn data_sets(dir: &Path) -> Vec<DataSet> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut sets: Vec<DataSet> = entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| !name.starts_with('.'))
        .map(|(name, path)| DataSet {
            name,
            format: batchwise_data::format_name(&path),
            bytes: size(&path),
            source: source(&path),
        })
        // Other folders and files are nobody's data set.
        .filter(|set| set.format.is_some() || set.source.is_some())
        .collect();
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    sets
}

/// Bytes of a file, or of all files below a folder; links are not followed.
fn size(path: &Path) -> u64 {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

#[cfg(feature = "fetch")]
fn source(path: &Path) -> Option<String> {
    match batchwise_data::fetch::read_manifest(path) {
        Ok(manifest) => {
            manifest.map(|manifest| format!("{} at {:.12}", manifest.repository, manifest.commit))
        }
        Err(error) => Some(format!("? ({error})")),
    }
}

#[cfg(not(feature = "fetch"))]
fn source(_: &Path) -> Option<String> {
    None
}

#[cfg(feature = "fetch")]
fn known() -> Vec<Known> {
    let catalog = batchwise_data::fetch::CATALOG.iter();
    catalog
        .map(|entry| Known { name: entry.name, repository: entry.repository, about: entry.about })
        .collect()
}

#[cfg(not(feature = "fetch"))]
fn known() -> Vec<Known> {
    Vec::new()
}
