//! A run that is interrupted and restored ends with the bits of one that was not; what is not finite stops a run or is
//! left out; clipping and watching do what they say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_data::{Dataset, open};
use batchwise_nn::models::{Cnn, CnnConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{AdamWConfig, LambConfig, LionConfig, OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, loss};
use batchwise_schedule::{BatchSpec, Examples, LearningRate, LrSpec, RunLength, Schedule};
use batchwise_train::{
    Adaptive, Clip, Follow, Numbers, OnNonFinite, Plan, Run, State, StepReport, Tap, Task, TrainError,
    Trainer,
};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ModuleT;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const TOTAL: u64 = 1300;

fn glyphs() -> Arc<dyn Dataset> {
    open("glyphs:train=300,test=10", None).unwrap().train
}

fn mlp_task(seed: u64) -> Task {
    let parameters = Parameters::new();
    let config = MlpConfig { inputs: 784, hidden: vec![8], classes: 10 };
    let model = Mlp::new(&config, parameters.builder(seed, DType::F32, &Device::Cpu)).unwrap();
    Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu)
}

fn cnn_task(seed: u64) -> Task {
    let parameters = Parameters::new();
    let config =
        CnnConfig { in_channels: 1, height: 28, width: 28, channels: vec![2, 3], hidden: 8, classes: 10 };
    let model = Cnn::new(&config, parameters.builder(seed, DType::F32, &Device::Cpu)).unwrap();
    Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu)
}

fn plan(kind: usize) -> Plan {
    let length = RunLength { total: Examples(TOTAL), dataset_size: Some(300), tokens_per_example: None };
    let lr = "0.02 warmup 10% then cosine to 0".parse::<LrSpec>().unwrap().resolve(&length, None).unwrap();
    match kind {
        0 => Plan::constant(24, lr),
        1 => Plan::Fixed("8 doubling at 25%,60%".parse::<BatchSpec>().unwrap().resolve(&length, lr).unwrap()),
        _ => {
            let spec = "8 adaptive noise-scale max 64".parse::<BatchSpec>().unwrap();
            Plan::Adaptive(Box::new(Adaptive::new(&spec, &length, lr, Follow::Gain, None).unwrap()))
        }
    }
}

fn optimizer(kind: usize) -> OptimizerConfig {
    match kind {
        0 => OptimizerConfig::Sgd(SgdConfig::USUAL),
        1 => OptimizerConfig::AdamW(AdamWConfig::USUAL),
        2 => OptimizerConfig::Lamb(LambConfig::USUAL),
        _ => OptimizerConfig::Lion(LionConfig::USUAL),
    }
}

fn trainer(task: Task, kind: usize, optim: usize) -> Trainer {
    let run =
        Run { clip: Some(Clip::Norm(2.0)), ..Run::new(plan(kind), 16, Examples(TOTAL), optimizer(optim), 3) };
    Trainer::new(task, glyphs(), run).unwrap()
}

/// Everything a checkpoint would hold, as bytes; what a JSON number cannot hold would show here.
fn through_a_file(state: &State) -> State {
    let numbers = serde_json::to_string(&state.numbers).unwrap();
    let back: Numbers = serde_json::from_str(&numbers).unwrap();
    assert_eq!(back, state.numbers);
    let copy = |tensors: &BTreeMap<String, Tensor>| {
        let file = safetensors::serialize(tensors, None).unwrap();
        candle_core::safetensors::load_buffer(&file, &Device::Cpu).unwrap().into_iter().collect()
    };
    State { numbers: back, parameters: copy(&state.parameters), optimizer: copy(&state.optimizer) }
}

