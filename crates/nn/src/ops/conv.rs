//! y = act(conv(x, w) + b), over rows of numbers or images, channels first.

use super::images::{images, readable, seen_channels_first};
use super::linear::cpu;
use super::{Activation, masked, plain, rounded};
use crate::kernels::Element;
use crate::kernels::conv::{self, ConvGradients, Geometry};
use crate::kernels::element::{contiguous, dispatch};
use crate::kernels::image::{Images, InputGradient, Plan, batch};
use crate::precision::{self, Precision};
use crate::sink::{self, Use};
use crate::tape::apply3;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, WithDType};

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
    let (n, c, h, w) = x.dims4()?;
    let geometry = geometry([n, c, h, w], weight, bias, config)?;
    if plain::is_asked_for(x) {
        return plain::conv2d(x, weight, bias, config);
    }
    let is_image = x.dtype() == DType::F32 && x.elem_count() != 0;
    apply(x, weight, bias, geometry, config.activation, is_image)
}

/// The sizes of a convolution of images of `size` (n, c, h, w), or what does not fit; `bias` has a number for each output
/// channel.
pub(super) fn geometry(
    size: [usize; 4],
    weight: &Tensor,
    bias: &Tensor,
    config: ConvConfig,
) -> Result<Geometry> {
    let [n, in_channels, height, width] = size;
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
    check("conv2d", &geometry, weight_in, (&size, weight, bias))?;
    Ok(geometry)
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
    check("conv1d", &geometry, weight_in, (x.dims(), weight, bias))?;
    if plain::is_asked_for(x) {
        return plain::conv1d(x, weight, bias, config);
    }
    apply(x, weight, bias, geometry, config.activation, false)
}

fn check(name: &str, g: &Geometry, weight_in: usize, tensors: (&[usize], &Tensor, &Tensor)) -> Result<()> {
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
            x,
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
            x,
            g.padding[1]
        );
    }
    Ok(())
}

fn apply(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    geometry: Geometry,
    act: Activation,
    is_image: bool,
) -> Result<Tensor> {
    let (activation, after) = match act {
        Activation::Relu => (Activation::Relu, Activation::Identity),
        other => (Activation::Identity, other),
    };
    let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
    let precision = precision::current();
    let y = if is_image {
        let op = ImageConvOp { plan: Plan::new(geometry, precision), relu: activation == Activation::Relu };
        apply3(&readable(x)?, &weight, &bias, op)?
    } else {
        apply3(&x.contiguous()?, &weight, &bias, ConvOp { geometry, activation, precision })?
    };
    after.apply(&y)
}

/// A convolution of f32 images.
struct ImageConvOp {
    plan: Plan,
    relu: bool,
}

impl CustomOp3 for ImageConvOp {
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
        let (plan, g) = (&self.plan, self.plan.geometry());
        let size = [g.in_channels, g.input[0], g.input[1]];
        let images = images(x, x_layout)?;
        let w: &[f32] = contiguous(self.name(), w, w_layout)?;
        let b: &[f32] = contiguous(self.name(), b, b_layout)?;
        let y = batch::forward_channels_first(plan, w, b, self.relu, |example, y, row| {
            images.row(size, example, y, row);
        });
        Ok((CpuStorage::F32(y), (g.n, g.out_channels, g.out(0), g.out(1)).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (plan, g) = (&self.plan, *self.plan.geometry());
        let dy = readable(dy)?;
        let mut gradients = {
            let (x_storage, x_layout) = x.storage_and_layout();
            let (y_storage, y_layout) = y.storage_and_layout();
            let (dy_storage, dy_layout) = dy.storage_and_layout();
            let (w_storage, w_layout) = w.storage_and_layout();
            let x_images = images(cpu(&x_storage)?, x_layout)?;
            let (out, grad) = (images(cpu(&y_storage)?, y_layout)?, images(cpu(&dy_storage)?, dy_layout)?);
            let (size, out_size) =
                ([g.in_channels, g.input[0], g.input[1]], [g.out_channels, g.out(0), g.out(1)]);
            batch::backward(
                plan,
                contiguous(self.name(), cpu(&w_storage)?, w_layout)?,
                &wanted_gradient(x, x_images),
                sink::wants_examples(),
                |example, y, row| x_images.row(size, example, y, row),
                |example, y, row| {
                    grad.row(out_size, example, y, row);
                    if self.relu {
                        out.mask_row(out_size, example, y, row);
                    }
                },
                |_, _| {},
            )
        };
        if let Some(examples) = gradients.examples.take() {
            let (dy, y) = (dy.contiguous()?, self.relu.then(|| y.clone()));
            note(g, plan.precision(), [x, w, b], examples, move || match &y {
                Some(y) => masked::<f32>(&dy, &y.contiguous()?),
                None => Ok(dy.clone()),
            })?;
        }
        give(&g, [x, w, b], gradients)
    }
}

/// The gradient of the input that is asked for: it lies as the input does.
pub(super) fn wanted_gradient(x: &Tensor, images: Images<'_>) -> InputGradient {
    match (x.track_op(), images) {
        (false, _) => InputGradient::Unwanted,
        (true, Images::ChannelsFirst(_)) => InputGradient::ChannelsFirst,
        (true, Images::ChannelsLast(_)) => InputGradient::ChannelsLast,
    }
}

type ThreeGradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// The gradients of input (as [`wanted_gradient`] says), weight and bias as tensors, the parameters' handed over.
pub(super) fn give(
    g: &Geometry,
    [x, w, b]: [&Tensor; 3],
    gradients: ConvGradients<f32>,
) -> Result<ThreeGradients> {
    let tensor = |values: Vec<f32>, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
    let dx = match (gradients.input, x.is_contiguous()) {
        (None, _) => None,
        (Some(dx), true) => Some(tensor(dx, x)?),
        (Some(dx), false) => Some(seen_channels_first(dx, [g.n, g.in_channels, g.input[0], g.input[1]])?),
    };
    let dw = sink::give(w, tensor(gradients.weight, w)?)?;
    Ok((dx, dw, sink::give(b, tensor(gradients.bias, b)?)?))
}

/// Keeps what single examples have of a convolution's gradients.
pub(super) fn note<T: Element>(
    geometry: Geometry,
    precision: Precision,
    [x, w, b]: [&Tensor; 3],
    examples: conv::Examples<T>,
    gradient: impl Fn() -> Result<Tensor> + 'static,
) -> Result<()> {
    let rows = Tensor::from_vec(examples.bias_rows, (geometry.n, geometry.out_channels), x.device())?;
    sink::note(b, Use::Vectors { rows });
    let norms2 = examples.weight_norms2;
    let input = rounded::<T>(precision, x)?;
    let gradient = move || rounded::<T>(precision, &gradient()?);
    sink::note(w, Use::Conv { geometry, input, gradient: Box::new(gradient), norms2 });
    Ok(())
}

struct ConvOp {
    geometry: Geometry,
    /// Identity or ReLU.
    activation: Activation,
    precision: Precision,
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
            self.precision,
            conv::Wanted { input: x.track_op(), examples: sink::wants_examples() },
        );
        if let Some(examples) = gradients.examples {
            let (dy, y) = (dy.clone(), self.is_relu().then(|| y.clone()));
            note(self.geometry, self.precision, [x, w, b], examples, move || match &y {
                Some(y) => masked::<T>(&dy, y),
                None => Ok(dy.clone()),
            })?;
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
            self.precision,
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
