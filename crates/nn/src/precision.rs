//! Mixed precision: matrix products and convolutions whose operands are rounded to bf16.
//!
//! Off by default. Within [`with`]`(`[`Precision::Bf16`]`, …)` the ops of this crate round the operands of their products
//! to bf16 (eight bits of significand, the exponents of f32), to the nearest, ties to even, and add the products up in
//! f32, as PyTorch's `autocast` to bfloat16 does to linear layers, convolutions and the two products of attention
//! (Micikevicius et al. 2018; Kalamkar et al. 2019, *A study of bfloat16 for deep learning training*). All else stays in
//! f32: the weights themselves, biases, norms, softmax, losses, gradients as they are kept, and the optimizer's state. So
//! there is no second copy of the weights, and as bf16 has the exponents of f32, no scaling of the loss. In contrast to
//! PyTorch the results of products stay f32 too, which rounds less and saves no memory.
//!
//! What the precision changes, on the CPU and in f32: [`crate::ops::linear`], [`crate::ops::conv1d`],
//! [`crate::ops::conv2d`], [`crate::ops::conv2d_max_pool2d`], the fused residual blocks and
//! [`crate::ops::causal_self_attention`], and the layers and models made of these; in the backward pass also the norms of
//! single examples' gradients. An op keeps the precision it was applied in, so the backward pass may lie outside of the
//! scope. **Ignored** it is where an op works in f64, on a GPU (where the plain twins run, made of candle's own
//! operations), by [`crate::ops::causal_attention`] and by everything of candle's own.
//!
//! # Speed
//!
//! The products of linear layers run on the CPU's dot product of bf16 pairs (`vdpbf16ps`, AVX512-BF16) where it has that,
//! chosen at run time; both operands are first rounded into pairs along the sum, half as long in memory. It adds two
//! exact products one after the other, each sum rounded to f32, so its numbers differ from those of f32 products of the
//! rounded operands by the order of summation only (and by denormal operands, which count as 0 before they are rounded).
//! On a Xeon, one thread, rounding included, products of layers from 128×384 to 784×512 took 0.75 to 0.95 of the time of
//! f32 from 128 rows on, and 0.7 at 2048³; with 8 rows, where rounding the weight costs as much as the product, 1.1 to 2
//! times as long in the forward pass and for the input's gradient, and 0.7 for the weight's. Layers of ten outputs are
//! slower in bf16 for the most part. Any other CPU computes these f32 products: there, as in convolutions
//! and attention on every CPU, bf16 is not faster than f32 but costs the rounding. AMX, whose tiles are several times
//! faster still, is not used: its intrinsics are not stable in Rust 1.95.
//!
//! ```
//! use batchwise_nn::ops::{self, Activation};
//! use batchwise_nn::precision::{self, Precision};
//! use candle_core::{Device, Tensor};
//!
//! // 1 + 2⁻⁹ lies nearest to 1 among the bf16.
//! let x = Tensor::new(&[[1.0f32 + 1.0 / 512.0]], &Device::Cpu)?;
//! let (w, b) = (Tensor::new(&[[1.0f32]], &Device::Cpu)?, Tensor::new(&[0.0f32], &Device::Cpu)?);
//! let y = || ops::linear(&x, &w, &b, Activation::Identity)?.to_vec2::<f32>();
//! assert_eq!(y()?, [[1.0 + 1.0 / 512.0]]);
//! assert_eq!(precision::with(Precision::Bf16, y)?, [[1.0]]);
//! # Ok::<(), candle_core::Error>(())
//! ```

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

/// The precision of the operands of matrix products and convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16; sums are in f32.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

/// A text that names no [`Precision`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no precision `{0}`: there are f32 and bf16")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    /// `f32` or `bf16`.
    ///
    /// # Errors
    /// Any other text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(UnknownPrecision(text.to_owned())),
        }
    }
}

thread_local!(static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) });

/// The precision of the ops that this thread applies.
#[must_use]
pub fn current() -> Precision {
    CURRENT.get()
}

/// Runs `work` with the ops that this thread applies in a precision, and puts back the one before, also after a panic.
/// Scopes nest. Other threads have their own.
pub fn with<R>(precision: Precision, work: impl FnOnce() -> R) -> R {
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(precision));
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_reads_as_it_is_written() {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let error = "f16".parse::<Precision>().unwrap_err();
        assert_eq!(error.to_string(), "no precision `f16`: there are f32 and bf16");
    }

    #[test]
    fn scopes_nest_and_end_also_by_a_panic() {
        assert_eq!(current(), Precision::F32);
        with(Precision::Bf16, || {
            assert_eq!(with(Precision::F32, current), Precision::F32);
            assert_eq!(current(), Precision::Bf16);
            assert_eq!(std::thread::scope(|s| s.spawn(current).join().unwrap()), Precision::F32);
        });
        let panicked = std::panic::catch_unwind(|| with(Precision::Bf16, || panic!("on purpose")));
        assert!(panicked.is_err() && current() == Precision::F32);
    }
}
