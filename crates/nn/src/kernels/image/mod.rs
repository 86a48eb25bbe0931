//! Convolutions of f32 images that lie channels last, (n, h, w, c): the input's numbers in one window row lie one after the
//! other, output channels fill the registers, and nothing is unfolded (but for inputs of very few channels).
//!
//! All works on one example at a time, from buffers with a border of zeros that somebody fills row by row; what comes
//! before (a norm, an activation, another memory order) happens while they are filled, and what comes after while the
//! example's output is still in the cache.

pub(crate) mod batch;
pub(crate) mod normed;
mod plan;
pub(crate) mod pooled;
mod tile;

pub(crate) use batch::{Images, InputGradient};
pub(crate) use plan::Plan;
