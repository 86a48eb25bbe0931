//! The registers of AVX512-BF16: sixteen pairs of bf16, each in the place of an f32.
#![expect(unsafe_code, reason = "intrinsics")]

use super::simd::Simd;
use super::x86::Avx512;
use std::arch::x86_64::*;

/// Sixteen pairs, of which only [`Simd::mul_add`] knows; to load, store and turn, a pair is a number, and sums are numbers.
pub(super) struct Pairs;

impl Simd for Pairs {
    type V = __m512;
    const LANES: usize = Avx512::LANES;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: the caller's promise, as in all of these.
        unsafe { Avx512::splat(x) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { Avx512::load(from) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { Avx512::load_first(from, n) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: Self::V) {
        // SAFETY: see `splat`.
        unsafe { Avx512::store(to, x) }
    }
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, x: Self::V, n: usize) {
        // SAFETY: see `splat`.
        unsafe { Avx512::store_first(to, x, n) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { Avx512::add(a, b) }
    }
    /// c + a₁·b₁ + a₀·b₀: a product of two bf16 is exact in f32, and each sum is rounded to nearest; denormal numbers count
    /// as 0 (Intel's *Architecture Instruction Set Extensions*, VDPBF16PS).
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: see `splat`; both types are 64 bytes of any content.
        unsafe {
            let (a, b) = (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b));
            _mm512_dpbf16_ps(c, a, b)
        }
    }
    #[inline(always)]
    unsafe fn sums(x: [Self::V; 4]) -> [f32; 4] {
        // SAFETY: see `splat`.
        unsafe { Avx512::sums(x) }
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
        unsafe { Avx512::transpose_8(from, from_stride, to, to_stride, blocks) }
    }
}
