//! The innermost loops, and their forms for each kind of machine.
#![expect(
    unsafe_code,
    reason = "loops over pointers that the drivers have checked, compiled for registers that were detected"
)]

use super::simd::{Plain, Simd};
use std::sync::OnceLock;

/// A tile of c = q·p: each number of a column of `q` times a few registers of a row of `p`.
///
/// `q[row, k]` is at `row·q_stride + k` where it is contiguous along k, else at `row + k·q_stride`; row k of `p` at
/// `k·p_stride`; row r of `c` at `r·c_stride`. With `add`, c += q·p.
pub(super) type Tile = unsafe fn(
    k: usize,
    q: *const f32,
    q_stride: usize,
    p: *const f32,
    p_stride: usize,
    c: *mut f32,
    c_stride: usize,
    add: bool,
);

/// Products of a few rows of `a`, contiguous along k and `a_stride` apart, with [`Path::dot_columns`] others.
pub(super) type Dot =
    unsafe fn(k: usize, a: *const f32, a_stride: usize, b: &[*const f32; DOT_COLUMNS], out: &mut Dots);

/// `n` columns of a few rows of c = q·p for a few k: row r of `c`, `c_stride` apart, is the sum over k of the number
/// at `q + r·q_strides.0 + k·q_strides.1` times row k of `p`. With `add`, c += q·p.
pub(super) type Rows = unsafe fn(
    n: usize,
    q: *const f32,
    q_strides: (usize, usize),
    p: *const f32,
    p_stride: usize,
    c: *mut f32,
    c_stride: usize,
    add: bool,
);

/// Copies rows of `width` ≤ [`MAX_PANEL`] numbers, filled up with zeros to whole registers:
/// `(rows, from, from_stride, width, to, to_stride)`.
pub(super) type Copy = unsafe fn(usize, *const f32, usize, usize, *mut f32, usize);

/// Turns 8 rows of `8·blocks` numbers into as many rows of 8: `(from, from_stride, to, to_stride, blocks)`.
pub(super) type Transpose = unsafe fn(*const f32, usize, *mut f32, usize, usize);

/// No path has more rows in a tile.
pub(super) const MAX_ROWS: usize = 14;
/// No path has wider panels.
pub(super) const MAX_PANEL: usize = 32;
/// Rows of a [`Dot`].
pub(super) const DOT_ROWS: usize = 3;
/// No path has more columns in a [`Dot`].
pub(super) const DOT_COLUMNS: usize = 8;
/// No path has a [`Rows`] of more k.
pub(super) const MAX_ROWS_K: usize = 12;
/// What a [`Dot`] gives.
pub(super) type Dots = [[f32; DOT_COLUMNS]; DOT_ROWS];

/// The kernels for one kind of machine.
pub(super) struct Path {
    #[cfg_attr(not(test), expect(dead_code, reason = "tests tell which they ran"))]
    pub(super) name: &'static str,
    /// Numbers in a register; panels have two registers.
    pub(super) lanes: usize,
    /// The most rows of a tile of one or two registers.
    pub(super) rows: usize,
    /// The most rows of a tile of four.
    pub(super) wide_rows: usize,
    /// The kernel for so many rows, registers (1, 2, 4), and whether q is contiguous along k.
    pub(super) tile: fn(usize, usize, bool) -> Tile,
    /// The kernel for so many rows, 1 to [`DOT_ROWS`].
    pub(super) dot: fn(usize) -> Dot,
    pub(super) dot_columns: usize,
    /// The most k of a [`Rows`].
    pub(super) rows_k: usize,
    /// The kernel for so many rows, 1 or 2, and k.
    pub(super) rows_of: fn(usize, usize) -> Rows,
    pub(super) copy: Copy,
    pub(super) transpose_8: Transpose,
}

