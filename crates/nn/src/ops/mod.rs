//! Differentiable operations with fused CPU kernels.
//!
//! Each works on f32 and f64, refuses what it cannot do with an error, and returns `None` as the gradient
//! of an argument that needs none, so a first layer does not pay for its input's gradient. On a GPU the
//! [`plain`] twin runs instead; the twins are made of candle operations whose gradients are known to be
//! right, and the tests hold each kernel against its twin and against finite differences.

mod activation;
mod add;
mod attention;
mod conv;
mod conv_pool;
mod cross_entropy;
mod dropout;
mod embedding;
mod flatten;
mod images;
mod linear;
mod norm;
mod normalize;
pub mod plain;
mod pool;
mod relu;
mod residual;
mod rounded;
mod saved;
mod scale_shift;
mod softmax;

pub use activation::Activation;
pub use add::add;
pub use attention::{causal_attention, causal_self_attention};
pub use conv::{ConvConfig, conv1d, conv2d};
pub use conv_pool::conv2d_max_pool2d;
pub use cross_entropy::{CrossEntropyConfig, cross_entropy, cross_entropy_sum};
pub use dropout::dropout;
pub use embedding::embedding;
pub use flatten::{flatten, global_avg_pool2d};
pub use linear::linear;
pub use norm::{layer_norm, rms_norm};
pub use normalize::{Over, normalize, normalize_by_rms};
pub use pool::{PoolConfig, avg_pool2d, max_pool2d};
pub use scale_shift::scale_shift;
pub use softmax::{log_softmax, softmax};

pub(crate) use embedding::id_slice;
pub(crate) use linear::{cpu, masked};
pub(crate) use residual::{ConvNorm, can_fuse, conv_norm_relu, residual};
pub(crate) use rounded::rounded;

/// Whether a tensor is where the fused kernels do not run.
pub(crate) fn plain_device(tensor: &candle_core::Tensor) -> bool {
    !tensor.device().is_cpu()
}
