//! All that a run needs to go on.

use super::manifest::model_of;
use super::{CheckpointError, Manifest, read};
use candle_core::Tensor;
use std::collections::BTreeMap;
use std::path::Path;

/// All that a run needs to go on.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// All but the tensors.
    pub manifest: Manifest,
    /// By name: `parameters/NAME` (buffers of layers too), `optimizer/NAME`, `average/NAME`. Of any device when saved, and
    /// dense or not; on the CPU and dense when loaded. They may share storage with the run's own: a save copies nothing but
    /// what is on a GPU.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Snapshot {
    /// Puts the two together: [`Manifest::model`] becomes what `tensors` say.
    pub fn new(mut manifest: Manifest, tensors: BTreeMap<String, Tensor>) -> Self {
        manifest.model = model_of(&tensors);
        Self { manifest, tensors }
    }

    /// The tensors of one kind (`parameters`, `optimizer` or `average`), under their own names.
    pub fn of_kind(&self, kind: &str) -> BTreeMap<String, Tensor> {
        let own = |name: &str| Some(name.strip_prefix(kind)?.strip_prefix('/')?.to_owned());
        self.tensors.iter().filter_map(|(name, tensor)| Some((own(name)?, tensor.clone()))).collect()
    }

    /// Reads one file, which need not be in a store. Memory: up to the file's size and its largest tensor's.
    ///
    /// # Errors
    /// [`CheckpointError::Io`], [`CheckpointError::Damaged`], [`CheckpointError::Newer`]; nothing is half-loaded.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Ok(read::load(path)?.snapshot)
    }
}