impl Path {
    /// Columns of a packed panel.
    pub(super) fn panel(&self) -> usize {
        2 * self.lanes
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the form of `Tile`")]
unsafe fn tile<S: Simd, const R: usize, const V: usize, const ALONG_K: bool>(
    k: usize,
    q: *const f32,
    q_stride: usize,
    p: *const f32,
    p_stride: usize,
    c: *mut f32,
    c_stride: usize,
    add: bool,
) {
    // SAFETY: the caller vouches for the machine and for the bounds of all three.
    unsafe {
        let mut sums = [[S::splat(0.0); V]; R];
        let (mut q, mut p) = (q, p);
        for _ in 0..k {
            let mut row = [S::splat(0.0); V];
            for (v, row) in row.iter_mut().enumerate() {
                *row = S::load(p.add(v * S::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = S::splat(*q.add(if ALONG_K { r * q_stride } else { r }));
                for v in 0..V {
                    sums[v] = S::mul_add(x, row[v], sums[v]);
                }
            }
            q = q.add(if ALONG_K { 1 } else { q_stride });
            p = p.wrapping_add(p_stride);
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let c = c.add(r * c_stride + v * S::LANES);
                S::store(c, if add { S::add(S::load(c), *sum) } else { *sum });
            }
        }
    }
}

#[inline(always)]
unsafe fn dot<S: Simd, const R: usize, const C: usize>(
    k: usize,
    a: *const f32,
    a_stride: usize,
    b: &[*const f32; DOT_COLUMNS],
    out: &mut Dots,
) {
    // SAFETY: the caller vouches for the machine and for k numbers in each row.
    unsafe {
        let mut sums = [[S::splat(0.0); C]; R];
        let whole = k / S::LANES * S::LANES;
        let mut at = 0;
        while at < whole {
            let mut x = [S::splat(0.0); R];
            for (r, x) in x.iter_mut().enumerate() {
                *x = S::load(a.add(r * a_stride + at));
            }
            for c in 0..C {
                let y = S::load(b[c].add(at));
                for r in 0..R {
                    sums[r][c] = S::mul_add(x[r], y, sums[r][c]);
                }
            }
            at += S::LANES;
        }
        if at < k {
            let mut x = [S::splat(0.0); R];
            for (r, x) in x.iter_mut().enumerate() {
                *x = S::load_first(a.add(r * a_stride + at), k - at);
            }
            for c in 0..C {
                let y = S::load_first(b[c].add(at), k - at);
                for r in 0..R {
                    sums[r][c] = S::mul_add(x[r], y, sums[r][c]);
                }
            }
        }
        for r in 0..R {
            for c in (0..C).step_by(4) {
                let four = S::sums([sums[r][c], sums[r][c + 1], sums[r][c + 2], sums[r][c + 3]]);
                out[r][c..c + 4].copy_from_slice(&four);
            }
        }
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the form of `Rows`")]
unsafe fn rows<S: Simd, const R: usize, const K: usize>(
    n: usize,
    q: *const f32,
    q_strides: (usize, usize),
    p: *const f32,
    p_stride: usize,
    c: *mut f32,
    c_stride: usize,
    add: bool,
) {
    // SAFETY: the caller vouches for the machine and for the bounds of all three.
    unsafe {
        let mut x = [[S::splat(0.0); K]; R];
        for (r, x) in x.iter_mut().enumerate() {
            for (k, x) in x.iter_mut().enumerate() {
                *x = S::splat(*q.add(r * q_strides.0 + k * q_strides.1));
            }
        }
        // From the start of a line of the cache on, where there is more than one: a store across two costs two.
        let head = c.align_offset(size_of::<S::V>());
        let mut at = if n < 4 * S::LANES || S::LANES <= head { 0 } else { head };
        if 0 < at {
            part_of_rows::<S, R, K>(&x, at, p, p_stride, c, c_stride, add);
        }
        while at + S::LANES <= n {
            let mut sums = [S::splat(0.0); R];
            if add {
                for (r, sum) in sums.iter_mut().enumerate() {
                    *sum = S::load(c.add(r * c_stride + at));
                }
            }
            for k in 0..K {
                let y = S::load(p.add(k * p_stride + at));
                for (sum, x) in sums.iter_mut().zip(&x) {
                    *sum = S::mul_add(x[k], y, *sum);
                }
            }
            for (r, sum) in sums.iter().enumerate() {
                S::store(c.add(r * c_stride + at), *sum);
            }
            at += S::LANES;
        }
        if at < n {
            part_of_rows::<S, R, K>(&x, n - at, p.add(at), p_stride, c.add(at), c_stride, add);
        }
    }
}

/// The first `n` < LANES columns.
#[inline(always)]
unsafe fn part_of_rows<S: Simd, const R: usize, const K: usize>(
    x: &[[S::V; K]; R],
    n: usize,
    p: *const f32,
    p_stride: usize,
    c: *mut f32,
    c_stride: usize,
    add: bool,
) {
    for (r, x) in x.iter().enumerate() {
        // SAFETY: the promise of `rows`' caller.
        unsafe {
            let c = c.add(r * c_stride);
            let mut sum = if add { S::load_first(c, n) } else { S::splat(0.0) };
            for (k, x) in x.iter().enumerate() {
                sum = S::mul_add(*x, S::load_first(p.add(k * p_stride), n), sum);
            }
            S::store_first(c, sum, n);
        }
    }
}

#[inline(always)]
unsafe fn copy<S: Simd>(
    n: usize,
    from: *const f32,
    from_stride: usize,
    width: usize,
    to: *mut f32,
    to_stride: usize,
) {
    let (whole, left) = (width / S::LANES, width % S::LANES);
    // SAFETY: the caller vouches for the machine and for the bounds of both.
    unsafe {
        if (whole, left) == (2, 0) {
            for i in 0..n {
                let (from, to) = (from.add(i * from_stride), to.add(i * to_stride));
                S::store(to, S::load(from));
                S::store(to.add(S::LANES), S::load(from.add(S::LANES)));
            }
            return;
        }
        for i in 0..n {
            let (from, to) = (from.add(i * from_stride), to.add(i * to_stride));
            for v in 0..whole {
                S::store(to.add(v * S::LANES), S::load(from.add(v * S::LANES)));
            }
            if 0 < left {
                S::store(to.add(whole * S::LANES), S::load_first(from.add(whole * S::LANES), left));
            }
        }
    }
}

/// The forms of the kernels for one kind of machine.
macro_rules! path {
    ($module:ident, $simd:ty, $name:literal, $rows:literal: [$($r:literal)*], $wide:literal: [$($w:literal)*], $columns:literal, $k:literal
     $(, #[$feature:meta])?) => {
        mod $module {
            use super::*;

            $(#[$feature])?
            #[expect(clippy::too_many_arguments, reason = "the form of `Tile`")]
            unsafe fn tile<const R: usize, const V: usize, const ALONG_K: bool>(
                k: usize, q: *const f32, q_stride: usize, p: *const f32, p_stride: usize, c: *mut f32, c_stride: usize,
                add: bool,
            ) {
                // SAFETY: the caller's promise.
                unsafe { super::tile::<$simd, R, V, ALONG_K>(k, q, q_stride, p, p_stride, c, c_stride, add) }
            }

            $(#[$feature])?
            unsafe fn dot<const R: usize>(
                k: usize, a: *const f32, a_stride: usize, b: &[*const f32; DOT_COLUMNS], out: &mut Dots,
            ) {
                // SAFETY: the caller's promise.
                unsafe { super::dot::<$simd, R, $columns>(k, a, a_stride, b, out) }
            }

            $(#[$feature])?
            #[expect(clippy::too_many_arguments, reason = "the form of `Rows`")]
            unsafe fn rows<const R: usize, const K: usize>(
                n: usize, q: *const f32, q_strides: (usize, usize), p: *const f32, p_stride: usize, c: *mut f32,
                c_stride: usize, add: bool,
            ) {
                // SAFETY: the caller's promise.
                unsafe { super::rows::<$simd, R, K>(n, q, q_strides, p, p_stride, c, c_stride, add) }
            }

            $(#[$feature])?
            unsafe fn copy(
                n: usize, from: *const f32, from_stride: usize, width: usize, to: *mut f32, to_stride: usize,
            ) {
                // SAFETY: the caller's promise.
                unsafe { super::copy::<$simd>(n, from, from_stride, width, to, to_stride) }
            }

            $(#[$feature])?
            unsafe fn transpose_8(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize, blocks: usize) {
                // SAFETY: the caller's promise.
                unsafe { <$simd>::transpose_8(from, from_stride, to, to_stride, blocks) }
            }

            fn tile_of(rows: usize, registers: usize, along_k: bool) -> Tile {
                match (rows, registers, along_k) {
                    $(($r, 1, true) => tile::<$r, 1, true>,
                      ($r, 1, false) => tile::<$r, 1, false>,
                      ($r, 2, true) => tile::<$r, 2, true>,
                      ($r, 2, false) => tile::<$r, 2, false>,)*
                    $(($w, 4, true) => tile::<$w, 4, true>,
                      ($w, 4, false) => tile::<$w, 4, false>,)*
                    _ => unreachable!("no tile of {rows} rows and {registers} registers"),
                }
            }

            fn dot_of(rows: usize) -> Dot {
                match rows {
                    1 => dot::<1>,
                    2 => dot::<2>,
                    3 => dot::<3>,
                    _ => unreachable!("no dot of {rows} rows"),
                }
            }

            fn rows_of(rows: usize, k: usize) -> Rows {
                const ONE: [Rows; MAX_ROWS_K] = [
                    self::rows::<1, 1>, self::rows::<1, 2>, self::rows::<1, 3>, self::rows::<1, 4>,
                    self::rows::<1, 5>, self::rows::<1, 6>, self::rows::<1, 7>, self::rows::<1, 8>,
                    self::rows::<1, 9>, self::rows::<1, 10>, self::rows::<1, 11>, self::rows::<1, 12>,
                ];
                const TWO: [Rows; MAX_ROWS_K] = [
                    self::rows::<2, 1>, self::rows::<2, 2>, self::rows::<2, 3>, self::rows::<2, 4>,
                    self::rows::<2, 5>, self::rows::<2, 6>, self::rows::<2, 7>, self::rows::<2, 8>,
                    self::rows::<2, 9>, self::rows::<2, 10>, self::rows::<2, 11>, self::rows::<2, 12>,
                ];
                if rows == 1 { ONE[k - 1] } else { TWO[k - 1] }
            }

            pub(in super::super) static PATH: Path = Path {
                name: $name,
                lanes: <$simd as Simd>::LANES,
                rows: $rows,
                wide_rows: $wide,
                tile: tile_of,
                dot: dot_of,
                dot_columns: $columns,
                rows_of,
                rows_k: $k,
                copy,
                transpose_8,
            };
        }
    };
}

path!(plain, Plain, "plain", 4: [1 2 3 4], 2: [1 2], 4, 4);
#[cfg(target_arch = "x86_64")]
path!(avx512, crate::kernels::gemm::x86::Avx512, "AVX-512", 14: [1 2 3 4 5 6 7 8 9 10 11 12 13 14], 6: [1 2 3 4 5 6], 8, 12,
    #[target_feature(enable = "avx512f,avx2,fma")]);
#[cfg(target_arch = "x86_64")]
path!(pairs, crate::kernels::gemm::x86_bf16::Pairs, "AVX512-BF16", 14: [1 2 3 4 5 6 7 8 9 10 11 12 13 14], 6: [1 2 3 4 5 6], 8, 12,
    #[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]);
#[cfg(target_arch = "x86_64")]
path!(avx2, crate::kernels::gemm::x86::Avx2, "AVX2", 6: [1 2 3 4 5 6], 3: [1 2 3], 4, 6, #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "aarch64")]
path!(neon, crate::kernels::gemm::neon::Neon, "NEON", 12: [1 2 3 4 5 6 7 8 9 10 11 12], 6: [1 2 3 4 5 6], 8, 12,
    #[target_feature(enable = "neon")]);

/// The paths that this machine has, the fastest first.
pub(super) fn paths() -> Vec<&'static Path> {
    let mut paths = Vec::new();
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if has_avx2 && is_x86_feature_detected!("avx512f") {
            paths.push(&avx512::PATH);
        }
        if has_avx2 {
            paths.push(&avx2::PATH);
        }
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    paths.push(&neon::PATH);
    paths.push(&plain::PATH);
    paths
}

/// The path for numbers that are pairs of bf16, where this machine has one.
#[cfg(target_arch = "x86_64")]
pub(super) fn pairs() -> Option<&'static Path> {
    let has = path().lanes == pairs::PATH.lanes
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16");
    has.then_some(&pairs::PATH)
}

/// The fastest path of this machine.
pub(super) fn path() -> &'static Path {
    static FASTEST: OnceLock<&Path> = OnceLock::new();
    FASTEST.get_or_init(|| paths()[0])
}
