//! A multi-layer perceptron on flattened inputs.

use crate::layers::{self, Linear};
use crate::ops::Activation;
use candle_core::{Result, Tensor};
use candle_nn::{Module, ModuleT, VarBuilder};

/// Sizes of an [`Mlp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlpConfig {
    /// Numbers in one example.
    pub inputs: usize,
    /// Width of each hidden layer; none makes it softmax regression.
    pub hidden: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
}

/// Linear layers with ReLU between them; any input shape is flattened.
#[derive(Debug, Clone)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// Creates the parameters `layer0.weight`, `layer0.bias`, `layer1.weight`, …
    ///
    /// # Errors
    /// As [`layers::linear`].
    pub fn new(config: &MlpConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let widths: Vec<usize> = [config.inputs]
            .into_iter()
            .chain(config.hidden.iter().copied())
            .chain([config.classes])
            .collect();
        let layers = widths
            .windows(2)
            .enumerate()
            .map(|(i, width)| {
                let is_last = i + 2 == widths.len();
                let activation = if is_last { Activation::Identity } else { Activation::Relu };
                layers::linear(width[0], width[1], activation, vb.pp(format!("layer{i}")))
            })
            .collect::<Result<_>>()?;
        Ok(Self { layers })
    }
}

impl ModuleT for Mlp {
    fn forward_t(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let x = x.flatten_from(1)?;
        self.layers.iter().try_fold(x, |x, layer| layer.forward(&x))
    }
}
