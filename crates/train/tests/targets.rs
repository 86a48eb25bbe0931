//! Steps, noise and evaluation where targets are tokens, measured values or mixtures of classes.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use batchwise_data::{
    AugmentConfig, Augmented, Dataset, Loader, Order, Sequences, Target, TensorDataset, TextConfig,
    gather_batch, open, read_text,
};
use batchwise_nn::loss::{self, Loss};
use batchwise_nn::models::{Gpt, GptConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, gradients::norm2};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::{
    NoiseReading, Plan, Run, Task, Trainer, evaluate, measure_noise, measure_noise_of_examples,
};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ModuleT;
use proptest::prelude::*;

/// The loader's f32 batches, turned to f64.
struct InF64(Mlp);

impl ModuleT for InF64 {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward_t(&x.to_dtype(DType::F64)?, train)
    }
}

fn mse(output: &Tensor, target: &Tensor) -> Result<loss::LossSum> {
    loss::mse(output, &target.to_dtype(DType::F64)?)
}

fn soft_cross_entropy(output: &Tensor, target: &Tensor) -> Result<loss::LossSum> {
    loss::soft_cross_entropy(output, &target.to_dtype(DType::F64)?)
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Sequences of one length.
    Packed,
    /// Sequences that differ in length.
    Lines,
    Values,
    Mixture,
}

const KINDS: [Kind; 4] = [Kind::Packed, Kind::Lines, Kind::Values, Kind::Mixture];

impl Kind {
    fn dataset(self) -> Arc<dyn Dataset> {
        match self {
            Kind::Packed => sentences(Sequences::Packed),
            Kind::Lines => sentences(Sequences::Lines),
            Kind::Values => values(),
            Kind::Mixture => mixtures(),
        }
    }

    fn loss(self) -> Loss {
        match self {
            Kind::Packed | Kind::Lines => loss::next_token,
            Kind::Values => mse,
            Kind::Mixture => soft_cross_entropy,
        }
    }

    /// A small model in f64 for the data set.
    fn task(self) -> Task {
        let schema = self.dataset().schema().clone();
        let parameters = Parameters::new();
        let vb = parameters.builder(4, DType::F64, &Device::Cpu);
        let model: Box<dyn ModuleT + Send> = match schema.target {
            Target::NextToken { n_tokens } => {
                let config = GptConfig {
                    vocabulary: n_tokens,
                    context: schema.longest(),
                    width: 8,
                    heads: 2,
                    layers: 1,
                    dropout: 0.0,
                    seed: 1,
                };
                Box::new(Gpt::new(&config, vb).unwrap())
            }
            _ => {
                let (inputs, classes) = (schema.input_len(), schema.n_outputs());
                Box::new(InF64(Mlp::new(&MlpConfig { inputs, hidden: vec![6], classes }, vb).unwrap()))
            }
        };
        Task::new(parameters, model, self.loss(), Device::Cpu)
    }
}

/// Lines of 2 to 12 characters: sequences of 1 to 11 positions, with their ends.
fn sentences(sequences: Sequences) -> Arc<dyn Dataset> {
    let letters = ["a", "bc", "abcab", "cabcabcabc", "bcabc", "aabb", "c", "abcabcab"];
    let line = |k: usize| format!("{}\n", letters[(k * 5 + k / 7) % letters.len()]);
    let text: String = (0..80).map(line).collect();
    // Each test in its own thread writes a file of its own.
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "-");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sentences-{thread}.txt"));
    std::fs::write(&path, text).unwrap();
    let config = TextConfig { sequences, context: 12, ..TextConfig::default() };
    Arc::new(read_text("sentences", &path, &config).unwrap().0)
}

/// Two values that depend on three.
fn values() -> Arc<dyn Dataset> {
    let row = |k: u32| {
        let wave = |speed: f32| (k as f32 * speed).sin();
        [wave(1.3), wave(2.1), wave(0.7)]
    };
    let inputs: Vec<f32> = (0..64).flat_map(row).collect();
    let targets = inputs.chunks(3).flat_map(|x| [x[0] - 2.0 * x[1], 0.5 * x[2] + x[0] * x[1]]).collect();
    Arc::new(TensorDataset::with_values("waves", inputs, &[3], targets, 2).unwrap())
}

