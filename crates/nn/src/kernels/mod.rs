//! The arithmetic of the CPU ops, on plain slices.
//!
//! Work is split into pieces whose bounds depend on the sizes alone, so that results do not depend on
//! how many threads there are or which finishes first.

pub(crate) mod conv;
pub(crate) mod element;
pub(crate) mod gemm;
pub(crate) mod norm;

pub(crate) use element::Element;
