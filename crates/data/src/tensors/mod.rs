//! Tensors as data sets: in memory, and in mapped files.

mod convert;
mod dataset;
mod file;
mod meaning;
mod memory;
mod values;

pub use dataset::TensorDataset;
pub use file::{TensorFileConfig, read_tensors};
pub(crate) use file::{is_tensor_file, open_tensors};