fn mixtures() -> Arc<dyn Dataset> {
    let train = open("glyphs:train=64,test=10", None).unwrap().train;
    let config = AugmentConfig::default().with_settings("mixup=0.4,crop=2").unwrap();
    Arc::new(Augmented::new(train, config, 3).unwrap())
}

fn run(batch: u64, micro_batch: u64, total: u64) -> Run {
    let plan = Plan::constant(batch, Schedule::constant(LearningRate(0.05)));
    Run::new(plan, micro_batch, Examples(total), OptimizerConfig::Sgd(SgdConfig::USUAL), 9)
}

fn train(kind: Kind, run: Run) -> (Trainer, Vec<f64>) {
    let mut trainer = Trainer::new(kind.task(), kind.dataset(), run).unwrap();
    let mut losses = Vec::new();
    while let Some(step) = trainer.step().unwrap() {
        losses.push(step.loss);
    }
    (trainer, losses)
}

fn largest_distance(a: &Trainer, b: &Trainer) -> f64 {
    let named = |trainer: &Trainer| trainer.task().parameters.named();
    let distance =
        |a: &Tensor, b: &Tensor| (norm2(&(a - b).unwrap()).unwrap() / norm2(a).unwrap().max(1e-300)).sqrt();
    let pairs = named(a).into_iter().zip(named(b));
    pairs.map(|((_, a), (_, b))| distance(a.as_tensor(), b.as_tensor())).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Of sequences, too, whose micro-batches are padded to other lengths and hold other numbers of tokens.
    #[test]
    fn micro_batches_equal_the_whole_batch(batch in 2u64..30, micro in 1u64..20) {
        for kind in KINDS {
            let (whole, whole_losses) = train(kind, run(batch, batch, 90));
            let (parts, parts_losses) = train(kind, run(batch, micro, 90));
            let distance = largest_distance(&whole, &parts);
            prop_assert!(distance < 1e-10, "{:?}: {}", kind, distance);
            for (whole, parts) in whole_losses.iter().zip(&parts_losses) {
                prop_assert!((whole - parts).abs() < 1e-10, "{:?}: {} is not {}", kind, parts, whole);
            }
        }
    }
}

#[test]
fn a_micro_batch_without_limit_is_the_whole_batch() {
    let (whole, _) = train(Kind::Values, run(20, 20, 100));
    let (unlimited, _) = train(Kind::Values, run(20, u64::MAX, 100));
    assert_eq!(largest_distance(&whole, &unlimited), 0.0);
}

/// The mean gradient of some positions in one pass, for each parameter, and what they weigh in the loss.
fn gradient(task: &Task, data: &dyn Dataset, order: &Order, positions: Range<u64>) -> (f64, Vec<Tensor>) {
    let batch = gather_batch(data, order, positions, &Device::Cpu).unwrap();
    let loss = (task.loss)(&task.model.forward_t(&batch.inputs, true).unwrap(), &batch.targets).unwrap();
    // The data's weight and the loss's are the same count.
    assert_eq!(loss.weight, batch.weight as f64);
    let mut store = (loss.sum / loss.weight).unwrap().backward().unwrap();
    (loss.weight, task.parameters.take_gradients(&mut store).unwrap())
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    (a * b).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
}

/// 𝒢 and tr Σ of one parameter from the definition, with the weights of the parts summing to the examples.
fn brute_force(parts: &[(f64, Vec<Tensor>)], parameter: usize, n_examples: f64) -> (f64, f64) {
    let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
    let parts: Vec<(f64, &Tensor)> =
        parts.iter().map(|(weight, all)| (weight * n_examples / total, &all[parameter])).collect();
    let (mut products, mut weights) = (0.0, 0.0);
    for (j, (wj, gj)) in parts.iter().enumerate() {
        for (k, (wk, gk)) in parts.iter().enumerate() {
            if j != k {
                products += wj * wk * dot(gj, gk);
                weights += wj * wk;
            }
        }
    }
    let mean = parts.iter().fold(parts[0].1.zeros_like().unwrap(), |mean, (weight, g)| {
        (mean + (*g * (weight / n_examples)).unwrap()).unwrap()
    });
    let squares: f64 = parts.iter().map(|(weight, g)| weight * dot(g, g)).sum();
    (products / weights, (squares - n_examples * dot(&mean, &mean)) / (parts.len() - 1) as f64)
}

