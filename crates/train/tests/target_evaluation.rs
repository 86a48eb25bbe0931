//! Laws of evaluation: its bits, and that a run does not notice it, nor the averages of its weights.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_data::{Dataset, open};
use batchwise_nn::layers::{Dropout, Linear, dropout, linear};
use batchwise_nn::models::{Cnn, CnnConfig, Mlp, MlpConfig, Norm, ResNet, ResNetConfig};
use batchwise_nn::ops::Activation;
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, fingerprint, loss};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::average::Average;
use batchwise_train::{Plan, Run, Task, TrainError, Trainer, evaluate, frozen};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{ModuleT, VarBuilder};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Mlp,
    Cnn,
    /// With batch norm.
    ResNet,
    Dropout,
}

const KINDS: [Kind; 4] = [Kind::Mlp, Kind::Cnn, Kind::ResNet, Kind::Dropout];

/// A layer whose outputs are dropped by half in training.
struct Dropped(Linear, Dropout);

impl ModuleT for Dropped {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.1.forward_t(&self.0.forward_t(&x.flatten_from(1)?, train)?, train)
    }
}

fn model(kind: Kind, vb: VarBuilder<'_>) -> Box<dyn ModuleT + Send> {
    match kind {
        Kind::Mlp => {
            Box::new(Mlp::new(&MlpConfig { inputs: 784, hidden: vec![33], classes: 10 }, vb).unwrap())
        }
        Kind::Cnn => {
            let (channels, hidden) = (vec![8, 8], 16);
            let config = CnnConfig { in_channels: 1, height: 28, width: 28, channels, hidden, classes: 10 };
            Box::new(Cnn::new(&config, vb).unwrap())
        }
        Kind::ResNet => {
            let config = ResNetConfig {
                in_channels: 1,
                channels: vec![4, 4],
                blocks: 1,
                norm: Norm::Batch,
                classes: 10,
            };
            Box::new(ResNet::new(&config, vb).unwrap())
        }
        Kind::Dropout => {
            let drop = dropout(0.5, 3, "dropout").unwrap();
            Box::new(Dropped(linear(784, 10, Activation::Identity, vb).unwrap(), drop))
        }
    }
}

fn task(kind: Kind) -> Task {
    let parameters = Parameters::new();
    let model = model(kind, parameters.builder(4, DType::F32, &Device::Cpu));
    Task::new(parameters, model, loss::cross_entropy, Device::Cpu)
}

/// On the same weights, without a graph.
fn twin(kind: Kind, parameters: &Parameters) -> Task {
    let model = model(kind, frozen::builder(parameters, DType::F32, &Device::Cpu));
    Task::new(parameters.clone(), model, loss::cross_entropy, Device::Cpu)
}

fn glyphs(len: u64) -> Arc<dyn Dataset> {
    open(&format!("glyphs:train={len},test=10"), None).unwrap().train
}

fn run(total: u64) -> Run {
    let plan = Plan::constant(20, Schedule::constant(LearningRate(0.05)));
    Run::new(plan, 8, Examples(total), OptimizerConfig::Sgd(SgdConfig::USUAL), 9)
}

/// Parameters and running statistics.
fn hash(parameters: &Parameters) -> String {
    let values = parameters.snapshot().unwrap();
    fingerprint::sha256(values.iter().map(|(name, tensor)| (name.as_str(), tensor))).unwrap()
}

#[test]
fn the_bits_do_not_depend_on_the_batch() {
    // 1000 examples: parts of 62, four of which are taken at once.
    let data = glyphs(1000);
    for kind in KINDS {
        let task = task(kind);
        let whole = evaluate(&task, &data, 1000).unwrap();
        for batch in [248, 255, 500] {
            assert_eq!(evaluate(&task, &data, batch).unwrap(), whole, "{kind:?} in batches of {batch}");
        }
        assert_eq!(evaluate(&twin(kind, &task.parameters), &data, 310).unwrap(), whole, "{kind:?}");
        for batch in [1, 7, 62, 130] {
            // The matrix products of fewer rows add up in another order.
            let small = evaluate(&task, &data, batch).unwrap();
            assert!((small.loss / whole.loss - 1.0).abs() < 1e-6 && small.accuracy == whole.accuracy);
        }
    }
}

