//! Tensors as data sets: in memory, and in mapped files.

mod dataset;
mod file;
mod half;
mod memory;
mod values;

pub use dataset::TensorDataset;
pub use file::{TensorFileConfig, read_tensors};
pub(crate) use file::{is_tensor_file, open_tensors};
