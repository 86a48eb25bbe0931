//! Windows that move over one plane of an image.

use super::{Element, vectorized};
use std::ops::Range;

/// Where the windows of one plane are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Windows {
    pub(crate) fn plane(self) -> usize {
        self.height * self.width
    }

    pub(crate) fn out_height(self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub(crate) fn out_width(self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub(crate) fn out_plane(self) -> usize {
        self.out_height() * self.out_width()
    }

    /// The rows and columns of a window that lie inside the plane.
    pub(crate) fn inside(self, window: usize) -> (Range<usize>, Range<usize>) {
        let range = |at: usize, len: usize| {
            let start = at * self.stride;
            start.saturating_sub(self.padding)..(start + self.kernel).saturating_sub(self.padding).min(len)
        };
        (range(window / self.out_width(), self.height), range(window % self.out_width(), self.width))
    }

    /// Two by two, side by side: the usual windows.
    fn is_by_two(self) -> bool {
        (self.kernel, self.stride, self.padding) == (2, 2, 0)
    }

    /// The largest pixel of each window. A NaN wins, so that it is not hidden.
    pub(crate) fn max<T: Element>(self, x: &[T], y: &mut [T]) {
        if self.is_by_two() {
            return vectorized(
                #[inline(always)]
                || self.max_by_two(x, y),
            );
        }
        y.iter_mut().enumerate().for_each(|(window, y)| *y = x[self.largest(x, window)]);
    }

    /// Adds each window's gradient at its first largest pixel; `dx` is zero before.
    pub(crate) fn max_backward<T: Element>(self, x: &[T], dy: &[T], dx: &mut [T]) {
        if self.is_by_two() {
            return vectorized(
                #[inline(always)]
                || self.max_by_two_backward(x, dy, dx),
            );
        }
        dy.iter().enumerate().for_each(|(window, dy)| dx[self.largest(x, window)] += *dy);
    }

    /// The mean of each window, padding counted as zeros.
    pub(crate) fn mean<T: Element>(self, x: &[T], y: &mut [T]) {
        let share = T::from_f64(1.0 / (self.kernel * self.kernel) as f64);
        for (window, y) in y.iter_mut().enumerate() {
            let (rows, columns) = self.inside(window);
            let mut sum = T::ZERO;
            for row in rows {
                x[row * self.width..][columns.clone()].iter().for_each(|v| sum += *v);
            }
            *y = sum * share;
        }
    }

    /// Adds a share of each window's gradient to all its pixels.
    pub(crate) fn mean_backward<T: Element>(self, dy: &[T], dx: &mut [T]) {
        let share = T::from_f64(1.0 / (self.kernel * self.kernel) as f64);
        for (window, dy) in dy.iter().enumerate() {
            let (rows, columns) = self.inside(window);
            for row in rows {
                dx[row * self.width..][columns.clone()].iter_mut().for_each(|v| *v += *dy * share);
            }
        }
    }

    /// The first largest pixel of a window, by its offset in the plane.
    fn largest<T: Element>(self, x: &[T], window: usize) -> usize {
        let (rows, columns) = self.inside(window);
        let mut best = rows.start * self.width + columns.start;
        for row in rows {
            for at in row * self.width + columns.start..row * self.width + columns.end {
                if is_larger(x[at], x[best]) {
                    best = at;
                }
            }
        }
        best
    }

    /// The same for the usual window, row by row and without branches.
    #[inline(always)]
    fn max_by_two<T: Element>(self, x: &[T], y: &mut [T]) {
        for (y, rows) in y.chunks_exact_mut(self.out_width()).zip(x.chunks_exact(2 * self.width)) {
            let (upper, lower) = rows.split_at(self.width);
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (y, (&[a, b], &[c, d])) in y.iter_mut().zip(pairs) {
                let (ab, cd) = (larger(a, b), larger(c, d));
                *y = larger(ab, cd);
            }
        }
    }

    #[inline(always)]
    fn max_by_two_backward<T: Element>(self, x: &[T], dy: &[T], dx: &mut [T]) {
        let rows = x.chunks_exact(2 * self.width).zip(dx.chunks_exact_mut(2 * self.width));
        for (dy, (x, dx)) in dy.chunks_exact(self.out_width()).zip(rows) {
            let (upper, lower) = x.split_at(self.width);
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            let (dx_upper, dx_lower) = dx.split_at_mut(self.width);
            let targets = dx_upper.as_chunks_mut::<2>().0.iter_mut().zip(dx_lower.as_chunks_mut::<2>().0);
            for ((dy, (&[a, b], &[c, d])), (upper, lower)) in dy.iter().zip(pairs).zip(targets) {
                let in_lower = is_larger(larger(c, d), larger(a, b));
                let right = if in_lower { is_larger(d, c) } else { is_larger(b, a) };
                let give = |here: bool| if here { *dy } else { T::ZERO };
                *upper = [give(!in_lower & !right), give(!in_lower & right)];
                *lower = [give(in_lower & !right), give(in_lower & right)];
            }
        }
    }
}

/// Whether `a` takes the place of `b`, which comes first: it is larger, or the first NaN.
#[expect(clippy::eq_op, reason = "only a NaN differs from itself")]
#[inline(always)]
fn is_larger<T: Element>(a: T, b: T) -> bool {
    (b < a) | ((a != a) & (b == b))
}

#[inline(always)]
fn larger<T: Element>(first: T, second: T) -> T {
    if is_larger(second, first) { second } else { first }
}
