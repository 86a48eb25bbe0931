//! Residual networks for small images.

use crate::kernels::image::normed::Statistics;
use crate::layers::{self, BatchNorm, Conv2d, GroupNorm, Linear};
use crate::ops::{self, Activation, ConvConfig, ConvNorm};
use candle_core::{Result, Tensor};
use candle_nn::{Module, ModuleT, VarBuilder};

/// Sizes of a [`ResNet`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResNetConfig {
    /// Channels of an input image.
    pub in_channels: usize,
    /// Output channels of each stage; every stage but the first halves rows and columns.
    pub channels: Vec<usize>,
    /// Residual blocks of each stage.
    pub blocks: usize,
    /// What follows each convolution.
    pub norm: Norm,
    /// Number of classes.
    pub classes: usize,
}

/// The normalisation of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Batch norm: couples the examples of a micro-batch.
    Batch,
    /// Batch norm over ghost batches of so many examples.
    GhostBatch(usize),
    /// Group norm with so many groups: examples stay on their own.
    Group(usize),
}

impl ResNetConfig {
    /// The network for CIFAR of He et al. 2016, §4.2, with `depth` = 6n + 2 layers: 16, 32 and 64 channels, n blocks
    /// each, shortcuts with a 1×1 convolution where the shape changes (their option B).
    ///
    /// # Errors
    /// A depth that is not 8, 14, 20, …
    pub fn cifar(depth: usize, in_channels: usize, norm: Norm, classes: usize) -> Result<Self> {
        let blocks = depth.saturating_sub(2) / 6;
        if blocks == 0 || 6 * blocks + 2 != depth {
            candle_core::bail!("a residual network has 6n + 2 layers (8, 14, 20, …), not {depth}");
        }
        Ok(Self { in_channels, channels: vec![16, 32, 64], blocks, norm, classes })
    }
}

/// A 3×3 convolution, stages of residual blocks, the mean over all pixels, and a linear layer.
#[derive(Debug, Clone)]
pub struct ResNet {
    stem: Convolution,
    blocks: Vec<Block>,
    head: Linear,
}

/// act(norm(conv(norm… and its shortcut (He et al. 2016, fig. 2).
#[derive(Debug, Clone)]
struct Block {
    first: Convolution,
    second: Convolution,
    shortcut: Option<Convolution>,
}

/// A convolution without a bias, and its norm.
#[derive(Debug, Clone)]
struct Convolution {
    conv: Conv2d,
    norm: NormLayer,
}

#[derive(Debug, Clone)]
enum NormLayer {
    Batch(BatchNorm),
    Group(GroupNorm),
}

impl Convolution {
    fn new(
        inner: usize,
        out: usize,
        kernel: usize,
        stride: usize,
        norm: Norm,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let config = ConvConfig { stride, padding: kernel / 2, ..ConvConfig::USUAL };
        let conv = layers::conv2d_no_bias(inner, out, kernel, config, vb.pp("conv"))?;
        let vb = vb.pp("norm");
        let norm = match norm {
            Norm::Batch => NormLayer::Batch(layers::batch_norm(out, vb)?),
            Norm::GhostBatch(ghost) => NormLayer::Batch(layers::ghost_batch_norm(out, ghost, vb)?),
            Norm::Group(groups) => NormLayer::Group(layers::group_norm(groups, out, vb)?),
        };
        Ok(Self { conv, norm })
    }
}

impl Convolution {
    /// What a fused op needs, where batch norm is over the whole batch.
    fn fused(&self) -> Option<ConvNorm<'_>> {
        let NormLayer::Batch(BatchNorm { weight, bias, ghost: None, epsilon, .. }) = &self.norm else {
            return None;
        };
        let Conv2d { weight: kernel, config, .. } = &self.conv;
        Some(ConvNorm { kernel, config: *config, scale: weight, shift: bias, epsilon: *epsilon })
    }

    /// The running statistics move towards those of a batch.
    fn follow(&self, statistics: &Statistics) -> Result<()> {
        match &self.norm {
            NormLayer::Batch(norm) => norm.follow_statistics(statistics),
            NormLayer::Group(_) => Ok(()),
        }
    }
}

impl ModuleT for Convolution {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.conv.forward(x)?;
        match &self.norm {
            NormLayer::Batch(norm) => norm.forward_t(&x, train),
            NormLayer::Group(norm) => norm.forward(&x),
        }
    }
}

impl ModuleT for Block {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if train
            && let (Some(first), Some(second)) = (self.first.fused(), self.second.fused())
            && let shortcut = self.shortcut.as_ref().and_then(Convolution::fused)
            && shortcut.is_some() == self.shortcut.is_some()
            && ops::can_fuse(x, &[&first, &second])
        {
            let (y, statistics) = ops::residual(x, &first, &second, shortcut.as_ref())?;
            let layers = [Some(&self.first), Some(&self.second), self.shortcut.as_ref()];
            layers.into_iter().flatten().zip(&statistics).try_for_each(|(layer, s)| layer.follow(s))?;
            return Ok(y);
        }
        let y = Activation::Relu.apply(&self.first.forward_t(x, train)?)?;
        let y = self.second.forward_t(&y, train)?;
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward_t(x, train)?,
            None => x.clone(),
        };
        Activation::Relu.apply(&(y + shortcut)?)
    }
}

impl ResNet {
    /// Creates the parameters under `stem`, `block0`, … and `head`.
    ///
    /// # Errors
    /// As [`layers::conv2d`] and the norm.
    pub fn new(config: &ResNetConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let Some(&width) = config.channels.first() else {
            candle_core::bail!("a residual network needs at least one stage");
        };
        let norm = config.norm;
        let stem = Convolution::new(config.in_channels, width, 3, 1, norm, vb.pp("stem"))?;
        let (mut inner, mut blocks) = (width, Vec::new());
        for (stage, out) in config.channels.iter().copied().enumerate() {
            for i in 0..config.blocks {
                let vb = vb.pp(format!("block{}", blocks.len()));
                let stride = if i == 0 && stage != 0 { 2 } else { 1 };
                let shortcut = match stride != 1 || inner != out {
                    true => Some(Convolution::new(inner, out, 1, stride, norm, vb.pp("shortcut"))?),
                    false => None,
                };
                blocks.push(Block {
                    first: Convolution::new(inner, out, 3, stride, norm, vb.pp("first"))?,
                    second: Convolution::new(out, out, 3, 1, norm, vb.pp("second"))?,
                    shortcut,
                });
                inner = out;
            }
        }
        let head = layers::linear(inner, config.classes, Activation::Identity, vb.pp("head"))?;
        Ok(Self { stem, blocks, head })
    }
}

impl ModuleT for ResNet {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut x = match self.stem.fused() {
            Some(stem) if train && ops::can_fuse(x, &[&stem]) => {
                let (y, statistics) = ops::conv_norm_relu(x, &stem)?;
                self.stem.follow(&statistics)?;
                y
            }
            _ => Activation::Relu.apply(&self.stem.forward_t(x, train)?)?,
        };
        for block in &self.blocks {
            x = block.forward_t(&x, train)?;
        }
        self.head.forward(&ops::global_avg_pool2d(&x)?)
    }
}
