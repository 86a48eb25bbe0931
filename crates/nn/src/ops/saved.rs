//! What an op keeps of its forward pass for its backward pass.

use crate::kernels::Element;
use candle_core::{CpuStorage, Result};
use std::sync::OnceLock;

/// Numbers that one application of an op leaves behind: each has an op object of its own.
#[derive(Default)]
pub(super) struct Saved(OnceLock<CpuStorage>);

impl Saved {
    /// Keeps the numbers of the op's one forward pass.
    pub(super) fn keep<T: Element>(&self, values: Vec<T>) {
        // A second forward pass of the same op would leave the same.
        let _ = self.0.set(T::to_cpu_storage_owned(values));
    }

    /// What was kept, or an error naming the op.
    pub(super) fn get<T: Element>(&self, name: &str) -> Result<&[T]> {
        match self.0.get() {
            Some(storage) => storage.as_slice::<T>(),
            None => candle_core::bail!("{name}: a backward pass without a forward pass"),
        }
    }
}
