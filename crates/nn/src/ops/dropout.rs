//! Zeros at random places, by addressed randomness.

use crate::random;
use candle_core::{Result, Tensor};
use chacha20::rand_core::Rng;

/// Sets each element to 0 with probability `rate` and scales the rest by 1/(1 − rate) (Srivastava et al. 2014).
///
/// Whether element j of example i (along the first dimension) is kept is a pure function of
/// (`seed`, `stream`, `first_example` + i, j): the same on every device and in whatever micro-batches the examples come.
///
/// # Errors
/// A rate outside [0, 1), an input without dimensions.
pub fn dropout(x: &Tensor, rate: f64, seed: u64, stream: &str, first_example: u64) -> Result<Tensor> {
    if !(0.0..1.0).contains(&rate) {
        candle_core::bail!("dropout: rate {rate} is not in [0, 1)");
    }
    let n = x.dim(0)?;
    let per_example = x.elem_count().checked_div(n).unwrap_or(0);
    let mut rng = random::stream(seed, stream);
    rng.set_word_pos(u128::from(first_example) * per_example as u128);
    let scale = 1.0 / (1.0 - rate);
    let bound = (rate * f64::from(u32::MAX)) as u32;
    let mask: Vec<f32> =
        (0..x.elem_count()).map(|_| if rng.next_u32() < bound { 0.0 } else { scale as f32 }).collect();
    x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)
}
