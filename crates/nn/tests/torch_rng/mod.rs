//! Four models as PyTorch initialises them, and what PyTorch computes with them (`fixtures/models.py`).
//!
//! [`weights`] and [`inputs`] are PyTorch's own to the bit, drawn from a copy of its generator; [`compare`] runs one
//! step of a model of this crate from them and holds loss, logits and gradients against the fixture. A test of a model
//! is: build it, [`load`], [`compare`].
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part of this, and may panic"
)]

mod cephes;
mod compare;
mod fixture;
mod generator;

pub(crate) use compare::{compare, input_tensors, load};
pub(crate) use fixture::{check_logits, check_loss, check_tensor, fixture};
pub(crate) use generator::Generator;

use std::collections::BTreeMap;

/// Values by PyTorch's name, each a shape and its numbers in row-major order.
pub(crate) type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The parameters of `mlp`, `lenet`, `resnet` or `gpt` constructed after `torch.manual_seed(0)`.
pub(crate) fn weights(model: &str) -> Weights {
    let mut draw = Draw { generator: Generator::new(0), weights: BTreeMap::new() };
    match model {
        "mlp" => {
            draw.affine("l1", &[512, 784], true);
            draw.affine("l2", &[256, 512], true);
            draw.affine("l3", &[10, 256], true);
        }
        "lenet" => {
            draw.affine("c1", &[32, 1, 3, 3], true);
            draw.affine("c2", &[64, 32, 3, 3], true);
            draw.affine("f1", &[128, 64 * 7 * 7], true);
            draw.affine("f2", &[10, 128], true);
        }
        "resnet" => {
            draw.convolution_and_norm(("c0", "b0"), &[16, 3, 3, 3]);
            for (i, (inner, out)) in [(16, 16), (16, 32), (32, 64)].into_iter().enumerate() {
                let name = |part| format!("blocks.{i}.{part}");
                draw.convolution_and_norm((&name("c1"), &name("b1")), &[out, inner, 3, 3]);
                draw.convolution_and_norm((&name("c2"), &name("b2")), &[out, out, 3, 3]);
                if inner != out {
                    draw.convolution_and_norm((&name("sc"), &name("sb")), &[out, inner, 1, 1]);
                }
            }
            draw.affine("fc", &[10, 64], true);
        }
        "gpt" => {
            draw.embedding("te", 65, 128);
            draw.embedding("pe", 64, 128);
            for i in 0..4 {
                let name = |part| format!("bl.{i}.{part}");
                draw.norm(&name("n1"), 128);
                draw.norm(&name("n2"), 128);
                for (part, out, inner) in
                    [("qkv", 384, 128), ("proj", 128, 128), ("fc", 512, 128), ("fo", 128, 512)]
                {
                    draw.affine(&name(part), &[out, inner], true);
                }
            }
            draw.norm("nf", 128);
            draw.affine("head", &[65, 128], false);
        }
        other => panic!("no model {other}"),
    }
    draw.weights
}

/// One batch, drawn from a generator with seed 1.
pub(crate) struct Inputs {
    /// Shape of `x`.
    pub(crate) shape: Vec<usize>,
    /// Row-major.
    pub(crate) x: Examples,
    /// Class numbers; (n) for the image models, (n·64) for `gpt`.
    pub(crate) y: Vec<u32>,
}

/// What a model is applied to.
pub(crate) enum Examples {
    /// Images.
    Numbers(Vec<f32>),
    /// Characters, of 65.
    Tokens(Vec<u32>),
}

/// The batch of `n` examples a model is timed on.
pub(crate) fn inputs(model: &str, n: usize) -> Inputs {
    let mut generator = Generator::new(1);
    let example: &[usize] = match model {
        "mlp" => &[784],
        "lenet" => &[1, 28, 28],
        "resnet" => &[3, 32, 32],
        "gpt" => &[64],
        other => panic!("no model {other}"),
    };
    let shape = [&[n], example].concat();
    let size = shape.iter().product();
    if model == "gpt" {
        let x = Examples::Tokens(generator.integers(size, 65));
        return Inputs { shape, x, y: generator.integers(size, 65) };
    }
    let x = Examples::Numbers(generator.normal(size));
    Inputs { shape, x, y: generator.integers(n, 10) }
}

/// Draws what the constructors of PyTorch's layers draw, in their order.
struct Draw {
    generator: Generator,
    weights: Weights,
}

impl Draw {
    /// `nn.Linear` or `nn.Conv2d`: weight (out, …), then bias (out), each uniform within ±1/√fan-in. The weight's bound
    /// takes the detour of `kaiming_uniform_(a=√5)`, whose rounding it has.
    fn affine(&mut self, name: &str, shape: &[usize], has_bias: bool) {
        let fan_in = shape[1..].iter().product::<usize>() as f64;
        let gain = (2.0 / (1.0 + 5f64.sqrt().powi(2))).sqrt();
        let bound = 3f64.sqrt() * (gain / fan_in.sqrt());
        let values = self.generator.uniform(shape.iter().product(), -bound, bound);
        self.insert(name, "weight", shape, values);
        if has_bias {
            let bound = 1.0 / fan_in.sqrt();
            let values = self.generator.uniform(shape[0], -bound, bound);
            self.insert(name, "bias", &shape[..1], values);
        }
    }

    /// `nn.Conv2d` without bias, then `nn.BatchNorm2d`.
    fn convolution_and_norm(&mut self, (convolution, norm): (&str, &str), shape: &[usize]) {
        self.affine(convolution, shape, false);
        self.norm(norm, shape[0]);
    }

    /// `nn.BatchNorm2d` or `nn.LayerNorm`: draws nothing.
    fn norm(&mut self, name: &str, n: usize) {
        self.insert(name, "weight", &[n], vec![1.0; n]);
        self.insert(name, "bias", &[n], vec![0.0; n]);
    }

    /// `nn.Embedding`: standard normal.
    fn embedding(&mut self, name: &str, n: usize, width: usize) {
        let values = self.generator.normal(n * width);
        self.insert(name, "weight", &[n, width], values);
    }

    fn insert(&mut self, layer: &str, part: &str, shape: &[usize], values: Vec<f32>) {
        self.weights.insert(format!("{layer}.{part}"), (shape.to_vec(), values));
    }
}
