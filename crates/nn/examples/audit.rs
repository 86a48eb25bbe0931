//! What the audit says of a plain candle model with candle's own max-pool and LayerNorm, what mends it, and a layer
//! and an optimizer of this crate in the same program.
#![allow(clippy::print_stdout, reason = "an example for the terminal")]

use batchwise_nn::audit::{self, Config};
use batchwise_nn::ops::{self, Activation};
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::{Gradients, Parameters, gradients::Tap, layers, random};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Conv2dConfig, Module};

fn main() -> Result<()> {
    let x = Tensor::from_vec(random::normal(1, "x", 32 * 64, 0.0, 1.0), (32, 1, 8, 8), &Device::Cpu)?;
    let (x, y) = (x.to_dtype(DType::F32)?, Tensor::from_iter((0..32).map(|i| i % 4u32), &Device::Cpu)?);

    // A candle model. Any `VarBuilder` does; this one starts from a seed. The head is a layer of ours.
    let parameters = Parameters::new();
    let vb = parameters.builder(7, DType::F32, &Device::Cpu);
    let conv = candle_nn::conv2d(1, 4, 3, Conv2dConfig { padding: 1, ..Default::default() }, vb.pp("conv"))?;
    let hidden = candle_nn::linear(64, 16, vb.pp("hidden"))?;
    let stock = candle_nn::layer_norm(16, 1e-5, vb.pp("norm"))?;
    let our_norm = layers::layer_norm(16, vb.pp("norm"))?; // the same weight and bias
    let head = layers::linear(16, 4, Activation::Identity, vb.pp("head"))?;

    // Its loss, with a choice of pool and of norm.
    type Step<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;
    let loss = |pool: Step<'_>, norm: Step<'_>| {
        let features = pool(&conv.forward(&x)?.relu()?)?.flatten_from(1)?;
        candle_nn::loss::cross_entropy(&head.forward(&norm(&hidden.forward(&features)?)?)?, &y)
    };
    let (stock_pool, stock_norm) = (|x: &Tensor| x.max_pool2d(2), |x: &Tensor| stock.forward(x));
    let (pool, norm) = (|x: &Tensor| ops::max_pool2d(x, 2), |x: &Tensor| our_norm.forward(x));
    let audit = |what: &str, pool: Step<'_>, norm: Step<'_>| -> Result<()> {
        let report = audit::gradients(&parameters.named(), &|| loss(pool, norm), &Config::default())?;
        println!("{what}:\n\n{report}");
        Ok(())
    };
    audit("candle's max-pool and LayerNorm", &stock_pool, &stock_norm)?;
    audit("With our LayerNorm", &stock_pool, &norm)?;
    audit("And with our max-pool", &pool, &norm)?;

    // Now it can be trained.
    let mut sgd = OptimizerConfig::Sgd(SgdConfig::USUAL).build(&parameters)?;
    for step in 0..=40 {
        let loss = loss(&pool, &norm)?;
        let mut gradients = Gradients::new();
        gradients.backward(&parameters, &loss, Tap::Off)?;
        sgd.step(&parameters, &gradients, 0.05)?;
        if step % 20 == 0 {
            println!("step {step:>2}: loss {:.4}", loss.to_scalar::<f32>()?);
        }
    }
    Ok(())
}
