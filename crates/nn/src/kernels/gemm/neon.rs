//! The registers of 64-bit ARM.
#![expect(
    unsafe_code,
    reason = "intrinsics; loads and stores through pointers that the drivers have checked"
)]

use super::simd::{Plain, Simd};
use std::arch::aarch64::*;

/// Four numbers.
pub(super) struct Neon;

impl Simd for Neon {
    type V = float32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: the caller's promise, as in all of these.
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self::V {
        // SAFETY: see `splat`.
        unsafe {
            let first = Plain::load_first(from, n);
            vld1q_f32(first.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: Self::V) {
        // SAFETY: see `splat`.
        unsafe { vst1q_f32(to, x) }
    }
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, x: Self::V, n: usize) {
        let mut all = [0.0; 4];
        // SAFETY: see `splat`.
        unsafe {
            vst1q_f32(all.as_mut_ptr(), x);
            Plain::store_first(to, all, n);
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self::V; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: see `splat`.
        unsafe { vst1q_f32(sums.as_mut_ptr(), vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d))) };
        sums
    }
    #[inline(always)]
    unsafe fn transpose_8(
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        blocks: usize,
    ) {
        // SAFETY: see `splat`.
        unsafe { Plain::transpose_8(from, from_stride, to, to_stride, blocks) }
    }
}
