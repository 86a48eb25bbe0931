//! Matrix products.
//!
//! f32 has kernels of our own, for AVX-512, AVX2, NEON and any other machine, chosen at run time. A product is cut into
//! pieces by its sizes alone, and each number is summed in one order, so its bits do not depend on the threads.
#![expect(unsafe_code, reason = "threads write parts of one matrix; results are written to fresh memory")]

mod bf16;
mod blocked;
mod double;
mod micro;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod simd;
mod small;
#[cfg(test)]
mod tests;
mod thin;
mod workspace;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
mod x86_bf16;

use super::threads::{self, Unwritten};
use super::{Element, vectorized};
use crate::precision::Precision;
use std::ops::Range;
pub(crate) use workspace::allocate_workspace;

/// A matrix in a slice: `data[row * row_stride + col * col_stride]`; one of the strides is 1.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows one after the other.
    pub(crate) fn row_major(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, without a copy.
    pub(crate) fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    fn is_inside(&self) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride < self.data.len()
    }
}

/// What is done to a product where it has just been computed and is in the nearest cache.
pub(crate) trait Finish<T>: Sync {
    /// There is nothing to do.
    const IS_NOTHING: bool = false;

    /// Changes `c`, neighbouring numbers of one row of the result, the first of them at `column`. Each number of the
    /// result comes once.
    fn finish(&self, row: usize, column: usize, c: &mut [T]);
}

/// The product as it is.
pub(crate) struct Nothing;

impl<T> Finish<T> for Nothing {
    const IS_NOTHING: bool = true;

    fn finish(&self, _: usize, _: usize, _: &mut [T]) {}
}

/// `(row, first column, numbers)`; it should be `#[inline(always)]`, to be compiled for the widest registers.
impl<T, F: Fn(usize, usize, &mut [T]) + Sync> Finish<T> for F {
    #[inline(always)]
    fn finish(&self, row: usize, column: usize, c: &mut [T]) {
        self(row, column, c);
    }
}

/// Below this many multiplications one thread is faster than two.
const PARALLEL_FROM: usize = 1 << 17;

/// `dst = a·b`, or `dst += a·b` with `accumulate`; `dst` is row-major, a.rows × b.cols. On this thread.
pub(crate) fn gemm<T: Element>(dst: &mut [T], accumulate: bool, a: Matrix<'_, T>, b: Matrix<'_, T>) {
    check(dst.len(), a, b);
    // SAFETY: `check`; `dst` is borrowed mutably and holds numbers.
    unsafe { run(Target(dst.as_mut_ptr()), accumulate, a, b, false, &Nothing) };
}

/// [`gemm()`] on all threads, when there is enough to do.
#[allow(dead_code, reason = "for sums of products")]
pub(crate) fn gemm_parallel<T: Element>(dst: &mut [T], accumulate: bool, a: Matrix<'_, T>, b: Matrix<'_, T>) {
    check(dst.len(), a, b);
    // SAFETY: `check`; `dst` is borrowed mutably and holds numbers.
    unsafe { run(Target(dst.as_mut_ptr()), accumulate, a, b, true, &Nothing) };
}

/// `finish(a·b)`, row-major, on all threads when there is enough to do.
pub(crate) fn product<T: Element>(a: Matrix<'_, T>, b: Matrix<'_, T>, finish: impl Finish<T>) -> Vec<T> {
    let len = a.rows * b.cols;
    let mut c = Vec::with_capacity(len);
    check(len, a, b);
    // SAFETY: `check`; all `len` numbers are written before they become part of the vector.
    unsafe {
        run(Target(c.as_mut_ptr()), false, a, b, true, &finish);
        c.set_len(len);
    }
    c
}

/// [`product`] of operands in a precision.
pub(crate) fn product_in<T: Element>(
    precision: Precision,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    finish: impl Finish<T>,
) -> Vec<T> {
    if precision == Precision::F32 {
        return product(a, b, finish);
    }
    let len = a.rows * b.cols;
    let mut c = Vec::with_capacity(len);
    check(len, a, b);
    // SAFETY: as in `product`.
    unsafe {
        run_by(Target(c.as_mut_ptr()), false, a, b, true, &finish, |c, is_parallel| {
            T::rounded_product(c, a, b, is_parallel, &finish);
        });
        c.set_len(len);
    }
    c
}

/// [`product`] on this thread, written to all that is left of a piece of memory: a.rows × b.cols numbers.
#[allow(dead_code, reason = "for kernels that compute in pieces")]
pub(crate) fn write_product<T: Element>(
    piece: &mut Unwritten<'_, T>,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    finish: impl Finish<T>,
) {
    check(piece.left(), a, b);
    // SAFETY: `check`; all that is left is written.
    unsafe { run(Target(piece.take()), false, a, b, false, &finish) };
}

fn check<T>(len: usize, a: Matrix<'_, T>, b: Matrix<'_, T>) {
    assert!(a.cols == b.rows && len == a.rows * b.cols, "matrix sizes do not fit");
    assert!(a.is_inside() && b.is_inside(), "a matrix reaches beyond its slice");
}

/// # Safety
/// `check`; `c` is good for a.rows × b.cols numbers, which nobody else uses; with `accumulate` they are initialised.
unsafe fn run<T: Element, F: Finish<T>>(
    c: Target<T>,
    accumulate: bool,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    is_parallel: bool,
    finish: &F,
) {
    // SAFETY: the caller's promise.
    unsafe {
        run_by(c, accumulate, a, b, is_parallel, finish, |c, is_parallel| {
            T::product(c, accumulate, a, b, is_parallel, finish);
        });
    }
}

