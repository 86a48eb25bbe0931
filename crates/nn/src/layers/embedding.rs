//! A vector for each of a number of ids.

use crate::ops;
use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

/// Rows of a weight, looked up by u32 ids.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// (ids, width).
    pub weight: Tensor,
}

/// A layer with the parameter `weight`, normal with deviation 0.02 (Radford et al. 2019).
///
/// # Errors
/// A builder that has another shape under this name.
pub fn embedding(n_ids: usize, width: usize, vb: VarBuilder<'_>) -> Result<Embedding> {
    let init = Init::Randn { mean: 0.0, stdev: 0.02 };
    Ok(Embedding { weight: vb.get_with_hints((n_ids, width), "weight", init)? })
}

impl Module for Embedding {
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        ops::embedding(ids, &self.weight)
    }
}
