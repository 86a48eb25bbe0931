//! The four models of the speed comparison, as others train them and as we do, on the same fixed batch.

mod ours;
mod stock;
mod stock_models;
mod worker;

pub use ours::{OurStep, Phase};
pub use stock::StockStep;
pub use worker::{Measured, Step, Worker, median, peak_mib};

use batchwise_nn::optim::{AdamWConfig, OptimizerConfig};
use batchwise_nn::random;
use candle_core::{Device, Result, Tensor};
use std::fmt;
use std::str::FromStr;

/// Classes of the images.
const CLASSES: usize = 10;
/// Tokens of the text.
const VOCABULARY: usize = 65;
/// Positions of the text.
const CONTEXT: usize = 64;
/// Width of the language model, its heads and its blocks.
const WIDTH: usize = 128;
const HEADS: usize = 4;
const LAYERS: usize = 4;

/// A model of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// 784-512-256-10.
    Mlp,
    /// Two convolutions and two linear layers on 28×28 images.
    LeNet,
    /// ResNet-8 with batch norm on 32×32 images.
    ResNet,
    /// A language model: width 128, 4 blocks, 64 tokens.
    Gpt,
}

impl Model {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mlp, Self::LeNet, Self::ResNet, Self::Gpt];

    /// Floating-point operations that one example's linear layers need for a step: two for each weight in each of the
    /// products forward, of the weights' gradient and of the input's, which the first layer of the mlp does not need.
    /// `None` where most of the work is not in linear layers.
    #[must_use]
    pub fn linear_flops(self) -> Option<f64> {
        match self {
            Self::Mlp => Some((4 * 784 * 512 + 6 * (512 * 256 + 256 * CLASSES)) as f64),
            Self::Gpt => {
                let block = (3 + 1 + 4 + 4) * WIDTH * WIDTH;
                Some((6 * CONTEXT * (LAYERS * block + WIDTH * VOCABULARY)) as f64)
            }
            Self::LeNet | Self::ResNet => None,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mlp => "mlp",
            Self::LeNet => "lenet",
            Self::ResNet => "resnet",
            Self::Gpt => "gpt",
        })
    }
}

impl FromStr for Model {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|model| model.to_string() == text);
        found.ok_or_else(|| format!("no model `{text}`: there are mlp, lenet, resnet and gpt"))
    }
}

/// A model with the optimizer that trains it, such as `mlp_sgd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// What is trained.
    pub model: Model,
    /// With AdamW, or else with SGD of momentum 0.9.
    pub is_adamw: bool,
}

impl Workload {
    /// Our optimizer of it.
    #[must_use]
    pub fn optimizer(self) -> OptimizerConfig {
        if self.is_adamw { OptimizerConfig::AdamW(AdamWConfig::USUAL) } else { crate::SGD }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.model, if self.is_adamw { "adamw" } else { "sgd" })
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (model, is_adamw) = match text.split_once('_') {
            Some((model, "sgd")) => (model, false),
            Some((model, "adamw")) => (model, true),
            _ => {
                return Err(format!("`{text}` is no model with its optimizer, such as mlp_sgd or gpt_adamw"));
            }
        };
        Ok(Self { model: model.parse()?, is_adamw })
    }
}

/// A fixed random batch: inputs and targets, of which a text has one per token.
fn batch(model: Model, n: usize) -> Result<(Tensor, Tensor)> {
    let ids = |name: &str, len: usize, below: usize| -> Vec<u32> {
        random::uniform(1, name, len, 0.0, below as f64).into_iter().map(|id| id as u32).collect()
    };
    if model == Model::Gpt {
        let tokens = Tensor::from_vec(ids("tokens", n * CONTEXT, VOCABULARY), (n, CONTEXT), &Device::Cpu)?;
        let targets = Tensor::new(ids("targets", n * CONTEXT, VOCABULARY), &Device::Cpu)?;
        return Ok((tokens, targets));
    }
    let shape: &[usize] = match model {
        Model::Mlp => &[n, 784],
        Model::LeNet => &[n, 1, 28, 28],
        Model::ResNet | Model::Gpt => &[n, 3, 32, 32],
    };
    let inputs = random::normal(1, "inputs", shape.iter().product(), 0.0, 1.0);
    let inputs: Vec<f32> = inputs.into_iter().map(|x| x as f32).collect();
    let targets = Tensor::new(ids("targets", n, CLASSES), &Device::Cpu)?;
    Ok((Tensor::from_vec(inputs, shape, &Device::Cpu)?, targets))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_workload_reads_as_it_is_written() {
        for text in ["mlp_sgd", "gpt_adamw", "resnet_sgd"] {
            assert_eq!(text.parse::<Workload>().unwrap().to_string(), text);
        }
        assert!("mlp".parse::<Workload>().is_err());
        assert!("mlp_lion".parse::<Workload>().is_err());
    }

    #[test]
    fn stock_candle_trains_the_same_models() {
        for model in Model::ALL {
            let workload = Workload { model, is_adamw: true };
            let mut ours = OurStep::new(workload, 2).unwrap();
            let mut stock = StockStep::of(workload, 2, ours.parameters()).unwrap();
            let (ours, stock) = (ours.step().unwrap(), stock.step().unwrap());
            assert!((ours - stock).abs() < 1e-4 * ours, "{model}: {ours} and {stock}");
            let rounded = super::worker::make(workload, "batchwise_bf16", 2).unwrap()().unwrap();
            assert!(rounded != ours && (rounded - ours).abs() < 2e-2 * ours, "{model}: {rounded} in bf16");
        }
    }
}
