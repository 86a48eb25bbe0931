//! Differentiable operations with fused CPU kernels.
//!
//! Each works on f32 and f64, refuses what it cannot do with an error, and returns `None` as the gradient
//! of an argument that needs none, so a first layer does not pay for its input's gradient. On a GPU the
//! [`plain`] twin runs instead; the twins are made of candle operations whose gradients are known to be
//! right, and the tests hold each kernel against its twin and against finite differences.

mod attention;
mod conv;
mod conv_pool;
mod cross_entropy;
mod dropout;
mod embedding;
mod flatten;
mod images;
mod linear;
mod normalize;
pub mod plain;
mod pool;
mod relu;
mod residual;
mod scale_shift;
mod softmax;

pub use attention::causal_attention;
pub use conv::{ConvConfig, conv1d, conv2d};
pub use conv_pool::conv2d_max_pool2d;
pub use cross_entropy::{CrossEntropyConfig, cross_entropy, cross_entropy_sum};
pub use dropout::dropout;
pub use embedding::embedding;
pub use flatten::{flatten, global_avg_pool2d};
pub use linear::linear;
pub use normalize::{Over, normalize, normalize_by_rms};
pub use pool::{PoolConfig, avg_pool2d, max_pool2d};
pub use scale_shift::scale_shift;
pub use softmax::{log_softmax, softmax};

use candle_core::{Result, Tensor};

pub(crate) use embedding::id_slice;
pub(crate) use linear::{cpu, masked};
pub(crate) use residual::{ConvNorm, can_fuse, conv_norm_relu, residual};

/// Whether a tensor is where the fused kernels do not run.
pub(crate) fn plain_device(tensor: &candle_core::Tensor) -> bool {
    !tensor.device().is_cpu()
}

/// What is applied to a layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// max(0, x), with derivative 0 at 0 as in PyTorch.
    Relu,
    /// x·Φ(x) in the form with tanh (Hendrycks & Gimpel 2016): PyTorch's `approximate="tanh"`.
    Gelu,
    /// x·Φ(x) exactly, by the error function.
    GeluErf,
    /// x·σ(x), also called swish.
    Silu,
}

impl Activation {
    /// What a kernel applies itself, and what is applied after it.
    fn fused(self) -> (Self, Self) {
        match self {
            Self::Relu => (Self::Relu, Self::Identity),
            other => (Self::Identity, other),
        }
    }

    /// Applies it to every element.
    ///
    /// # Errors
    /// A dtype that is not a floating-point number.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            // candle's own has derivative 1 at 0.
            Self::Relu => relu::relu(x),
            // candle's own gradients of these two are right to six digits only.
            Self::Gelu => {
                let inner = ((x + (x.sqr()?.mul(x)? * 0.044_715)?)? * (2.0 / std::f64::consts::PI).sqrt())?;
                (inner.tanh()? + 1.0)?.mul(&(x * 0.5)?)
            }
            Self::GeluErf => ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?.mul(&(x * 0.5)?),
            Self::Silu => x.silu(),
        }
    }
}
