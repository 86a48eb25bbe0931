//! y = act(conv2d(x, w) + b), NCHW.

use super::linear::cpu;
use super::{Activation, plain};
use crate::kernels::Element;
use crate::kernels::conv::{self, Geometry};
use crate::kernels::element::{contiguous, dispatch};
use crate::sink;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

/// How a convolution moves over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Pixels between two positions, at least 1.
    pub stride: usize,
    /// Zero pixels added on each side.
    pub padding: usize,
    /// Applied to the output.
    pub activation: Activation,
}

/// Convolves: `x` is (n, in, h, w), `weight` (out, in, kh, kw), `bias` (out); returns (n, out, h', w')
/// with h' = (h + 2·padding − kh)/stride + 1.
///
/// # Errors
/// Shapes that do not fit, a kernel larger than the padded input, a stride of 0, a dtype other than f32
/// and f64 (on the CPU).
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    let geometry = geometry(x.shape(), weight.shape(), bias.shape(), config)?;
    if !x.device().is_cpu() {
        return plain::conv2d(x, weight, bias, config);
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, Conv2dOp { geometry, config })
}

fn geometry(x: &Shape, weight: &Shape, bias: &Shape, config: Conv2dConfig) -> Result<Geometry> {
    let (n, in_channels, height, width) = x.dims4()?;
    let (out_channels, weight_in, kernel_height, kernel_width) = weight.dims4()?;
    if weight_in != in_channels || bias.dims() != [out_channels] {
        candle_core::bail!("conv2d: weight {weight:?} does not fit input {x:?} and bias {bias:?}");
    }
    let room = (height + 2 * config.padding, width + 2 * config.padding);
    if config.stride == 0
        || room.0 < kernel_height
        || room.1 < kernel_width
        || kernel_height * kernel_width == 0
    {
        candle_core::bail!(
            "conv2d: kernel {kernel_height}×{kernel_width} at stride {} does not fit the padded input {}×{}",
            config.stride,
            room.0,
            room.1
        );
    }
    Ok(Geometry {
        n,
        in_channels,
        height,
        width,
        out_channels,
        kernel_height,
        kernel_width,
        stride: config.stride,
        padding: config.padding,
    })
}

struct Conv2dOp {
    geometry: Geometry,
    config: Conv2dConfig,
}

impl Conv2dOp {
    fn is_relu(&self) -> bool {
        self.config.activation == Activation::Relu
    }

    fn backward<T: Element>(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let ((x_storage, x_layout), (w_storage, w_layout)) = (x.storage_and_layout(), w.storage_and_layout());
        let ((y_storage, y_layout), (dy_storage, dy_layout)) =
            (y.storage_and_layout(), dy.storage_and_layout());
        let gradients = conv::backward::<T>(
            &self.geometry,
            contiguous(self.name(), cpu(&x_storage)?, x_layout)?,
            contiguous(self.name(), cpu(&w_storage)?, w_layout)?,
            contiguous(self.name(), cpu(&y_storage)?, y_layout)?,
            contiguous(self.name(), cpu(&dy_storage)?, dy_layout)?,
            self.is_relu(),
            x.track_op(),
        );
        let tensor = |values: Vec<T>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            gradients.input.map(|values| tensor(values, x)).transpose()?,
            sink::give(w, tensor(gradients.weight, w)?)?,
            sink::give(b, tensor(gradients.bias, b)?)?,
        ))
    }
}

impl CustomOp3 for Conv2dOp {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = &self.geometry;
        let storage = dispatch!(self.name(), x.dtype(), T => T::to_cpu_storage_owned(conv::forward::<T>(
            g,
            contiguous(self.name(), x, x_layout)?,
            contiguous(self.name(), w, w_layout)?,
            contiguous(self.name(), b, b_layout)?,
            self.is_relu(),
        )));
        Ok((storage, (g.n, g.out_channels, g.out_height(), g.out_width()).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        dispatch!(self.name(), x.dtype(), T => self.backward::<T>(x, w, b, y, dy))
    }
}
