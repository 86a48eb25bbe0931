//! The preconditioner an optimizer tells is the one its steps have.

use crate::{ALL, flat, gradients_at, usual};
use batchwise_nn::Parameters;
use batchwise_nn::optim::{AdamConfig, AdamWConfig, Groups, OptimizerConfig, RmsPropConfig, Rule, SgdConfig};
use candle_core::{DType, Tensor};

const RATE: f64 = 0.01;

fn values(parameters: &Parameters) -> Vec<Vec<f64>> {
    parameters.named().iter().map(|(_, w)| flat(w)).collect()
}

/// Without momentum and decay a step is θ − η·P·ĝ with the P that is told after it.
#[test]
fn it_is_what_the_last_step_has_multiplied_the_gradient_by() {
    let adam = AdamConfig { beta1: 0.0, beta2: 0.9, epsilon: 1e-3, weight_decay: 0.0 };
    let adamw = AdamWConfig { beta1: 0.0, beta2: 0.9, epsilon: 1e-3, weight_decay: 0.0 };
    let rmsprop = RmsPropConfig { alpha: 0.8, epsilon: 1e-3, ..RmsPropConfig::USUAL };
    for config in [
        OptimizerConfig::Adam(adam),
        OptimizerConfig::AdamW(adamw),
        OptimizerConfig::RmsProp(rmsprop),
        OptimizerConfig::RmsProp(RmsPropConfig { centered: true, ..rmsprop }),
    ] {
        let parameters = usual(DType::F64);
        let groups = Groups::new().with(Rule::new("head.*").learning_rate(0.3));
        let mut optimizer = config.build_with(&parameters, &groups).unwrap();
        assert!(optimizer.preconditioner().unwrap().is_none(), "{config} has made no step");
        for t in 0..4 {
            let (before, gradients) = (values(&parameters), gradients_at(&parameters, t));
            optimizer.step(&parameters, &gradients, RATE).unwrap();
            let p = optimizer.preconditioner().unwrap().unwrap();
            for (((before, after), g), p) in
                before.iter().zip(values(&parameters)).zip(gradients.tensors()).zip(&p)
            {
                for (((before, after), g), p) in before.iter().zip(after).zip(flat(g)).zip(flat(p)) {
                    let (got, want) = (before - after, RATE * p * g);
                    assert!((got - want).abs() < 1e-13 * (1.0 + before.abs()), "{config}: {got} {want}");
                    assert!(1e-6 < want.abs(), "{want} could hide an error");
                }
            }
        }
    }
}

#[test]
fn it_stays_as_it_is_and_comes_back_with_a_saved_state() {
    for config in ALL.into_iter().filter(|config| config.has_preconditioner()) {
        let parameters = usual(DType::F32);
        let mut optimizer = config.build(&parameters).unwrap();
        optimizer.step(&parameters, &gradients_at(&parameters, 0), RATE).unwrap();
        let read = |p: &[Tensor]| p.iter().map(flat).collect::<Vec<_>>();
        let p = optimizer.preconditioner().unwrap().unwrap();
        let (before, state) = (read(&p), optimizer.state());
        let mut other = config.build(&parameters).unwrap();
        other.load_state(&state).unwrap();
        assert_eq!(read(&other.preconditioner().unwrap().unwrap()), before, "{config}");
        optimizer.step(&parameters, &gradients_at(&parameters, 1), RATE).unwrap();
        assert_eq!(read(&p), before, "{config}");
        assert_ne!(read(&optimizer.preconditioner().unwrap().unwrap()), before, "{config}");
    }
}

#[test]
fn the_settings_say_which_optimizers_have_one() {
    for config in ALL.into_iter().chain([OptimizerConfig::Sgd(SgdConfig::USUAL)]) {
        let parameters = usual(DType::F64);
        let mut optimizer = config.build(&parameters).unwrap();
        optimizer.step(&parameters, &gradients_at(&parameters, 0), RATE).unwrap();
        let p = optimizer.preconditioner().unwrap();
        assert_eq!(p.is_some(), config.has_preconditioner(), "{config}");
        assert!(p.is_none_or(|p| p.len() == parameters.named().len()));
    }
}
