//! Checkpoints that are whole or not there: one file each, written atomically, proven by a checksum.
//!
//! A [`Snapshot`] is all that a run needs to go on: its tensors and a [`Manifest`]. A [`Store`] is a folder of them. Each
//! is one `.safetensors` file, which any tool reads, with the manifest among its metadata and a SHA-256 over every byte of
//! it. A save writes to a temporary name, syncs the file, reads it back and compares, renames it, syncs the folder, and only
//! then removes old ones: whenever a process or a machine stops, the folder holds the old checkpoint or the new one, whole.
//!
//! Loading proves the checksum before any value is used, gives the bits back exactly, and allocates no more than the file
//! holds. [`Snapshot::check`] refuses another data set, model or configuration by name.
//!
//! ```
//! use batchwise_train::checkpoint::{Expected, Manifest, Snapshot, Store};
//! use candle_core::{Device, Tensor};
//! use serde_json::json;
//! use std::collections::BTreeMap;
//!
//! let folder = tempfile::tempdir()?;
//! let weight = Tensor::new(&[1f32, 2.0], &Device::Cpu)?;
//! let tensors = BTreeMap::from([("parameters/weight".to_owned(), weight)]);
//! let mut manifest = Manifest::new(json!({"batch": 32, "seed": 1}), "of the data");
//! manifest.examples = 320;
//! let snapshot = Snapshot::new(manifest, tensors);
//!
//! let mut store = Store::create(folder.path())?;
//! store.save(&snapshot, false)?;
//! let latest = store.load_latest()?.expect("one was saved");
//! assert_eq!(latest.snapshot.manifest, snapshot.manifest);
//!
//! // The batch size may change on resume; the seed may not.
//! let model = &snapshot.manifest.model;
//! let expected = |seed| json!({"batch": 64, "seed": seed});
//! let same = expected(1);
//! latest.snapshot.check(&Expected { configuration: &same, data_sha256: "of the data", model }, &["batch"])?;
//! let other = expected(2);
//! let other = Expected { configuration: &other, data_sha256: "of the data", model };
//! let error = latest.snapshot.check(&other, &["batch"]).unwrap_err();
//! assert!(error.to_string().contains("`seed`"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod error;
mod files;
mod format;
mod manifest;
mod names;
mod period;
mod read;
mod snapshot;
mod store;
mod value;
mod write;

#[cfg(test)]
mod faults;

pub use check::Expected;
pub use error::{CheckpointError, Refused};
pub use manifest::{Manifest, ModelTensor, SCHEMA};
pub use period::Period;
pub use snapshot::Snapshot;
pub use store::{Latest, Saved, Store};
pub use value::to_value;
