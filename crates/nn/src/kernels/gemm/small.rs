//! A few rows times a matrix whose columns are contiguous, or rows times a few columns: nothing is packed, the many are
//! read once.
#![expect(unsafe_code, reason = "threads write columns of one matrix through pointers")]

use super::micro::{DOT_COLUMNS, DOT_ROWS, Path};
use super::{Finish, Matrix, Target, each, finish_block};

/// The number of pieces of work, and the most columns of one.
const PIECES: usize = 16;
const MAX_PIECE: usize = 64;

/// The most rows, or columns.
const FEW: usize = 16;

/// Whether this kernel is the fastest for the product.
pub(super) fn fits(a: Matrix<'_, f32>, b: Matrix<'_, f32>) -> bool {
    a.col_stride == 1 && b.row_stride == 1 && a.rows.min(b.cols) <= FEW
}

/// c = a·b or c += a·b, then `finish`.
///
/// # Safety
/// The machine has the path; `c` is good for a.rows × b.cols numbers, which nobody else uses; both matrices lie inside
/// of their slices and are contiguous along k, and all sizes are above 0.
pub(super) unsafe fn product<F: Finish<f32>>(
    path: &'static Path,
    c: Target<f32>,
    accumulate: bool,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    is_parallel: bool,
    finish: &F,
) {
    let stride = b.cols;
    let is_turned = FEW < a.rows;
    let (a, b) = if is_turned { (b.t(), a.t()) } else { (a, b) };
    let (k, n) = (a.cols, b.cols);
    let piece = n.div_ceil(PIECES).next_multiple_of(DOT_COLUMNS).min(MAX_PIECE);
    each(is_parallel, n.div_ceil(piece), |i| {
        let columns = i * piece..((i + 1) * piece).min(n);
        for first in columns.clone().step_by(path.dot_columns) {
            let width = path.dot_columns.min(columns.end - first);
            // A column that is not there is computed from the last one, and left out.
            let column = |j: usize| {
                let column = first + j.min(width - 1);
                b.data[column * b.col_stride..].as_ptr()
            };
            let pointers: [*const f32; DOT_COLUMNS] = std::array::from_fn(column);
            for row in (0..a.rows).step_by(DOT_ROWS) {
                let height = DOT_ROWS.min(a.rows - row);
                let mut dots = [[0.0; DOT_COLUMNS]; DOT_ROWS];
                // SAFETY: rows and columns lie inside of their matrices, and have k numbers each.
                unsafe {
                    let from = a.data.as_ptr().add(row * a.row_stride);
                    (path.dot)(height)(k, from, a.row_stride, &pointers, &mut dots);
                }
                for (r, dots) in dots.iter().enumerate().take(height) {
                    let row = row + r;
                    // SAFETY: inside of c; this piece's columns are nobody else's.
                    unsafe {
                        if !is_turned && !accumulate && width == DOT_COLUMNS {
                            c.0.add(row * stride + first).cast::<[f32; DOT_COLUMNS]>().write_unaligned(*dots);
                            continue;
                        }
                        for (j, dot) in dots.iter().enumerate().take(width) {
                            let column = first + j;
                            let to = c.0.add(if is_turned {
                                column * stride + row
                            } else {
                                row * stride + column
                            });
                            *to = if accumulate { *to + *dot } else { *dot };
                        }
                    }
                }
            }
        }
        // SAFETY: all of this piece's columns have been written.
        unsafe {
            if is_turned {
                finish_block(c, stride, columns, 0..a.rows, finish);
            } else {
                finish_block(c, stride, 0..a.rows, columns, finish);
            }
        }
    });
}
