//! States that save, load and go on bit for bit.

use crate::{ALL, bits, gradients_at, usual};
use batchwise_nn::Parameters;
use batchwise_nn::optim::{Optimizer, OptimizerConfig, SgdConfig};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, HashMap};

type State = BTreeMap<String, Tensor>;

/// Through a safetensors file and back.
fn through_a_file(state: &State, name: &str) -> State {
    let file = std::env::temp_dir().join(format!("batchwise-{}-{name}.safetensors", std::process::id()));
    let tensors: HashMap<String, Tensor> = state.clone().into_iter().collect();
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let read = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
    std::fs::remove_file(&file).unwrap();
    read.into_iter().collect()
}

fn train(optimizer: &mut dyn Optimizer, parameters: &Parameters, steps: std::ops::Range<usize>) {
    for t in steps {
        optimizer.step(parameters, &gradients_at(parameters, t), 0.01).unwrap();
    }
}

fn state_bits(state: &State) -> BTreeMap<String, (Vec<u64>, DType, Vec<usize>)> {
    let bits = |x: &Tensor| (crate::tensor_bits(x), x.dtype(), x.dims().to_vec());
    state.iter().map(|(name, x)| (name.clone(), bits(x))).collect()
}

#[test]
fn a_saved_state_goes_on_exactly() {
    for (i, config) in ALL.into_iter().enumerate() {
        for dtype in [DType::F32, DType::F64] {
            let (straight, resumed) = (usual(dtype), usual(dtype));
            let mut optimizer = config.build(&straight).unwrap();
            let mut first = config.build(&resumed).unwrap();
            train(&mut *optimizer, &straight, 0..3);
            train(&mut *first, &resumed, 0..3);
            let saved = through_a_file(&first.state(), &format!("{i}-{dtype:?}"));
            assert_eq!(state_bits(&saved), state_bits(&first.state()), "{config}");
            drop(first);
            let mut second = config.build(&resumed).unwrap();
            second.load_state(&saved).unwrap();
            assert_eq!(state_bits(&saved), state_bits(&second.state()), "{config}");
            train(&mut *optimizer, &straight, 3..6);
            train(&mut *second, &resumed, 3..6);
            assert_eq!(bits(&straight), bits(&resumed), "{config}");
            assert_eq!(state_bits(&optimizer.state()), state_bits(&second.state()), "{config}");
            // What was loaded is a copy.
            train(&mut *config.build(&resumed).unwrap(), &resumed, 0..1);
            assert_eq!(saved["n_steps"].to_scalar::<i64>().unwrap(), 3);
        }
    }
}

#[test]
fn the_count_of_steps_matters_where_it_should() {
    // Else the test above could pass without it.
    for config in ALL {
        let (one, other) = (usual(DType::F64), usual(DType::F64));
        let (mut a, mut b) = (config.build(&one).unwrap(), config.build(&other).unwrap());
        train(&mut *a, &one, 0..2);
        train(&mut *b, &other, 0..2);
        let mut state = b.state();
        state.insert("n_steps".to_owned(), Tensor::new(0i64, &Device::Cpu).unwrap());
        b.load_state(&state).unwrap();
        train(&mut *a, &one, 2..3);
        train(&mut *b, &other, 2..3);
        let counts = match config {
            OptimizerConfig::Sgd(SgdConfig { dampening, .. }) => dampening != 0.0,
            OptimizerConfig::Adam(_) | OptimizerConfig::AdamW(_) | OptimizerConfig::Lamb(_) => true,
            _ => false,
        };
        assert_eq!(bits(&one) != bits(&other), counts, "{config}");
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_and_changes_nothing() {
    let one = |dtype| Tensor::ones(1, dtype, &Device::Cpu).unwrap();
    for config in ALL {
        let parameters = usual(DType::F64);
        let mut optimizer = config.build(&parameters).unwrap();
        train(&mut *optimizer, &parameters, 0..2);
        let other = usual(DType::F64);
        let mut longer = config.build(&other).unwrap();
        train(&mut *longer, &other, 0..4);
        let before = state_bits(&optimizer.state());
        let mut refuse = |change: &dyn Fn(&mut State), said: &str| {
            let mut state = longer.state();
            change(&mut state);
            let error = optimizer.load_state(&state).unwrap_err().to_string();
            assert!(error.contains(said), "{config}: {error}");
            assert_eq!(state_bits(&optimizer.state()), before, "{config}");
        };
        for name in longer.state().into_keys() {
            refuse(&|state| drop(state.remove(&name)), &format!("lacks `{name}`"));
            refuse(
                &|state| {
                    drop(state.insert(name.clone(), Tensor::zeros((7, 7), DType::F64, &Device::Cpu).unwrap()))
                },
                &name,
            );
            refuse(
                &|state| drop(state.insert(name.clone(), state[&name].to_dtype(DType::F32).unwrap())),
                &name,
            );
        }
        refuse(&|state| drop(state.insert("momentum.other".to_owned(), one(DType::F64))), "`momentum.other`");
        refuse(&|state| drop(state.insert("extra".to_owned(), one(DType::F64))), "`extra`");
        let negative = Tensor::new(-1i64, &Device::Cpu).unwrap();
        refuse(&|state| drop(state.insert("n_steps".to_owned(), negative.clone())), "-1");
        optimizer.load_state(&longer.state()).unwrap();
        assert_ne!(state_bits(&optimizer.state()), before);
    }
}

#[test]
fn a_refused_step_is_not_counted() {
    for config in ALL {
        let (parameters, others) = (usual(DType::F64), crate::parameters(&[("w", &[4])], DType::F64));
        let mut optimizer = config.build(&parameters).unwrap();
        let (weights, state) = (bits(&parameters), state_bits(&optimizer.state()));
        let gradients = gradients_at(&parameters, 0);
        assert!(optimizer.step(&others, &gradients, 0.1).is_err());
        assert!(optimizer.step(&parameters, &gradients_at(&others, 0), 0.1).is_err());
        assert!(optimizer.step(&parameters, &gradients_at(&usual(DType::F32), 0), 0.1).is_err());
        assert!(optimizer.step(&usual(DType::F32), &gradients, 0.1).is_err());
        for rate in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(optimizer.step(&parameters, &gradients, rate).is_err());
        }
        assert_eq!(bits(&parameters), weights);
        assert_eq!(state_bits(&optimizer.state()), state);
    }
}
