//! Every fused op against its plain twin, and its gradient against finite differences in f64.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use batchwise_nn::ops::{self, Activation, ConvConfig, plain};
use candle_core::{DType, Device, Result, Tensor, Var};
use common::{check_twins, distance, finite_difference_error, normal, var, weigh};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 2] = [Activation::Identity, Activation::Relu];

#[test]
fn linear_equals_its_twin_and_finite_differences() {
    for dtype in [DType::F32, DType::F64] {
        for (n, inner, out) in [(1, 1, 1), (1, 7, 5), (33, 20, 9), (130, 64, 70)] {
            let (x, w, b) =
                (var("x", &[n, inner], dtype), var("w", &[out, inner], dtype), var("b", &[out], dtype));
            for act in ACTIVATIONS {
                check_twins(&[&x, &w, &b], &|| ops::linear(&x, &w, &b, act), &|| {
                    plain::linear(&x, &w, &b, act)
                });
                if dtype == DType::F64 && n * inner < 1000 {
                    let error =
                        finite_difference_error(&[&x, &w, &b], &|| weigh(&ops::linear(&x, &w, &b, act)?));
                    assert!(error < 1e-8, "{error}");
                }
            }
        }
    }
}

#[test]
fn linear_takes_any_leading_shape_and_strides() {
    let (x, w, b) =
        (var("x", &[4, 3, 6], DType::F64), var("w", &[6, 5], DType::F64), var("b", &[5], DType::F64));
    let act = Activation::Relu;
    let fused = || ops::linear(&x.transpose(0, 1)?, &w.t()?, &b, act);
    let twin = || plain::linear(&x.transpose(0, 1)?.contiguous()?, &w.t()?.contiguous()?, &b, act);
    check_twins(&[&x, &w, &b], &fused, &twin);
}

#[test]
fn conv2d_equals_its_twin_and_finite_differences() {
    let shapes = [
        // n, in, out, h, w, k, stride, padding
        (1, 1, 1, 3, 3, 3, 1, 0),
        (2, 3, 4, 7, 5, 3, 1, 1),
        (9, 2, 3, 6, 6, 3, 2, 1),
        (17, 1, 2, 5, 8, 1, 1, 0),
        (3, 2, 2, 8, 8, 5, 3, 2),
        (3, 2, 2, 8, 7, 5, 3, 2),
        (2, 2, 3, 4, 4, 2, 1, 3),
    ];
    for dtype in [DType::F32, DType::F64] {
        for (n, inner, out, h, w, k, stride, padding) in shapes {
            let x = var("x", &[n, inner, h, w], dtype);
            let weight = var("w", &[out, inner, k, k], dtype);
            let b = var("b", &[out], dtype);
            for activation in ACTIVATIONS {
                let config = ConvConfig { stride, padding, activation, ..ConvConfig::USUAL };
                let fused = || ops::conv2d(&x, &weight, &b, config);
                check_twins(&[&x, &weight, &b], &fused, &|| plain::conv2d(&x, &weight, &b, config));
                if dtype == DType::F64 {
                    let error = finite_difference_error(&[&x, &weight, &b], &|| weigh(&fused()?));
                    assert!(error < 1e-8, "{error} for {config:?} k {k}");
                }
            }
        }
    }
}

#[test]
fn max_pool2d_equals_its_twin_and_finite_differences() {
    for dtype in [DType::F32, DType::F64] {
        // Sizes that the window divides and sizes that leave a rest.
        for (h, w, k) in [(4, 4, 2), (6, 6, 3), (5, 7, 2), (7, 7, 2), (3, 3, 3), (5, 5, 1)] {
            let x = var("x", &[3, 2, h, w], dtype);
            let fused = || ops::max_pool2d(&x, k);
            check_twins(&[&x], &fused, &|| plain::max_pool2d(&x, k));
            if dtype == DType::F64 {
                let error = finite_difference_error(&[&x], &|| weigh(&fused()?));
                assert!(error < 1e-8, "{error} for {h}×{w} k {k}");
            }
        }
    }
}

#[test]
fn max_pool2d_gives_a_tie_to_one_element_and_lets_nan_through() {
    let x = Var::from_vec(vec![1f32, 1.0, 1.0, 1.0], (1, 1, 2, 2), &Device::Cpu).unwrap();
    let grads = ops::max_pool2d(&x, 2).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(grads.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, 0.0, 0.0, 0.0]);
    for at in 0..9 {
        let mut values = vec![1f32; 9];
        values[at] = f32::NAN;
        let x = Tensor::from_vec(values, (1, 1, 3, 3), &Device::Cpu).unwrap();
        let largest = |k| ops::max_pool2d(&x, k).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        assert!(largest(3).is_nan());
        assert_eq!(largest(2).is_nan(), at % 3 < 2 && at < 6);
    }
}

