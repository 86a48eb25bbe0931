//! The layers, operations and models of this crate, as cases. A new one is one entry here.

use super::case::{Case, Model};
use crate::ops::{self, Activation, ConvConfig, CrossEntropyConfig, Over, PoolConfig};
use crate::{Parameters, loss, models, random};
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
            let config = ConvConfig { stride, padding, activation, ..ConvConfig::USUAL };
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
    all.extend(layers_of_ours());
    all.extend(losses_of_ours());
    all.extend(models_of_ours());
    all
}

/// The layers beyond the first four.
fn layers_of_ours() -> Vec<Case> {
    let mut all = Vec::new();
    for activation in [Activation::Gelu, Activation::GeluErf, Activation::Silu] {
        all.push(Case::op(
            "linear",
            &format!("[4, 5], {activation:?}"),
            [("x", &[4, 5]), ("weight", &[3, 5]), ("bias", &[3])],
            move |t| ops::linear(&t[0], &t[1], &t[2], activation),
        ));
    }
    for (dilation, groups, stride) in [(2, 1, 1), (1, 2, 2), (2, 2, 3)] {
        let config = ConvConfig { dilation, groups, stride, padding: 1, ..ConvConfig::USUAL };
        let case = format!("stride {stride}, dilation {dilation}, {groups} groups");
        let rows = || {
            Case::op(
                "conv1d",
                &case,
                [("x", &[2, 4, 9]), ("weight", &[6, 4 / groups, 3]), ("bias", &[6])],
                move |t| ops::conv1d(&t[0], &t[1], &t[2], config),
            )
        };
        let images = Case::op(
            "conv2d",
            &case,
            [("x", &[2, 4, 8, 7]), ("weight", &[6, 4 / groups, 3, 3]), ("bias", &[6])],
            move |t| ops::conv2d(&t[0], &t[1], &t[2], config),
        );
        all.extend([rows(), rows().strided(), images]);
    }
    for (kernel, stride, padding) in [(3, 2, 1), (2, 1, 0), (2, 3, 1)] {
        let config = PoolConfig { kernel, stride, padding };
        let case = format!("{kernel}×{kernel}, stride {stride}, padding {padding} on 5×7");
        let (x, mean) = ([("x", &[2usize, 2, 5, 7][..])], "avg_pool2d");
        all.push(Case::op("max_pool2d", &case, x, move |t| ops::max_pool2d(&t[0], config)));
        all.push(Case::op(mean, &case, x, move |t| ops::avg_pool2d(&t[0], config)));
        all.push(Case::op(mean, &case, x, move |t| ops::avg_pool2d(&t[0], config)).strided());
    }
    let x: [(&str, &[usize]); 1] = [("x", &[3, 4, 2, 3])];
    all.push(Case::op("global_avg_pool2d", "2×3", x, |t| ops::global_avg_pool2d(&t[0])));
    for over in [Over::Last, Over::Groups(2), Over::Batch] {
        let normalize = || {
            Case::op("normalize", &format!("over {over:?}"), x, move |t| ops::normalize(&t[0], over, 1e-5))
        };
        all.extend([normalize(), normalize().strided()]);
    }
    all.push(Case::op("normalize_by_rms", "last", x, |t| ops::normalize_by_rms(&t[0], 1e-5)));
    for (channel, width) in [(1, 4), (3, 3)] {
        all.push(Case::op(
            "scale_shift",
            &format!("dimension {channel}"),
            [("x", &[3, 4, 2, 3]), ("scale", &[width]), ("shift", &[width])],
            move |t| ops::scale_shift(&t[0], &t[1], &t[2], channel),
        ));
    }
    all.push(Case::op("embedding", "repeated ids", [("weight", &[5, 3])], |t| {
        ops::embedding(&Tensor::new(&[[1u32, 4, 1], [0, 1, 4]], &Device::Cpu)?, &t[0])
    }));
    for dim in [0, 1] {
        let rows: [(&str, &[usize]); 1] = [("x", &[3, 4])];
        all.push(Case::op("softmax", &format!("dimension {dim}"), rows, move |t| ops::softmax(&t[0], dim)));
        let case = format!("dimension {dim}");
        all.push(Case::op("log_softmax", &case, rows, move |t| ops::log_softmax(&t[0], dim)));
    }
    let heads: &[usize] = &[2, 2, 4, 3];
    let attention = || {
        Case::op(
            "causal_attention",
            "2 heads, 4 positions",
            [("q", heads), ("k", heads), ("v", heads)],
            |t| ops::causal_attention(&t[0], &t[1], &t[2]),
        )
    };
    all.extend([attention(), attention().strided()]);
    let packed = || {
        Case::op("causal_self_attention", "2 heads, 4 positions", [("qkv", &[2, 4, 18])], |t| {
            ops::causal_self_attention(&t[0], 2)
        })
    };
    all.extend([packed(), packed().strided()]);
    let layer_norm = || {
        let arguments: [(&str, &[usize]); 3] = [("x", &[3, 4, 5]), ("weight", &[5]), ("bias", &[5])];
        Case::op("layer_norm", "width 5", arguments, |t| ops::layer_norm(&t[0], &t[1], &t[2], 1e-5))
    };
    all.extend([layer_norm(), layer_norm().strided()]);
    all.push(Case::op("rms_norm", "width 5", [("x", &[3, 4, 5]), ("weight", &[5])], |t| {
        ops::rms_norm(&t[0], &t[1], 1e-5)
    }));
    let pair = || Case::op("add", "[3, 4]", [("a", &[3, 4]), ("b", &[3, 4])], |t| ops::add(&t[0], &t[1]));
    all.extend([pair(), pair().strided()]);
    for activation in [Activation::Gelu, Activation::GeluErf, Activation::Silu] {
        let case = format!("{activation:?}");
        all.push(Case::op("activation", &case, [("x", &[4, 5])], move |t| activation.apply(&t[0])));
    }
    all.push(Case::op("dropout", "rate 0.4", [("x", &[4, 6])], |t| ops::dropout(&t[0], 0.4, 1, "audit", 0)));
    all
}

