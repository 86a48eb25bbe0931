//! `runs rebuild`: the store anew from the files.

use super::{named, root, warn};
use crate::cli::{Options, show};
use batchwise_lab::store::{OpenSettings, Store};
use batchwise_lab::{LabError, bytes};

pub(super) fn run(options: &Options) -> Result<(), LabError> {
    let rebuilt = Store::rebuild(&root(options)?, &OpenSettings::default())?;
    let taken = &rebuilt.taken;
    if options.json {
        show::json(&rebuilt);
        return Ok(());
    }
    warn(options, &taken.skipped);
    named("store", &format!("{}, {}", rebuilt.path.display(), bytes::human(rebuilt.bytes)));
    named("trials", &taken.trials.to_string());
    named("sweeps", &taken.sweeps.to_string());
    named("lines of logs", &taken.lines.to_string());
    Ok(())
}
