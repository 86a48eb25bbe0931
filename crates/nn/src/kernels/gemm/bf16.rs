//! Products of operands rounded to bf16, summed in f32.
//!
//! Both operands are first copied, rounded, in the order they lie in. Where the machine multiplies pairs of bf16, the copy
//! holds the pairs along the sum, each in the place of an f32: to the drivers that is a product of half as long a sum.
#![expect(unsafe_code, reason = "calls the drivers, whose bounds have been checked")]

use super::super::{bf16, threads, vectorized};
use super::micro::{self, Path};
use super::workspace::with_rounded;
use super::{Finish, Matrix, Target, product_by as product_of_f32};

/// How such products are computed.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// From pairs of bf16.
    Pairs(&'static Path),
    /// From f32.
    Numbers(&'static Path),
}

impl Way {
    fn path(self) -> &'static Path {
        match self {
            Self::Pairs(path) | Self::Numbers(path) => path,
        }
    }

    /// Numbers of a copy along a sum of `k`.
    fn depth(self, k: usize) -> usize {
        match self {
            Self::Pairs(_) => k.div_ceil(2),
            Self::Numbers(_) => k,
        }
    }
}

/// The ways that this machine has, the fastest first.
#[cfg(test)]
pub(super) fn ways() -> Vec<Way> {
    let numbers = micro::paths().into_iter().map(Way::Numbers);
    micro::pairs().map(Way::Pairs).into_iter().chain(numbers).collect()
}

/// The fastest way of this machine.
pub(super) fn way() -> Way {
    micro::pairs().map_or_else(|| Way::Numbers(micro::path()), Way::Pairs)
}

/// c = round(a)·round(b), then `finish`.
///
/// # Safety
/// The machine has the way; `c` is good for a.rows × b.cols numbers, which nobody else uses; both matrices lie inside of
/// their slices, and all sizes are above 0.
pub(super) unsafe fn product_by<F: Finish<f32>>(
    way: Way,
    c: Target<f32>,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    is_parallel: bool,
    finish: &F,
) {
    let depth = way.depth(a.cols);
    with_rounded((a.rows + b.cols) * depth, |buffer| {
        let (for_a, for_b) = buffer.split_at_mut(a.rows * depth);
        let (a, b) = (copy(way, is_parallel, a, for_a), copy(way, is_parallel, b.t(), for_b).t());
        // SAFETY: the caller's promise; `copy` fills its matrix.
        unsafe { product_of_f32(way.path(), c, false, a, b, is_parallel, finish) }
    });
}

/// Numbers of a piece of work.
const PIECE: usize = 1 << 14;

/// A rounded copy of a matrix whose columns are the sum's, which lies as the matrix does.
fn copy<'a>(way: Way, is_parallel: bool, x: Matrix<'_, f32>, to: &'a mut [f32]) -> Matrix<'a, f32> {
    let depth = way.depth(x.cols);
    let along_sum = x.col_stride == 1;
    let (n_lines, line) = if along_sum { (x.rows, depth) } else { (depth, x.rows) };
    let write = |i: usize, to: &mut [f32]| match (way, along_sum) {
        (Way::Pairs(_), true) => pairs_of_line(&x.data[i * x.row_stride..][..x.cols], to),
        (Way::Pairs(_), false) => {
            let first = &x.data[2 * i * x.col_stride..][..x.rows];
            let second = (2 * i + 1 < x.cols).then(|| &x.data[(2 * i + 1) * x.col_stride..][..x.rows]);
            pairs_of_lines(first, second, to);
        }
        (Way::Numbers(_), true) => round_line(&x.data[i * x.row_stride..][..x.cols], to),
        (Way::Numbers(_), false) => round_line(&x.data[i * x.col_stride..][..x.rows], to),
    };
    let at_once = if is_parallel { PIECE.div_ceil(line) } else { n_lines };
    let piece = |i: usize, to: &mut [f32]| {
        vectorized(
            #[inline(always)]
            || to.chunks_exact_mut(line).enumerate().for_each(|(j, to)| write(i * at_once + j, to)),
        );
    };
    threads::for_each_chunk(&mut to[..n_lines * line], at_once * line, piece);
    let (row_stride, col_stride) = if along_sum { (depth, 1) } else { (1, x.rows) };
    Matrix { data: to, rows: x.rows, cols: depth, row_stride, col_stride }
}

#[inline(always)]
fn round_line(x: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to = bf16::round(*x));
}

/// Pairs of neighbours; the last may be alone.
#[inline(always)]
fn pairs_of_line(x: &[f32], to: &mut [f32]) {
    let (pairs, rest) = x.as_chunks::<2>();
    to.iter_mut().zip(pairs).for_each(|(to, [first, second])| *to = bf16::pair(*first, *second));
    if let ([first], Some(to)) = (rest, to.last_mut()) {
        *to = bf16::pair(*first, 0.0);
    }
}

/// Pairs of what lies in the same place of two lines.
#[inline(always)]
fn pairs_of_lines(first: &[f32], second: Option<&[f32]>, to: &mut [f32]) {
    match second {
        Some(second) => {
            let pairs = first.iter().zip(second);
            to.iter_mut().zip(pairs).for_each(|(to, (first, second))| *to = bf16::pair(*first, *second));
        }
        None => to.iter_mut().zip(first).for_each(|(to, first)| *to = bf16::pair(*first, 0.0)),
    }
}

#[cfg(test)]
mod tests;
