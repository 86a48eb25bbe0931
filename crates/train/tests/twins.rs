//! Training on real data through the kernels, and through their plain twins in candle's graph: the same course, within
//! rounding.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says when it is skipped")]

use batchwise_data::{Dataset, open};
use batchwise_nn::loss::{self, Loss};
use batchwise_nn::models::{Cnn, CnnConfig, Gpt, GptConfig, Mlp, MlpConfig, Norm, ResNet, ResNetConfig};
use batchwise_nn::ops::plain;
use batchwise_nn::optim::{AdamWConfig, OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, fingerprint};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::{Plan, Run, Task, Trainer};
use candle_core::{DType, Device};
use candle_nn::{ModuleT, VarBuilder};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of the real data sets, or a word about its absence.
fn data() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = std::env::var_os("BATCHWISE_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let folder = shared.join("data");
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is not there, so nothing is trained on real data", folder.display());
        return None;
    }
    Some(folder)
}

struct Subject {
    model: fn(VarBuilder<'_>) -> Box<dyn ModuleT + Send>,
    loss: Loss,
    optimizer: OptimizerConfig,
    learning_rate: f64,
    batch: u64,
    steps: u64,
}

/// The loss of each step, and the parameters' hash.
fn train(subject: &Subject, dataset: &Arc<dyn Dataset>) -> (Vec<f64>, String) {
    let Subject { model, loss, optimizer, learning_rate, batch, steps } = subject;
    let parameters = Parameters::new();
    let model = model(parameters.builder(5, DType::F32, &Device::Cpu));
    let task = Task::new(parameters.clone(), model, *loss, Device::Cpu);
    let plan = Plan::constant(*batch, Schedule::constant(LearningRate(*learning_rate)));
    let run = Run::new(plan, *batch, Examples(batch * steps), *optimizer, 3);
    let mut trainer = Trainer::new(task, Arc::clone(dataset), run).unwrap();
    let mut losses = Vec::new();
    while let Some(step) = trainer.step().unwrap() {
        losses.push(step.loss);
    }
    let named = parameters.named();
    let named = named.iter().map(|(name, var)| (name.as_str(), var.as_tensor()));
    (losses, fingerprint::sha256(named).unwrap())
}

/// Rounding differs at every step and training amplifies it; the curves must lie within `tolerance` of each other, while
/// the loss itself falls by many times that.
fn same_course(subject: &Subject, dataset: &Arc<dyn Dataset>, tolerance: f64) {
    let (fast, hash) = train(subject, dataset);
    let (again, same) = train(subject, dataset);
    assert_eq!((&fast, &hash), (&again, &same), "the same bits on every run");
    let (twin, other) = plain::only(|| train(subject, dataset));
    assert_ne!(hash, other, "the twins were not used");
    for (step, (fast, twin)) in fast.iter().zip(&twin).enumerate() {
        let limit = tolerance * (step + 1) as f64 / subject.steps as f64;
        assert!((fast - twin).abs() <= limit.max(1e-5) * twin, "step {step}: {fast} {twin}");
    }
    let (first, last) = (fast[0], fast[fast.len() - 1]);
    assert!(last < first * 0.95, "it learned: {first} {last}");
}

#[test]
fn on_fashion_mnist() {
    let Some(data) = data() else { return };
    let train = open("fashion-mnist", Some(&data)).unwrap().train;
    let subject = Subject {
        model: |vb| {
            let config = MlpConfig { inputs: 784, hidden: vec![128, 64], classes: 10 };
            Box::new(Mlp::new(&config, vb).unwrap())
        },
        loss: loss::cross_entropy,
        optimizer: OptimizerConfig::Sgd(SgdConfig::USUAL),
        learning_rate: 0.02,
        batch: 64,
        steps: 100,
    };
    same_course(&subject, &train, 1e-3);
    let cnn = Subject {
        model: |vb| {
            let channels = vec![16, 32];
            let config =
                CnnConfig { in_channels: 1, height: 28, width: 28, channels, hidden: 64, classes: 10 };
            Box::new(Cnn::new(&config, vb).unwrap())
        },
        batch: 32,
        steps: 25,
        ..subject
    };
    same_course(&cnn, &train, 1e-3);
    let resnet = Subject {
        model: |vb| {
            let config = ResNetConfig {
                in_channels: 1,
                channels: vec![8, 16],
                blocks: 1,
                norm: Norm::Batch,
                classes: 10,
            };
            Box::new(ResNet::new(&config, vb).unwrap())
        },
        steps: 12,
        ..cnn
    };
    same_course(&resnet, &train, 1e-3);
}

#[test]
fn on_tiny_shakespeare() {
    let Some(data) = data() else { return };
    let text = data.join("tinyshakespeare/input.txt");
    let train = open(&format!("{}:tokens=characters,context=32", text.display()), None).unwrap().train;
    let subject = Subject {
        model: |vb| {
            let config = GptConfig {
                vocabulary: 66,
                context: 32,
                width: 64,
                heads: 4,
                layers: 2,
                dropout: 0.1,
                seed: 1,
            };
            Box::new(Gpt::new(&config, vb).unwrap())
        },
        loss: loss::next_token,
        optimizer: OptimizerConfig::AdamW(AdamWConfig::USUAL),
        learning_rate: 0.003,
        batch: 16,
        steps: 60,
    };
    same_course(&subject, &train, 1e-3);
}
