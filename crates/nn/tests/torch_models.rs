//! The four models of the speed comparison, from PyTorch's own initial weights: same loss, logits and gradients.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod torch_rng;

use batchwise_nn::Parameters;
use batchwise_nn::models::{Cnn, CnnConfig, Gpt, GptConfig, Mlp, MlpConfig, Norm, ResNet, ResNetConfig};
use candle_core::{DType, Device, Tensor};
use candle_nn::{ModuleT, VarBuilder};
use torch_rng::{check_tensor, compare, fixture, load};

fn build(name: &str, vb: VarBuilder<'_>) -> Box<dyn ModuleT> {
    match name {
        "mlp" => {
            let config = MlpConfig { inputs: 784, hidden: vec![512, 256], classes: 10 };
            Box::new(Mlp::new(&config, vb).unwrap())
        }
        "lenet" => {
            let config = CnnConfig {
                in_channels: 1,
                height: 28,
                width: 28,
                channels: vec![32, 64],
                hidden: 128,
                classes: 10,
            };
            Box::new(Cnn::new(&config, vb).unwrap())
        }
        "resnet" => {
            let config = ResNetConfig::cifar(8, 3, Norm::Batch, 10).unwrap();
            Box::new(ResNet::new(&config, vb).unwrap())
        }
        "gpt" => {
            let config = GptConfig {
                vocabulary: 65,
                context: 64,
                width: 128,
                heads: 4,
                layers: 4,
                dropout: 0.0,
                seed: 0,
            };
            Box::new(Gpt::new(&config, vb).unwrap())
        }
        other => panic!("no model {other}"),
    }
}

/// PyTorch's name of a layer and ours, longest first where one is the end of another.
fn renamed(model: &str) -> &'static [(&'static str, &'static str)] {
    match model {
        "mlp" => &[("l1", "layer0"), ("l2", "layer1"), ("l3", "layer2")],
        "lenet" => &[("c1", "conv0"), ("c2", "conv1"), ("f1", "hidden"), ("f2", "head")],
        "resnet" => &[
            ("c0", "stem.conv"),
            ("b0", "stem.norm"),
            ("c1", "first.conv"),
            ("b1", "first.norm"),
            ("c2", "second.conv"),
            ("b2", "second.norm"),
            ("sc", "shortcut.conv"),
            ("sb", "shortcut.norm"),
            ("fc", "head"),
        ],
        _ => &[
            ("te", "tokens"),
            ("pe", "positions"),
            ("n1", "attention_norm"),
            ("n2", "feed_norm"),
            ("qkv", "attention.qkv"),
            ("proj", "attention.projection"),
            ("fc", "feed_in"),
            ("fo", "feed_out"),
            ("nf", "norm"),
        ],
    }
}

/// `blocks.1.c1.weight` → `block1.first.conv.weight`.
fn rename(model: &str, name: &str) -> String {
    let mut parts = name.split('.').peekable();
    let mut ours = Vec::new();
    while let Some(part) = parts.next() {
        match part {
            "blocks" | "bl" => ours.push(format!("block{}", parts.next().unwrap())),
            part => {
                let found = renamed(model).iter().find(|(theirs, _)| *theirs == part);
                ours.push(found.map_or(part, |(_, ours)| ours).to_owned());
            }
        }
    }
    ours.join(".")
}

#[test]
fn loss_logits_and_gradients_are_pytorchs() {
    for (name, wanted) in &fixture().models {
        for dtype in [DType::F32, DType::F64] {
            for n in wanted.batches.keys() {
                let parameters = Parameters::new();
                let model = build(name, parameters.builder(1, dtype, &Device::Cpu));
                assert_eq!(parameters.n_elements(), wanted.n_parameters, "{name}");
                load(&parameters, name, |theirs| rename(name, theirs)).unwrap();
                // PyTorch's has one row of logits per token, too.
                let forward = |x: &Tensor| {
                    let logits = model.forward_t(x, true)?;
                    logits.flatten_to(logits.rank() - 2)
                };
                let differences =
                    compare(name, *n, &parameters, |theirs| rename(name, theirs), forward).unwrap();
                assert!(differences.is_empty(), "{name} {dtype:?} batch {n}: {differences:#?}");
                // The running statistics after this one step, too.
                for buffer in wanted.buffers.iter().filter(|buffer| buffer.name.contains("running")) {
                    let running = parameters.get(&rename(name, &buffer.name)).unwrap();
                    let values: Vec<f64> = running.to_dtype(DType::F64).unwrap().to_vec1().unwrap();
                    check_tensor(name, *n, &buffer.name, &values, dtype).unwrap();
                }
            }
        }
    }
}
