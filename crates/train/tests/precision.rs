//! A training whose products are in bf16 goes as one in f32.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_data::{Dataset, open};
use batchwise_nn::models::{Cnn, CnnConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::precision::{self, Precision};
use batchwise_nn::{Parameters, loss, random};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::{Evaluation, Plan, Run, Task, Trainer, evaluate};
use candle_core::{DType, Device, Tensor};
use candle_nn::ModuleT;
use std::sync::Arc;

const TOTAL: u64 = 12_800;
/// Unit roundoff of bf16.
const U_BF16: f64 = 1.0 / 256.0;

/// From weights that are moved by one part in 2⁸ at random, where `moved` is above 0.
fn task(is_cnn: bool, precision: Precision, moved: u64) -> Task {
    let parameters = Parameters::new();
    let vb = parameters.builder(4, DType::F32, &Device::Cpu);
    let model: Box<dyn ModuleT + Send> = if is_cnn {
        let channels = vec![4, 8];
        let config = CnnConfig { in_channels: 1, height: 28, width: 28, channels, hidden: 32, classes: 10 };
        Box::new(Cnn::new(&config, vb).unwrap())
    } else {
        Box::new(Mlp::new(&MlpConfig { inputs: 784, hidden: vec![64], classes: 10 }, vb).unwrap())
    };
    for (name, var) in parameters.named().into_iter().filter(|_| 0 < moved) {
        let factors = random::uniform(moved, &name, var.elem_count(), 1.0 - U_BF16, 1.0 + U_BF16);
        let factors = Tensor::from_vec(factors, var.shape(), &Device::Cpu).unwrap();
        var.set(&(var.as_tensor() * factors.to_dtype(DType::F32).unwrap()).unwrap()).unwrap();
    }
    Task::new(parameters, model, loss::cross_entropy, Device::Cpu).with_precision(precision)
}

/// The loss of each step, and how the model does in the end on what it has not seen.
fn train(is_cnn: bool, precision: Precision, moved: u64) -> (Vec<f64>, Evaluation) {
    let data = open("glyphs:train=2000,test=1000", None).unwrap();
    let lr = Schedule::warmup_cosine(LearningRate(0.05), Examples(TOTAL / 10), Examples(TOTAL));
    let sgd = OptimizerConfig::Sgd(SgdConfig::USUAL);
    let run = Run::new(Plan::constant(32, lr), 32, Examples(TOTAL), sgd, 9);
    let mut trainer = Trainer::new(task(is_cnn, precision, moved), data.train, run).unwrap();
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
        for (what, precision, moved) in [
            ("f32", Precision::F32, 0),
            ("bf16", Precision::Bf16, 0),
            ("f32 moved", Precision::F32, 1),
            ("f32 moved", Precision::F32, 2),
            ("f32 moved", Precision::F32, 3),
            ("f32 moved", Precision::F32, 4),
            ("f32 moved", Precision::F32, 5),
            ("bf16 moved", Precision::Bf16, 1),
            ("bf16 moved", Precision::Bf16, 2),
            ("bf16 moved", Precision::Bf16, 3),
            ("bf16 moved", Precision::Bf16, 4),
            ("bf16 moved", Precision::Bf16, 5),
        ] {
            let (losses, end) = train(is_cnn, precision, moved);
            let means: Vec<String> = losses.chunks(50).map(|x| format!("{:.3}", mean(x))).collect();
            println!("{name} {what}: {} | {:.3} {:?}", means.join(" "), end.loss, end.accuracy);
        }
    }
}

#[test]
fn a_task_in_bf16_is_evaluated_in_bf16_and_one_in_f32_is_not() {
    let data = open("glyphs:train=100,test=200", None).unwrap();
    let test: Arc<dyn Dataset> = data.test;
    let of = |precision| evaluate(&task(false, precision, 0), &test, 64).unwrap().loss;
    let (plain, rounded) = (of(Precision::F32), of(Precision::Bf16));
    assert!(plain != rounded && (plain - rounded).abs() < 1e-2 * plain, "{plain} {rounded}");
    // The task decides, not the scope around it.
    assert_eq!(precision::with(Precision::Bf16, || of(Precision::F32)), plain);
}
