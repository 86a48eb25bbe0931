//! Layers with right gradients, models, losses, optimizers and memory accounting for candle.
//!
//! candle 0.11 trains wrongly in ordinary layers (the gradient of its max-pool is scaled by 1/k²,
//! its fused norms and softmax stop the gradient), cannot seed its CPU random numbers, and hands out
//! variables in random order. This crate holds what training needs to be right and repeatable, on
//! candle's own [`Tensor`](candle_core::Tensor), [`VarBuilder`](candle_nn::VarBuilder) and
//! [`ModuleT`](candle_nn::ModuleT), so that a candle program can take any part of it alone:
//!
//! - [`Parameters`]: named variables in name order, initialised from addressed randomness through an
//!   ordinary `VarBuilder`.
//! - [`ops`]: linear, convolution, pooling and cross-entropy with fused CPU kernels and plain twins.
//! - [`layers`], [`models`]: the same as modules.
//! - [`loss`]: losses as a sum and a weight, so that accumulation is exact.
//! - [`optim`]: SGD with momentum and AdamW, in place, with state in plain named tensors.
//! - [`gradients`]: accumulation with the squared norm of each contribution for nothing.
//! - [`audit`]: finite differences against the gradients of any candle model.
//! - [`device`], [`memory`], [`meter`]: what devices there are, and how many bytes are live on them.
//!
//! The crate never sees a data set and never reads a clock.

#![warn(missing_docs)]

pub mod audit;
pub mod device;
pub mod fingerprint;
pub mod gradients;
mod kernels;
pub mod layers;
pub mod loss;
pub mod memory;
pub mod meter;
pub mod models;
pub mod ops;
pub mod optim;
pub mod parameters;
pub mod random;
mod sink;

pub use gradients::Gradients;
pub use parameters::Parameters;
