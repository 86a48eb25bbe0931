//! Attention that does not see the future.

use super::linear::cpu;
use super::saved::Saved;
use super::{plain, softmax};
use crate::kernels::attention::Heads;
use crate::kernels::element::{contiguous, dispatch};
use crate::precision;
use crate::tape::apply1;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

/// softmax(q·kᵀ/√d)·v where position t sees positions up to t only (Vaswani et al. 2017, §3.2): `q`, `k` and `v` are
/// (n, heads, positions, d); returns the same shape.
///
/// Made of candle's own operations; [`causal_self_attention`] is one op and many times faster.
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

/// [`causal_attention`] of each head of `qkv` (n, positions, 3·width), which has the queries, keys and values of all heads
/// side by side, those of one head together; returns (n, positions, width).
///
/// Beside input and output it keeps one number for each head and position: the scores are made again in the backward
/// pass, 64 × 64 at a time.
///
/// # Errors
/// A shape that is not 3-D, heads that do not divide a third of its width, a dtype other than f32 and f64 (on the CPU).
pub fn causal_self_attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (n, positions, width) = qkv.dims3()?;
    if heads == 0 || !width.is_multiple_of(3 * heads) {
        candle_core::bail!("causal_self_attention: {heads} heads do not divide a third of {:?}", qkv.shape());
    }
    if plain::is_asked_for(qkv) || qkv.elem_count() == 0 {
        return plain::causal_self_attention(qkv, heads);
    }
    let precision = precision::current();
    let heads = Heads { n, positions, heads, width: width / (3 * heads), precision };
    apply1(&qkv.contiguous()?, AttentionOp { heads, log_sums: Saved::default() })
}

struct AttentionOp {
    heads: Heads,
    /// ln Σ exp(score) for each row of scores.
    log_sums: Saved,
}

impl CustomOp1 for AttentionOp {
    fn name(&self) -> &'static str {
        "causal_self_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Heads { n, positions, heads, width, .. } = self.heads;
        let storage = dispatch!(self.name(), qkv.dtype(), T => {
            let (out, log_sums) = self.heads.forward::<T>(contiguous(self.name(), qkv, layout)?);
            self.log_sums.keep(log_sums);
            T::to_cpu_storage_owned(out)
        });
        Ok((storage, (n, positions, heads * width).into()))
    }

    fn bwd(&self, qkv: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (name, dy) = (self.name(), dy.contiguous()?);
        dispatch!(name, qkv.dtype(), T => {
            let ((x_storage, x_layout), (y_storage, y_layout)) = (qkv.storage_and_layout(), y.storage_and_layout());
            let (dy_storage, dy_layout) = dy.storage_and_layout();
            let gradient = self.heads.backward::<T>(
                contiguous(name, cpu(&x_storage)?, x_layout)?,
                contiguous(name, cpu(&y_storage)?, y_layout)?,
                self.log_sums.get(name)?,
                contiguous(name, cpu(&dy_storage)?, dy_layout)?,
            );
            Tensor::from_vec(gradient, qkv.shape(), qkv.device()).map(Some)
        })
    }
}
