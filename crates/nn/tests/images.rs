//! The kernels of f32 images against the same in f64, which goes another way, and fused ops against the ops they fuse.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_nn::gradients::{Gradients, Tap};
use batchwise_nn::models::{Cnn, CnnConfig, Norm, ResNet, ResNetConfig};
use batchwise_nn::ops::{self, Activation, ConvConfig};
use batchwise_nn::{Parameters, Recorded, loss, random, tape};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::ModuleT;
use proptest::prelude::*;

fn var(name: &str, shape: &[usize], dtype: DType) -> Var {
    let n = shape.iter().product();
    let values = Tensor::from_vec(random::normal(9, name, n, 0.0, 1.0), shape, &Device::Cpu).unwrap();
    // The same numbers in both types.
    let values = values.to_dtype(DType::F32).unwrap().to_dtype(dtype).unwrap();
    Var::from_tensor(&values).unwrap()
}

fn read(x: &Tensor) -> Vec<f64> {
    x.contiguous().unwrap().flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Within rounding of f32 of the largest number.
fn close(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let (got, want) = (read(got), read(want));
    let size = want.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
    for (i, (a, b)) in got.iter().zip(&want).enumerate() {
        assert!((a - b).abs() <= tolerance * size, "{what}: element {i} is {a}, not {b} (of {size})");
    }
}

/// How the gradients are asked for.
#[derive(Debug, Clone, Copy)]
enum By {
    Graph,
    Tape,
}

/// The output, and the gradients of the variables from Σ weights·output.
fn run(vars: &[Var], by: By, f: impl Fn(&[Var]) -> Result<Tensor>) -> (Tensor, Vec<Tensor>) {
    let mut seen = None;
    let mut loss = || -> Result<Tensor> {
        let y = f(vars)?;
        let weights = var("weights", y.dims(), y.dtype());
        seen = Some(y.detach());
        y.mul(weights.as_tensor())?.sum_all()
    };
    let store = match by {
        By::Graph => loss().unwrap().backward().unwrap(),
        By::Tape => Recorded::new(loss).unwrap().backward().unwrap(),
    };
    let gradients = vars.iter().map(|var| store.get(var).unwrap().clone()).collect();
    (seen.unwrap(), gradients)
}

fn compare(shapes: &[Vec<usize>], f: impl Fn(&[Var]) -> Result<Tensor>) {
    let vars = |dtype| {
        let of = |(i, shape): (usize, &Vec<usize>)| var(&format!("argument {i}"), shape, dtype);
        shapes.iter().enumerate().map(of).collect::<Vec<_>>()
    };
    let (y, gradients) = run(&vars(DType::F64), By::Graph, &f);
    for by in [By::Graph, By::Tape] {
        let (got, got_gradients) = run(&vars(DType::F32), by, &f);
        close(&format!("output by {by:?}"), &got, &y, 2e-5);
        for (i, (got, want)) in got_gradients.iter().zip(&gradients).enumerate() {
            close(&format!("gradient {i} by {by:?}"), got, want, 2e-5);
        }
    }
    let without = tape::no_grad(|| f(&vars(DType::F32))).unwrap();
    assert!(!without.track_op());
    close("output without gradients", &without, &y, 2e-5);
}

fn configs() -> impl Strategy<Value = (usize, [usize; 2], usize, usize, [usize; 2], ConvConfig)> {
    let sizes = (0usize..10, [1usize..10, 1usize..10], 1usize..10, 1usize..20, [1usize..4, 1usize..4]);
    (sizes, 1usize..3, 0usize..3, 1usize..3, 1usize..3, any::<bool>()).prop_filter_map(
        "fits",
        |((n, size, inner, outer, kernel), stride, padding, dilation, groups, relu)| {
            let activation = if relu { Activation::Relu } else { Activation::Identity };
            let config = ConvConfig { stride, padding, dilation, groups, activation };
            let fits = |i: usize| (kernel[i] - 1) * dilation < size[i] + 2 * padding;
            (fits(0) && fits(1)).then_some((n, size, inner * groups, outer * groups, kernel, config))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn convolutions_of_f32_are_those_of_f64((n, size, inner, outer, kernel, config) in configs()) {
        prop_assume!(n != 0);
        let shapes = [
            vec![n, inner, size[0], size[1]],
            vec![outer, inner / config.groups, kernel[0], kernel[1]],
            vec![outer],
        ];
        compare(&shapes, |vars| ops::conv2d(&vars[0], &vars[1], &vars[2], config));
        if (0..2).all(|i| 2 <= (size[i] + 2 * config.padding - (kernel[i] - 1) * config.dilation - 1) / config.stride + 1) {
            compare(&shapes, |vars| ops::conv2d_max_pool2d(&vars[0], &vars[1], &vars[2], config));
            compare(&shapes, |vars| ops::flatten(&ops::conv2d_max_pool2d(&vars[0], &vars[1], &vars[2], config)?));
            compare(&shapes, |vars| {
                ops::global_avg_pool2d(&ops::conv2d_max_pool2d(&vars[0], &vars[1], &vars[2], config)?)
            });
            // candle's own operation between.
            compare(&shapes, |vars| ops::conv2d_max_pool2d(&vars[0], &vars[1], &vars[2], config)?.sin());
        }
    }
}

#[test]
fn no_image_and_a_row_without_pixels_are_served() {
    let parameters = [vec![0, 3, 6, 6], vec![4, 3, 3, 3], vec![4]];
    compare(&parameters, |vars| ops::conv2d(&vars[0], &vars[1], &vars[2], ConvConfig::USUAL));
}

type Named = Vec<(String, Tensor)>;

/// The loss of a model in training, its gradients, and what it keeps.
fn train(
    build: impl Fn(candle_nn::VarBuilder<'_>) -> Box<dyn ModuleT>,
    x: &Tensor,
    dtype: DType,
    by: By,
) -> (f64, Named, Named) {
    let parameters = Parameters::new();
    let model = build(parameters.builder(4, dtype, &Device::Cpu));
    let n = x.dim(0).unwrap();
    let y = Tensor::from_vec((0..n as u32).map(|i| i % 5).collect::<Vec<_>>(), n, &Device::Cpu).unwrap();
    let loss = || {
        Ok::<_, candle_core::Error>(
            loss::cross_entropy(&model.forward_t(&x.to_dtype(dtype)?, true)?, &y)?.sum,
        )
    };
    let mut gradients = Gradients::new();
    let value = match by {
        By::Graph => {
            let loss = loss().unwrap();
            gradients.backward(&parameters, &loss, Tap::Off).unwrap();
            loss
        }
        By::Tape => {
            let recorded = Recorded::new(loss).unwrap();
            let loss = recorded.loss().detach();
            gradients.backward(&parameters, recorded, Tap::Off).unwrap();
            loss
        }
    };
    let names = parameters.named().into_iter().map(|(name, _)| name);
    let gradients = names.zip(gradients.tensors().to_vec()).collect();
    let buffers =
        parameters.buffers().into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
    (value.to_dtype(DType::F64).unwrap().to_scalar().unwrap(), gradients, buffers)
}

fn models_agree(build: impl Fn(candle_nn::VarBuilder<'_>) -> Box<dyn ModuleT>, x: &Tensor, tolerance: f64) {
    let (want, want_gradients, want_buffers) = train(&build, x, DType::F64, By::Graph);
    for by in [By::Graph, By::Tape] {
        let (loss, gradients, buffers) = train(&build, x, DType::F32, by);
        assert!((loss - want).abs() <= tolerance * want, "{by:?}: {loss} {want}");
        for ((name, got), (_, want)) in gradients.iter().zip(&want_gradients) {
            close(&format!("{name} by {by:?}"), got, want, tolerance);
        }
        for ((name, got), (_, want)) in buffers.iter().zip(&want_buffers) {
            close(&format!("{name} by {by:?}"), got, want, 1e-5);
        }
    }
}

#[test]
fn residual_networks_agree_whatever_their_blocks() {
    for n in [1, 3, 9] {
        let x = var("images", &[n, 3, 12, 10], DType::F32).as_detached_tensor();
        for norm in [Norm::Batch, Norm::GhostBatch(2), Norm::Group(4)] {
            let config = ResNetConfig { in_channels: 3, channels: vec![8, 20], blocks: 2, norm, classes: 5 };
            // A norm over few elements divides by small deviations.
            let tolerance = if n == 1 || norm == Norm::GhostBatch(2) { 2e-3 } else { 2e-4 };
            models_agree(|vb| Box::new(ResNet::new(&config, vb).unwrap()), &x, tolerance);
        }
    }
}

#[test]
fn convolutional_networks_agree() {
    for (n, in_channels) in [(1, 1), (5, 3)] {
        let x = var("images", &[n, in_channels, 13, 11], DType::F32).as_detached_tensor();
        let config =
            CnnConfig { in_channels, height: 13, width: 11, channels: vec![7, 16], hidden: 9, classes: 5 };
        models_agree(|vb| Box::new(Cnn::new(&config, vb).unwrap()), &x, 1e-4);
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let x = var("images", &[19, 3, 12, 10], DType::F32).as_detached_tensor();
    let config =
        ResNetConfig { in_channels: 3, channels: vec![8, 20], blocks: 1, norm: Norm::Batch, classes: 5 };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (loss, gradients, _) =
                train(|vb| Box::new(ResNet::new(&config, vb).unwrap()), &x, DType::F32, By::Tape);
            (loss.to_bits(), gradients.iter().map(|(_, g)| read(g)).collect::<Vec<_>>())
        })
    };
    let one = run(1);
    for threads in [2, 3, 8] {
        assert!(run(threads) == one, "{threads} threads");
    }
}
