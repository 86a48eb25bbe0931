//! What parameters and attention scores take, by arithmetic.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// How parameters are updated: what is kept beside each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Optimizer {
    /// Plain SGD: nothing.
    Sgd,
    /// SGD with momentum, Lion: one number.
    Momentum,
    /// Adam, AdamW, LAMB: two numbers.
    Adam,
}

/// The numbers that training computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Precision {
    /// Everything in f32.
    F32,
    /// Parameters and gradients in 16 bits, beside an f32 copy of the parameters and f32 optimizer state.
    Mixed,
    /// Everything in 16 bits.
    Half,
    /// Everything in f64.
    F64,
}

/// Bytes that each parameter takes while it is trained: itself, its gradient and the optimizer's state.
///
/// | | f32 | mixed | half | f64 |
/// |---|---|---|---|---|
/// | SGD | 8 | 8 | 4 | 16 |
/// | momentum | 12 | 12 | 6 | 24 |
/// | Adam | 16 | 16 | 8 | 32 |
///
/// (Theory §7; mixed Adam as counted by Rajbhandari et al. 2020, ZeRO §3.1: 2+2+4+4+4.) A model average takes one
/// parameter's size more. Times the number of parameters this is the least that the fixed part of the peak can be; what
/// is measured beyond it is the program, the buffers of the libraries and the largest temporary.
///
/// ```
/// use batchwise_estimate::memory::{Optimizer, Precision, bytes_per_parameter};
/// assert_eq!(bytes_per_parameter(Optimizer::Adam, Precision::F32), 16);
/// ```
#[must_use]
pub const fn bytes_per_parameter(optimizer: Optimizer, precision: Precision) -> u64 {
    let state = match optimizer {
        Optimizer::Sgd => 0,
        Optimizer::Momentum => 1,
        Optimizer::Adam => 2,
    };
    match precision {
        Precision::F32 => 4 * (2 + state),
        Precision::Mixed => 2 + 2 + 4 * (1 + state),
        Precision::Half => 2 * (2 + state),
        Precision::F64 => 8 * (2 + state),
    }
}

/// Bytes of the attention scores of one layer, B·h·T²·s: the part of the activations that grows with the square of the
/// sequence length T, where the scores are kept for the backward pass.
///
/// `batch` B, `heads` h, `tokens` T, `bytes_per_number` s. Everything else of a layer grows with B·T. A fit of memory over
/// batches holds for one T; at another it is off by this. Exact; 0 where an argument is 0; [`u64::MAX`] where the product
/// is larger.
#[must_use]
pub const fn attention_score_bytes(batch: u64, heads: u64, tokens: u64, bytes_per_number: u64) -> u64 {
    // A factor of 0 must win over a product out of range.
    if batch == 0 || heads == 0 || tokens == 0 || bytes_per_number == 0 {
        return 0;
    }
    batch.saturating_mul(heads).saturating_mul(tokens).saturating_mul(tokens).saturating_mul(bytes_per_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_bytes() {
        use Optimizer::{Adam, Momentum, Sgd};
        for (precision, bytes) in [
            (Precision::F32, [8, 12, 16]),
            (Precision::Mixed, [8, 12, 16]),
            (Precision::Half, [4, 6, 8]),
            (Precision::F64, [16, 24, 32]),
        ] {
            assert_eq!([Sgd, Momentum, Adam].map(|o| bytes_per_parameter(o, precision)), bytes);
        }
        assert_eq!(attention_score_bytes(2, 12, 1024, 4), 2 * 12 * 1024 * 1024 * 4);
        assert_eq!(attention_score_bytes(u64::MAX, 2, 2, 0), 0);
        assert_eq!(attention_score_bytes(u64::MAX, 2, 2, 1), u64::MAX);
    }
}
