//! Convolutions.

use super::he_normal;
use crate::ops::{self, ConvConfig};
use candle_core::{Result, Shape, Tensor};
use candle_nn::{Init, Module, VarBuilder};

/// A 2-D convolution, y = act(conv(x, w) + b), NCHW.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// (out, in/groups, kernel, kernel).
    pub weight: Tensor,
    /// (out); a constant 0 where the layer has none.
    pub bias: Tensor,
    /// Stride, padding, dilation, groups and activation.
    pub config: ConvConfig,
}

/// A 1-D convolution, y = act(conv(x, w) + b), (n, channels, length).
#[derive(Debug, Clone)]
pub struct Conv1d {
    /// (out, in/groups, kernel).
    pub weight: Tensor,
    /// (out); a constant 0 where the layer has none.
    pub bias: Tensor,
    /// Stride, padding, dilation, groups and activation.
    pub config: ConvConfig,
}

/// A layer with a square kernel and parameters initialised as for [`linear`](super::linear()).
///
/// # Errors
/// A builder that has other shapes under these names; 0 groups.
pub fn conv2d(
    inner: usize,
    out: usize,
    kernel: usize,
    config: ConvConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let (weight, bias) = parameters((out, group_in(inner, config)?, kernel, kernel), out, true, config, vb)?;
    Ok(Conv2d { weight, bias, config })
}

/// The same without a bias, as before a normalisation.
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_no_bias(
    inner: usize,
    out: usize,
    kernel: usize,
    config: ConvConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let (weight, bias) = parameters((out, group_in(inner, config)?, kernel, kernel), out, false, config, vb)?;
    Ok(Conv2d { weight, bias, config })
}

/// A 1-D layer with parameters initialised as for [`linear`](super::linear()).
///
/// # Errors
/// As [`conv2d`].
pub fn conv1d(
    inner: usize,
    out: usize,
    kernel: usize,
    config: ConvConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv1d> {
    let (weight, bias) = parameters((out, group_in(inner, config)?, kernel), out, true, config, vb)?;
    Ok(Conv1d { weight, bias, config })
}

/// The same without a bias.
///
/// # Errors
/// As [`conv2d`].
pub fn conv1d_no_bias(
    inner: usize,
    out: usize,
    kernel: usize,
    config: ConvConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv1d> {
    let (weight, bias) = parameters((out, group_in(inner, config)?, kernel), out, false, config, vb)?;
    Ok(Conv1d { weight, bias, config })
}

fn group_in(inner: usize, config: ConvConfig) -> Result<usize> {
    match inner.checked_div(config.groups) {
        Some(group_in) if group_in * config.groups == inner => Ok(group_in),
        _ => candle_core::bail!("{} groups do not divide {inner} input channels", config.groups),
    }
}

fn parameters(
    shape: impl Into<Shape>,
    out: usize,
    has_bias: bool,
    config: ConvConfig,
    vb: VarBuilder<'_>,
) -> Result<(Tensor, Tensor)> {
    let weight = vb.get_with_hints(shape.into(), "weight", he_normal(config.activation))?;
    let bias = match has_bias {
        true => vb.get_with_hints(out, "bias", Init::Const(0.0))?,
        false => Tensor::zeros(out, weight.dtype(), weight.device())?,
    };
    Ok((weight, bias))
}

impl Module for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::conv2d(x, &self.weight, &self.bias, self.config)
    }
}

impl Module for Conv1d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::conv1d(x, &self.weight, &self.bias, self.config)
    }
}
