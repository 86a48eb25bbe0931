//! Maximum over windows, with the gradient going to the first largest element of each.

use super::linear::cpu;
use super::plain;
use crate::kernels::element::{contiguous, dispatch};
use crate::kernels::{Element, vectorized};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

/// Takes the maximum over k×k windows that do not overlap: `x` is (n, c, h, w); returns
/// (n, c, ⌊h/k⌋, ⌊w/k⌋). Rows and columns left over at the end are ignored, as in PyTorch.
///
/// candle 0.11's own max-pool scales its gradient by 1/k².
///
/// # Errors
/// An input that is not 4-D or smaller than the window, k of 0, a dtype other than f32 and f64 (on the
/// CPU).
pub fn max_pool2d(x: &Tensor, k: usize) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    if k == 0 || height < k || width < k {
        candle_core::bail!("max_pool2d: a {k}×{k} window does not fit an input of {height}×{width}");
    }
    if !x.device().is_cpu() {
        return plain::max_pool2d(x, k);
    }
    x.contiguous()?.apply_op1(MaxPool2dOp { k })
}

struct MaxPool2dOp {
    k: usize,
}

/// Where the k×k windows of one plane are.
#[derive(Clone, Copy)]
struct Windows {
    k: usize,
    width: usize,
    out_width: usize,
}

impl Windows {
    /// The largest pixel of each window. A NaN wins, so that it is not hidden.
    fn forward<T: Element>(self, x: &[T], y: &mut [T]) {
        if self.k == 2 {
            return vectorized(
                #[inline(always)]
                || self.forward_by_two(x, y),
            );
        }
        y.iter_mut().enumerate().for_each(|(window, y)| *y = x[self.largest(x, window)]);
    }

    /// Puts each window's gradient at its first largest pixel; `dx` is zero before.
    fn backward<T: Element>(self, x: &[T], dy: &[T], dx: &mut [T]) {
        if self.k == 2 {
            return vectorized(
                #[inline(always)]
                || self.backward_by_two(x, dy, dx),
            );
        }
        dy.iter().enumerate().for_each(|(window, dy)| dx[self.largest(x, window)] = *dy);
    }

    /// The first largest pixel of a window, by its offset in the plane.
    fn largest<T: Element>(self, x: &[T], window: usize) -> usize {
        let corner = (window / self.out_width * self.width + window % self.out_width) * self.k;
        let mut best = corner;
        for row in 0..self.k {
            for at in corner + row * self.width..corner + row * self.width + self.k {
                if is_larger(x[at], x[best]) {
                    best = at;
                }
            }
        }
        best
    }

    /// The same for the usual window, row by row and without branches.
    #[inline(always)]
    fn forward_by_two<T: Element>(self, x: &[T], y: &mut [T]) {
        for (y, rows) in y.chunks_exact_mut(self.out_width).zip(x.chunks_exact(2 * self.width)) {
            let (upper, lower) = rows.split_at(self.width);
            let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for (y, (&[a, b], &[c, d])) in y.iter_mut().zip(pairs) {
                let (ab, cd) = (larger(a, b), larger(c, d));
                *y = larger(ab, cd);
            }
        }
    }

    #[inline(always)]
    fn backward_by_two<T: Element>(self, x: &[T], dy: &[T], dx: &mut [T]) {
        let rows = x.chunks_exact(2 * self.width).zip(dx.chunks_exact_mut(2 * self.width));
        for (dy, (x, dx)) in dy.chunks_exact(self.out_width).zip(rows) {
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

impl MaxPool2dOp {
    fn plane(&self, shape: &Shape) -> Result<(usize, usize, Windows)> {
        let (_, _, height, width) = shape.dims4()?;
        let windows = Windows { k: self.k, width, out_width: width / self.k };
        Ok((height * width, (height / self.k) * (width / self.k), windows))
    }

    fn backward<T: Element>(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (plane, out_plane, windows) = self.plane(x.shape())?;
        let dy = dy.contiguous()?;
        let ((x_storage, x_layout), (dy_storage, dy_layout)) =
            (x.storage_and_layout(), dy.storage_and_layout());
        let x_values: &[T] = contiguous(self.name(), cpu(&x_storage)?, x_layout)?;
        let dy_values: &[T] = contiguous(self.name(), cpu(&dy_storage)?, dy_layout)?;
        let mut dx = vec![T::ZERO; x_values.len()];
        dx.par_chunks_mut(plane)
            .zip(x_values.par_chunks(plane))
            .zip(dy_values.par_chunks(out_plane))
            .for_each(|((dx, x), dy)| windows.backward(x, dy, dx));
        Tensor::from_vec(dx, x.shape(), x.device())
    }
}

impl CustomOp1 for MaxPool2dOp {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, height, width) = layout.shape().dims4()?;
        let (plane, out_plane, windows) = self.plane(layout.shape())?;
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let x: &[T] = contiguous(self.name(), x, layout)?;
            let mut y = vec![T::ZERO; n * c * out_plane];
            y.par_chunks_mut(out_plane).zip(x.par_chunks(plane)).for_each(|(y, x)| windows.forward(x, y));
            T::to_cpu_storage_owned(y)
        });
        Ok((storage, (n, c, height / self.k, width / self.k).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(self.name(), x.dtype(), T => self.backward::<T>(x, dy)).map(Some)
    }
}