/// Losses of numbers and of classes.
fn losses_of_ours() -> Vec<Case> {
    let pair: [(&str, &[usize]); 2] = [("output", &[4, 3]), ("target", &[4, 3])];
    let mut all = vec![
        Case::op("mse", "4 examples", pair, |t| Ok(loss::mse(&t[0], &t[1])?.sum)),
        Case::op("huber", "delta 0.7", pair, |t| Ok(loss::huber(&t[0], &t[1], 0.7)?.sum)),
        Case::op("bce_with_logits", "4 examples", pair, |t| Ok(loss::bce_with_logits(&t[0], &t[1])?.sum)),
    ];
    for (label_smoothing, ignore_index) in [(0.1, None), (0.0, Some(2)), (0.3, Some(2))] {
        let config = CrossEntropyConfig { label_smoothing, ignore_index };
        let ignored = ignore_index.map_or_else(String::new, |index: u32| format!(", class {index} ignored"));
        let case = format!("smoothing {label_smoothing}{ignored}");
        all.push(Case::op("cross_entropy", &case, [("logits", &[4, 5])], move |t| {
            ops::cross_entropy(&t[0], &Tensor::new(&[0u32, 4, 2, 2], &Device::Cpu)?, config)
        }));
    }
    all
}

fn models_of_ours() -> Vec<Case> {
    let resnet = |norm: models::Norm| {
        move |dtype| {
            let config =
                models::ResNetConfig { in_channels: 2, channels: vec![4, 6], blocks: 1, norm, classes: 4 };
            let parameters = Parameters::new();
            let model = models::ResNet::new(&config, parameters.builder(1, dtype, &Device::Cpu))?;
            classify(&parameters, Box::new(model), &[5, 2, 6, 6], dtype)
        }
    };
    let mut all = Vec::new();
    for (case, norm) in [
        ("batch norm", models::Norm::Batch),
        ("ghost-batch norm", models::Norm::GhostBatch(2)),
        ("group norm", models::Norm::Group(2)),
    ] {
        // In f32 the corners of so many ReLUs leave too little to decide by.
        all.push(Case::model("ResNet", case, resnet(norm)));
    }
    all.extend([Case::model("Gpt", "two blocks", gpt), Case::model("Gpt", "two blocks", gpt).f32()]);
    all
}

fn gpt(dtype: DType) -> Result<Model> {
    let parameters = Parameters::new();
    let config =
        models::GptConfig { vocabulary: 7, context: 5, width: 8, heads: 2, layers: 2, dropout: 0.0, seed: 0 };
    let model = models::Gpt::new(&config, parameters.builder(1, dtype, &Device::Cpu))?;
    let ids: Vec<u32> = (0..15).map(|i| (i * i + i / 4) % 7).collect();
    let (ids, targets) = (
        Tensor::from_slice(&ids, (3, 5), &Device::Cpu)?,
        Tensor::from_slice(&ids.iter().map(|id| (id + 3) % 7).collect::<Vec<_>>(), 15, &Device::Cpu)?,
    );
    let loss = move || {
        ops::cross_entropy_sum(&model.forward_t(&ids, true)?.flatten_to(1)?, &targets)?
            .affine(1.0 / 15.0, 0.0)
    };
    Ok(Model { vars: parameters.named(), loss: Box::new(loss) })
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
