//! y = act(conv(x, w) + b), over rows of numbers or images, channels first.

use super::linear::cpu;
use super::{Activation, plain};
use crate::kernels::Element;
use crate::kernels::conv::{self, Geometry};
use crate::kernels::element::{contiguous, dispatch};
use crate::sink::{self, Use};
use crate::tape::apply3;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

/// How a convolution moves over its input; the same along rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvConfig {
    /// Pixels between two positions, at least 1.
    pub stride: usize,
    /// Zero pixels added on each side.
    pub padding: usize,
    /// Pixels between two taps of the kernel, at least 1.
    pub dilation: usize,
    /// Groups of channels that do not see each other, at least 1; divides both numbers of channels.
    pub groups: usize,
    /// Applied to the output.
    pub activation: Activation,
}

impl ConvConfig {
    /// Stride 1, no padding, no dilation, one group, no activation.
    pub const USUAL: Self =
        Self { stride: 1, padding: 0, dilation: 1, groups: 1, activation: Activation::Identity };
}

/// Convolves images: `x` is (n, in, h, w), `weight` (out, in/groups, kh, kw), `bias` (out); returns
/// (n, out, h', w') with h' = ⌊(h + 2·padding − dilation·(kh − 1) − 1)/stride⌋ + 1.
///
/// # Errors
/// Shapes that do not fit (naming both), a kernel larger than the padded input, a stride, dilation or number
/// of groups of 0, groups that do not divide the channels, a dtype other than f32 and f64 (on the CPU).
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, config: ConvConfig) -> Result<Tensor> {
    let (n, in_channels, height, width) = x.dims4()?;
    let (out_channels, weight_in, kernel_height, kernel_width) = weight.dims4()?;
    let geometry = Geometry {
        n,
        in_channels,
        input: [height, width],
        out_channels,
        kernel: [kernel_height, kernel_width],
        stride: [config.stride; 2],
        padding: [config.padding; 2],
        dilation: [config.dilation; 2],
        groups: config.groups,
    };
    check("conv2d", &geometry, weight_in, (x, weight, bias))?;
    if !x.device().is_cpu() {
        return plain::conv2d(x, weight, bias, config);
    }
    apply(x, weight, bias, geometry, config.activation)
}

/// Convolves rows: `x` is (n, in, length), `weight` (out, in/groups, k), `bias` (out); returns
/// (n, out, length') with the formula of [`conv2d`].
///
/// candle 0.11's own `conv1d` gets its weight gradient wrong on the CPU.
///
/// # Errors
/// As [`conv2d`].
pub fn conv1d(x: &Tensor, weight: &Tensor, bias: &Tensor, config: ConvConfig) -> Result<Tensor> {
    let (n, in_channels, length) = x.dims3()?;
    let (out_channels, weight_in, kernel) = weight.dims3()?;
    let geometry = Geometry {
        n,
        in_channels,
        input: [1, length],
        out_channels,
        kernel: [1, kernel],
        stride: [1, config.stride],
        padding: [0, config.padding],
        dilation: [1, config.dilation],
        groups: config.groups,
    };
    check("conv1d", &geometry, weight_in, (x, weight, bias))?;
    if !x.device().is_cpu() {
        return plain::conv1d(x, weight, bias, config);
    }
    apply(x, weight, bias, geometry, config.activation)
}

fn check(name: &str, g: &Geometry, weight_in: usize, tensors: (&Tensor, &Tensor, &Tensor)) -> Result<()> {
    let (x, weight, bias) = tensors;
    if g.groups == 0 || !g.in_channels.is_multiple_of(g.groups) || !g.out_channels.is_multiple_of(g.groups) {
        candle_core::bail!(
            "{name}: {} groups do not divide {} input and {} output channels",
            g.groups,
            g.in_channels,
            g.out_channels
        );
    }
    if weight_in != g.group_in() || bias.dims() != [g.out_channels] || weight_in * g.out_channels == 0 {
        candle_core::bail!(
            "{name}: weight {:?} in {} groups does not fit input {:?} and bias {:?}",
            weight.shape(),
            g.groups,
            x.shape(),
            bias.shape()
        );
    }
    let steps = [g.stride[0], g.stride[1], g.dilation[0], g.dilation[1], g.kernel[0], g.kernel[1]];
    let fits = |axis: usize| g.reach(axis) <= g.input[axis] + 2 * g.padding[axis];
    if steps.contains(&0) || !fits(0) || !fits(1) {
        candle_core::bail!(
            "{name}: kernel {}×{} of weight {:?} at stride {} and dilation {} does not fit input {:?} with padding {}",
            g.kernel[0],
            g.kernel[1],
            weight.shape(),
            g.stride[1],
            g.dilation[1],
            x.shape(),
            g.padding[1]
        );
    }
    Ok(())
}

fn apply(x: &Tensor, weight: &Tensor, bias: &Tensor, geometry: Geometry, act: Activation) -> Result<Tensor> {
    let (activation, after) = act.fused();
    let op = ConvOp { geometry, activation };
    after.apply(&apply3(&x.contiguous()?, &weight.contiguous()?, &bias.contiguous()?, op)?)
}

struct ConvOp {
    geometry: Geometry,
    /// Identity or ReLU.
    activation: Activation,
}

impl ConvOp {
    fn is_relu(&self) -> bool {
        self.activation == Activation::Relu
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
            conv::Wanted { input: x.track_op(), examples: sink::wants_examples() },
        );
        if let Some(conv::Examples { weight_norms2, bias_rows }) = gradients.examples {
            let rows = (self.geometry.n, self.geometry.out_channels);
            sink::note(b, Use::Vectors { rows: Tensor::from_vec(bias_rows, rows, dy.device())? });
            let (geometry, input) = (self.geometry, x.clone());
            let output = self.is_relu().then(|| y.clone());
            let gradient = dy.clone();
            sink::note(w, Use::Conv { geometry, input, output, gradient, norms2: weight_norms2 });
        }
        let tensor = |values: Vec<T>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            gradients.input.map(|values| tensor(values, x)).transpose()?,
            sink::give(w, tensor(gradients.weight, w)?)?,
            sink::give(b, tensor(gradients.bias, b)?)?,
        ))
    }
}

impl CustomOp3 for ConvOp {
    fn name(&self) -> &'static str {
        "conv"
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
        let shape = match x_layout.dims().len() {
            3 => Shape::from((g.n, g.out_channels, g.out(1))),
            _ => Shape::from((g.n, g.out_channels, g.out(0), g.out(1))),
        };
        Ok((storage, shape))
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
