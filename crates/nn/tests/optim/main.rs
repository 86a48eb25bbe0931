//! Optimizers against PyTorch's, optax's and hand-made values; their groups, states, clipping and averages.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod clip;
mod ema;
mod golden;
mod groups;
mod preconditioner;
mod recurrences;
mod shapes;
mod state;

use batchwise_nn::gradients::Tap;
use batchwise_nn::optim::{
    AdamConfig, AdamWConfig, LambConfig, LarsConfig, LionConfig, OptimizerConfig, RmsPropConfig, SgdConfig,
};
use batchwise_nn::{Gradients, Parameters, random};
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use std::collections::BTreeMap;

/// Every optimizer, with every part of its state in use.
const ALL: [OptimizerConfig; 9] = [
    OptimizerConfig::Sgd(SgdConfig { weight_decay: 0.01, ..SgdConfig::USUAL }),
    OptimizerConfig::Sgd(SgdConfig { momentum: 0.0, ..SgdConfig::USUAL }),
    OptimizerConfig::Sgd(SgdConfig { dampening: 0.5, ..SgdConfig::USUAL }),
    OptimizerConfig::Adam(AdamConfig { weight_decay: 0.1, ..AdamConfig::USUAL }),
    OptimizerConfig::AdamW(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::USUAL }),
    OptimizerConfig::RmsProp(RmsPropConfig {
        momentum: 0.9,
        centered: true,
        weight_decay: 0.1,
        ..RmsPropConfig::USUAL
    }),
    OptimizerConfig::Lion(LionConfig { weight_decay: 0.1, ..LionConfig::USUAL }),
    OptimizerConfig::Lars(LarsConfig { trust_coefficient: 0.1, ..LarsConfig::USUAL }),
    OptimizerConfig::Lamb(LambConfig::USUAL),
];

/// Normal numbers that depend on the name and the shape alone.
fn normal(name: &str, shape: &[usize], dtype: DType) -> Tensor {
    let values = random::normal(3, name, shape.iter().product(), 0.0, 1.0);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// Parameters of these names and shapes, with normal values.
fn parameters(shapes: &[(&str, &[usize])], dtype: DType) -> Parameters {
    let parameters = Parameters::new();
    let builder = parameters.builder(0, dtype, &Device::Cpu);
    for (name, shape) in shapes {
        builder.get_with_hints(*shape, name, Init::Const(0.0)).unwrap();
        parameters.get(name).unwrap().set(&normal(name, shape, dtype)).unwrap();
    }
    parameters
}

/// A bias, a matrix and the scale of a norm.
fn usual(dtype: DType) -> Parameters {
    parameters(&[("head.bias", &[3]), ("head.weight", &[3, 2]), ("norm.scale", &[2])], dtype)
}

/// These gradients, in name order, by the way of a loss that has them.
fn gradients_of(parameters: &Parameters, of: impl Fn(&str, &[usize]) -> Tensor) -> Gradients {
    let mut gradients = Gradients::new();
    let products: Vec<Tensor> = parameters
        .named()
        .iter()
        .map(|(name, w)| (w.as_tensor() * of(name, w.dims())).unwrap().sum_all().unwrap())
        .collect();
    let loss = Tensor::stack(&products, 0).unwrap().sum_all().unwrap();
    gradients.add(parameters, &mut loss.backward().unwrap(), Tap::Off).unwrap();
    gradients
}

/// Normal gradients for step `t`.
fn gradients_at(parameters: &Parameters, t: usize) -> Gradients {
    let dtype = parameters.named()[0].1.dtype();
    gradients_of(parameters, |name, shape| normal(&format!("{name} at {t}"), shape, dtype))
}

/// The bits of all values, so that NaN equals itself.
fn bits(parameters: &Parameters) -> BTreeMap<String, Vec<u64>> {
    parameters.named().iter().map(|(name, w)| (name.clone(), tensor_bits(w))).collect()
}

fn tensor_bits(x: &Tensor) -> Vec<u64> {
    flat(x).iter().map(|x| x.to_bits()).collect()
}

fn flat(x: &Tensor) -> Vec<f64> {
    x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}
