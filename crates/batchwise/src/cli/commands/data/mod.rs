//! `data`: what data sets there are and what they hold; one file for each command.

mod check;
mod fetch;
mod head;
mod info;
mod list;

use crate::cli::Options;
use crate::cli::arguments::{DataArguments, DataCommand};
use batchwise_lab::LabError;
use std::path::PathBuf;

pub(super) fn run(options: &Options, arguments: &DataArguments) -> Result<(), LabError> {
    match &arguments.command {
        None | Some(DataCommand::Info) => info::run(options),
        Some(DataCommand::List) => list::run(options),
        Some(DataCommand::Check) => check::run(options),
        Some(DataCommand::Head(arguments)) => head::run(options, arguments),
        Some(DataCommand::Fetch(arguments)) => fetch::run(options, arguments),
    }
}

/// Where named data sets are.
fn data_dir(options: &Options) -> Result<PathBuf, LabError> {
    let dir = options.data_dir.clone().or_else(batchwise_data::default_data_dir);
    dir.ok_or_else(|| {
        LabError::Input("no data folder is known: give one by --data-dir or BATCHWISE_DATA".to_owned())
    })
}
