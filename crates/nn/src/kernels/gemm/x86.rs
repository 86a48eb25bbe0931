//! The registers of x86-64: AVX-512, and AVX2 with FMA.
#![expect(
    unsafe_code,
    reason = "intrinsics; loads and stores through pointers that the drivers have checked"
)]

use super::simd::Simd;
use std::arch::x86_64::*;

/// Sixteen numbers; with AVX2 for what is not worth sixteen.
pub(super) struct Avx512;

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: the caller's promise, as in all of these.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self::V {
        // SAFETY: see `splat`; what the mask leaves out is not read.
        unsafe { _mm512_maskz_loadu_ps((1u16 << n) - 1, from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: Self::V) {
        // SAFETY: see `splat`.
        unsafe { _mm512_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, x: Self::V, n: usize) {
        // SAFETY: see `splat`; what the mask leaves out is not written.
        unsafe { _mm512_mask_storeu_ps(to, (1u16 << n) - 1, x) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self::V; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // In whole registers to the end: a part of one has to be in the lower sixteen, which the others would be spilled
        // for.
        // SAFETY: see `splat`; four numbers are stored.
        unsafe {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let x = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(ab, cd), _mm512_shuffle_ps::<0xee>(ab, cd));
            let x = _mm512_add_ps(x, _mm512_shuffle_f32x4::<0x4e>(x, x));
            let x = _mm512_add_ps(x, _mm512_shuffle_f32x4::<0xb1>(x, x));
            _mm512_mask_storeu_ps(sums.as_mut_ptr(), 0xf, x);
        }
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
        unsafe { Avx2::transpose_8(from, from_stride, to, to_stride, blocks) }
    }
}

/// Eight numbers.
pub(super) struct Avx2;

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: the caller's promise, as in all of these.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self::V {
        // SAFETY: see `splat`; what the mask leaves out is not read.
        unsafe { _mm256_maskload_ps(from, mask(n)) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: Self::V) {
        // SAFETY: see `splat`.
        unsafe { _mm256_storeu_ps(to, x) }
    }
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, x: Self::V, n: usize) {
        // SAFETY: see `splat`; what the mask leaves out is not written.
        unsafe { _mm256_maskstore_ps(to, mask(n), x) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: see `splat`.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self::V; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: see `splat`.
        unsafe {
            let x = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            _mm_storeu_ps(sums.as_mut_ptr(), x);
        }
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
        for block in 0..blocks {
            // SAFETY: see `splat`.
            unsafe {
                transpose_8x8(from.add(8 * block), from_stride, to.add(8 * block * to_stride), to_stride)
            };
        }
    }
}

/// The first `n` ≤ 8 numbers.
#[inline(always)]
unsafe fn mask(n: usize) -> __m256i {
    const MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: eight numbers from 8 - n on lie inside the array; the caller's machine has AVX.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast()) }
}

/// Halves are put together while they are loaded, which takes no shuffles. (No closures: these would not be compiled
/// for the caller's machine.)
#[inline(always)]
unsafe fn transpose_8x8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
    for at in [0, 4] {
        // SAFETY: the caller's promise.
        unsafe {
            let from = from.add(at);
            let (r0, r1) = (pair(from, from_stride), pair(from.add(from_stride), from_stride));
            let (r2, r3) =
                (pair(from.add(2 * from_stride), from_stride), pair(from.add(3 * from_stride), from_stride));
            let (t0, t1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
            let (t2, t3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
            let to = to.add(at * to_stride);
            _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(t0, t2));
            _mm256_storeu_ps(to.add(to_stride), _mm256_shuffle_ps::<0xee>(t0, t2));
            _mm256_storeu_ps(to.add(2 * to_stride), _mm256_shuffle_ps::<0x44>(t1, t3));
            _mm256_storeu_ps(to.add(3 * to_stride), _mm256_shuffle_ps::<0xee>(t1, t3));
        }
    }
}

/// Four numbers of a row, and of the row four further down in the high half.
#[inline(always)]
unsafe fn pair(from: *const f32, stride: usize) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        let low = _mm256_castps128_ps256(_mm_loadu_ps(from));
        _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add(4 * stride)))
    }
}
