//! f64: the gemm crate on pieces whose bounds depend on the sizes alone. Audits and tests use it.
#![expect(unsafe_code, reason = "the gemm crate takes raw pointers")]

use super::{Finish, Matrix, Target, each, finish_block};
use gemm::Parallelism;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Whether there has been a product.
static IS_USED: AtomicBool = AtomicBool::new(false);

/// Rows of a piece of work.
const PIECE: usize = 64;

/// c = a·b or c += a·b, then `finish`.
///
/// # Safety
/// `c` is good for a.rows × b.cols numbers, which nobody else uses; both matrices lie inside of their slices, and all
/// sizes are above 0.
pub(super) unsafe fn product<F: Finish<f64>>(
    c: Target<f64>,
    accumulate: bool,
    a: Matrix<'_, f64>,
    b: Matrix<'_, f64>,
    is_parallel: bool,
    finish: &F,
) {
    IS_USED.store(true, Relaxed);
    let n = b.cols;
    each(is_parallel, a.rows.div_ceil(PIECE), |i| {
        let rows = i * PIECE..((i + 1) * PIECE).min(a.rows);
        // SAFETY: the caller's promise; each piece has its own rows of c. Without `accumulate` c is not read.
        unsafe {
            gemm::gemm(
                rows.len(),
                n,
                a.cols,
                c.0.add(rows.start * n),
                1,
                n as isize,
                accumulate,
                a.data.as_ptr().add(rows.start * a.row_stride),
                a.col_stride as isize,
                a.row_stride as isize,
                b.data.as_ptr(),
                b.col_stride as isize,
                b.row_stride as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
            finish_block(c, n, rows, 0..n, finish);
        }
    });
}

/// Makes this thread allocate what the gemm crate keeps for reuse, some megabytes, if there has been a product.
pub(super) fn allocate_workspace() {
    if !IS_USED.load(Relaxed) {
        return;
    }
    // Large enough in every direction that both operands are packed.
    const SIDE: usize = 96;
    let x = vec![1f64; SIDE * SIDE];
    let matrix = Matrix::row_major(&x, SIDE, SIDE);
    super::gemm(&mut vec![0.0; SIDE * SIDE], false, matrix, matrix);
}
