//! Products with one or two rows, or a short sum: nothing is packed, and what is read or written once is read or
//! written in its order in memory.
#![expect(unsafe_code, reason = "threads write parts of one matrix through pointers")]

use super::micro::Path;
use super::{Finish, Matrix, Target, each, finish_block};

/// The most rows.
const FEW: usize = 2;
/// Numbers along k at a time, where there are many.
const STEP: usize = 8;
/// Numbers of a piece of a result with a short sum, about.
const PIECE: usize = 1 << 14;
/// Columns of a piece of a result with few rows, at least, and the number of such pieces.
const COLUMNS: usize = 64;
const COLUMN_PIECES: usize = 4;

/// Whether this kernel is the fastest for the product.
pub(super) fn fits(path: &Path, a: Matrix<'_, f32>, b: Matrix<'_, f32>) -> bool {
    b.col_stride == 1 && (a.rows <= FEW || a.cols <= path.rows_k)
}

/// c = a·b or c += a·b, then `finish`.
///
/// # Safety
/// The machine has the path; `c` is good for a.rows × b.cols numbers, which nobody else uses; both matrices lie inside
/// of their slices, b's rows are contiguous, and all sizes are above 0.
pub(super) unsafe fn product<F: Finish<f32>>(
    path: &'static Path,
    c: Target<f32>,
    accumulate: bool,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    is_parallel: bool,
    finish: &F,
) {
    let n = b.cols;
    // Pieces of rows, or of columns.
    let is_short = a.cols <= path.rows_k;
    let step = if is_short { a.cols } else { STEP.min(path.rows_k) };
    let (height, width) = if is_short {
        (PIECE.div_ceil(n).next_multiple_of(FEW), n)
    } else {
        (a.rows, n.div_ceil(COLUMN_PIECES).next_multiple_of(COLUMNS))
    };
    let across = n.div_ceil(width);
    each(is_parallel, across * a.rows.div_ceil(height), |i| {
        let rows = i / across * height..((i / across + 1) * height).min(a.rows);
        let columns = i % across * width..((i % across + 1) * width).min(n);
        for row in rows.clone().step_by(FEW) {
            let n_rows = FEW.min(rows.end - row);
            for k in (0..a.cols).step_by(step) {
                let n_k = step.min(a.cols - k);
                // SAFETY: the caller's promise; the piece lies inside, and is nobody else's.
                unsafe {
                    (path.rows_of)(n_rows, n_k)(
                        columns.len(),
                        a.data.as_ptr().add(row * a.row_stride + k * a.col_stride),
                        (a.row_stride, a.col_stride),
                        b.data.as_ptr().add(k * b.row_stride + columns.start),
                        b.row_stride,
                        c.0.add(row * n + columns.start),
                        n,
                        accumulate || 0 < k,
                    );
                }
            }
        }
        // SAFETY: all of this piece has been written.
        unsafe { finish_block(c, n, rows, columns, finish) };
    });
}