#[test]
fn the_tap_equals_the_brute_force_figures() {
    for kind in KINDS {
        let (task, data) = (kind.task(), kind.dataset());
        let order = Order::new(2, data.len()).unwrap();
        let mut loader = Loader::new(Arc::clone(&data), order.clone(), Device::Cpu).unwrap();
        // Six micro-batches, the last of 2.
        let range = 1..28;
        let reading = measure_noise(&task, &mut loader, range.clone(), 5).unwrap();
        let starts = range.clone().step_by(5);
        let parts: Vec<(f64, Vec<Tensor>)> = starts
            .map(|start| gradient(&task, data.as_ref(), &order, start..(start + 5).min(range.end)))
            .collect();
        for (at, group) in reading.groups.iter().enumerate() {
            let (g2, s) = brute_force(&parts, at, 27.0);
            let scale = s.abs().max(g2.abs()).max(1e-12);
            assert!((group.g2 - g2).abs() < 1e-9 * scale, "{kind:?}: {} is not {g2}", group.g2);
            assert!((group.tr_sigma - s).abs() < 1e-9 * scale, "{kind:?}: {} is not {s}", group.tr_sigma);
        }
        assert!(0.0 < reading.total.tr_sigma && reading.loss.is_finite());
    }
}

fn assert_close(kind: Kind, got: &NoiseReading, want: &NoiseReading) {
    for (got, want) in got.groups.iter().zip(&want.groups) {
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * want.tr_sigma.max(1e-12);
        assert!(close(got.g2, want.g2) && close(got.tr_sigma, want.tr_sigma), "{kind:?}: {got:?} {want:?}");
    }
    assert!((got.loss - want.loss).abs() < 1e-12);
}

#[test]
fn the_noise_of_examples_is_that_of_micro_batches_of_one() {
    for kind in [Kind::Packed, Kind::Values, Kind::Mixture] {
        let (task, data) = (kind.task(), kind.dataset());
        let order = Order::new(2, data.len()).unwrap();
        let mut loader = Loader::new(data, order, Device::Cpu).unwrap();
        let want = measure_noise(&task, &mut loader, 4..25, 1).unwrap();
        for chunk in [21, 8, 1] {
            let got = measure_noise_of_examples(&task, &mut loader, 4..25, chunk).unwrap();
            assert_close(kind, &got, &want);
        }
    }
    let (task, data) = (Kind::Lines.task(), Kind::Lines.dataset());
    let order = Order::new(2, data.len()).unwrap();
    let mut loader = Loader::new(data, order, Device::Cpu).unwrap();
    let error = measure_noise_of_examples(&task, &mut loader, 4..25, 8).unwrap_err().to_string();
    assert!(error.contains("of differing length"), "{error}");
}

#[test]
fn evaluation_weighs_tokens_and_does_not_depend_on_its_batch() {
    for kind in KINDS {
        let (task, data) = (kind.task(), kind.dataset());
        let whole = evaluate(&task, &data, 1000).unwrap();
        assert_eq!((whole.n_examples, whole.accuracy), (data.len(), None));
        // A set that one batch holds has its error, too: without one any difference would pass for more than noise.
        let error = whole.loss_error.unwrap();
        for batch in [1, 7] {
            let parts = evaluate(&task, &data, batch).unwrap();
            assert!((parts.loss - whole.loss).abs() < 1e-12, "{kind:?}");
            let ratio = parts.loss_error.unwrap() / error;
            assert!((0.3..3.0).contains(&ratio), "{kind:?}: {ratio}");
        }
    }
}

#[test]
fn training_learns() {
    for kind in KINDS {
        let data = kind.dataset();
        let before = evaluate(&kind.task(), &data, 64).unwrap().loss;
        let (trainer, _) = train(kind, run(8, 3, 1600));
        let after = evaluate(trainer.task(), &data, 64).unwrap().loss;
        // Even the best model of mixtures has their entropy for its loss.
        assert!(after < 0.9 * before, "{kind:?}: {before} became {after}");
    }
}
