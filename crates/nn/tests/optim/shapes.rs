//! Parameters of no element and of one, and gradients that are not finite.

use crate::{ALL, bits, flat, gradients_at, gradients_of, parameters, usual};
use batchwise_nn::Parameters;
use batchwise_nn::gradients::Tap;
use batchwise_nn::optim::{Ema, EmaDecay, clip_norm, clip_value};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

/// Σ of all weights.
fn loss(parameters: &Parameters) -> Tensor {
    let sums: Vec<Tensor> = parameters.named().iter().map(|(_, w)| w.sum_all().unwrap()).collect();
    Tensor::stack(&sums, 0).unwrap().sum_all().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_shape_works(which in 0..ALL.len(), rows in 0..3usize, columns in 0..3usize, wide in any::<bool>()) {
        let dtype = if wide { DType::F64 } else { DType::F32 };
        let parameters = parameters(&[("a", &[rows, columns]), ("b", &[columns]), ("c", &[])], dtype);
        let before = bits(&parameters);
        let mut optimizer = ALL[which].build(&parameters).unwrap();
        for t in 0..3 {
            optimizer.step(&parameters, &gradients_at(&parameters, t), 0.1).unwrap();
        }
        for (name, w) in parameters.named() {
            prop_assert!(flat(&w).into_iter().all(f64::is_finite));
            prop_assert_eq!(bits(&parameters)[&name] == before[&name], w.elem_count() == 0);
        }
        let mut summed = gradients_at(&parameters, 0);
        summed.add(&parameters, &mut loss(&parameters).backward().unwrap(), Tap::Norms).unwrap();
        clip_norm(&mut summed, 0.1).unwrap();
        clip_value(&mut summed, 0.01).unwrap();
        optimizer.step(&parameters, &summed, 0.1).unwrap();
        let mut ema = Ema::new(&parameters, EmaDecay::PerStep(0.5)).unwrap();
        ema.update(&parameters, 1.0).unwrap();
        ema.swap(&parameters).unwrap();
        let state = optimizer.state();
        ALL[which].build(&parameters).unwrap().load_state(&state).unwrap();
    }
}

#[test]
fn nan_travels() {
    for config in ALL {
        let parameters = usual(DType::F32);
        let mut optimizer = config.build(&parameters).unwrap();
        let gradients = gradients_of(&parameters, |name, shape| {
            let mut values = vec![0.5f32; shape.iter().product()];
            if name == "head.weight" {
                values[1] = f32::NAN;
            }
            Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
        });
        optimizer.step(&parameters, &gradients, 0.1).unwrap();
        for (name, w) in parameters.named() {
            let w = flat(&w);
            assert_eq!(w.iter().any(|w| w.is_nan()), name == "head.weight", "{config} {name}: {w:?}");
        }
        assert!(flat(&parameters.get("head.weight").unwrap())[1].is_nan(), "{config}");
    }
}
