//! `runs export`: trials as a file for other programs.

use super::{named, open};
use crate::cli::arguments::RunsExport;
use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_lab::store::export::Format;

pub(super) fn run(options: &Options, arguments: &RunsExport) -> Result<(), LabError> {
    // Before the trials are read.
    Format::of(&arguments.to)?;
    let (_, store) = open(options)?;
    let exported = store.export(arguments.what.into(), arguments.sweep.as_deref(), &arguments.to);
    let exported = exported.map_err(|error| match error {
        LabError::Io { .. } => LabError::Input(format!("{error}; give another file by --to")),
        error => error,
    })?;
    if options.json {
        show::json(&exported);
    } else {
        let rows = if exported.rows == 1 { "row" } else { "rows" };
        named("written", &format!("{} ({} {rows})", exported.path.display(), exported.rows));
    }
    Ok(())
}
