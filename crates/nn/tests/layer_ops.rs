//! The ops of the larger layers: each against its plain twin and against finite differences, over random shapes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use batchwise_nn::loss::{self, LossSum};
use batchwise_nn::ops::{self, Activation, ConvConfig, CrossEntropyConfig, Over, PoolConfig, plain};
use candle_core::{D, DType, Device, Result, Tensor, Var};
use common::{check_twins, distance, finite_difference_error, normal, var, weigh};
use proptest::prelude::*;

const DTYPES: [DType; 2] = [DType::F32, DType::F64];

/// Against finite differences; only f64 has the room.
fn check_gradient(vars: &[&Var], f: &dyn Fn() -> Result<Tensor>) {
    if vars[0].dtype() == DType::F64 {
        let error = finite_difference_error(vars, &|| weigh(&f()?));
        assert!(error < 1e-7, "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn conv1d_equals_its_twin_and_finite_differences(
        n in 0usize..4, groups in 1usize..3, group_in in 1usize..3, group_out in 1usize..3, kernel in 1usize..4,
        stride in 1usize..4, padding in 0usize..3, dilation in 1usize..3, extra in 0usize..5,
    ) {
        let length = (dilation * (kernel - 1) + 1 + extra).saturating_sub(2 * padding).max(1);
        prop_assume!(dilation * (kernel - 1) < length + 2 * padding);
        for dtype in DTYPES {
            let x = var("x", &[n, groups * group_in, length], dtype);
            let w = var("w", &[groups * group_out, group_in, kernel], dtype);
            let b = var("b", &[groups * group_out], dtype);
            let config = ConvConfig { stride, padding, dilation, groups, activation: Activation::Relu };
            let fused = || ops::conv1d(&x, &w, &b, config);
            if n == 0 {
                prop_assert_eq!(fused().unwrap().elem_count(), 0);
                continue;
            }
            check_twins(&[&x, &w, &b], &fused, &|| plain::conv1d(&x, &w, &b, config));
            check_gradient(&[&x, &w, &b], &fused);
        }
    }

    #[test]
    fn conv2d_with_groups_and_dilation_has_right_gradients(
        n in 1usize..4, groups in 1usize..3, group_in in 1usize..3, group_out in 1usize..3,
        (kernel_height, kernel_width) in (1usize..4, 1usize..4),
        stride in 1usize..4, padding in 0usize..3, dilation in 1usize..3, height in 1usize..8, width in 1usize..8,
    ) {
        let fits = |kernel: usize, len: usize| dilation * (kernel - 1) < len + 2 * padding;
        prop_assume!(fits(kernel_height, height) && fits(kernel_width, width));
        let x = var("x", &[n, groups * group_in, height, width], DType::F64);
        let w = var("w", &[groups * group_out, group_in, kernel_height, kernel_width], DType::F64);
        let b = var("b", &[groups * group_out], DType::F64);
        let config = ConvConfig { stride, padding, dilation, groups, activation: Activation::Identity };
        let fused = || ops::conv2d(&x, &w, &b, config);
        check_gradient(&[&x, &w, &b], &fused);
        // candle's backward pass subtracts the padding from this length in usize, and panics in a debug build where it is
        // the larger: no twin then.
        let reached = |kernel: usize, len: usize| {
            let span = dilation * (kernel - 1) + 1;
            (len + 2 * padding - span) / stride * stride + span
        };
        if 2 * padding <= reached(kernel_height, height).min(reached(kernel_width, width)) {
            check_twins(&[&x, &w, &b], &fused, &|| plain::conv2d(&x, &w, &b, config));
        }
    }

    #[test]
    fn pools_equal_their_twins_and_finite_differences(
        n in 1usize..3, c in 1usize..3, kernel in 1usize..5, stride in 1usize..5, pad in 0usize..3,
        height in 1usize..9, width in 1usize..9,
    ) {
        let padding = pad.min(kernel / 2);
        prop_assume!(kernel <= height.min(width) + 2 * padding);
        let config = PoolConfig { kernel, stride, padding };
        for dtype in DTYPES {
            let x = var("x", &[n, c, height, width], dtype);
            check_twins(&[&x], &|| ops::max_pool2d(&x, config), &|| plain::max_pool2d(&x, config));
            check_twins(&[&x], &|| ops::avg_pool2d(&x, config), &|| plain::avg_pool2d(&x, config));
            check_gradient(&[&x], &|| ops::max_pool2d(&x, config));
            check_gradient(&[&x], &|| ops::avg_pool2d(&x, config));
        }
    }

    #[test]
    fn normalisation_equals_its_twin_and_finite_differences(
        n in 1usize..5, groups in 1usize..3, per_group in 1usize..3, height in 1usize..4, width in 1usize..4,
    ) {
        let channels = groups * per_group;
        for dtype in DTYPES {
            let x = var("x", &[n, channels, height, width], dtype);
            for over in [Over::Last, Over::Groups(groups), Over::Batch] {
                let epsilon = 0.1;
                check_twins(&[&x], &|| ops::normalize(&x, over, epsilon), &|| plain::normalize(&x, over, true, epsilon));
                check_gradient(&[&x], &|| ops::normalize(&x, over, epsilon));
            }
            check_twins(&[&x], &|| ops::normalize_by_rms(&x, 0.1), &|| plain::normalize(&x, Over::Last, false, 0.1));
            check_gradient(&[&x], &|| ops::normalize_by_rms(&x, 0.1));
        }
    }

    #[test]
    fn scale_and_shift_equal_their_twin(n in 1usize..4, c in 1usize..4, inner in 1usize..4, channel in 0usize..3) {
        for dtype in DTYPES {
            let x = var("x", &[n, c, inner], dtype);
            let width = [n, c, inner][channel];
            let (w, b) = (var("w", &[width], dtype), var("b", &[width], dtype));
            let fused = || ops::scale_shift(&x, &w, &b, channel);
            check_twins(&[&x, &w, &b], &fused, &|| plain::scale_shift(&x, &w, &b, channel));
            check_gradient(&[&x, &w, &b], &fused);
        }
    }

    #[test]
    fn embedding_equals_its_twin(rows in 1usize..6, width in 0usize..4, ids in prop::collection::vec(0u32..100, 0..12)) {
        let ids: Vec<u32> = ids.into_iter().map(|id| id % rows as u32).collect();
        let n = ids.len();
        let ids = Tensor::from_vec(ids, (1, n), &Device::Cpu).unwrap();
        for dtype in DTYPES {
            let w = var("w", &[rows, width], dtype);
            let fused = || ops::embedding(&ids, &w);
            prop_assert_eq!(fused().unwrap().dims().to_vec(), vec![1, n, width]);
            if n * width != 0 {
                check_twins(&[&w], &fused, &|| plain::embedding(&ids, &w));
                check_gradient(&[&w], &fused);
            }
        }
    }

    #[test]
    fn cross_entropy_equals_its_twin(
        n in 1usize..6, classes in 1usize..5, smoothing in prop::sample::select(vec![0.0, 0.1, 1.0]),
        targets in prop::collection::vec(0u32..100, 6), ignored: bool,
    ) {
        let targets: Vec<u32> = targets[..n].iter().map(|t| t % classes as u32).collect();
        let targets = Tensor::from_vec(targets, n, &Device::Cpu).unwrap();
        let config = CrossEntropyConfig { label_smoothing: smoothing, ignore_index: ignored.then_some(0) };
        for dtype in DTYPES {
            let x = var("x", &[n, classes], dtype);
            let fused = || ops::cross_entropy(&x, &targets, config);
            let (a, b) = (fused().unwrap(), plain::cross_entropy(&x, &targets, config).unwrap());
            prop_assert!((a.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap()
                - b.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap()).abs() < 1e-4);
            if dtype == DType::F64 {
                let error = finite_difference_error(&[&x], &|| fused()? + x.as_tensor().sum_all()?);
                prop_assert!(error < 1e-7, "{}", error);
            }
        }
    }
}

#[test]
fn attention_and_softmax_have_right_gradients() {
    let [q, k, v] = ["q", "k", "v"].map(|name| var(name, &[2, 2, 4, 3], DType::F64));
    let f = || ops::causal_attention(&q, &k, &v);
    check_gradient(&[&q, &k, &v], &f);
    // The first position sees itself alone, and a later one changes nothing before it.
    let y = f().unwrap();
    assert!(distance(&y.narrow(2, 0, 1).unwrap(), &v.narrow(2, 0, 1).unwrap()) < 1e-15);
    let later =
        Tensor::cat(&[&v.narrow(2, 0, 3).unwrap(), &normal("new", &[2, 2, 1, 3], DType::F64)], 2).unwrap();
    let other = ops::causal_attention(&q, &k, &later).unwrap();
    assert_eq!(distance(&y.narrow(2, 0, 3).unwrap(), &other.narrow(2, 0, 3).unwrap()), 0.0);
    let x = var("x", &[3, 4], DType::F64);
    for dim in [0, 1] {
        check_gradient(&[&x], &|| ops::softmax(&x, dim));
        check_gradient(&[&x], &|| ops::log_softmax(&x, dim));
        let twin = candle_nn::ops::softmax(&x, dim).unwrap();
        assert!(distance(&ops::softmax(&x, dim).unwrap(), &twin) < 1e-15);
        assert!(distance(&ops::log_softmax(&x, dim).unwrap().exp().unwrap(), &twin) < 1e-15);
    }
    let large = Tensor::new(&[[1e4f32, -1e4, 9999.0]], &Device::Cpu).unwrap();
    let p: Vec<f32> = ops::softmax(&large, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6 && p.iter().all(|v| v.is_finite()), "{p:?}");
}

#[test]
fn activations_have_right_gradients_and_let_nan_through() {
    let all =
        [Activation::Identity, Activation::Relu, Activation::Gelu, Activation::GeluErf, Activation::Silu];
    let (x, w, b) =
        (var("x", &[5, 4], DType::F64), var("w", &[3, 4], DType::F64), var("b", &[3], DType::F64));
    let nan = Tensor::new(&[f32::NAN, f32::INFINITY, 1.0], &Device::Cpu).unwrap();
    for act in all {
        let error = finite_difference_error(&[&x], &|| weigh(&act.apply(&x)?));
        assert!(error < 1e-8, "{act:?}: {error}");
        check_gradient(&[&x, &w, &b], &|| ops::linear(&x, &w, &b, act));
        check_twins(&[&x, &w, &b], &|| ops::linear(&x, &w, &b, act), &|| plain::linear(&x, &w, &b, act));
        let y: Vec<f32> = act.apply(&nan).unwrap().to_vec1().unwrap();
        assert!(y[0].is_nan() && y[1] == f32::INFINITY, "{act:?}: {y:?}");
    }
    let zero = Var::from_vec(vec![0f64], 1, &Device::Cpu).unwrap();
    let grads = Activation::Relu.apply(&zero).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(grads.get(&zero).unwrap().to_vec1::<f64>().unwrap(), [0.0]);
}

#[test]
fn global_pooling_is_the_mean() {
    let x = var("x", &[2, 3, 4, 5], DType::F64);
    check_twins(&[&x], &|| ops::global_avg_pool2d(&x), &|| x.mean((D::Minus1, D::Minus2)));
}

type Loss = fn(&Tensor, &Tensor) -> Result<LossSum>;

fn losses() -> [(&'static str, Loss); 3] {
    [("mse", loss::mse), ("huber", |x, y| loss::huber(x, y, 0.7)), ("bce", loss::bce_with_logits)]
}

#[test]
fn losses_have_right_gradients_and_add_up_over_parts() {
    let x = var("x", &[5, 3], DType::F64);
    let y = (normal("y", &[5, 3], DType::F64).sqr().unwrap() * 0.1).unwrap();
    for (name, f) in losses() {
        let error = finite_difference_error(&[&x], &|| Ok(f(&x, &y)?.sum));
        assert!(error < 1e-7, "{name}: {error}");
        let value = |loss: &LossSum| loss.sum.to_scalar::<f64>().unwrap();
        let whole = f(&x, &y).unwrap();
        let part = |from, n| f(&x.narrow(0, from, n).unwrap(), &y.narrow(0, from, n).unwrap()).unwrap();
        let (a, b) = (part(0, 2), part(2, 3));
        assert!((value(&a) + value(&b) - value(&whole)).abs() < 1e-12, "{name}");
        assert_eq!(a.weight + b.weight, whole.weight, "{name}");
        let error = f(&x, &y.narrow(0, 0, 4).unwrap()).unwrap_err().to_string();
        assert!(error.contains("[5, 3]") && error.contains("[4, 3]"), "{error}");
    }
}

#[test]
fn losses_equal_their_formulas_at_hard_places() {
    let value = |f: Loss, x: f64, y: f64| {
        let tensor = |v: f64| Tensor::new(&[v], &Device::Cpu).unwrap();
        f(&tensor(x), &tensor(y)).unwrap().sum.to_scalar::<f64>().unwrap()
    };
    // candle's own gives infinity at -120.
    assert_eq!(value(loss::bce_with_logits, -120.0, 1.0), 120.0);
    assert_eq!(value(loss::bce_with_logits, 120.0, 0.0), 120.0);
    assert!((value(loss::bce_with_logits, 0.0, 0.3) - std::f64::consts::LN_2).abs() < 1e-15);
    let huber: Loss = |x, y| loss::huber(x, y, 2.0);
    assert_eq!(value(huber, 1.0, 0.0), 0.5);
    assert_eq!(value(huber, -5.0, 0.0), 2.0 * (5.0 - 1.0));
    assert_eq!(value(loss::mse, 3.0, 1.0), 4.0);
}

#[test]
fn ignored_targets_count_for_nothing() {
    let x = var("x", &[2, 3, 4], DType::F64);
    let targets = Tensor::new(&[[0u32, 9, 3], [9, 1, 2]], &Device::Cpu).unwrap();
    let config = CrossEntropyConfig { label_smoothing: 0.2, ignore_index: Some(9) };
    let some = loss::cross_entropy_with(&x, &targets, config).unwrap();
    assert_eq!(some.weight, 4.0);
    let grads = some.sum.backward().unwrap();
    let dx: Vec<Vec<Vec<f64>>> = grads.get(&x).unwrap().to_vec3().unwrap();
    assert!(dx[0][1].iter().chain(&dx[1][0]).all(|v| *v == 0.0));
    assert!(dx[0][0].iter().all(|v| *v != 0.0));
    // Without the index the same target is an error that names it.
    let error =
        loss::cross_entropy_with(&x, &targets, CrossEntropyConfig::default()).unwrap_err().to_string();
    assert!(error.contains("target 9 of row 1"), "{error}");
}

#[test]
fn dropout_depends_on_the_example_and_not_on_its_batch() {
    let x = Tensor::ones((64, 50), DType::F32, &Device::Cpu).unwrap();
    let whole = ops::dropout(&x, 0.3, 5, "a", 100).unwrap();
    let parts: Vec<Tensor> = [(0, 10), (10, 53), (63, 1)]
        .iter()
        .map(|(from, n)| {
            ops::dropout(&x.narrow(0, *from, *n).unwrap(), 0.3, 5, "a", 100 + *from as u64).unwrap()
        })
        .collect();
    assert_eq!(distance(&whole, &Tensor::cat(&parts, 0).unwrap()), 0.0);
    for (seed, name, first) in [(6, "a", 100), (5, "b", 100), (5, "a", 101)] {
        assert!(0.1 < distance(&whole, &ops::dropout(&x, 0.3, seed, name, first).unwrap()));
    }
    // The mean stays, and so many are dropped.
    let values: Vec<f32> = whole.flatten_all().unwrap().to_vec1().unwrap();
    let dropped = values.iter().filter(|v| **v == 0.0).count() as f64 / values.len() as f64;
    assert!((dropped - 0.3).abs() < 4.0 * (0.3f64 * 0.7 / 3200.0).sqrt(), "{dropped}");
    assert!(values.iter().all(|v| *v == 0.0 || (v - 1.0 / 0.7).abs() < 1e-6));
    let v = var("v", &[4, 6], DType::F64);
    check_gradient(&[&v], &|| ops::dropout(&v, 0.5, 1, "x", 0));
    assert!(ops::dropout(&x, 1.0, 5, "a", 0).unwrap_err().to_string().contains("rate 1"));
}

#[test]
fn wrong_shapes_are_errors_that_name_both() {
    let t = |shape: &[usize]| normal("t", shape, DType::F32);
    let conv = |x: &[usize], w: &[usize], config| {
        ops::conv1d(&t(x), &t(w), &t(&[w[0]]), config).unwrap_err().to_string()
    };
    assert!(conv(&[1, 3, 8], &[4, 2, 3], ConvConfig::USUAL).contains("[4, 2, 3]"));
    assert!(conv(&[1, 3, 8], &[4, 3, 3], ConvConfig { groups: 2, ..ConvConfig::USUAL }).contains("2 groups"));
    let dilated = ConvConfig { dilation: 9, ..ConvConfig::USUAL };
    assert!(conv(&[1, 3, 8], &[4, 3, 3], dilated).contains("dilation 9"));
    let pool = |config| ops::avg_pool2d(&t(&[1, 1, 4, 4]), config).unwrap_err().to_string();
    assert!(pool(PoolConfig { kernel: 5, stride: 1, padding: 0 }).contains("5×5"));
    assert!(pool(PoolConfig { kernel: 2, stride: 1, padding: 2 }).contains("padding 2"));
    let shift = ops::scale_shift(&t(&[2, 3]), &t(&[4]), &t(&[4]), 1).unwrap_err().to_string();
    assert!(shift.contains("[4]") && shift.contains("[2, 3]"), "{shift}");
    let normal = ops::normalize(&t(&[2, 3]), Over::Groups(2), 1e-5).unwrap_err().to_string();
    assert!(normal.contains("[2, 3]") && normal.contains("Groups(2)"), "{normal}");
    let ids = Tensor::new(&[1u32, 7], &Device::Cpu).unwrap();
    let embedding = ops::embedding(&ids, &t(&[5, 2])).unwrap_err().to_string();
    assert!(embedding.contains("id 7 at position 1") && embedding.contains("5 rows"), "{embedding}");
    let attention = ops::causal_attention(&t(&[1, 1, 2, 3]), &t(&[1, 1, 2, 3]), &t(&[1, 1, 3, 3]));
    assert!(attention.unwrap_err().to_string().contains("[1, 1, 3, 3]"));
}

#[test]
fn no_examples_are_no_error_and_have_gradients_of_zero() {
    let t = |name: &str, shape: &[usize]| var(name, shape, DType::F64);
    let (w, b) = (t("w", &[3, 4]), t("b", &[3]));
    let (kernel, rows) = (t("k", &[3, 2, 2, 2]), t("r", &[3, 2, 2]));
    let (none, images) = (t("x", &[0, 4]), t("i", &[0, 2, 4, 4]));
    let (line, heads) = (t("l", &[0, 2, 5]), t("h", &[0, 2, 3, 4]));
    let ids = Tensor::zeros((0, 2), DType::U32, &Device::Cpu).unwrap();
    let targets = Tensor::zeros(0, DType::U32, &Device::Cpu).unwrap();
    let act = Activation::Relu;
    let outputs = [
        ops::linear(&none, &w, &b, act),
        ops::conv2d(&images, &kernel, &b, ConvConfig::USUAL),
        ops::conv1d(&line, &rows, &b, ConvConfig::USUAL),
        ops::embedding(&ids, &w),
    ];
    for (i, y) in outputs.into_iter().enumerate() {
        let y = y.unwrap();
        assert_eq!(y.dim(0).unwrap(), 0, "{i}");
        let grads = y.sum_all().unwrap().backward().unwrap();
        for var in [&w, &b, &kernel, &rows] {
            if let Some(grad) = grads.get(var.as_tensor()) {
                assert!(
                    grad.flatten_all().unwrap().to_vec1::<f64>().unwrap().iter().all(|v| *v == 0.0),
                    "{i}"
                );
            }
        }
    }
    let same_rows = [
        ops::max_pool2d(&images, 2),
        ops::avg_pool2d(&images, 2),
        ops::normalize(&none, Over::Last, 1e-5),
        ops::normalize(&images, Over::Batch, 1e-5),
        ops::scale_shift(&images, &t("s", &[2]), &t("z", &[2]), 1),
        ops::dropout(&none, 0.5, 1, "d", 0),
        ops::causal_attention(&heads, &heads, &heads),
        act.apply(&none),
    ];
    for (i, y) in same_rows.into_iter().enumerate() {
        assert_eq!(y.unwrap().dim(0).unwrap(), 0, "{i}");
    }
    let sum = ops::cross_entropy_sum(&none, &targets).unwrap();
    assert_eq!(sum.to_scalar::<f64>().unwrap(), 0.0);
}
