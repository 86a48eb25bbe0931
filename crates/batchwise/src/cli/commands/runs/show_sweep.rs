//! `runs show SWEEP`: what its trials say together.

use crate::cli::commands::report::{reading, sections};
use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_lab::sweep::{Root, words, written};

/// Shows a sweep as it stands now.
pub(super) fn show_sweep(options: &Options, root: &Root, name: &str) -> Result<(), LabError> {
    let answer = written::read_sweep(root, name, &reading(options))?;
    if options.json {
        show::json(&answer);
        return Ok(());
    }
    sections(&words(&answer));
    show::line(&format!("\nIts trials: runs list --sweep {name}; as a page: report {name}"));
    Ok(())
}
