//! Trainable layers over [`crate::ops`], built from candle's `VarBuilder`.

use crate::ops::{self, Activation, Conv2dConfig};
use candle_core::{Result, Tensor};
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_nn::{Module, VarBuilder};

/// A fully connected layer, y = act(x·wᵀ + b).
#[derive(Debug, Clone)]
pub struct Linear {
    /// (out, in).
    pub weight: Tensor,
    /// (out).
    pub bias: Tensor,
    /// Applied to the output.
    pub activation: Activation,
}

/// A 2-D convolution, y = act(conv(x, w) + b), NCHW.
#[derive(Debug, Clone)]
pub struct Conv2d {
    /// (out, in, kernel, kernel).
    pub weight: Tensor,
    /// (out).
    pub bias: Tensor,
    /// Stride, padding and activation.
    pub config: Conv2dConfig,
}

/// A layer with parameters `weight` (He et al. 2015: normal with variance gain²/fan-in; gain² is 2 before a
/// ReLU, else 1) and `bias` (zero).
///
/// # Errors
/// A builder that has other shapes under these names.
pub fn linear(inner: usize, out: usize, activation: Activation, vb: VarBuilder<'_>) -> Result<Linear> {
    let weight = vb.get_with_hints((out, inner), "weight", he_normal(activation))?;
    let bias = vb.get_with_hints(out, "bias", Init::Const(0.0))?;
    Ok(Linear { weight, bias, activation })
}

/// A layer with a square kernel and parameters initialised as for [`linear`].
///
/// # Errors
/// A builder that has other shapes under these names.
pub fn conv2d(
    inner: usize,
    out: usize,
    kernel: usize,
    config: Conv2dConfig,
    vb: VarBuilder<'_>,
) -> Result<Conv2d> {
    let weight = vb.get_with_hints((out, inner, kernel, kernel), "weight", he_normal(config.activation))?;
    let bias = vb.get_with_hints(out, "bias", Init::Const(0.0))?;
    Ok(Conv2d { weight, bias, config })
}

fn he_normal(activation: Activation) -> Init {
    let non_linearity = match activation {
        Activation::Relu => NonLinearity::ReLU,
        Activation::Identity => NonLinearity::Linear,
    };
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, &self.bias, self.activation)
    }
}

impl Module for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::conv2d(x, &self.weight, &self.bias, self.config)
    }
}
