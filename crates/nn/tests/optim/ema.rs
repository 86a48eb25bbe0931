//! Averages of the weights.

use crate::{bits, flat, parameters, tensor_bits, usual};
use batchwise_nn::Parameters;
use batchwise_nn::optim::{Ema, EmaDecay};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

fn set(parameters: &Parameters, value: f64) {
    for (_, w) in parameters.named() {
        let value = Tensor::new(value, &Device::Cpu).unwrap().to_dtype(w.dtype()).unwrap();
        w.set(&value.broadcast_as(w.shape()).unwrap()).unwrap();
    }
}

fn average(ema: &Ema) -> f64 {
    flat(ema.state().unwrap().values().next().unwrap())[0]
}

#[test]
fn the_averages_are_the_weighted_sum_of_all_weights() {
    let parameters = parameters(&[("w", &[2])], DType::F64);
    set(&parameters, 3.0);
    let mut ema = Ema::new(&parameters, EmaDecay::PerStep(0.9)).unwrap();
    for w in [1.0, 5.0, -2.0] {
        set(&parameters, w);
        ema.update(&parameters, 17.0).unwrap();
    }
    let want = 0.729 * 3.0 + 0.1 * (0.81 * 1.0 + 0.9 * 5.0 - 2.0);
    assert!((average(&ema) - want).abs() < 1e-14, "{}", average(&ema));
}

#[test]
fn half_is_left_after_a_half_life_of_examples() {
    let parameters = parameters(&[("w", &[1])], DType::F64);
    for batch in [1.0, 25.0, 100.0] {
        set(&parameters, 1.0);
        let mut ema = Ema::new(&parameters, EmaDecay::HalfLife { examples: 100.0 }).unwrap();
        set(&parameters, 0.0);
        for _ in 0..(100.0 / batch) as usize {
            ema.update(&parameters, batch).unwrap();
        }
        assert!((average(&ema) - 0.5).abs() < 1e-14, "{}", average(&ema));
    }
}

proptest! {
    #[test]
    fn a_batch_kappa_times_as_large_keeps_rho_to_the_kappa(
        rho in 0.01..0.9999f64,
        batch in 1.0..1e4f64,
        kappa in 0.1..50f64,
    ) {
        let decay = EmaDecay::at_batch(rho, batch).unwrap();
        prop_assert!((decay.kept(batch) - rho).abs() < 1e-13);
        prop_assert!((decay.kept(kappa * batch) - rho.powf(kappa)).abs() < 1e-13);
        prop_assert_eq!(EmaDecay::PerStep(rho).kept(kappa * batch), rho);
    }
}

#[test]
fn in_f32_the_averages_of_weights_that_stand_still_are_those_weights() {
    let parameters = parameters(&[("w", &[1])], DType::F32);
    set(&parameters, 0.0);
    for decay in [EmaDecay::PerStep(0.9999), EmaDecay::HalfLife { examples: 1e6 }] {
        set(&parameters, 0.1);
        let mut ema = Ema::new(&parameters, decay).unwrap();
        for _ in 0..10_000 {
            ema.update(&parameters, 100.0).unwrap();
        }
        assert_eq!(average(&ema) as f32, 0.1);
    }
}

#[test]
fn a_swap_and_another_restore_every_bit() {
    for dtype in [DType::F32, DType::F64] {
        let parameters = usual(dtype);
        let mut ema = Ema::new(&parameters, EmaDecay::PerStep(0.5)).unwrap();
        let model = parameters.get("head.weight").unwrap().as_tensor().clone();
        set(&parameters, f64::NAN);
        ema.update(&parameters, 1.0).unwrap();
        set(&parameters, -0.0);
        ema.load_state(&states(&usual(dtype))).unwrap();
        let (weights, averages) = (bits(&parameters), bits(&usual(dtype)));
        ema.swap(&parameters).unwrap();
        assert!(ema.is_swapped());
        assert_eq!(bits(&parameters), averages);
        // The model sees the averages: the storage is its own.
        assert_eq!(tensor_bits(&model), averages["head.weight"]);
        assert!(ema.update(&parameters, 1.0).is_err());
        assert!(ema.state().is_err());
        assert!(ema.load_state(&BTreeMap::new()).is_err());
        ema.swap(&parameters).unwrap();
        assert_eq!(bits(&parameters), weights);
        for (name, a) in ema.state().unwrap() {
            assert_eq!(tensor_bits(&a), averages[name.strip_prefix("average.").unwrap()]);
        }
    }
}

/// The values of parameters as saved averages.
fn states(parameters: &Parameters) -> BTreeMap<String, Tensor> {
    let snapshot = parameters.snapshot().unwrap();
    snapshot.into_iter().map(|(name, w)| (format!("average.{name}"), w)).collect()
}

#[test]
fn saved_averages_go_on_exactly() {
    let parameters = usual(DType::F32);
    let decay = EmaDecay::HalfLife { examples: 50.0 };
    let mut straight = Ema::new(&parameters, decay).unwrap();
    set(&parameters, 0.3);
    straight.update(&parameters, 8.0).unwrap();
    let file = std::env::temp_dir().join(format!("batchwise-{}-ema.safetensors", std::process::id()));
    let tensors: HashMap<String, Tensor> = straight.state().unwrap().into_iter().collect();
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let saved: BTreeMap<String, Tensor> =
        candle_core::safetensors::load(&file, &Device::Cpu).unwrap().into_iter().collect();
    std::fs::remove_file(&file).unwrap();
    let mut resumed = Ema::new(&parameters, decay).unwrap();
    resumed.load_state(&saved).unwrap();
    set(&parameters, 0.7);
    // Another batch size goes on from the same averages.
    straight.update(&parameters, 32.0).unwrap();
    resumed.update(&parameters, 32.0).unwrap();
    let all = |ema: &Ema| ema.state().unwrap().values().map(tensor_bits).collect::<Vec<_>>();
    assert_eq!(all(&straight), all(&resumed));

    let before = all(&resumed);
    let one = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
    for name in saved.keys() {
        let mut state = saved.clone();
        state.remove(name);
        assert!(resumed.load_state(&state).unwrap_err().to_string().contains(name.as_str()));
        state.insert(name.clone(), one.clone());
        assert!(resumed.load_state(&state).unwrap_err().to_string().contains(name.as_str()));
        state.insert("average.other".to_owned(), one.clone());
        assert!(resumed.load_state(&state).unwrap_err().to_string().contains("average.other"));
    }
    assert_eq!(all(&resumed), before);
}

#[test]
fn what_does_not_fit_is_refused() {
    let parameters = usual(DType::F64);
    for decay in [
        EmaDecay::PerStep(1.0),
        EmaDecay::PerStep(-0.1),
        EmaDecay::HalfLife { examples: 0.0 },
        EmaDecay::HalfLife { examples: f64::NAN },
    ] {
        assert!(Ema::new(&parameters, decay).is_err());
    }
    for (rho, batch) in [(0.0, 1.0), (1.0, 1.0), (0.5, 0.0), (0.5, f64::NAN)] {
        assert!(EmaDecay::at_batch(rho, batch).is_err());
    }
    let mut ema = Ema::new(&parameters, EmaDecay::PerStep(0.9)).unwrap();
    assert!(ema.update(&usual(DType::F32), 1.0).is_err());
    assert!(ema.update(&crate::parameters(&[("w", &[1])], DType::F64), 1.0).is_err());
    assert!(ema.swap(&usual(DType::F32)).is_err());
    assert!(ema.update(&parameters, f64::NAN).is_err());
    assert!(!ema.is_swapped());
}
