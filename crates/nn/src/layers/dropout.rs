//! Dropout by addressed randomness.

use crate::{ops, random};
use candle_core::{Result, Tensor};
use candle_nn::ModuleT;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Sets elements to 0 at random while training; see [`ops::dropout()`].
///
/// Which ones depends on the seed, the layer's name and the number of the example: the one that the training loop has
/// set by [`random::with_first_example`], so that micro-batches drop what the whole batch would. Without a loop that
/// sets it the layer counts the examples it has seen.
#[derive(Debug, Clone)]
pub struct Dropout {
    rate: f64,
    seed: u64,
    name: String,
    seen: Arc<AtomicU64>,
}

/// A layer whose `name` tells it from the model's others.
///
/// # Errors
/// A rate outside [0, 1).
pub fn dropout(rate: f64, seed: u64, name: impl Into<String>) -> Result<Dropout> {
    if !(0.0..1.0).contains(&rate) {
        candle_core::bail!("dropout: rate {rate} is not in [0, 1)");
    }
    Ok(Dropout { rate, seed, name: name.into(), seen: Arc::default() })
}

impl ModuleT for Dropout {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.rate == 0.0 {
            return Ok(x.clone());
        }
        let n = x.dim(0)? as u64;
        let first = random::first_example().unwrap_or_else(|| self.seen.fetch_add(n, Relaxed));
        ops::dropout(x, self.rate, self.seed, &self.name, first)
    }
}
