//! The arithmetic of the CPU ops, on plain slices.
//!
//! Work is split into pieces whose bounds depend on the sizes alone, so that results do not depend on
//! how many threads there are or which finishes first.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod bf16;
pub(crate) mod conv;
pub(crate) mod cross_entropy;
pub(crate) mod element;
pub(crate) mod gather;
pub(crate) mod gemm;
pub(crate) mod image;
pub(crate) mod math;
pub(crate) mod norm;
pub(crate) mod normalize;
pub(crate) mod pool;
pub(crate) mod rows;
pub(crate) mod scale_shift;
pub(crate) mod sums;
pub(crate) mod threads;
pub(crate) mod tile;
pub(crate) mod weigh;

pub(crate) use element::Element;

/// Runs `work` compiled for the widest registers this machine has (AVX-512, AVX2, NEON or plain), chosen at run
/// time. What it calls must be `#[inline(always)]`, or it stays compiled for the oldest machine.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
