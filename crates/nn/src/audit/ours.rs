//! The layers, operations and models of this crate, as cases. A new one is one entry here.

use super::case::{Case, Model};
use crate::ops::{self, Activation, Conv2dConfig};
use crate::{Parameters, models, random};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ModuleT;

/// Each operation and model of this crate in several shapes and strides.
pub fn ours() -> Vec<Case> {
    let mut all = Vec::new();
    for activation in [Activation::Identity, Activation::Relu] {
        let name = if activation == Activation::Relu { ", ReLU" } else { "" };
        let linear = move |x: &'static [usize]| {
            Case::op(
                "linear",
                &format!("{x:?}{name}"),
                [("x", x), ("weight", &[3, 5]), ("bias", &[3])],
                move |t| ops::linear(&t[0], &t[1], &t[2], activation),
            )
        };
        all.extend([linear(&[1, 5]), linear(&[7, 5]), linear(&[2, 3, 5]).strided()]);
        for (stride, padding, size) in [(1, 0, 5), (1, 1, 5), (2, 1, 8), (3, 2, 7)] {
            let config = Conv2dConfig { stride, padding, activation };
            let case = format!("stride {stride}, padding {padding}, {size}×{}{name}", size + 1);
            let conv = || {
                Case::op(
                    "conv2d",
                    &case,
                    [("x", &[2, 2, size, size + 1]), ("weight", &[3, 2, 3, 3]), ("bias", &[3])],
                    move |t| ops::conv2d(&t[0], &t[1], &t[2], config),
                )
            };
            all.extend([conv(), conv().strided()]);
        }
    }
    for (k, height, width) in [(1, 3, 3), (2, 4, 6), (2, 5, 7), (3, 6, 8)] {
        let pool = || {
            Case::op(
                "max_pool2d",
                &format!("{k}×{k} on {height}×{width}"),
                [("x", &[2, 2, height, width])],
                move |t| ops::max_pool2d(&t[0], k),
            )
        };
        all.extend([pool(), pool().strided()]);
    }
    let cross_entropy = || {
        Case::op("cross_entropy_sum", "4 examples of 5 classes", [("logits", &[4, 5])], |t| {
            ops::cross_entropy_sum(&t[0], &Tensor::new(&[0u32, 4, 2, 2], &Device::Cpu)?)
        })
    };
    all.extend([cross_entropy(), cross_entropy().strided()]);
    all.extend([
        Case::model("Mlp", "two hidden layers", mlp),
        Case::model("Mlp", "two hidden layers", mlp).f32(),
    ]);
    all.extend([Case::model("Cnn", "two stages", cnn), Case::model("Cnn", "two stages", cnn).f32()]);
    all
}

fn mlp(dtype: DType) -> Result<Model> {
    let parameters = Parameters::new();
    let config = models::MlpConfig { inputs: 6, hidden: vec![8, 7], classes: 4 };
    let model = models::Mlp::new(&config, parameters.builder(1, dtype, &Device::Cpu))?;
    classify(&parameters, Box::new(model), &[5, 6], dtype)
}

fn cnn(dtype: DType) -> Result<Model> {
    let parameters = Parameters::new();
    let config = models::CnnConfig {
        in_channels: 1,
        height: 9,
        width: 8,
        channels: vec![3, 4],
        hidden: 6,
        classes: 4,
    };
    let model = models::Cnn::new(&config, parameters.builder(1, dtype, &Device::Cpu))?;
    classify(&parameters, Box::new(model), &[5, 1, 9, 8], dtype)
}

/// The mean cross-entropy of a model on a random batch of five.
fn classify(
    parameters: &Parameters,
    model: Box<dyn ModuleT>,
    shape: &[usize],
    dtype: DType,
) -> Result<Model> {
    let x = random::normal(0, "audit.batch", shape.iter().product(), 0.0, 1.0);
    let x = Tensor::from_vec(x, shape, &Device::Cpu)?.to_dtype(dtype)?;
    let targets = Tensor::new(&[0u32, 1, 2, 3, 0], &Device::Cpu)?;
    let loss = move || ops::cross_entropy_sum(&model.forward_t(&x, true)?, &targets)?.affine(0.2, 0.0);
    Ok(Model { vars: parameters.named(), loss: Box::new(loss) })
}