/// The reports from here to the end, and the weights' bits.
fn rest(trainer: &mut Trainer) -> (Vec<StepReport>, Vec<Vec<u32>>) {
    let reports = std::iter::from_fn(|| trainer.step().unwrap()).collect();
    let bits = |var: candle_core::Var| -> Vec<u32> {
        let flat = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        flat.into_iter().map(f32::to_bits).collect()
    };
    (reports, trainer.task().parameters.named().into_iter().map(|(_, var)| bits(var)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_restored_run_goes_on_bit_for_bit(stop in 0usize..90, kind in 0usize..3, optim in 0usize..4, cnn: bool) {
        let fresh = |seed| if cnn { cnn_task(seed) } else { mlp_task(seed) };
        let mut whole = trainer(fresh(1), kind, optim);
        for _ in 0..stop {
            whole.step().unwrap();
        }
        let state = through_a_file(&whole.state().unwrap());
        // Other first weights, and a run that has gone on already: nothing of them may be left.
        let mut restored = trainer(fresh(2), kind, optim);
        restored.step().unwrap();
        restored.restore(&state).unwrap();
        prop_assert_eq!(restored.progress(), whole.progress());
        prop_assert_eq!(rest(&mut restored), rest(&mut whole));
    }
}

#[test]
fn a_change_of_batch_size_on_restoring_is_a_change_within_the_run() {
    let mut whole = trainer(mlp_task(1), 0, 1);
    for _ in 0..7 {
        whole.step().unwrap();
    }
    let state = whole.state().unwrap();
    whole.set_batch(50, 20).unwrap();
    let mut restored = trainer(mlp_task(2), 0, 1);
    restored.restore(&state).unwrap();
    restored.set_batch(50, 20).unwrap();
    assert_eq!(rest(&mut restored), rest(&mut whole));
}

#[test]
fn a_state_of_another_run_is_refused_and_changes_nothing() {
    let mut run = trainer(mlp_task(1), 2, 0);
    run.step().unwrap();
    let before = run.state().unwrap();
    let other = |task, kind, optim| trainer(task, kind, optim).state().unwrap();
    let wrong = [other(cnn_task(1), 2, 0), other(mlp_task(1), 0, 0), other(mlp_task(1), 2, 1)];
    let mut damaged = before.clone();
    damaged.parameters.pop_first();
    for state in wrong.iter().chain([&damaged]) {
        let error = run.restore(state).unwrap_err().to_string();
        assert!(!error.is_empty(), "{error}");
        let after = run.state().unwrap();
        assert_eq!(after.numbers, before.numbers, "{error}");
        for (a, b) in [(&after.parameters, &before.parameters), (&after.optimizer, &before.optimizer)] {
            let flat =
                |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert!(a.iter().zip(b.iter()).all(|((x, a), (y, b))| x == y && flat(a) == flat(b)), "{error}");
        }
    }
}

/// Gives infinite outputs for batches that hold a marked number of rows, or an infinite slope at them.
struct Faulty {
    inner: Mlp,
    rows: usize,
    only_slope: bool,
}

impl ModuleT for Faulty {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.inner.forward_t(x, train)?;
        if x.dim(0)? != self.rows {
            return Ok(y);
        }
        if self.only_slope {
            // √ of (y−y)² is 0 with a slope of 0/0.
            let zero = (&y - &y.detach())?.sqr()?.sqrt()?;
            return y + zero;
        }
        y / 0.0
    }
}

fn faulty(only_slope: bool, on_non_finite: OnNonFinite) -> Trainer {
    let parameters = Parameters::new();
    let config = MlpConfig { inputs: 784, hidden: vec![8], classes: 10 };
    let inner = Mlp::new(&config, parameters.builder(1, DType::F32, &Device::Cpu)).unwrap();
    // 300 examples in batches of 70: the last batch of each epoch holds 20.
    let model = Faulty { inner, rows: 20, only_slope };
    let task = Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu);
    let plan = Plan::constant(70, Schedule::constant(LearningRate(0.02)));
    let run = Run { on_non_finite, ..Run::new(plan, 70, Examples(900), optimizer(0), 3) };
    Trainer::new(task, glyphs(), run).unwrap()
}

