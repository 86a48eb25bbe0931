//! The registers of AVX512-BF16: sixteen pairs of bf16, each in the place of an f32.
#![expect(
    unsafe_code,
    reason = "intrinsics; loads and stores through pointers into slices of checked length"
)]

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
            let (a, b) =
                (std::mem::transmute::<__m512, __m512bh>(a), std::mem::transmute::<__m512, __m512bh>(b));
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

/// The numbers of a register that are left of `n` at `at`.
#[inline(always)]
fn first(n: usize, at: usize) -> __mmask16 {
    let left = n.saturating_sub(at).min(Pairs::LANES);
    ((1u32 << left) - 1) as __mmask16
}

/// Sixteen numbers of a slice from `at` on, and zeros where it ends.
///
/// # Safety
/// The machine has AVX-512.
#[inline(always)]
unsafe fn load_from(x: &[f32], at: usize) -> __m512 {
    // SAFETY: the caller's promise; what lies beyond the slice is masked.
    unsafe { _mm512_maskz_loadu_ps(first(x.len(), at), x.as_ptr().wrapping_add(at)) }
}

/// Writes a register to a slice from `at` on, up to its end.
///
/// # Safety
/// As of [`load_from`].
#[inline(always)]
unsafe fn store_to(to: &mut [f32], at: usize, x: __m512i) {
    // SAFETY: see `load_from`.
    unsafe {
        _mm512_mask_storeu_ps(to.as_mut_ptr().wrapping_add(at), first(to.len(), at), _mm512_castsi512_ps(x));
    }
}

/// Writes the neighbours of a line as pairs, rounded to nearest even; one that is left over stands beside a 0. A denormal
/// number counts as 0, as in the products.
///
/// # Safety
/// The machine has AVX512-BF16 and AVX512-BW.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pairs_in(x: &[f32], to: &mut [f32]) {
    debug_assert!(to.len() == x.len().div_ceil(2));
    for at in (0..to.len()).step_by(Pairs::LANES) {
        // SAFETY: the caller's promise; both types are 64 bytes of any content.
        unsafe {
            let (low, high) = (load_from(x, 2 * at), load_from(x, 2 * at + Pairs::LANES));
            let pairs = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            store_to(to, at, pairs);
        }
    }
}

/// Writes pairs of the numbers in the same place of two lines, of which the second may be shorter, as if zeros followed.
///
/// # Safety
/// As of [`pairs_in`].
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn pairs_of(x: &[f32], y: &[f32], to: &mut [f32]) {
    // From sixteen of x and then of y to pairs of both.
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 16 {
            (order[2 * i], order[2 * i + 1]) = (i as u16, 16 + i as u16);
            i += 1;
        }
        order
    };
    // SAFETY: the caller's promise; both types are 64 bytes of any content.
    unsafe {
        let order = _mm512_loadu_epi16(ORDER.as_ptr().cast());
        for at in (0..to.len()).step_by(Pairs::LANES) {
            let both = _mm512_cvtne2ps_pbh(load_from(y, at), load_from(x, at));
            let both = std::mem::transmute::<__m512bh, __m512i>(both);
            store_to(to, at, _mm512_permutexvar_epi16(order, both));
        }
    }
}
