//! Where a result comes from.

use batchwise_data::{DataError, Splits};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// What it takes to repeat a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of batchwise.
    pub version: String,
    /// Commit of the source, if the program was built by `cargo xtask`.
    pub commit: Option<String>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// Name of the model.
    pub model: String,
    /// Name of the optimizer, with its hyper-parameters.
    pub optimizer: String,
    /// The data set.
    pub data: DataProvenance,
    /// The device, as on the command line.
    pub device: String,
    /// What the device is.
    pub device_description: String,
    /// Threads of the CPU's compute pool.
    pub threads: usize,
    /// Operating system and architecture.
    pub platform: String,
    /// Seconds since 1970 at the start.
    pub started_at: u64,
}

/// The data set behind a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataProvenance {
    /// Its name.
    pub name: String,
    /// SHA-256 of the training part.
    pub train_hash: String,
    /// SHA-256 of the test part.
    pub test_hash: String,
    /// Examples in the training part.
    pub train_examples: u64,
    /// Examples in the test part.
    pub test_examples: u64,
}

impl DataProvenance {
    /// Of an open data set.
    ///
    /// # Errors
    /// A file that cannot be read for its hash.
    pub fn of(splits: &Splits) -> Result<Self, DataError> {
        Ok(Self {
            name: splits.train.schema().name.clone(),
            train_hash: splits.train.content_hash()?,
            test_hash: splits.test.content_hash()?,
            train_examples: splits.train.len(),
            test_examples: splits.test.len(),
        })
    }
}

/// Seconds since 1970, or 0 if the clock is before.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