#[test]
fn what_is_not_finite_stops_the_run_before_the_update() {
    for only_slope in [false, true] {
        let mut run = faulty(only_slope, OnNonFinite::Stop);
        for _ in 0..4 {
            run.step().unwrap();
        }
        let before = run.state().unwrap();
        let error = run.step().unwrap_err();
        assert!(error.is_divergence());
        match &error {
            TrainError::NonFinite { step, progress, .. } => {
                assert!(!only_slope);
                assert_eq!((step.0, progress.0), (4, 280));
            }
            TrainError::NonFiniteGradient { parameter, step, .. } => {
                assert!(only_slope);
                assert_eq!((parameter.as_str(), step.0), ("layer0.bias", 4));
            }
            other => panic!("{other}"),
        }
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let after = run.state().unwrap();
        assert!(after.parameters.iter().zip(&before.parameters).all(|(a, b)| flat(a.1) == flat(b.1)));
    }
}

#[test]
fn batches_that_are_not_finite_are_left_out_and_counted() {
    for only_slope in [false, true] {
        let mut run = faulty(only_slope, OnNonFinite::Skip { at_most: 2 });
        let mut skipped = Vec::new();
        let error = loop {
            match run.step() {
                Ok(step) => skipped.extend(step.unwrap().skipped),
                Err(error) => break error,
            }
        };
        // Two epochs' last batches are left out, the third's stops the run.
        assert!(error.is_divergence());
        assert_eq!((skipped.len(), run.skipped(), run.steps().0), (2, 2, 14));
        assert!(skipped[0].contains("not finite") || skipped[0].contains("the loss is"), "{}", skipped[0]);
        let finite = |var: candle_core::Var| {
            var.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|w| w.is_finite())
        };
        assert!(run.task().parameters.named().into_iter().all(|(_, var)| finite(var)));
    }
}

#[test]
fn clipping_acts_once_per_batch_and_the_update_has_the_norm_it_had() {
    // SGD without momentum and decay: the update is the learning rate times the clipped gradient.
    let plain = OptimizerConfig::Sgd(SgdConfig { momentum: 0.0, weight_decay: 0.0, ..SgdConfig::USUAL });
    let norms = |clip: Option<Clip>, micro: u64| {
        let plan = Plan::constant(60, Schedule::constant(LearningRate(0.1)));
        let run = Run { clip, ..Run::new(plan, micro, Examples(60), plain, 3) };
        let mut run = Trainer::new(mlp_task(1), glyphs(), run).unwrap();
        run.watch_next_step();
        run.step().unwrap().unwrap()
    };
    let free = norms(None, 60);
    assert!(!free.clipped && 0.5 < free.gradient_norm);
    assert!((free.update_norm.unwrap() / (0.1 * free.gradient_norm) - 1.0).abs() < 1e-5, "{free:?}");
    for micro in [60, 7] {
        let limit = free.gradient_norm / 3.0;
        let clipped = norms(Some(Clip::Norm(limit)), micro);
        assert!(clipped.clipped);
        assert!((clipped.gradient_norm / free.gradient_norm - 1.0).abs() < 1e-5);
        assert!((clipped.update_norm.unwrap() / (0.1 * limit) - 1.0).abs() < 1e-4, "{clipped:?}");
    }
    assert!(!norms(Some(Clip::Norm(1e3)), 60).clipped);
    assert!(norms(Some(Clip::Value(1e-3)), 60).clipped);
    let plan = Plan::constant(60, Schedule::constant(LearningRate(0.1)));
    for limit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let run = Run { clip: Some(Clip::Norm(limit)), ..Run::new(plan.clone(), 60, Examples(60), plain, 3) };
        assert!(Trainer::new(mlp_task(1), glyphs(), run).is_err());
    }
}

#[test]
fn the_noise_is_measured_every_so_many_steps_and_changes_no_bit() {
    let end = |tap, tap_every| {
        let run = Run { tap, tap_every, ..Run::new(plan(1), 4, Examples(TOTAL), optimizer(1), 3) };
        rest(&mut Trainer::new(mlp_task(1), glyphs(), run).unwrap())
    };
    let (reports, weights) = end(Tap::Norms, 5);
    for (i, report) in reports.iter().enumerate() {
        assert_eq!(report.noise.is_some(), i % 5 == 0 && 2 <= report.n_micro_batches, "{i}");
    }
    assert_eq!(weights, end(Tap::Off, 1).1);
}
