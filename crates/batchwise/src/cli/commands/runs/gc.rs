//! `runs gc`: what may be removed.

use super::{open, root};
use crate::cli::{Options, show};
use batchwise_lab::store::gc::{self, Garbage, Settings};
use batchwise_lab::{LabError, bytes};
use serde::Serialize;

#[derive(Serialize)]
struct Answer {
    removed: bool,
    #[serde(flatten)]
    garbage: Garbage,
}

pub(super) fn run(options: &Options, removed: bool) -> Result<(), LabError> {
    let settings = Settings::default();
    let garbage = if removed {
        let (root, mut store) = open(options)?;
        gc::remove(&root, &mut store, &settings)?
    } else {
        gc::find(&root(options)?, &settings)?
    };
    if options.json {
        show::json(&Answer { removed, garbage });
        return Ok(());
    }
    for item in &garbage.items {
        let size = bytes::human(item.bytes);
        show::line(&format!("{size:>12}  {}: {}", item.path.display(), item.why.words()));
    }
    let size = bytes::human(garbage.bytes);
    match (garbage.items.is_empty(), removed) {
        (true, _) => show::line("there is nothing to remove"),
        (false, true) => show::line(&format!("{size:>12}  freed")),
        (false, false) => show::line(&format!("{size:>12}  would be freed: add --yes to remove all this")),
    }
    if 0 < garbage.n_too_young && !options.quiet {
        let n = garbage.n_too_young;
        show::error_line(&format!("left alone, because it was written to within the last hour: {n}"));
    }
    Ok(())
}
