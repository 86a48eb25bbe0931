//! Matrix products on slices, split over the threads by us.
#![expect(unsafe_code, reason = "the gemm crate takes raw pointers; the bounds are checked here")]

use super::Element;
use gemm::Parallelism;
use rayon::prelude::*;

/// A matrix in a slice: `data[row * row_stride + col * col_stride]`.
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

    fn rows_from(self, first: usize, rows: usize) -> Self {
        Self { data: &self.data[(first * self.row_stride).min(self.data.len())..], rows, ..self }
    }

    fn is_inside(&self) -> bool {
        self.rows == 0
            || self.cols == 0
            || (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride < self.data.len()
    }
}

/// Below this many multiplications one thread is faster than waking another.
const PARALLEL_FROM: usize = 1 << 17;

/// `dst = a·b`, or `dst += a·b` with `accumulate`; `dst` is row-major, a.rows × b.cols. On this thread.
pub(crate) fn gemm<T: Element>(dst: &mut [T], accumulate: bool, a: Matrix<'_, T>, b: Matrix<'_, T>) {
    assert!(a.cols == b.rows && dst.len() == a.rows * b.cols, "matrix sizes do not fit");
    assert!(a.is_inside() && b.is_inside(), "a matrix reaches beyond its slice");
    if dst.is_empty() {
        return;
    }
    if a.cols == 0 {
        if !accumulate {
            dst.fill(T::ZERO);
        }
        return;
    }
    // SAFETY: `dst` holds exactly a.rows × b.cols elements in row-major order and is borrowed mutably;
    // `is_inside` has checked the last element each stride pair can reach in `a` and in `b`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            dst.as_mut_ptr(),
            1,
            b.cols as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// [`gemm()`], with the rows of `dst` split over the threads when there is enough to do.
pub(crate) fn gemm_parallel<T: Element>(dst: &mut [T], accumulate: bool, a: Matrix<'_, T>, b: Matrix<'_, T>) {
    let n_threads = rayon::current_num_threads();
    if a.rows * a.cols * b.cols < PARALLEL_FROM || a.rows < 2 || n_threads < 2 {
        return gemm(dst, accumulate, a, b);
    }
    let rows = a.rows.div_ceil(n_threads).next_multiple_of(8).min(a.rows);
    dst.par_chunks_mut(rows * b.cols).enumerate().for_each(|(i, part)| {
        let part_rows = part.len() / b.cols;
        gemm(part, accumulate, a.rows_from(i * rows, part_rows), b);
    });
}

/// Makes this thread allocate what its products keep for reuse.
pub(crate) fn allocate_workspace() {
    // Large enough in every direction that both operands are packed.
    const SIDE: usize = 96;
    let x = vec![1f32; SIDE * SIDE];
    let matrix = Matrix::row_major(&x, SIDE, SIDE);
    gemm(&mut vec![0.0; SIDE * SIDE], false, matrix, matrix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
        (0..m * n).map(|i| (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum()).collect()
    }

    fn ramp(n: usize, step: f64) -> Vec<f64> {
        (0..n).map(|i| ((i as f64 * step).sin() * 4.0).round()).collect()
    }

    proptest! {
        #[test]
        fn equals_the_plain_product(m in 1usize..90, k in 1usize..40, n in 1usize..70, ta: bool, tb: bool) {
            // Whole numbers, so that every order of summation gives the same bits.
            let (a, b) = (ramp(m * k, 0.7), ramp(k * n, 1.3));
            let transpose = |x: &[f64], r: usize, c: usize| -> Vec<f64> {
                (0..r * c).map(|i| x[i % r * c + i / r]).collect()
            };
            let (at, bt) = (transpose(&a, m, k), transpose(&b, k, n));
            let left = if ta { Matrix::row_major(&at, k, m).t() } else { Matrix::row_major(&a, m, k) };
            let right = if tb { Matrix::row_major(&bt, n, k).t() } else { Matrix::row_major(&b, k, n) };
            let want = naive(&a, &b, m, k, n);
            let mut got = vec![7.0; m * n];
            gemm(&mut got, false, left, right);
            prop_assert_eq!(&got, &want);
            gemm_parallel(&mut got, true, left, right);
            let twice: Vec<f64> = want.iter().map(|v| 2.0 * v).collect();
            prop_assert_eq!(&got, &twice);
        }
    }

    #[test]
    fn split_over_threads_equals_one_thread() {
        let (a, b) = (ramp(300 * 64, 0.7), ramp(64 * 50, 1.3));
        let (a, b) = (Matrix::row_major(&a, 300, 64), Matrix::row_major(&b, 64, 50));
        let (mut one, mut many) = (vec![0.0; 300 * 50], vec![0.0; 300 * 50]);
        gemm(&mut one, false, a, b);
        gemm_parallel(&mut many, false, a, b);
        assert_eq!(one, many);
    }
}
