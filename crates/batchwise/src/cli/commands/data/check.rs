//! `data check`: every example, and the checksums of what was fetched.

use crate::cli::{Options, show};
use batchwise_data::{Dataset, check_examples, locate, open};
use batchwise_lab::{LabError, process};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Report {
    data: String,
    /// Files whose checksums were compared.
    files: usize,
    /// Examples that were looked at.
    examples: u64,
    faults: Vec<String>,
}

pub(super) fn run(options: &Options) -> Result<(), LabError> {
    let mut report = Report { data: options.data.clone(), files: 0, examples: 0, faults: Vec::new() };
    if let Some(path) = locate(&options.data, options.data_dir.as_deref())? {
        check_files(&path, &mut report);
    }
    match open(&options.data, options.data_dir.as_deref()) {
        Ok(splits) => {
            for (split, dataset) in [("training", &splits.train), ("test", &splits.test)] {
                check_split(options, split, dataset.as_ref(), &mut report)?;
            }
        }
        Err(error) => report.faults.push(error.to_string()),
    }
    let n_faults = report.faults.len();
    if options.json {
        show::json(&report);
    } else {
        report.faults.iter().for_each(|fault| show::line(fault));
        if n_faults == 0 {
            let files = match report.files {
                0 => String::new(),
                1 => ", 1 file has its checksum".to_owned(),
                n => format!(", {n} files have their checksums"),
            };
            show::line(&format!("{} examples are good{files}", report.examples));
        }
    }
    match n_faults {
        0 => Ok(()),
        1 => Err(LabError::Input(format!("1 fault in `{}`", options.data))),
        n => Err(LabError::Input(format!("{n} faults in `{}`", options.data))),
    }
}

fn check_split(
    options: &Options,
    split: &str,
    dataset: &dyn Dataset,
    report: &mut Report,
) -> Result<(), LabError> {
    let bar = show::bar(options, "{prefix:>20} {bar:30} {pos}/{len}");
    bar.set_prefix(split.to_owned());
    bar.set_length(dataset.len());
    let faults = check_examples(dataset, &mut |n| {
        bar.set_position(n);
        if process::is_cancelled() {
            bar.finish_and_clear();
            // Nothing is written here that could be left half done.
            std::process::exit(130);
        }
    });
    bar.finish_and_clear();
    let faults = faults?.into_iter();
    report.faults.extend(faults.map(|fault| format!("{split} example {}: {}", fault.index, fault.what)));
    report.examples += dataset.len();
    Ok(())
}

#[cfg(feature = "fetch")]
fn check_files(path: &Path, report: &mut Report) {
    use batchwise_data::fetch::{read_manifest, verify};
    let damages = read_manifest(path).and_then(|manifest| match manifest {
        Some(manifest) => {
            report.files = manifest.files.len();
            verify(path, &manifest)
        }
        None => Ok(Vec::new()),
    });
    match damages {
        Ok(damages) => report.faults.extend(damages.iter().map(|damage| {
            let file = path.join(&damage.path);
            format!("`{}` is {}, it was fetched as {}", file.display(), damage.found, damage.expected)
        })),
        Err(error) => report.faults.push(error.to_string()),
    }
}

#[cfg(not(feature = "fetch"))]
fn check_files(_: &Path, _: &mut Report) {}
