//! Finite differences and comparisons shared by the tests of this crate.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part of this, and may panic"
)]

use batchwise_nn::random;
use candle_core::{DType, Device, Result, Tensor, Var};

/// A tensor of normal numbers that depends only on `name`.
pub(crate) fn normal(name: &str, shape: &[usize], dtype: DType) -> Tensor {
    let values = random::normal(11, name, shape.iter().product(), 0.0, 1.0);
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

pub(crate) fn var(name: &str, shape: &[usize], dtype: DType) -> Var {
    Var::from_tensor(&normal(name, shape, dtype)).unwrap()
}

/// ‖a − b‖/max(‖a‖, ‖b‖).
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let norm = |t: &Tensor| {
        t.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let difference = (a.to_dtype(DType::F64).unwrap() - b.to_dtype(DType::F64).unwrap()).unwrap();
    (norm(&difference) / norm(a).max(norm(b)).max(1e-300)).sqrt()
}

/// Largest relative distance, over `vars`, between the gradient of `f` and central differences in f64.
///
/// `f` returns a scalar; the step 1e-5 leaves an error near 1e-10 in a smooth f64 function.
pub(crate) fn finite_difference_error(vars: &[&Var], f: &dyn Fn() -> Result<Tensor>) -> f64 {
    let step = 1e-5;
    let grads = f().unwrap().backward().unwrap();
    let mut worst: f64 = 0.0;
    for var in vars {
        let analytic = grads.get(var.as_tensor()).expect("a gradient").clone();
        let start: Vec<f64> = var.flatten_all().unwrap().to_vec1().unwrap();
        let at = |values: Vec<f64>| {
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
            f().unwrap().to_scalar::<f64>().unwrap()
        };
        let mut numeric = Vec::new();
        for i in 0..start.len() {
            let shifted = |by: f64| {
                let mut values = start.clone();
                values[i] += by;
                at(values)
            };
            numeric.push((shifted(step) - shifted(-step)) / (2.0 * step));
        }
        at(start);
        let numeric = Tensor::from_vec(numeric, var.shape(), &Device::Cpu).unwrap();
        worst = worst.max(distance(&analytic, &numeric));
    }
    worst
}

/// A scalar with a different weight on each output, so that no error cancels.
pub(crate) fn weigh(y: &Tensor) -> Result<Tensor> {
    (y * normal("weigh", y.dims(), y.dtype()))?.sum_all()
}

/// Forward values and gradients of a fused op and of its twin agree to the dtype's rounding.
pub(crate) fn check_twins(
    vars: &[&Var],
    fused: &dyn Fn() -> Result<Tensor>,
    twin: &dyn Fn() -> Result<Tensor>,
) {
    let tolerance = if vars[0].dtype() == DType::F64 { 1e-12 } else { 3e-5 };
    let (a, b) = (fused().unwrap(), twin().unwrap());
    assert!(distance(&a, &b) < tolerance, "forward differs by {}", distance(&a, &b));
    let (ga, gb) = (weigh(&a).unwrap().backward().unwrap(), weigh(&b).unwrap().backward().unwrap());
    for (i, var) in vars.iter().enumerate() {
        let (ga, gb) = (ga.get(var.as_tensor()).unwrap(), gb.get(var.as_tensor()).unwrap());
        assert!(distance(ga, gb) < tolerance, "gradient {i} differs by {}", distance(ga, gb));
    }
}
