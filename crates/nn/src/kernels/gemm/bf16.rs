//! Products of operands rounded to bf16, summed in f32.
//!
//! Both operands are first copied, rounded, in the order they lie in. Where the machine multiplies pairs of bf16, the copy
//! holds the pairs along the sum, each in the place of an f32: to the drivers that is a product of half as long a sum.
#![expect(unsafe_code, reason = "calls the drivers, whose bounds have been checked")]

use super::super::{bf16, threads, vectorized};
use super::micro::{self, Path};
use super::workspace::with_rounded;
#[cfg(target_arch = "x86_64")]
use super::x86_bf16;
use super::{Finish, Matrix, Target, product_by as product_of_f32};

/// How such products are computed.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// From pairs of bf16.
    #[cfg(target_arch = "x86_64")]
    Pairs(&'static Path),
    /// From f32.
    Numbers(&'static Path),
}

impl Way {
    fn path(self) -> &'static Path {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Pairs(path) => path,
            Self::Numbers(path) => path,
        }
    }

    /// Numbers of a copy along a sum of `k`.
    fn depth(self, k: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Pairs(_) => k.div_ceil(2),
            Self::Numbers(_) => k,
        }
    }
}

/// The ways that this machine has, the fastest first.
#[cfg(test)]
pub(super) fn ways() -> Vec<Way> {
    let mut ways: Vec<Way> = micro::paths().into_iter().map(Way::Numbers).collect();
    #[cfg(target_arch = "x86_64")]
    ways.splice(..0, micro::pairs().map(Way::Pairs));
    ways
}

/// The fastest way of this machine.
pub(super) fn way() -> Way {
    #[cfg(target_arch = "x86_64")]
    if let Some(path) = micro::pairs() {
        return Way::Pairs(path);
    }
    Way::Numbers(micro::path())
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
        // SAFETY: the caller's promise; `copy` fills its matrix.
        unsafe {
            let (a, b) = (copy(way, is_parallel, a, for_a), copy(way, is_parallel, b.t(), for_b).t());
            product_of_f32(way.path(), c, false, a, b, is_parallel, finish);
        }
    });
}

/// Numbers of a piece of work.
const PIECE: usize = 1 << 14;

/// A rounded copy of a matrix whose columns are the sum's, which lies as the matrix does.
///
/// # Safety
/// The machine has the way.
unsafe fn copy<'a>(way: Way, is_parallel: bool, x: Matrix<'_, f32>, to: &'a mut [f32]) -> Matrix<'a, f32> {
    let depth = way.depth(x.cols);
    let along_sum = x.col_stride == 1;
    let (n_lines, line) = if along_sum { (x.rows, depth) } else { (depth, x.rows) };
    let line_at = |i: usize| match along_sum {
        true => &x.data[i * x.row_stride..][..x.cols],
        false => &x.data[i * x.col_stride..][..x.rows],
    };
    let write = |i: usize, to: &mut [f32]| match way {
        // SAFETY: the machine has the way.
        #[cfg(target_arch = "x86_64")]
        Way::Pairs(_) => unsafe {
            match along_sum {
                true => x86_bf16::pairs_in(line_at(i), to),
                false if 2 * i + 1 < x.cols => x86_bf16::pairs_of(line_at(2 * i), line_at(2 * i + 1), to),
                // The last of an odd number, which stand beside zeros.
                false => x86_bf16::pairs_of(line_at(2 * i), &[], to),
            }
        },
        Way::Numbers(_) => to.iter_mut().zip(line_at(i)).for_each(|(to, x)| *to = bf16::round(*x)),
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

#[cfg(test)]
mod tests;
