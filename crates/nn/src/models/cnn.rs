//! A small convolutional network.

use crate::layers::{self, Conv2d, Linear};
use crate::ops::{self, Activation, ConvConfig};
use candle_core::{Result, Tensor};
use candle_nn::{Module, ModuleT, VarBuilder};

/// Sizes of a [`Cnn`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CnnConfig {
    /// Channels of an input image.
    pub in_channels: usize,
    /// Rows of an input image.
    pub height: usize,
    /// Columns of an input image.
    pub width: usize,
    /// Output channels of each stage.
    pub channels: Vec<usize>,
    /// Width of the hidden fully connected layer.
    pub hidden: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Stages of 3×3 convolution, ReLU and 2×2 max-pool, then two linear layers. No normalisation, so every
/// example's gradient is its own.
#[derive(Debug, Clone)]
pub struct Cnn {
    stages: Vec<Conv2d>,
    hidden: Linear,
    head: Linear,
}

impl Cnn {
    /// Creates the parameters `conv0.weight`, …, `hidden.weight`, `head.weight` and their biases.
    ///
    /// # Errors
    /// An image too small to be halved once per stage; as [`layers::conv2d`].
    pub fn new(config: &CnnConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let n = config.channels.len() as u32;
        let (height, width) =
            (config.height.checked_shr(n).unwrap_or(0), config.width.checked_shr(n).unwrap_or(0));
        if height * width == 0 {
            candle_core::bail!("an image of {}×{} cannot be halved {n} times", config.height, config.width);
        }
        let conv = ConvConfig { padding: 1, activation: Activation::Relu, ..ConvConfig::USUAL };
        let mut inner = config.in_channels;
        let mut stages = Vec::new();
        for (i, out) in config.channels.iter().enumerate() {
            stages.push(layers::conv2d(inner, *out, 3, conv, vb.pp(format!("conv{i}")))?);
            inner = *out;
        }
        let hidden =
            layers::linear(inner * height * width, config.hidden, Activation::Relu, vb.pp("hidden"))?;
        let head = layers::linear(config.hidden, config.classes, Activation::Identity, vb.pp("head"))?;
        Ok(Self { stages, hidden, head })
    }
}

impl ModuleT for Cnn {
    fn forward_t(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let mut x = x.clone();
        for stage in &self.stages {
            x = ops::conv2d_max_pool2d(&x, &stage.weight, &stage.bias, stage.config)?;
        }
        self.head.forward(&self.hidden.forward(&ops::flatten(&x)?)?)
    }
}
