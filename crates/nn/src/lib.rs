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
//! - [`ops`]: convolutions, pools, normalisation, attention, losses and more, with fused CPU kernels where they matter
//!   and plain twins made of candle's own operations, which are their oracles and run where no kernel does.
//! - [`layers`], [`models`]: the same as modules.
//! - [`loss`]: losses as a sum and a weight, so that accumulation is exact.
//! - [`optim`]: SGD, Adam, AdamW, RMSprop, Lion, LARS and LAMB in place, with state in plain named tensors,
//!   parameter groups, clipping and averages of the weights.
//! - [`gradients`]: accumulation with the squared norm of each contribution, or of each example, as a by-product; also in
//!   the metric of an optimizer's preconditioner.
//! - [`tape`]: backward passes of these ops at the cost of their arithmetic alone.
//! - [`precision`]: products of operands rounded to bf16, summed in f32.
//! - [`audit`]: finite differences against the gradients of any candle model.
//! - [`device`], [`memory`], [`meter`]: what devices there are, and how many bytes are live on them.
//!
//! The crate never sees a data set and never reads a clock.

#![warn(missing_docs)]

pub mod audit;
pub mod device;
mod examples;
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
pub mod precision;
pub mod random;
mod sink;
pub mod tape;
mod update;
mod weighed;

pub use gradients::Gradients;
pub use parameters::Parameters;
pub use tape::Recorded;
