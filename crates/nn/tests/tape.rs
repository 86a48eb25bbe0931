//! The tape against candle's own backward pass: the same gradients, whatever stands between our ops.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_nn::gradients::{Gradients, Tap};
use batchwise_nn::ops::{self, Activation, ConvConfig, Over};
use batchwise_nn::tape::{self, Recorded};
use batchwise_nn::{Parameters, random};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::Init;
use proptest::prelude::*;

fn normal(name: &str, shape: &[usize]) -> Tensor {
    let n = shape.iter().product();
    Tensor::from_vec(random::normal(9, name, n, 0.0, 1.0), shape, &Device::Cpu).unwrap()
}

/// One of several things a model may do next, ours and candle's in any order, all keeping the shape (n, 4).
fn apply(what: u8, x: &Tensor, older: &Tensor, vars: &[Var; 3]) -> Result<Tensor> {
    let [w, b, scale] = vars;
    match what % 9 {
        0 => ops::linear(x, w, b, Activation::Relu),
        1 => ops::linear(x, w, b, Activation::Gelu),
        2 => ops::normalize(x, Over::Last, 1e-3),
        3 => ops::scale_shift(x, scale, b, 1),
        4 => x + older,
        5 => x.mul(older)?.tanh(),
        6 => x.matmul(w),
        7 => ops::linear(older, w, b, Activation::Identity)? + x,
        _ => x.t()?.contiguous()?.t()?.affine(0.5, 0.1),
    }
}

fn variables() -> [Var; 3] {
    let var = |name: &str, shape: &[usize]| Var::from_tensor(&(normal(name, shape) * 0.5).unwrap()).unwrap();
    [var("w", &[4, 4]), var("b", &[4]), var("scale", &[4])]
}

fn close(a: &Tensor, b: &Tensor) {
    let (a, b) = (a.flatten_all().unwrap(), b.flatten_all().unwrap());
    let difference = (&a - &b).unwrap().abs().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
    let size = b.abs().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
    assert!(difference <= 1e-11 * (1.0 + size), "{difference} of {size}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_mixture_has_the_gradients_of_candles_own_pass(steps in proptest::collection::vec(0u8..9, 1..9), from in 0usize..3) {
        let vars = variables();
        let input = Var::from_tensor(&normal("x", &[3, 4])).unwrap();
        let loss = || -> Result<Tensor> {
            let mut seen = vec![input.as_tensor().clone()];
            for (i, what) in steps.iter().enumerate() {
                let older = &seen[(i * 7 + from) % seen.len()];
                seen.push(apply(*what, &seen[i], older, &vars)?);
            }
            seen[seen.len() - 1].sqr()?.sum_all()
        };
        let plain = loss().unwrap().backward().unwrap();
        let recorded = Recorded::new(loss).unwrap().scaled(2.0).backward().unwrap();
        for var in vars.iter().chain([&input]) {
            match (plain.get(var), recorded.get(var)) {
                (Some(plain), Some(recorded)) => close(&(recorded * 0.5).unwrap(), plain),
                (plain, recorded) => prop_assert!(plain.is_none() && recorded.is_none()),
            }
        }
    }
}

#[test]
fn an_image_model_has_the_same_gradients_and_a_parameter_without_one_is_named() {
    let parameters = Parameters::new();
    let vb = parameters.builder(3, DType::F64, &Device::Cpu);
    let init = Init::Randn { mean: 0.0, stdev: 0.3 };
    let weight = vb.get_with_hints((4, 3, 3, 3), "weight", init).unwrap();
    let bias = vb.get_with_hints(4, "bias", init).unwrap();
    let x = normal("images", &[2, 3, 6, 6]);
    let loss = || -> Result<Tensor> {
        let config = ConvConfig { padding: 1, activation: Activation::Relu, ..ConvConfig::USUAL };
        let y = ops::conv2d(&x, &weight, &bias, config)?;
        let y = (&y + y.sqr()?)?;
        ops::max_pool2d(&y, 2)?.sqr()?.sum_all()
    };
    let (mut taped, mut plain) = (Gradients::new(), Gradients::new());
    let norms = taped.backward(&parameters, Recorded::new(loss).unwrap(), Tap::Norms).unwrap();
    let want = plain.backward(&parameters, &loss().unwrap(), Tap::Norms).unwrap();
    taped.tensors().iter().zip(plain.tensors()).for_each(|(a, b)| close(a, b));
    norms.iter().zip(&want).for_each(|(a, b)| assert!((a - b).abs() <= 1e-10 * b));

    vb.get(3, "unused").unwrap();
    let recorded = Recorded::new(loss).unwrap();
    let error = Gradients::new().backward(&parameters, recorded, Tap::Off).unwrap_err().to_string();
    assert!(error.contains("`unused` got no gradient"), "{error}");
}

#[test]
fn nothing_is_kept_without_gradients_and_the_mode_ends_with_its_closure() {
    let [w, b, _] = variables();
    let x = normal("x", &[3, 4]);
    let y = tape::no_grad(|| ops::linear(&x, &w, &b, Activation::Relu)).unwrap();
    assert!(!y.track_op());
    let failed = Recorded::new(|| -> Result<Tensor> { candle_core::bail!("planted") });
    assert!(failed.is_err());
    let panicked =
        std::panic::catch_unwind(|| Recorded::new(|| -> Result<Tensor> { panic!("planted") }).is_ok());
    assert!(panicked.is_err());
    // Candle's graph as ever.
    let y = ops::linear(&x, &w, &b, Activation::Relu).unwrap();
    assert!(y.track_op() && !y.is_variable());
}
