//! Five steps of each optimizer, and clipping, against PyTorch and optax (`fixtures/optimizers.py`).

use crate::{flat, gradients_of};
use batchwise_nn::optim::{
    AdamConfig, AdamWConfig, Groups, LambConfig, LarsConfig, LionConfig, OptimizerConfig, RmsPropConfig,
    Rule, SgdConfig, clip_norm, clip_value,
};
use batchwise_nn::{Gradients, Parameters};
use candle_core::{Device, Tensor};
use candle_nn::Init;
use serde_json::Value;
use std::collections::BTreeSet;

/// Relative to 1 and the value.
const TOLERANCE: f64 = 1e-12;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/optimizers.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn shape(fixture: &Value, name: &str) -> Vec<usize> {
    numbers(&fixture["shapes"][name]).into_iter().map(|n| n as usize).collect()
}

fn tensor(fixture: &Value, name: &str, values: &Value) -> Tensor {
    Tensor::from_vec(numbers(values), shape(fixture, name), &Device::Cpu).unwrap()
}

fn start(fixture: &Value, initial: &Value) -> Parameters {
    let parameters = Parameters::new();
    let builder = parameters.builder(0, candle_core::DType::F64, &Device::Cpu);
    for name in ["bias", "weight"] {
        builder.get_with_hints(shape(fixture, name), name, Init::Const(0.0)).unwrap();
        parameters.get(name).unwrap().set(&tensor(fixture, name, &initial[name])).unwrap();
    }
    parameters
}

fn gradients(fixture: &Value, parameters: &Parameters, values: &Value) -> Gradients {
    gradients_of(parameters, |name, _| tensor(fixture, name, &values[name]))
}

fn config(case: &Value) -> OptimizerConfig {
    let config = &case["config"];
    let number = |name: &str| config[name].as_f64().unwrap();
    let flag = |name: &str| config[name].as_bool().unwrap();
    match case["optimizer"].as_str().unwrap() {
        "sgd" => OptimizerConfig::Sgd(SgdConfig {
            momentum: number("momentum"),
            dampening: number("dampening"),
            nesterov: flag("nesterov"),
            weight_decay: number("weight_decay"),
        }),
        "adam" => OptimizerConfig::Adam(AdamConfig {
            beta1: number("beta1"),
            beta2: number("beta2"),
            epsilon: number("epsilon"),
            weight_decay: number("weight_decay"),
        }),
        "adamw" => OptimizerConfig::AdamW(AdamWConfig {
            beta1: number("beta1"),
            beta2: number("beta2"),
            epsilon: number("epsilon"),
            weight_decay: number("weight_decay"),
        }),
        "rmsprop" => OptimizerConfig::RmsProp(RmsPropConfig {
            alpha: number("alpha"),
            epsilon: number("epsilon"),
            momentum: number("momentum"),
            centered: flag("centered"),
            weight_decay: number("weight_decay"),
        }),
        "lion" => OptimizerConfig::Lion(LionConfig {
            beta1: number("beta1"),
            beta2: number("beta2"),
            weight_decay: number("weight_decay"),
        }),
        "lars" => OptimizerConfig::Lars(LarsConfig {
            momentum: number("momentum"),
            weight_decay: number("weight_decay"),
            trust_coefficient: number("trust_coefficient"),
            epsilon: number("epsilon"),
        }),
        "lamb" => OptimizerConfig::Lamb(LambConfig {
            beta1: number("beta1"),
            beta2: number("beta2"),
            epsilon: number("epsilon"),
            weight_decay: number("weight_decay"),
        }),
        other => panic!("no optimizer {other}"),
    }
}

fn groups(case: &Value, parameters: &Parameters) -> Groups {
    match case["groups"].as_str().unwrap() {
        "none" => Groups::new(),
        "halved_bias" => Groups::new().with(Rule::new("*bias").learning_rate(0.5).weight_decay(false)),
        "decay_matrices_only" => Groups::decay_matrices_only(parameters),
        "matrices_only" => Groups::matrices_only(parameters),
        other => panic!("no groups {other}"),
    }
}

fn assert_close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= TOLERANCE * want.abs(), "{what}: {got} is not {want}");
    }
}

#[test]
fn steps_equal_those_of_pytorch_and_optax() {
    let fixture = fixture();
    let rates = numbers(&fixture["learning_rates"]);
    let mut seen = BTreeSet::new();
    for case in fixture["cases"].as_array().unwrap() {
        let parameters = start(&fixture, &case["initial"]);
        let groups = groups(case, &parameters);
        let mut optimizer = config(case).build_with(&parameters, &groups).unwrap();
        let steps = case["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 5);
        for (t, step) in steps.iter().enumerate() {
            let gradients = gradients(&fixture, &parameters, &fixture["gradients"][t]);
            optimizer.step(&parameters, &gradients, rates[t]).unwrap();
            for (name, w) in parameters.named() {
                let what = format!("{} ({}), {name} after step {}", config(case), case["source"], t + 1);
                assert_close(&flat(&w), &numbers(&step[&name]), &what);
            }
        }
        seen.insert(case["optimizer"].as_str().unwrap());
    }
    assert_eq!(seen.len(), 7);
}

#[test]
fn clipping_equals_that_of_pytorch() {
    let fixture = fixture();
    let clips = fixture["clips"].as_array().unwrap();
    assert_eq!(clips.len(), 6);
    for clip in clips {
        let parameters = start(&fixture, &fixture["cases"][0]["initial"]);
        let mut gradients = gradients(&fixture, &parameters, &fixture["gradients"][0]);
        let limit = clip["limit"].as_f64().unwrap();
        match clip["by"].as_str().unwrap() {
            "norm" => {
                let norm = clip_norm(&mut gradients, limit).unwrap();
                assert_close(&[norm], &[clip["norm"].as_f64().unwrap()], "the norm before");
            }
            _ => {
                clip_value(&mut gradients, limit).unwrap();
            }
        }
        for ((name, _), g) in parameters.named().iter().zip(gradients.tensors()) {
            assert_close(&flat(g), &numbers(&clip["gradients"][name]), &clip.to_string());
        }
    }
}
