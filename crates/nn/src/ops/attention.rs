//! Attention that does not see the future.

use super::softmax;
use candle_core::{Result, Tensor};

/// softmax(q·kᵀ/√d)·v where position t sees positions up to t only (Vaswani et al. 2017, §3.2): `q`, `k` and `v` are
/// (n, heads, positions, d); returns the same shape.
///
/// # Errors
/// Shapes that are not 4-D or differ.
pub fn causal_attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (_, _, positions, width) = q.dims4()?;
    if k.shape() != q.shape() || v.shape() != q.shape() {
        candle_core::bail!(
            "causal_attention: query {:?}, key {:?} and value {:?} differ",
            q.shape(),
            k.shape(),
            v.shape()
        );
    }
    let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
    let scores = (q.matmul(&k.t()?.contiguous()?)? * (1.0 / (width.max(1) as f64).sqrt()))?;
    let mask: Vec<f32> = (0..positions * positions)
        .map(|i| if i / positions < i % positions { f32::NEG_INFINITY } else { 0.0 })
        .collect();
    let mask = Tensor::from_vec(mask, (positions, positions), q.device())?.to_dtype(q.dtype())?;
    softmax(&scores.broadcast_add(&mask)?, 3)?.matmul(&v)
}
