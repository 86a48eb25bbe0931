//! Clipping by norm and by value.

use crate::{flat, gradients_at, gradients_of, normal, tensor_bits, usual};
use batchwise_nn::Gradients;
use batchwise_nn::optim::{ClipError, clip_norm, clip_value};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

type Clip = fn(&mut Gradients, f64) -> Result<(), ClipError>;

fn norm(gradients: &Gradients) -> f64 {
    gradients.norms2().unwrap().iter().sum::<f64>().sqrt()
}

fn all(gradients: &Gradients) -> Vec<f64> {
    gradients.tensors().iter().flat_map(flat).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn clipping_never_lengthens(step in 0..100usize, limit in 1e-6..20f64, wide in any::<bool>()) {
        let parameters = usual(if wide { DType::F64 } else { DType::F32 });
        let mut gradients = gradients_at(&parameters, step);
        let before = norm(&gradients);
        prop_assert_eq!(clip_norm(&mut gradients, limit).unwrap(), before);
        let after = norm(&gradients);
        prop_assert!(after <= before && after <= limit, "{} {} {}", after, before, limit);
        if before + 1e-6 <= limit {
            prop_assert_eq!(after, before);
        }
        let direction = |x: f64| x * limit / (before + 1e-6);
        if limit < before {
            for (got, g) in all(&gradients).into_iter().zip(all(&gradients_at(&parameters, step))) {
                prop_assert!((got - direction(g)).abs() <= 1e-6 * direction(g).abs());
            }
        }
    }

    #[test]
    fn values_are_brought_into_the_limit_and_counted(step in 0..100usize, limit in 1e-3..3f64) {
        let parameters = usual(DType::F64);
        let mut gradients = gradients_at(&parameters, step);
        let before = all(&gradients);
        let n_outside = before.iter().filter(|g| limit < g.abs()).count();
        prop_assert_eq!(clip_value(&mut gradients, limit).unwrap(), n_outside as u64);
        let want: Vec<f64> = before.into_iter().map(|g| g.clamp(-limit, limit)).collect();
        prop_assert_eq!(all(&gradients), want);
    }
}

#[test]
fn what_is_not_finite_is_reported_and_nothing_spreads() {
    let parameters = usual(DType::F64);
    for strange in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let gradients = || {
            gradients_of(&parameters, |name, shape| {
                let ones = normal(name, shape, DType::F64);
                let strange = Tensor::new(strange, &Device::Cpu).unwrap().broadcast_as(shape).unwrap();
                if name == "norm.scale" { strange.contiguous().unwrap() } else { ones }
            })
        };
        let clips: [Clip; 2] =
            [|g, limit| clip_norm(g, limit).map(drop), |g, limit| clip_value(g, limit).map(drop)];
        for clip in clips {
            let mut clipped = gradients();
            let error = clip(&mut clipped, 0.1).unwrap_err();
            assert!(matches!(error, ClipError::NotFinite { index: 2 }), "{error}");
            for (a, b) in clipped.tensors().iter().zip(gradients().tensors()) {
                assert_eq!(tensor_bits(a), tensor_bits(b));
            }
        }
    }
}

#[test]
fn limits_out_of_range_are_refused() {
    let parameters = usual(DType::F64);
    let mut gradients = gradients_at(&parameters, 0);
    for limit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(clip_norm(&mut gradients, limit), Err(ClipError::Candle(_))));
        assert!(matches!(clip_value(&mut gradients, limit), Err(ClipError::Candle(_))));
    }
    assert_eq!(clip_norm(&mut Gradients::new(), 1.0).unwrap(), 0.0);
}

#[test]
fn clipping_is_in_place() {
    let parameters = usual(DType::F64);
    let mut gradients = gradients_at(&parameters, 0);
    let held: Vec<Tensor> = gradients.tensors().to_vec();
    clip_norm(&mut gradients, 0.1).unwrap();
    clip_value(&mut gradients, 0.01).unwrap();
    for (held, g) in held.iter().zip(gradients.tensors()) {
        assert_eq!(tensor_bits(held), tensor_bits(g));
    }
}