#[test]
fn cross_entropy_equals_its_twin_and_finite_differences() {
    for dtype in [DType::F32, DType::F64] {
        for (n, classes) in [(1, 2), (5, 10), (64, 3)] {
            let x = var("x", &[n, classes], dtype);
            let targets: Vec<u32> = (0..n).map(|i| (i * 7 % classes) as u32).collect();
            let targets = Tensor::from_vec(targets, n, &Device::Cpu).unwrap();
            let fused = || ops::cross_entropy_sum(&x, &targets);
            check_twins(&[&x], &fused, &|| plain::cross_entropy_sum(&x, &targets));
            if dtype == DType::F64 {
                // Scaled, because accumulation scales the loss before its backward pass.
                let error = finite_difference_error(&[&x], &|| fused()?.affine(0.37, 0.0));
                assert!(error < 1e-8, "{error}");
            }
        }
    }
}

#[test]
fn cross_entropy_stays_finite_at_large_logits() {
    let x = Var::from_vec(vec![1000f32, -1000.0, 0.0, -1000.0, 1000.0, 0.0], (2, 3), &Device::Cpu).unwrap();
    let targets = Tensor::from_vec(vec![0u32, 0], 2, &Device::Cpu).unwrap();
    let loss = ops::cross_entropy_sum(&x, &targets).unwrap();
    assert_eq!(loss.to_scalar::<f32>().unwrap(), 2000.0);
    let grads = loss.backward().unwrap();
    let g = grads.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(g, [0.0, 0.0, 0.0, -1.0, 1.0, 0.0]);
}

#[test]
fn an_input_that_is_no_variable_gets_no_gradient() {
    let (w, b) = (var("w", &[4, 3], DType::F32), var("b", &[4], DType::F32));
    let x = normal("x", &[2, 3], DType::F32);
    let grads = ops::linear(&x, &w, &b, Activation::Relu).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_none());
    assert!(grads.get(&w).is_some());
}

#[test]
fn wrong_shapes_and_values_are_errors() {
    let t = |shape: &[usize]| normal("t", shape, DType::F32);
    let error = |r: Result<Tensor>| r.unwrap_err().to_string();
    assert!(
        error(ops::linear(&t(&[2, 3]), &t(&[4, 5]), &t(&[4]), Activation::Relu))
            .contains("does not fit input")
    );
    let config = ConvConfig { activation: Activation::Relu, ..ConvConfig::USUAL };
    let conv = |x: &[usize], w: &[usize], config| error(ops::conv2d(&t(x), &t(w), &t(&[w[0]]), config));
    assert!(conv(&[1, 2, 5, 5], &[3, 1, 3, 3], config).contains("does not fit input"));
    assert!(conv(&[1, 1, 2, 2], &[3, 1, 3, 3], config).contains("kernel 3×3"));
    assert!(conv(&[1, 1, 5, 5], &[3, 1, 3, 3], ConvConfig { stride: 0, ..config }).contains("stride 0"));
    assert!(error(ops::max_pool2d(&t(&[1, 1, 2, 2]), 3)).contains("3×3 window"));
    assert!(error(ops::max_pool2d(&t(&[1, 1, 2, 2]), 0)).contains("0×0 window"));
    let targets = Tensor::from_vec(vec![0u32, 3], 2, &Device::Cpu).unwrap();
    assert!(
        error(ops::cross_entropy_sum(&t(&[2, 3]), &targets))
            .contains("target 3 of row 1 is not one of the 3")
    );
    let x = t(&[2, 3]).to_dtype(DType::BF16).unwrap();
    let (w, b) = (t(&[4, 3]).to_dtype(DType::BF16).unwrap(), t(&[4]).to_dtype(DType::BF16).unwrap());
    assert!(error(ops::linear(&x, &w, &b, Activation::Relu)).contains("f32 and f64"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Convolution is linear in its input, for any geometry.
    #[test]
    fn conv2d_is_linear(n in 1usize..4, inner in 1usize..3, out in 1usize..4, h in 3usize..9, w in 3usize..9,
                        k in 1usize..4, stride in 1usize..4, padding in 0usize..3) {
        let config = ConvConfig { stride, padding, ..ConvConfig::USUAL };
        let (a, b) = (normal("a", &[n, inner, h, w], DType::F64), normal("b", &[n, inner, h, w], DType::F64));
        let weight = normal("w", &[out, inner, k, k], DType::F64);
        let zero = Tensor::zeros(out, DType::F64, &Device::Cpu).unwrap();
        let conv = |x: &Tensor| ops::conv2d(x, &weight, &zero, config).unwrap();
        let sum = (conv(&a) + conv(&b)).unwrap();
        prop_assert!(distance(&conv(&(a + b).unwrap()), &sum) < 1e-13);
    }
}
