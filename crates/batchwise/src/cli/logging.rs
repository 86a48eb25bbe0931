//! Logs: to standard error, and as JSON lines to a file.

use super::Options;
use batchwise_lab::LabError;
use std::fs::File;
use std::io::IsTerminal;
use std::sync::Mutex;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Warnings go to standard error unless `RUST_LOG` says otherwise; the file gets at least the `info` level.
pub(super) fn start(options: &Options) -> Result<(), LabError> {
    let filter =
        |default: &str| EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter("warn"));
    let file = match &options.log_json {
        None => None,
        Some(path) => {
            let file = File::create(path).map_err(|error| {
                LabError::Input(format!("cannot write the log {}: {error}", path.display()))
            })?;
            Some(
                tracing_subscriber::fmt::layer()
                    .json()
                    .with_writer(Mutex::new(file))
                    .with_filter(filter("info")),
            )
        }
    };
    // A second start, in a test say, keeps the first.
    let _ = tracing_subscriber::registry().with(stderr).with(file).try_init();
    Ok(())
}