#[test]
fn a_run_does_not_notice_its_evaluations_and_averages() {
    let (data, other) = (glyphs(100), glyphs(50));
    for kind in KINDS {
        let straight = {
            let mut trainer = Trainer::new(task(kind), Arc::clone(&data), run(200)).unwrap();
            while trainer.step().unwrap().is_some() {}
            hash(&trainer.task().parameters)
        };
        let mut trainer = Trainer::new(task(kind), Arc::clone(&data), run(200)).unwrap();
        let parameters = trainer.task().parameters.clone();
        let twin = twin(kind, &parameters);
        let mut average = Average::new(&parameters, 60.0).unwrap();
        let mut losses = Vec::new();
        while let Some(step) = trainer.step().unwrap() {
            average.follow(&parameters, step.batch).unwrap();
            let before = hash(&parameters);
            let own = evaluate(trainer.task(), &other, 50).unwrap();
            // The twin follows the training.
            assert_eq!(evaluate(&twin, &other, 50).unwrap(), own, "{kind:?}");
            let averaged = average.evaluate(&parameters, || evaluate(&twin, &other, 50)).unwrap();
            losses.push((own.loss, averaged.loss));
            assert_eq!(hash(&parameters), before, "{kind:?}");
        }
        assert_eq!(hash(&trainer.task().parameters), straight, "{kind:?}");
        assert!(losses.iter().all(|(own, averaged)| own != averaged), "{kind:?}: {losses:?}");
    }
}

#[test]
fn an_average_comes_back_from_its_state_and_weights_from_a_failure() {
    let task = task(Kind::ResNet);
    let parameters = &task.parameters;
    let mut average = Average::new(parameters, 100.0).unwrap();
    let nudge = || {
        for (_, var) in parameters.named().into_iter().chain(parameters.buffers()) {
            var.set(&var.affine(1.01, 0.1).unwrap().detach()).unwrap();
        }
    };
    nudge();
    average.follow(parameters, 30).unwrap();
    let state = average.state().unwrap();
    assert!(state.keys().all(|name| name.starts_with("average/")));
    // Running statistics are averaged with the weights they belong to.
    assert_eq!(state.len(), parameters.named().len() + parameters.buffers().len());
    assert!(parameters.buffers().iter().all(|(name, _)| state.contains_key(&format!("average/{name}"))));
    let saved = state.iter().map(|(name, tensor)| (name.clone(), tensor.copy().unwrap())).collect();
    let mut resumed = Average::new(parameters, 100.0).unwrap();
    resumed.load_state(&saved).unwrap();
    nudge();
    average.follow(parameters, 30).unwrap();
    resumed.follow(parameters, 30).unwrap();
    let inside = |average: &mut Average| average.evaluate(parameters, || Ok(hash(parameters))).unwrap();
    let before = hash(parameters);
    assert_eq!(inside(&mut average), inside(&mut resumed));
    assert_ne!(inside(&mut average), before);
    // Half of the way after a half-life, in however many batches.
    let mut halves = Average::new(parameters, 100.0).unwrap();
    let first = parameters.named().remove(0).1.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    nudge();
    let moved = parameters.named().remove(0).1.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for batch in [10, 25, 65] {
        halves.follow(parameters, batch).unwrap();
    }
    let name = format!("average/{}", parameters.named().remove(0).0);
    let averaged = halves.state().unwrap()[&name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for ((a, b), c) in first.iter().zip(&moved).zip(averaged) {
        assert!((c - 0.5 * (a + b)).abs() < 1e-5, "{a} {b} {c}");
    }

    let before = hash(parameters);
    let fault = || TrainError::Candle(candle_core::Error::Msg("a fault".to_owned()));
    let error = average.evaluate(parameters, || Err::<(), _>(fault())).unwrap_err();
    assert_eq!((error.to_string().as_str(), hash(parameters)), ("a fault", before.clone()));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = average.evaluate(parameters, || -> std::result::Result<(), TrainError> { panic!("a panic") });
    }));
    assert!(panicked.is_err());
    assert_eq!(hash(parameters), before);
    let unknown = [("weights/x".to_owned(), saved.values().next().unwrap().clone())].into();
    let error = average.load_state(&unknown).unwrap_err().to_string();
    assert!(error.contains("`weights/x`, but must be `average/`"), "{error}");
}
