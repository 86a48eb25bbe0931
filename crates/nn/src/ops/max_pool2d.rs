//! Maximum over windows, with the gradient going to the first largest element of each.

use super::linear::cpu;
use super::plain;
use crate::kernels::Element;
use crate::kernels::element::{contiguous, dispatch};
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

/// The rows and columns of the windows of one plane.
#[derive(Clone, Copy)]
struct Windows {
    k: usize,
    width: usize,
    out_width: usize,
}

impl Windows {
    /// Offset in the plane of the first pixel of a window.
    fn corner(self, window: usize) -> usize {
        (window / self.out_width * self.width + window % self.out_width) * self.k
    }

    /// The first largest pixel of a window. A NaN wins, so that it is not hidden.
    fn largest<T: Element>(self, plane: &[T], window: usize) -> usize {
        let corner = self.corner(window);
        let mut best = corner;
        for y in 0..self.k {
            for at in corner + y * self.width..corner + y * self.width + self.k {
                if plane[best] < plane[at] || plane[at].partial_cmp(&plane[at]).is_none() {
                    best = at;
                }
            }
        }
        best
    }
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
            .for_each(|((dx, x), dy)| {
                for (window, dy) in dy.iter().enumerate() {
                    dx[windows.largest(x, window)] = *dy;
                }
            });
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
            y.par_chunks_mut(out_plane).zip(x.par_chunks(plane)).for_each(|(y, x)| {
                y.iter_mut().enumerate().for_each(|(window, y)| *y = x[windows.largest(x, window)]);
            });
            T::to_cpu_storage_owned(y)
        });
        Ok((storage, (n, c, height / self.k, width / self.k).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(self.name(), x.dtype(), T => self.backward::<T>(x, dy)).map(Some)
    }
}
