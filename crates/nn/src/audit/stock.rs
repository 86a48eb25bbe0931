//! The layers and operations of candle, as cases.

use super::case::{Case, Fill};
use candle_core::{D, Device, Result, Tensor};
use candle_nn::{
    BatchNorm, Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, ConvTranspose1d, ConvTranspose1dConfig,
    ConvTranspose2d, ConvTranspose2dConfig, Embedding, GRUConfig, GroupNorm, LSTMConfig, LayerNorm, Linear,
    Module, ModuleT, PReLU, RNN, RmsNorm, VarBuilder, loss, ops, rnn, rotary_emb,
};
use std::collections::HashMap;

/// candle's trainable layers and differentiable operations, each in several shapes and strides.
pub fn stock() -> Vec<Case> {
    [
        layers(),
        convolutions(),
        pools(),
        norms(),
        losses(),
        activations(),
        indexing(),
        attention(),
        arithmetic(),
        recurrent(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

type Unary = fn(&Tensor) -> Result<Tensor>;
type Binary = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// A case, and the same on views.
fn both(make: impl Fn() -> Case) -> [Case; 2] {
    [make(), make().strided()]
}

/// A case of one input.
fn unary(layer: &'static str, shape: &'static [usize], f: Unary) -> [Case; 2] {
    both(|| Case::op(layer, &by(shape), [("x", shape)], move |t| f(&t[0])))
}

/// A case of two inputs.
fn binary(layer: &'static str, (a, b): (&'static [usize], &'static [usize]), f: Binary) -> [Case; 2] {
    both(|| {
        Case::op(layer, &format!("{} and {}", by(a), by(b)), [("a", a), ("b", b)], move |t| f(&t[0], &t[1]))
            .fill("b", Fill::Positive)
    })
}

fn by(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

fn ids(ids: &[u32], shape: &[usize]) -> Result<Tensor> {
    Tensor::from_slice(ids, shape, &Device::Cpu)
}

fn layers() -> Vec<Case> {
    let linear = |x: &'static [usize]| {
        both(move || {
            Case::op("Linear", &by(x), [("x", x), ("weight", &[3, 5]), ("bias", &[3])], |t| {
                Linear::new(t[1].clone(), Some(t[2].clone())).forward(&t[0])
            })
        })
    };
    let embedding = || {
        Case::op("Embedding", "2×3 of 5", [("weight", &[5, 4])], |t| {
            Embedding::new(t[0].clone(), 4).forward(&ids(&[0, 4, 2, 2, 1, 0], &[2, 3])?)
        })
    };
    [linear(&[1, 5]), linear(&[7, 5]), linear(&[2, 3, 5]), both(embedding)].into_iter().flatten().collect()
}

fn convolutions() -> Vec<Case> {
    let mut all = Vec::new();
    // Examples, channels in and out, length, stride, padding, dilation, groups.
    for (n, inner, out, length, stride, padding, dilation, groups) in [
        (1, 1, 1, 6, 1, 0, 1, 1),
        (3, 1, 2, 6, 1, 1, 1, 1),
        (2, 3, 2, 7, 1, 0, 1, 1),
        (2, 2, 2, 9, 2, 1, 1, 1),
        (2, 2, 2, 9, 1, 2, 2, 1),
        (2, 4, 4, 6, 1, 1, 1, 2),
    ] {
        let config = Conv1dConfig { stride, padding, dilation, groups, ..Conv1dConfig::default() };
        let case = format!("{n}×{inner}×{length} to {out}, {}", geometry(stride, padding, dilation, groups));
        all.extend(both(|| {
            Case::op(
                "conv1d",
                &case,
                [("x", &[n, inner, length]), ("weight", &[out, inner / groups, 3]), ("bias", &[out])],
                move |t| Conv1d::new(t[1].clone(), Some(t[2].clone()), config).forward(&t[0]),
            )
        }));
    }
    for (size, k, stride, padding, dilation, groups) in [
        ((5, 5), 3, 1, 0, 1, 1),
        ((5, 6), 3, 1, 1, 1, 1),
        ((4, 5), 1, 1, 0, 1, 1),
        ((7, 7), 3, 2, 1, 1, 1),
        ((8, 8), 3, 2, 1, 1, 1),
        ((8, 7), 3, 2, 1, 1, 1),
        ((8, 8), 5, 3, 2, 1, 1),
        ((7, 7), 3, 1, 2, 2, 1),
        ((5, 5), 3, 1, 1, 1, 2),
        ((5, 5), 3, 1, 1, 1, 4),
    ] {
        let config = Conv2dConfig { stride, padding, dilation, groups, ..Conv2dConfig::default() };
        let case =
            format!("{k}×{k} on {}×{}, {}", size.0, size.1, geometry(stride, padding, dilation, groups));
        all.extend(both(|| {
            Case::op(
                "conv2d",
                &case,
                [("x", &[2, 4, size.0, size.1]), ("weight", &[4, 4 / groups, k, k]), ("bias", &[4])],
                move |t| Conv2d::new(t[1].clone(), Some(t[2].clone()), config).forward(&t[0]),
            )
        }));
    }
    for (stride, padding) in [(1, 0), (2, 1)] {
        let config = ConvTranspose1dConfig { stride, padding, ..ConvTranspose1dConfig::default() };
        let inputs: [(_, &[usize]); 3] = [("x", &[2, 3, 5]), ("weight", &[3, 2, 3]), ("bias", &[2])];
        let layer = Case::op("conv_transpose1d", &geometry(stride, padding, 1, 1), inputs, move |t| {
            ConvTranspose1d::new(t[1].clone(), Some(t[2].clone()), config).forward(&t[0])
        });
        // Padding takes as much from both ends.
        all.push(layer.reference(move |t| {
            let whole =
                t[0].unsqueeze(2)?.conv_transpose2d(&t[1].unsqueeze(2)?, 0, 0, stride, 1)?.squeeze(2)?;
            let length = whole.dim(2)? - 2 * padding;
            whole.narrow(2, padding, length)?.broadcast_add(&t[2].reshape((1, 2, 1))?)
        }));
        for output_padding in 0..stride {
            let config = ConvTranspose2dConfig { stride, padding, output_padding, dilation: 1 };
            let case = format!("{}, output padding {output_padding}", geometry(stride, padding, 1, 1));
            all.extend(both(|| {
                let inputs: [(_, &[usize]); 3] =
                    [("x", &[2, 3, 4, 5]), ("weight", &[3, 2, 3, 3]), ("bias", &[2])];
                Case::op("conv_transpose2d", &case, inputs, move |t| {
                    ConvTranspose2d::new(t[1].clone(), Some(t[2].clone()), config).forward(&t[0])
                })
            }));
        }
    }
    all
}

fn geometry(stride: usize, padding: usize, dilation: usize, groups: usize) -> String {
    let mut text = format!("stride {stride}");
    for (name, value, usual) in [("padding", padding, 0), ("dilation", dilation, 1), ("groups", groups, 1)] {
        if value != usual {
            text.push_str(&format!(", {name} {value}"));
        }
    }
    text
}

fn pools() -> Vec<Case> {
    let mut all = Vec::new();
    for (k, stride, height, width) in
        [(2, 2, 4, 6), (3, 3, 6, 6), (2, 2, 5, 5), (2, 2, 7, 7), (3, 3, 7, 8), (3, 2, 7, 7)]
    {
        let case = format!("{k}×{k} stride {stride} on {height}×{width}");
        let x = [2, 2, height, width];
        all.extend(both(|| {
            Case::op("max_pool2d", &case, [("x", &x)], move |t| t[0].max_pool2d_with_stride(k, stride))
        }));
        all.extend(both(|| {
            Case::op("avg_pool2d", &case, [("x", &x)], move |t| t[0].avg_pool2d_with_stride(k, stride))
        }));
    }
    let x: &'static [usize] = &[2, 2, 3, 4];
    all.extend(unary("upsample_nearest2d", x, |x| x.upsample_nearest2d(6, 8)));
    all.push(Case::op("upsample_nearest2d", "with a skip connection", [("x", x)], |t| {
        t[0].upsample_nearest2d(6, 8)?.avg_pool2d(2)? + t[0].sqr()?
    }));
    all.push(Case::op("upsample_nearest2d", "after a skip connection", [("x", x)], |t| {
        t[0].sqr()? + t[0].upsample_nearest2d(6, 8)?.avg_pool2d(2)?
    }));
    all.push(Case::op("upsample_nearest2d", "3×4 to 5×7", [("x", x)], |t| t[0].upsample_nearest2d(5, 7)));
    all.push(Case::op("upsample_nearest2d", "3×4 to 6×4", [("x", x)], |t| t[0].upsample_nearest2d(6, 4)));
    all.extend(unary("upsample_nearest1d", &[2, 2, 3], |x| x.upsample_nearest1d(6)));
    all.push(Case::op("upsample_nearest1d", "used twice", [("x", &[2, 2, 3])], |t| {
        Tensor::cat(&[&t[0].upsample_nearest1d(6)?, &t[0].sqr()?], 2)
    }));
    all.push(Case::op("upsample_bilinear2d", "3×4 to 6×8", [("x", x)], |t| {
        t[0].upsample_bilinear2d(6, 8, false)
    }));
    all
}

fn norms() -> Vec<Case> {
    const X: &[usize] = &[3, 5];
    let mut all = Vec::new();
    for shape in [[6, 3].as_slice(), &[2, 3, 2, 3]] {
        all.extend(both(|| {
            Case::op(
                "BatchNorm",
                &format!("{}, training", by(shape)),
                [("x", shape), ("weight", &[3]), ("bias", &[3])],
                |t| {
                    let zeros = Tensor::zeros(3, t[0].dtype(), &Device::Cpu)?;
                    let ones = zeros.ones_like()?;
                    BatchNorm::new(3, zeros, ones, t[1].clone(), t[2].clone(), 1e-5)?.forward_t(&t[0], true)
                },
            )
        }));
    }
    for groups in [1, 2, 4] {
        all.extend(both(|| {
            let inputs: [(_, &[usize]); 3] = [("x", &[2, 4, 3, 2]), ("weight", &[4]), ("bias", &[4])];
            Case::op("GroupNorm", &format!("{groups} groups of 4 channels"), inputs, move |t| {
                GroupNorm::new(t[1].clone(), t[2].clone(), 4, groups, 1e-5)?.forward(&t[0])
            })
        }));
    }
    let layer_norm = || {
        Case::op("LayerNorm", "with bias", [("x", X), ("weight", &[5]), ("bias", &[5])], |t| {
            LayerNorm::new(t[1].clone(), t[2].clone(), 1e-5).forward(&t[0])
        })
    };
    all.extend([layer_norm().f32(), layer_norm(), layer_norm().f32().strided()]);
    all.extend(both(|| {
        Case::op("LayerNorm", "without bias", [("x", X), ("weight", &[5])], |t| {
            LayerNorm::new_no_bias(t[1].clone(), 1e-5).forward(&t[0])
        })
    }));
    let fused = |x: &[Tensor]| ops::layer_norm(&x[0], &x[1], &x[2], 1e-5);
    all.push(Case::op("ops::layer_norm", "3×5", [("x", X), ("weight", &[5]), ("bias", &[5])], fused).f32());
    all.extend(both(|| {
        Case::op("ops::layer_norm_slow", "3×5", [("x", X), ("weight", &[5]), ("bias", &[5])], |t| {
            ops::layer_norm_slow(&t[0], &t[1], &t[2], 1e-5)
        })
        .f32()
    }));
    let rms_norm = || {
        Case::op("RmsNorm", "3×5", [("x", X), ("weight", &[5])], |t| {
            RmsNorm::new(t[1].clone(), 1e-5).forward(&t[0])
        })
    };
    all.extend([rms_norm().f32(), rms_norm().f32().strided()]);
    all.push(
        Case::op("ops::rms_norm", "3×5", [("x", X), ("weight", &[5])], |t| {
            ops::rms_norm(&t[0], &t[1], 1e-5)
        })
        .f32(),
    );
    all.extend(both(|| {
        Case::op("RmsNorm::forward_diff", "3×5", [("x", X), ("weight", &[5])], |t| {
            RmsNorm::new(t[1].clone(), 1e-5).forward_diff(&t[0])
        })
    }));
    all
}

fn losses() -> Vec<Case> {
    const X: &[usize] = &[4, 3];
    let targets = || ids(&[0, 2, 1, 2], &[4]);
    let mut all = Vec::new();
    all.extend(both(|| {
        Case::op("cross_entropy", "4×3", [("x", X)], move |t| loss::cross_entropy(&t[0], &targets()?))
    }));
    all.extend(both(|| Case::op("nll", "4×3", [("x", X)], move |t| loss::nll(&t[0], &targets()?))));
    all.extend(both(|| Case::op("mse", "4×3", [("x", X), ("target", X)], |t| loss::mse(&t[0], &t[1]))));
    all.extend(both(|| {
        Case::op("huber", "4×3", [("x", X), ("target", X)], |t| loss::huber(&t[0], &t[1], 0.7))
    }));
    let bce = |factor: f64| {
        move |t: &[Tensor]| {
            let target =
                Tensor::new(&[0f64, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0], &Device::Cpu)?;
            loss::binary_cross_entropy_with_logit(&(&t[0] * factor)?, &target.reshape((4, 3))?)
        }
    };
    all.extend(both(|| Case::op("binary_cross_entropy_with_logit", "4×3", [("x", X)], bce(1.0))));
    all.push(Case::op("binary_cross_entropy_with_logit", "logits of thousands", [("x", X)], bce(3000.0)));
    all
}

fn activations() -> Vec<Case> {
    const X: &[usize] = &[3, 7];
    const UNARY: [(&str, Unary); 17] = [
        ("relu", |x| x.relu()),
        ("gelu", |x| x.gelu()),
        ("gelu_erf", |x| x.gelu_erf()),
        ("silu", |x| x.silu()),
        ("elu", |x| x.elu(0.7)),
        ("sigmoid", ops::sigmoid),
        ("hard_sigmoid", ops::hard_sigmoid),
        ("tanh", |x| x.tanh()),
        ("erf", |x| x.erf()),
        ("leaky_relu", |x| ops::leaky_relu(x, 0.1)),
        ("mish", ops::mish),
        ("softmax", |x| ops::softmax(x, D::Minus1)),
        ("softmax", |x| ops::softmax(x, 0)),
        ("softmax_last_dim", ops::softmax_last_dim),
        ("log_softmax", |x| ops::log_softmax(x, D::Minus1)),
        ("log_softmax", |x| ops::log_softmax(x, 0)),
        ("log_sum_exp", |x| x.log_sum_exp(D::Minus1)),
    ];
    let mut all: Vec<Case> = UNARY.into_iter().flat_map(|(layer, f)| unary(layer, X, f)).collect();
    all.extend(unary("selu", X, |x| ops::selu(x, 1.67, 1.05)).map(Case::f32));
    all.extend(unary("swiglu", &[3, 8], ops::swiglu));
    for (case, weight, is_scalar) in [("one weight", [1].as_slice(), true), ("by channel", &[7], false)] {
        all.extend(both(|| {
            Case::op("PReLU", case, [("x", X), ("weight", weight)], move |t| {
                PReLU::new(t[1].clone(), is_scalar).forward(&t[0])
            })
        }));
    }
    all
}

fn indexing() -> Vec<Case> {
    const INIT: &[usize] = &[3, 4];
    let at = || ids(&[0, 2, 1, 1, 3, 0], &[3, 2]);
    let every = || ids(&[0, 2, 1, 3, 1, 3, 0, 2, 3, 0, 2, 1], &[3, 4]);
    let mut all = Vec::new();
    all.extend(both(|| Case::op("gather", "3×2 of 3×4", [("x", INIT)], move |t| t[0].gather(&at()?, 1))));
    all.extend(both(|| {
        Case::op("index_select", "rows", [("x", INIT)], |t| t[0].index_select(&ids(&[2, 0, 2], &[3])?, 0))
    }));
    all.extend(both(|| {
        Case::op("index_select", "columns", [("x", INIT)], |t| t[0].index_select(&ids(&[2, 0, 2], &[3])?, 1))
    }));
    all.extend(both(|| {
        Case::op("index_add", "rows", [("init", INIT), ("source", &[2, 4])], |t| {
            t[0].index_add(&ids(&[2, 2], &[2])?, &t[1].contiguous()?, 0)
        })
    }));
    let source: &'static [usize] = &[3, 2];
    all.push(Case::op("scatter", "into part", [("init", INIT), ("source", source)], move |t| {
        t[0].scatter(&ids(&[0, 2, 1, 0, 3, 0], &[3, 2])?, &t[1], 1)
    }));
    all.push(Case::op("scatter", "into zeros", [("source", source)], move |t| {
        Tensor::zeros(INIT, t[0].dtype(), &Device::Cpu)?.scatter(
            &ids(&[0, 2, 1, 0, 3, 0], &[3, 2])?,
            &t[0],
            1,
        )
    }));
    all.push(Case::op("scatter_add", "into all", [("init", INIT), ("source", INIT)], move |t| {
        t[0].scatter_add(&every()?, &t[1], 1)
    }));
    all.push(Case::op("scatter_add", "into part", [("init", INIT), ("source", source)], move |t| {
        t[0].scatter_add(&at()?, &t[1], 1)
    }));
    all.extend(both(|| {
        Case::op("slice_scatter", "columns", [("init", INIT), ("source", source)], |t| {
            t[0].slice_scatter(&t[1], 1, 1)
        })
    }));
    all.extend(unary("narrow", INIT, |x| x.narrow(1, 1, 2)));
    all.extend(binary("cat", (&[2, 3], &[4, 3]), |a, b| Tensor::cat(&[a, b], 0)));
    all.extend(binary("stack", (&[2, 3], &[2, 3]), |a, b| Tensor::stack(&[a, b], 1)));
    all.extend(unary("pad_with_zeros", INIT, |x| x.pad_with_zeros(1, 1, 2)));
    all.extend(unary("pad_with_same", INIT, |x| x.pad_with_same(1, 1, 2)));
    all.extend(unary("flip", INIT, |x| x.flip(&[1])));
    all.extend(unary("roll", INIT, |x| x.roll(1, 1)));
    all.extend(both(|| {
        Case::op("where_cond", "3×4", [("a", INIT), ("b", INIT)], move |t| {
            every()?.ge(2u32)?.where_cond(&t[0], &t[1])
        })
    }));
    all
}

fn attention() -> Vec<Case> {
    const Q: &[usize] = &[2, 2, 3, 4];
    const ANGLES: &[usize] = &[3, 2];
    let mut all = Vec::new();
    all.extend(both(|| {
        Case::op("attention", "softmax(q·kᵀ)·v", [("q", Q), ("k", Q), ("v", Q)], |t| {
            let scores = (t[0].matmul(&t[1].t()?)? * 0.5)?;
            ops::softmax(&scores, D::Minus1)?.matmul(&t[2].contiguous()?)
        })
    }));
    type Rope = fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>;
    const ROPES: [(&str, Rope); 4] = [
        ("rope", rotary_emb::rope),
        ("rope_i", rotary_emb::rope_i),
        ("rope_slow", rotary_emb::rope_slow),
        ("rope_i_slow", rotary_emb::rope_i_slow),
    ];
    for (layer, f) in ROPES {
        all.push(Case::op(layer, "2×2×3×4", [("x", Q), ("cos", ANGLES), ("sin", ANGLES)], move |t| {
            f(&t[0], &t[1], &t[2])
        }));
    }
    all.push(Case::op(
        "rope_thd",
        "2×3×2×4",
        [("x", &[2, 3, 2, 4]), ("cos", ANGLES), ("sin", ANGLES)],
        |t| rotary_emb::rope_thd(&t[0], &t[1], &t[2]),
    ));
    all
}

fn arithmetic() -> Vec<Case> {
    type Pair = (&'static [usize], &'static [usize]);
    const SAME: Pair = (&[3, 4], &[3, 4]);
    const ROW: Pair = (&[3, 4], &[4]);
    const BINARY: [(&str, Pair, Binary); 18] = [
        ("matmul", (&[3, 4], &[4, 2]), |a, b| a.matmul(b)),
        ("matmul", (&[2, 3, 4], &[2, 4, 2]), |a, b| a.matmul(b)),
        ("matmul", (&[1, 1], &[1, 1]), |a, b| a.matmul(b)),
        ("matmul", (&[2, 3, 4], &[1, 4, 2]), |a, b| a.matmul(&b.broadcast_as((2, 4, 2))?)),
        ("broadcast_matmul", (&[2, 3, 4], &[4, 2]), |a, b| a.broadcast_matmul(b)),
        ("add", SAME, |a, b| a + b),
        ("sub", SAME, |a, b| a - b),
        ("mul", SAME, |a, b| a * b),
        ("div", SAME, |a, b| a / b),
        ("broadcast_add", ROW, |a, b| a.broadcast_add(b)),
        ("broadcast_sub", ROW, |a, b| a.broadcast_sub(b)),
        ("broadcast_mul", ROW, |a, b| a.broadcast_mul(b)),
        ("broadcast_div", ROW, |a, b| a.broadcast_div(b)),
        ("broadcast_mul", (&[3, 1, 4], &[2, 1]), |a, b| a.broadcast_mul(b)),
        ("maximum", SAME, |a, b| a.maximum(b)),
        ("minimum", SAME, |a, b| a.minimum(b)),
        ("pow", SAME, |a, b| a.abs()?.pow(b)),
        ("dot", (&[5], &[5]), |a, b| a.dot(b)),
    ];
    const X: &[usize] = &[3, 4];
    const UNARY: [(&str, Unary); 19] = [
        ("sum", |x| x.sum(0)),
        ("sum", |x| x.sum_keepdim(1)),
        ("sum_all", |x| x.sum_all()),
        ("mean", |x| x.mean(0)),
        ("var", |x| x.var(1)),
        ("max", |x| x.max(1)),
        ("max", |x| x.max_keepdim(0)),
        ("min", |x| x.min(1)),
        ("cumsum", |x| x.cumsum(1)),
        ("exp", |x| x.exp()),
        ("log", |x| (x.sqr()? + 0.5)?.log()),
        ("sqrt", |x| (x.sqr()? + 0.5)?.sqrt()),
        ("recip", |x| (x.sqr()? + 0.5)?.recip()),
        ("powf", |x| x.powf(3.0)),
        ("sin", |x| x.sin()),
        ("cos", |x| x.cos()),
        ("abs", |x| x.abs()),
        ("clamp", |x| x.clamp(-0.5, 0.5)),
        ("ceil", |x| x.ceil()? * x),
    ];
    let mut all: Vec<Case> =
        BINARY.into_iter().flat_map(|(layer, shapes, f)| binary(layer, shapes, f)).collect();
    all.extend(UNARY.into_iter().flat_map(|(layer, f)| unary(layer, X, f)));
    let tie =
        |layer, f: Unary| Case::op(layer, "with ties", [("x", X)], move |t| f(&t[0])).fill("x", Fill::Ties);
    all.push(tie("max", |x| x.max(1)));
    all.push(tie("min", |x| x.min(1)));
    all
}

fn recurrent() -> Vec<Case> {
    /// A builder that hands out the inputs under the names that candle's layers ask for.
    fn builder(t: &[Tensor]) -> VarBuilder<'static> {
        let names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
        let tensors: HashMap<String, Tensor> =
            names.map(str::to_owned).into_iter().zip(t.iter().cloned()).collect();
        VarBuilder::from_tensors(tensors, t[0].dtype(), &Device::Cpu)
    }
    const X: &[usize] = &[2, 3, 4];
    let lstm = || {
        let inputs: [(_, &[usize]); 5] =
            [("w_ih", &[8, 4]), ("w_hh", &[8, 2]), ("b_ih", &[8]), ("b_hh", &[8]), ("x", X)];
        Case::op("LSTM", "3 steps", inputs, |t| {
            let lstm = rnn::lstm(4, 2, LSTMConfig::default(), builder(t))?;
            lstm.states_to_tensor(&lstm.seq(&t[4])?)
        })
    };
    let gru = || {
        let inputs: [(_, &[usize]); 5] =
            [("w_ih", &[6, 4]), ("w_hh", &[6, 2]), ("b_ih", &[6]), ("b_hh", &[6]), ("x", X)];
        Case::op("GRU", "3 steps", inputs, |t| {
            let gru = rnn::gru(4, 2, GRUConfig::default(), builder(t))?;
            gru.states_to_tensor(&gru.seq(&t[4])?)
        })
    };
    [both(lstm), both(gru)].into_iter().flatten().collect()
}
