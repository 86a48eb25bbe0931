//! Self-attention that does not see the future.

use super::{Linear, linear};
use crate::ops::{self, Activation};
use candle_core::{Result, Tensor};
use candle_nn::{Module, VarBuilder};

/// Multi-head causal self-attention on (n, positions, width).
#[derive(Debug, Clone)]
pub struct CausalSelfAttention {
    /// Queries, keys and values in one product: (3·width, width).
    pub qkv: Linear,
    /// (width, width).
    pub projection: Linear,
    /// Divides the width.
    pub heads: usize,
}

/// A layer with parameters under `qkv` and `projection`.
///
/// # Errors
/// Heads that do not divide the width; a builder that has other shapes under these names.
pub fn causal_self_attention(width: usize, heads: usize, vb: VarBuilder<'_>) -> Result<CausalSelfAttention> {
    if heads == 0 || !width.is_multiple_of(heads) {
        candle_core::bail!("{heads} heads do not divide a width of {width}");
    }
    let qkv = linear(width, 3 * width, Activation::Identity, vb.pp("qkv"))?;
    let projection = linear(width, width, Activation::Identity, vb.pp("projection"))?;
    Ok(CausalSelfAttention { qkv, projection, heads })
}

impl Module for CausalSelfAttention {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.projection.forward(&ops::causal_self_attention(&self.qkv.forward(x)?, self.heads)?)
    }
}
