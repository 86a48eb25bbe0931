//! Maximum and mean over windows of images.

use super::linear::cpu;
use super::plain;
use crate::kernels::Element;
use crate::kernels::element::{contiguous, dispatch};
use crate::kernels::pool::Windows;
use crate::kernels::threads;
use crate::tape::apply1;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

/// The windows of a pooling layer; `From<usize>` gives windows that do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// Rows and columns of a window, at least 1.
    pub kernel: usize,
    /// Pixels between two windows, at least 1.
    pub stride: usize,
    /// Pixels added on each side, at most half the kernel: never the maximum, and 0 in a mean.
    pub padding: usize,
}

impl From<usize> for PoolConfig {
    fn from(kernel: usize) -> Self {
        Self { kernel, stride: kernel, padding: 0 }
    }
}

/// Takes the maximum over windows: `x` is (n, c, h, w); returns (n, c, h', w') with
/// h' = ⌊(h + 2·padding − kernel)/stride⌋ + 1. Rows and columns left over at the end are ignored, as in
/// PyTorch. The gradient goes to the first largest pixel of each window; a NaN counts as largest.
///
/// candle 0.11's own max-pool scales its gradient by 1/k².
///
/// # Errors
/// An input that is not 4-D or smaller than the window, a kernel or stride of 0, a padding above half the kernel,
/// a dtype other than f32 and f64 (on the CPU).
pub fn max_pool2d(x: &Tensor, config: impl Into<PoolConfig>) -> Result<Tensor> {
    pool(x, config.into(), Kind::Max)
}

/// Takes the mean over windows, shaped as for [`max_pool2d`]. Padding counts as zeros, as in PyTorch.
///
/// candle 0.11's own misplaces its gradient where windows leave a rest.
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(x: &Tensor, config: impl Into<PoolConfig>) -> Result<Tensor> {
    pool(x, config.into(), Kind::Mean)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Max,
    Mean,
}

fn pool(x: &Tensor, config: PoolConfig, kind: Kind) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let PoolConfig { kernel, stride, padding } = config;
    let name = if kind == Kind::Max { "max_pool2d" } else { "avg_pool2d" };
    if kernel == 0 || stride == 0 || height + 2 * padding < kernel || width + 2 * padding < kernel {
        candle_core::bail!(
            "{name}: a {kernel}×{kernel} window at stride {stride} does not fit an input of {height}×{width}"
        );
    }
    // A window must hold a pixel.
    if kernel < 2 * padding || height * width == 0 {
        candle_core::bail!("{name}: padding {padding} is more than half of the kernel {kernel}");
    }
    let windows = Windows { kernel, stride, padding, height, width };
    if plain::is_asked_for(x) {
        return match kind {
            Kind::Max => plain::max_pool2d(x, config),
            Kind::Mean => plain::avg_pool2d(x, config),
        };
    }
    apply1(&x.contiguous()?, PoolOp { windows, kind })
}

/// Planes that one piece of work takes.
fn planes_at_once(plane: usize) -> usize {
    const PIECE: usize = 1 << 13;
    (PIECE / plane.max(1)).max(1)
}

struct PoolOp {
    windows: Windows,
    kind: Kind,
}

impl PoolOp {
    fn backward<T: Element>(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let dy = dy.contiguous()?;
        let ((x_storage, x_layout), (dy_storage, dy_layout)) =
            (x.storage_and_layout(), dy.storage_and_layout());
        let x_values: &[T] = contiguous(self.name(), cpu(&x_storage)?, x_layout)?;
        let dy_values: &[T] = contiguous(self.name(), cpu(&dy_storage)?, dy_layout)?;
        let (plane, out_plane) = (self.windows.plane(), self.windows.out_plane());
        let at_once = planes_at_once(plane);
        let dx = threads::build(x_values.len(), at_once * plane, |i, piece| {
            for (j, dx) in piece.filled(T::ZERO).chunks_mut(plane).enumerate() {
                let at = i * at_once + j;
                let dy = &dy_values[at * out_plane..][..out_plane];
                match self.kind {
                    Kind::Max => self.windows.max_backward(&x_values[at * plane..][..plane], dy, dx),
                    Kind::Mean => self.windows.mean_backward(dy, dx),
                }
            }
        });
        Tensor::from_vec(dx, x.shape(), x.device())
    }
}

impl CustomOp1 for PoolOp {
    fn name(&self) -> &'static str {
        "pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, _, _) = layout.shape().dims4()?;
        let windows = self.windows;
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let x: &[T] = contiguous(self.name(), x, layout)?;
            let (plane, out_plane) = (windows.plane(), windows.out_plane());
            let at_once = planes_at_once(plane);
            let y = threads::build(n * c * out_plane, at_once * out_plane, |i, piece| {
                for (j, y) in piece.filled(T::ZERO).chunks_mut(out_plane).enumerate() {
                    let x = &x[(i * at_once + j) * plane..][..plane];
                    match self.kind {
                        Kind::Max => windows.max(x, y),
                        Kind::Mean => windows.mean(x, y),
                    }
                }
            });
            T::to_cpu_storage_owned(y)
        });
        Ok((storage, (n, c, windows.out_height(), windows.out_width()).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(self.name(), x.dtype(), T => self.backward::<T>(x, dy)).map(Some)
    }
}
