//! Softmax over a dimension.

use candle_core::{Result, Tensor};

/// exp(x)/Σ exp(x) over dimension `dim`, safe for large x.
///
/// Made of candle's own operations: its fused `softmax_last_dim` stops the gradient.
///
/// # Errors
/// A dimension that does not exist.
pub fn softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    if x.elem_count() == 0 {
        return Ok(x.clone());
    }
    // The largest is a constant to the gradient: softmax does not change when all of x is shifted.
    let largest = x.max_keepdim(dim)?.detach();
    let exponentials = x.broadcast_sub(&largest)?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(dim)?)
}

/// ln softmax(x) over dimension `dim`, without taking the logarithm of a rounded softmax.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    if x.elem_count() == 0 {
        return Ok(x.clone());
    }
    let shifted = x.broadcast_sub(&x.max_keepdim(dim)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(dim)?.log()?)
}
