//! Differentiable operations with fused CPU kernels.
//!
//! Each works on f32 and f64, refuses what it cannot do with an error, and returns `None` as the gradient
//! of an argument that needs none, so a first layer does not pay for its input's gradient. On a GPU the
//! [`plain`] twin runs instead; the twins are made of candle operations whose gradients are known to be
//! right, and the tests hold each kernel against its twin and against finite differences.

mod conv2d;
mod cross_entropy;
mod linear;
mod max_pool2d;
pub mod plain;

pub use conv2d::{Conv2dConfig, conv2d};
pub use cross_entropy::cross_entropy_sum;
pub use linear::linear;
pub use max_pool2d::max_pool2d;

pub(crate) use linear::cpu;

/// Whether a tensor is where the fused kernels do not run.
pub(crate) fn plain_device(tensor: &candle_core::Tensor) -> bool {
    !tensor.device().is_cpu()
}

/// What is applied to a layer's output inside its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// max(0, x), with derivative 0 at 0 as in PyTorch.
    Relu,
}
