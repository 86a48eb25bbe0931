//! A training whose products are in bf16 goes as one in f32.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_data::{Dataset, open};
use batchwise_nn::models::{Cnn, CnnConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::precision::{self, Precision};
use batchwise_nn::{Parameters, loss};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::{Evaluation, Plan, Run, Task, Trainer, evaluate};
use candle_core::{DType, Device};
use candle_nn::ModuleT;
use std::sync::Arc;

const TOTAL: u64 = 12_800;

/// How far the mean losses of 50 steps may lie apart. Trainings part after any small change, also of 2⁻⁸, and the cnn's here
/// ends at a loss of 0.3 to 0.4 while it still falls by 0.1 in 50 steps. Seen: up to 0.05 in the mlp, 0.11 in the cnn.
const CURVE: f64 = 0.2;
/// The same of the losses on the test set, whose standard errors are 0.03 to 0.06. Seen: 0.06 and 0.15.
const END: f64 = 0.3;

fn task(is_cnn: bool, precision: Precision) -> Task {
    let parameters = Parameters::new();
    let vb = parameters.builder(4, DType::F32, &Device::Cpu);
    let model: Box<dyn ModuleT + Send> = if is_cnn {
        let channels = vec![4, 8];
        let config = CnnConfig { in_channels: 1, height: 28, width: 28, channels, hidden: 32, classes: 10 };
        Box::new(Cnn::new(&config, vb).unwrap())
    } else {
        Box::new(Mlp::new(&MlpConfig { inputs: 784, hidden: vec![64], classes: 10 }, vb).unwrap())
    };
    Task::new(parameters, model, loss::cross_entropy, Device::Cpu).with_precision(precision)
}

/// The loss of each step, and how the model does in the end on what it has not seen.
fn train(is_cnn: bool, precision: Precision) -> (Vec<f64>, Evaluation) {
    let data = open("glyphs:train=2000,test=1000", None).unwrap();
    let lr = Schedule::warmup_cosine(LearningRate(0.05), Examples(TOTAL / 10), Examples(TOTAL));
    let sgd = OptimizerConfig::Sgd(SgdConfig::USUAL);
    let run = Run::new(Plan::constant(32, lr), 32, Examples(TOTAL), sgd, 9);
    let mut trainer = Trainer::new(task(is_cnn, precision), data.train, run).unwrap();
    let mut losses = Vec::new();
    while let Some(report) = trainer.step().unwrap() {
        losses.push(report.loss);
    }
    let test: Arc<dyn Dataset> = data.test;
    (losses, evaluate(trainer.task(), &test, 256).unwrap())
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

#[test]
fn the_curve_is_that_of_f32() {
    for (name, is_cnn) in [("mlp", false), ("cnn", true)] {
        let (plain, at_end) = train(is_cnn, Precision::F32);
        let (rounded, rounded_at_end) = train(is_cnn, Precision::Bf16);
        assert_ne!(plain[0], rounded[0], "the first step is in bf16 already");
        for (i, (plain, rounded)) in plain.chunks(50).zip(rounded.chunks(50)).enumerate() {
            let (plain, rounded) = (mean(plain), mean(rounded));
            println!("{name}, steps {}: {plain:.4} in f32, {rounded:.4} in bf16", 50 * i);
            assert!((plain - rounded).abs() < CURVE, "{name}, from step {}: {plain}, {rounded}", 50 * i);
        }
        println!("{name} at the end: {at_end:?}, {rounded_at_end:?}");
        assert!((at_end.loss - rounded_at_end.loss).abs() < END, "{name}");
        // Both have learnt: a tenth would be chance.
        assert!(0.4 < at_end.accuracy.unwrap() && 0.4 < rounded_at_end.accuracy.unwrap(), "{name}");
    }
}

#[test]
fn a_task_in_bf16_is_evaluated_in_bf16_and_one_in_f32_is_not() {
    let data = open("glyphs:train=100,test=200", None).unwrap();
    let test: Arc<dyn Dataset> = data.test;
    let of = |precision| evaluate(&task(false, precision), &test, 64).unwrap().loss;
    let (plain, rounded) = (of(Precision::F32), of(Precision::Bf16));
    assert!(plain != rounded && (plain - rounded).abs() < 1e-2 * plain, "{plain} {rounded}");
    // The task decides, not the scope around it.
    assert_eq!(precision::with(Precision::Bf16, || of(Precision::F32)), plain);
}
