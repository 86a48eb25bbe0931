//! What the targets share: bytes become files, the files a data set, and its first examples are gathered.

use batchwise_data::{DataError, Dataset, Order, gather_batch, open};
use candle_core::Device;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Writes `files` into a folder, opens `name` (one of them, or "" for the folder) with `settings`, and gathers the first
/// examples of both splits. Any error is fine; a panic is not.
pub fn open_files(files: &[(&str, &[u8])], name: &str, settings: &str) {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| TempDir::new().expect("a temporary folder can be made")).path();
    for (path, content) in files {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("a folder can be made");
        std::fs::write(path, content).expect("a file can be written");
    }
    let Ok(splits) = open(&format!("{}:{settings}", dir.join(name).display()), None) else { return };
    for split in [&splits.train, &splits.test] {
        let _ = first_examples(split.as_ref());
    }
}

fn first_examples(dataset: &dyn Dataset) -> Result<(), DataError> {
    let n = dataset.len().min(8);
    // A file may rightly claim examples too large for this machine; that is not what is looked for here.
    if 1 << 20 < dataset.schema().input_len() {
        return Ok(());
    }
    gather_batch(dataset, &Order::sequential(dataset.len())?, 0..n, &Device::Cpu)?;
    dataset.content_hash()?;
    for index in 0..n {
        dataset.length(index)?;
        let _ = dataset.label(index);
    }
    Ok(())
}

/// For formats whose reader is another crate's and known to panic, which `batchwise-data` catches: libFuzzer's hook would
/// end the process at once. A panic that nobody catches still does.
#[allow(dead_code, reason = "two targets need it")]
pub fn dependency_may_panic() {
    static QUIET: OnceLock<()> = OnceLock::new();
    QUIET.get_or_init(|| std::panic::set_hook(Box::new(|_| ())));
}