/// The same with a product of its own, of sizes above 0.
///
/// # Safety
/// As of [`run`].
unsafe fn run_by<T: Element, F: Finish<T>>(
    c: Target<T>,
    accumulate: bool,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    is_parallel: bool,
    finish: &F,
    product: impl FnOnce(Target<T>, bool),
) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    if m == 0 || n == 0 {
        return;
    }
    // On every path, so that bits do not depend on who calls.
    let _flush = threads::FlushDenormals::new();
    let is_parallel = is_parallel && PARALLEL_FROM <= m.saturating_mul(n).saturating_mul(k);
    // SAFETY: the caller's promise.
    unsafe {
        if k == 0 {
            if !accumulate {
                (0..m * n).for_each(|i| c.0.add(i).write(T::ZERO));
            }
            finish_block(c, n, 0..m, 0..n, finish);
        } else {
            product(c, is_parallel);
        }
    }
}

/// The product of one type.
pub(crate) trait Product: Sized {
    /// `c = a·b` or `c += a·b`, then `finish`.
    ///
    /// # Safety
    /// `c` is good for a.rows × b.cols numbers, which nobody else uses; both matrices lie inside of their slices, and
    /// all sizes are above 0.
    unsafe fn product<F: Finish<Self>>(
        c: Target<Self>,
        accumulate: bool,
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        is_parallel: bool,
        finish: &F,
    );

    /// The same, not accumulated, of f32 rounded to bf16, and of f64 as they are.
    ///
    /// # Safety
    /// As of [`Product::product`].
    unsafe fn rounded_product<F: Finish<Self>>(
        c: Target<Self>,
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        is_parallel: bool,
        finish: &F,
    );
}

impl Product for f32 {
    unsafe fn product<F: Finish<f32>>(
        c: Target<f32>,
        accumulate: bool,
        a: Matrix<'_, f32>,
        b: Matrix<'_, f32>,
        is_parallel: bool,
        finish: &F,
    ) {
        // SAFETY: the caller's promise; the path was detected.
        unsafe { product_by(micro::path(), c, accumulate, a, b, is_parallel, finish) }
    }

    unsafe fn rounded_product<F: Finish<f32>>(
        c: Target<f32>,
        a: Matrix<'_, f32>,
        b: Matrix<'_, f32>,
        is_parallel: bool,
        finish: &F,
    ) {
        // SAFETY: the caller's promise; the way was detected.
        unsafe { bf16::product_by(bf16::way(), c, a, b, is_parallel, finish) }
    }
}

impl Product for f64 {
    unsafe fn product<F: Finish<f64>>(
        c: Target<f64>,
        accumulate: bool,
        a: Matrix<'_, f64>,
        b: Matrix<'_, f64>,
        is_parallel: bool,
        finish: &F,
    ) {
        // SAFETY: the caller's promise.
        unsafe { double::product(c, accumulate, a, b, is_parallel, finish) }
    }

    unsafe fn rounded_product<F: Finish<f64>>(
        c: Target<f64>,
        a: Matrix<'_, f64>,
        b: Matrix<'_, f64>,
        is_parallel: bool,
        finish: &F,
    ) {
        // SAFETY: the caller's promise.
        unsafe { double::product(c, false, a, b, is_parallel, finish) }
    }
}

/// The f32 product by the kernels of one path.
///
/// # Safety
/// As of [`Product::product`]; the machine has the path.
unsafe fn product_by<F: Finish<f32>>(
    path: &'static micro::Path,
    c: Target<f32>,
    accumulate: bool,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    is_parallel: bool,
    finish: &F,
) {
    // SAFETY: the caller's promise; `fits` looks for what `small` needs.
    unsafe {
        if thin::fits(path, a, b) {
            thin::product(path, c, accumulate, a, b, is_parallel, finish);
        } else if small::fits(a, b) {
            small::product(path, c, accumulate, a, b, is_parallel, finish);
        } else {
            blocked::product(path, c, accumulate, a, b, is_parallel, finish);
        }
    }
}

/// Where a result is written, by several threads in different places.
#[derive(Clone, Copy)]
pub(crate) struct Target<T>(*mut T);

// SAFETY: who uses the pointer promises that no two threads use it for the same place.
unsafe impl<T: Send> Send for Target<T> {}
// SAFETY: see above.
unsafe impl<T: Send> Sync for Target<T> {}

/// Calls `work` for 0..n, on all threads or on this one.
fn each(is_parallel: bool, n: usize, work: impl Fn(usize) + Sync) {
    if is_parallel && 1 < n { threads::for_each(n, work) } else { (0..n).for_each(work) }
}

/// # Safety
/// The block lies in `c`, whose rows are `stride` long, has been written, and is nobody else's.
unsafe fn finish_block<T, F: Finish<T>>(
    c: Target<T>,
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    finish: &F,
) {
    if F::IS_NOTHING {
        return;
    }
    vectorized(
        #[inline(always)]
        || {
            for row in rows {
                // SAFETY: the caller's promise.
                let c = unsafe {
                    std::slice::from_raw_parts_mut(c.0.add(row * stride + columns.start), columns.len())
                };
                finish.finish(row, columns.start, c);
            }
        },
    );
}
