//! `report`: what a sweep says, and two sweeps side by side.

use super::trial::root_folder;
use crate::cli::arguments::{DiffArguments, ReportArguments, ReportCommand};
use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_lab::output::write_whole;
use batchwise_lab::report::diff;
use batchwise_lab::sweep::written::{read_answer, read_sweep, write_report};
use batchwise_lab::sweep::{self, Reading, Root, Section, SweepAnswer};
use std::path::Path;

pub(super) fn run(options: &Options, arguments: &ReportArguments) -> Result<(), LabError> {
    let root = Root::new(&root_folder(options));
    match (&arguments.command, &arguments.sweep) {
        (Some(ReportCommand::Diff(arguments)), _) => difference(options, &root, arguments),
        (None, Some(name)) => report(options, &root, name),
        (None, None) => Err(LabError::Input("name a sweep: `runs` lists them".to_owned())),
    }
}

/// How a sweep is read.
pub(super) fn reading(options: &Options) -> Reading {
    Reading { seed: options.seed, memory_limit: options.memory, ..Reading::default() }
}

fn report(options: &Options, root: &Root, name: &str) -> Result<(), LabError> {
    let written = write_report(root, name, &reading(options))?;
    if options.json {
        show::json(&written.answer);
        return Ok(());
    }
    sections(&sweep::words(&written.answer));
    show::line("");
    show::line(&format!("report  {}", written.page.display()));
    show::line(&format!("answer  {}", written.json.display()));
    Ok(())
}

fn difference(options: &Options, root: &Root, arguments: &DiffArguments) -> Result<(), LabError> {
    let a = find(options, root, &arguments.first)?;
    let b = find(options, root, &arguments.second)?;
    let difference = sweep::difference(&a, &b);
    if let Some(path) = &arguments.to {
        write_whole(path, diff::html(&difference).as_bytes())?;
    }
    if options.json {
        show::json(&difference);
        return Ok(());
    }
    sections(&sweep::difference::words(&difference));
    if let Some(path) = &arguments.to {
        show::line("");
        show::line(&format!("page  {}", path.display()));
    }
    Ok(())
}

/// A sweep by name, as its trials stand now, or an answer that was written before.
fn find(options: &Options, root: &Root, name: &str) -> Result<SweepAnswer, LabError> {
    let path = Path::new(name);
    if path.is_file() { read_answer(path) } else { read_sweep(root, name, &reading(options)) }
}

/// Prints sections one below the other.
pub(super) fn sections(sections: &[Section]) {
    for (i, section) in sections.iter().enumerate() {
        if 0 < i {
            show::line("");
        }
        show::line(&section.title);
        for line in &section.lines {
            show::line(&format!("  {line}"));
        }
        if 1 < section.table.len() {
            show::table(&section.table);
        }
    }
}
