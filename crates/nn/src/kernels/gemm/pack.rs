//! Operands copied into the order in which the kernels read them.
#![expect(unsafe_code, reason = "copies between pointers that the driver has checked")]

use super::Matrix;
use super::micro::Path;

/// Copies `p[k.., first..first+width]` to `to[k·panel + column]`, columns beyond `width` left as they come.
///
/// # Safety
/// The machine has the path; the block lies inside of `p`; `to` is good for `k.len()·panel` numbers.
pub(super) unsafe fn panel(
    path: &Path,
    p: Matrix<'_, f32>,
    k: std::ops::Range<usize>,
    first: usize,
    width: usize,
    to: *mut f32,
) {
    let panel = path.panel();
    // SAFETY: the caller's promise; k.start·row_stride + first·col_stride is the block's first number.
    unsafe {
        let from = p.data.as_ptr().add(k.start * p.row_stride + first * p.col_stride);
        if p.col_stride == 1 {
            (path.copy)(k.len(), from, p.row_stride, width, to, panel);
        } else {
            columns(path, from, (p.row_stride, p.col_stride), k.len(), width, to, panel);
        }
    }
}

/// Copies rows `first..first+height` of `q`, contiguous along rows, to `to[k·stride + row]`.
///
/// # Safety
/// The machine has the path; the block lies inside of `q`; `to` is good for `k.len()·stride` numbers, and `stride` is
/// at least the height in whole registers.
pub(super) unsafe fn rows(
    path: &Path,
    q: Matrix<'_, f32>,
    k: std::ops::Range<usize>,
    (first, height): (usize, usize),
    to: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let from = q.data.as_ptr().add(k.start * q.col_stride + first * q.row_stride);
        (path.copy)(k.len(), from, q.col_stride, height, to, stride);
    }
}

/// Turns `width` columns of `k` numbers, strides (k, column), into rows `to_stride` apart.
///
/// # Safety
/// The machine has the path; both blocks lie inside of their memory; they do not overlap.
pub(super) unsafe fn columns(
    path: &Path,
    from: *const f32,
    (k_stride, stride): (usize, usize),
    k: usize,
    width: usize,
    to: *mut f32,
    to_stride: usize,
) {
    let whole = if k_stride == 1 { (k / 8 * 8, width / 8 * 8) } else { (0, 0) };
    // SAFETY: the caller's promise; the first loop covers `whole`, the second the rest.
    unsafe {
        for column in (0..whole.1).step_by(8) {
            (path.transpose_8)(from.add(column * stride), stride, to.add(column), to_stride, whole.0 / 8);
        }
        for i in 0..k {
            for column in if i < whole.0 { whole.1 } else { 0 }..width {
                *to.add(i * to_stride + column) = *from.add(i * k_stride + column * stride);
            }
        }
    }
}

/// Turns `width` rows of `n` numbers, `stride` apart, into `n` rows, `to_stride` apart, of which each line of the cache is
/// written at once.
///
/// # Safety
/// As of [`columns`].
pub(super) unsafe fn turn_back(
    path: &Path,
    from: *const f32,
    stride: usize,
    n: usize,
    width: usize,
    to: *mut f32,
    to_stride: usize,
) {
    const STEP: usize = 16;
    for first in (0..n).step_by(STEP) {
        // SAFETY: the caller's promise.
        unsafe {
            columns(
                path,
                from.add(first),
                (1, stride),
                STEP.min(n - first),
                width,
                to.add(first * to_stride),
                to_stride,
            );
        }
    }
}
