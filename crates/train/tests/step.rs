//! Laws of a training step: accumulation is exact, the tap is right, runs repeat bit for bit.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_data::{DataError, Dataset, Loader, Order, Row, RowsMut, Schema, open};
use batchwise_nn::gradients::norm2;
use batchwise_nn::models::{Cnn, CnnConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{AdamWConfig, OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, fingerprint, loss};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::{
    Plan, Run, Tap, Task, TrainError, Trainer, evaluate, measure_noise, measure_noise_of_examples,
};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ModuleT;
use proptest::prelude::*;
use std::sync::Arc;

const SGD: OptimizerConfig = OptimizerConfig::Sgd(SgdConfig { weight_decay: 1e-4, ..SgdConfig::USUAL });

#[derive(Clone, Copy, Debug)]
enum Kind {
    Mlp,
    Cnn,
}

/// The loader's f32 batches, turned to the dtype of the parameters.
struct InDtype(Box<dyn ModuleT + Send>, DType);

impl ModuleT for InDtype {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward_t(&x.to_dtype(self.1)?, train)
    }
}

fn task(kind: Kind, dtype: DType) -> Task {
    let parameters = Parameters::new();
    let vb = parameters.builder(4, dtype, &Device::Cpu);
    let model: Box<dyn ModuleT + Send> = match kind {
        Kind::Mlp => {
            Box::new(Mlp::new(&MlpConfig { inputs: 784, hidden: vec![16], classes: 10 }, vb).unwrap())
        }
        Kind::Cnn => {
            let config = CnnConfig {
                in_channels: 1,
                height: 28,
                width: 28,
                channels: vec![2, 3],
                hidden: 8,
                classes: 10,
            };
            Box::new(Cnn::new(&config, vb).unwrap())
        }
    };
    Task::new(parameters, Box::new(InDtype(model, dtype)), loss::cross_entropy, Device::Cpu)
}

fn glyphs(len: u64) -> Arc<dyn Dataset> {
    open(&format!("glyphs:train={len},test=10"), None).unwrap().train
}

fn run(batch: u64, micro_batch: u64, total: u64) -> Run {
    let lr = Schedule::warmup_cosine(LearningRate(0.05), Examples(total / 10), Examples(total));
    Run::new(Plan::constant(batch, lr), micro_batch, Examples(total), SGD, 9)
}

fn train(kind: Kind, dtype: DType, len: u64, run: Run) -> Trainer {
    let mut trainer = Trainer::new(task(kind, dtype), glyphs(len), run).unwrap();
    while trainer.step().unwrap().is_some() {}
    trainer
}

fn weights(trainer: &Trainer) -> Vec<(String, Tensor)> {
    trainer.task().parameters.named().into_iter().map(|(n, v)| (n, v.as_tensor().clone())).collect()
}

fn hash(trainer: &Trainer) -> String {
    let weights = weights(trainer);
    fingerprint::sha256(weights.iter().map(|(n, t)| (n.as_str(), t))).unwrap()
}

fn largest_distance(a: &Trainer, b: &Trainer) -> f64 {
    let pairs = weights(a).into_iter().zip(weights(b));
    let distance =
        |a: Tensor, b: Tensor| (norm2(&(&a - b).unwrap()).unwrap() / norm2(&a).unwrap().max(1e-300)).sqrt();
    pairs.map(|((_, a), (_, b))| distance(a, b)).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever the micro-batch, also when the last is short and the epoch ends in a short batch, the
    /// weights after a run agree to the rounding of f64.
    #[test]
    fn micro_batches_equal_the_whole_batch(batch in 2u64..60, micro in 1u64..40, cnn: bool) {
        let kind = if cnn { Kind::Cnn } else { Kind::Mlp };
        let whole = train(kind, DType::F64, 101, run(batch, batch, 250));
        let parts = train(kind, DType::F64, 101, run(batch, micro, 250));
        prop_assert_eq!(whole.steps(), parts.steps());
        let distance = largest_distance(&whole, &parts);
        prop_assert!(distance < 1e-11, "{}", distance);
    }
}

#[test]
fn micro_batches_equal_the_whole_batch_in_f32() {
    for kind in [Kind::Mlp, Kind::Cnn] {
        let whole = train(kind, DType::F32, 500, run(64, 64, 500));
        let parts = train(kind, DType::F32, 500, run(64, 24, 500));
        // f32 keeps 6e-8 per operation; eight steps of sums over 64 examples stay far below 1e-4.
        let distance = largest_distance(&whole, &parts);
        assert!(0.0 < distance && distance < 1e-4, "{kind:?}: {distance}");
    }
}

#[test]
fn a_wrong_weighting_would_be_seen() {
    // The mean of micro-batch means, the usual mistake, on a batch of 3 + 1: the law above can fail.
    let (task, data) = (task(Kind::Mlp, DType::F64), glyphs(4));
    let gradient = |positions: std::ops::Range<u64>| {
        let batch =
            batchwise_data::gather_batch(data.as_ref(), &Order::new(9, 4).unwrap(), positions, &Device::Cpu)
                .unwrap();
        let output = task.model.forward_t(&batch.inputs, true).unwrap();
        let loss = (task.loss)(&output, &batch.targets).unwrap();
        let mut store = (loss.sum / loss.weight).unwrap().backward().unwrap();
        task.parameters.take_gradients(&mut store).unwrap().remove(0)
    };
    let mean_of_means = ((gradient(0..3) + gradient(3..4)).unwrap() / 2.0).unwrap();
    let whole = gradient(0..4);
    assert!(1e-3 < norm2(&(&whole - mean_of_means).unwrap()).unwrap() / norm2(&whole).unwrap());
}

#[test]
fn two_runs_agree_bit_for_bit_and_seeds_matter() {
    for kind in [Kind::Mlp, Kind::Cnn] {
        for optimizer in [SGD, OptimizerConfig::AdamW(AdamWConfig::USUAL)] {
            let settings = Run { optimizer, tap: Tap::Norms, ..run(32, 8, 400) };
            let one = hash(&train(kind, DType::F32, 300, settings.clone()));
            assert_eq!(one, hash(&train(kind, DType::F32, 300, settings.clone())));
            // The tap only looks.
            assert_eq!(one, hash(&train(kind, DType::F32, 300, Run { tap: Tap::Off, ..settings.clone() })));
            assert_ne!(one, hash(&train(kind, DType::F32, 300, Run { seed: 10, ..settings })));
        }
    }
}

#[test]
fn batches_are_cut_at_epoch_and_run_ends() {
    let mut trainer = Trainer::new(task(Kind::Mlp, DType::F32), glyphs(50), run(20, 8, 115)).unwrap();
    let mut seen = Vec::new();
    while let Some(step) = trainer.step().unwrap() {
        seen.push((step.batch, step.n_micro_batches, step.progress.0));
    }
    assert_eq!(
        seen,
        [(20, 3, 20), (20, 3, 40), (10, 2, 50), (20, 3, 70), (20, 3, 90), (10, 2, 100), (15, 2, 115)]
    );
    assert_eq!(trainer.steps().0, 7);
}

#[test]
fn the_batch_may_change_at_any_step() {
    let mut trainer = Trainer::new(task(Kind::Mlp, DType::F32), glyphs(500), run(20, 8, 500)).unwrap();
    let mut seen = Vec::new();
    while let Some(step) = trainer.step().unwrap() {
        seen.push(step.progress.0);
        trainer.set_batch(step.batch + 7, 5 + seen.len() as u64).unwrap();
    }
    assert_eq!(seen[..3], [20, 47, 81]);
    assert_eq!(seen.last(), Some(&500));
    assert!(trainer.set_batch(0, 1).is_err());
}

/// The figures of the tap, from the definition: one gradient per micro-batch, each from its own pass.
#[test]
fn the_tap_equals_the_brute_force_figures() {
    for kind in [Kind::Mlp, Kind::Cnn] {
        let (task, data) = (task(kind, DType::F64), glyphs(60));
        let order = Order::new(2, 60).unwrap();
        let mut loader = Loader::new(Arc::clone(&data), order.clone(), Device::Cpu).unwrap();
        // Seven micro-batches, the last of 2.
        let reading = measure_noise(&task, &mut loader, 3..59, 9).unwrap();
        let names = task.parameters.named();
        assert_eq!(reading.groups.len(), names.len());
        let mut parts: Vec<(f64, Vec<Tensor>)> = Vec::new();
        for start in (3..59).step_by(9) {
            let positions = start..(start + 9).min(59);
            let weight = (positions.end - positions.start) as f64;
            let batch = batchwise_data::gather_batch(data.as_ref(), &order, positions, &Device::Cpu).unwrap();
            let loss =
                (task.loss)(&task.model.forward_t(&batch.inputs, true).unwrap(), &batch.targets).unwrap();
            let mut store = (loss.sum / weight).unwrap().backward().unwrap();
            parts.push((weight, task.parameters.take_gradients(&mut store).unwrap()));
        }
        let (mut g2_sum, mut s_sum) = (0.0, 0.0);
        for (i, group) in reading.groups.iter().enumerate() {
            let dot =
                |a: &Tensor, b: &Tensor| (a * b).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            // 𝒢 is the weighted mean of the products of different micro-batches.
            let (mut products, mut weights) = (0.0, 0.0);
            for (j, (wj, gj)) in parts.iter().enumerate() {
                for (k, (wk, gk)) in parts.iter().enumerate() {
                    if j != k {
                        products += wj * wk * dot(&gj[i], &gk[i]);
                        weights += wj * wk;
                    }
                }
            }
            let g2 = products / weights;
            let total: f64 = parts.iter().map(|(w, _)| w).sum();
            let mean = parts.iter().fold(parts[0].1[i].zeros_like().unwrap(), |m, (w, g)| {
                (m + (&g[i] * (w / total)).unwrap()).unwrap()
            });
            let squares: f64 = parts.iter().map(|(w, g)| w * dot(&g[i], &g[i])).sum();
            let s = (squares - total * dot(&mean, &mean)) / (parts.len() - 1) as f64;
            assert!((group.g2 - g2).abs() < 1e-10 * s.abs().max(g2.abs()), "{} is not {g2}", group.g2);
            assert!((group.tr_sigma - s).abs() < 1e-10 * s.abs(), "{} is not {s}", group.tr_sigma);
            g2_sum += g2;
            s_sum += s;
        }
        assert!((reading.total.g2 - g2_sum).abs() < 1e-9 * s_sum);
        assert!((reading.total.tr_sigma - s_sum).abs() < 1e-9 * s_sum);
    }
}

#[test]
fn a_step_reports_the_noise_of_its_micro_batches() {
    let settings = Run { tap: Tap::Norms, ..run(40, 5, 80) };
    let mut trainer = Trainer::new(task(Kind::Mlp, DType::F32), glyphs(80), settings).unwrap();
    let noise = trainer.step().unwrap().unwrap().noise.unwrap();
    let mut loader = Loader::new(glyphs(80), Order::new(9, 80).unwrap(), Device::Cpu).unwrap();
    let fresh = measure_noise(&task(Kind::Mlp, DType::F32), &mut loader, 0..40, 5).unwrap();
    assert_eq!(noise, fresh);
    let alone = Run { tap: Tap::Norms, ..run(40, 40, 80) };
    let mut trainer = Trainer::new(task(Kind::Mlp, DType::F32), glyphs(80), alone).unwrap();
    assert_eq!(trainer.step().unwrap().unwrap().noise, None);
}

#[test]
fn the_noise_of_examples_is_that_of_micro_batches_of_one() {
    for kind in [Kind::Mlp, Kind::Cnn] {
        let (task, data) = (task(kind, DType::F64), glyphs(60));
        let mut loader = Loader::new(data, Order::new(2, 60).unwrap(), Device::Cpu).unwrap();
        let want = measure_noise(&task, &mut loader, 4..27, 1).unwrap();
        for chunk in [23, 10, 1] {
            let got = measure_noise_of_examples(&task, &mut loader, 4..27, chunk).unwrap();
            for (got, want) in got.groups.iter().zip(&want.groups) {
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * want.tr_sigma;
                assert!(close(got.g2, want.g2) && close(got.tr_sigma, want.tr_sigma), "{got:?} {want:?}");
            }
        }
    }
    // A batch that is one micro-batch has its noise too, and training is the same bits.
    let settings = Run { tap: Tap::Examples, ..run(40, 40, 80) };
    let mut trainer = Trainer::new(task(Kind::Mlp, DType::F32), glyphs(80), settings.clone()).unwrap();
    assert!(0.0 < trainer.step().unwrap().unwrap().noise.unwrap().total.tr_sigma);
    let weights = |tap| hash(&train(Kind::Cnn, DType::F32, 80, Run { tap, ..settings.clone() }));
    assert_eq!(weights(Tap::Examples), weights(Tap::Off));
}

#[test]
fn divergence_is_an_error_that_says_where() {
    let settings =
        Run { plan: Plan::constant(10, Schedule::constant(LearningRate(1e30))), ..run(10, 10, 100) };
    let mut trainer = Trainer::new(task(Kind::Mlp, DType::F32), glyphs(100), settings).unwrap();
    let error = loop {
        match trainer.step() {
            Ok(Some(step)) => assert!(step.loss.is_finite()),
            Ok(None) => panic!("it ended"),
            Err(error) => break error,
        }
    };
    assert!(error.is_divergence());
    let text = error.to_string();
    assert!(text.contains("at step") && text.contains("1.000e30") && text.contains("diverged"), "{text}");
}

/// A data set that fails at one row.
struct Faulty(Arc<dyn Dataset>);

impl Dataset for Faulty {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn content_hash(&self) -> std::result::Result<String, DataError> {
        self.0.content_hash()
    }
    fn resident_bytes(&self) -> u64 {
        0
    }
    fn gather(&self, rows: &[Row], out: RowsMut<'_>) -> std::result::Result<(), DataError> {
        if rows.iter().any(|row| row.index == 17) {
            return Err(DataError::IndexOutOfRange { name: "faulty".to_owned(), index: 17, len: 0 });
        }
        self.0.gather(rows, out)
    }
    fn label(&self, index: u64) -> std::result::Result<u32, DataError> {
        self.0.label(index)
    }
}

#[test]
fn faults_of_the_data_arrive_and_settings_are_checked() {
    let faulty: Arc<dyn Dataset> = Arc::new(Faulty(glyphs(40)));
    let mut trainer = Trainer::new(task(Kind::Mlp, DType::F32), Arc::clone(&faulty), run(8, 8, 40)).unwrap();
    let error = loop {
        match trainer.step() {
            Ok(step) => assert!(step.is_some(), "the fault was not met"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TrainError::Data(_)), "{error}");
    let new =
        |run: Run| Trainer::new(task(Kind::Mlp, DType::F32), glyphs(40), run).err().unwrap().to_string();
    assert!(new(run(0, 8, 40)).contains("batch size is 0"));
    assert!(new(run(8, 0, 40)).contains("micro-batch size is 0"));
    let rate = Schedule::constant(LearningRate(f64::NAN));
    assert!(new(Run { plan: Plan::constant(8, rate), ..run(8, 8, 40) }).contains("learning rate is NaN"));
    let mut loader = Loader::new(glyphs(40), Order::new(2, 40).unwrap(), Device::Cpu).unwrap();
    let error = measure_noise(&task(Kind::Mlp, DType::F32), &mut loader, 0..8, 8).unwrap_err().to_string();
    assert!(error.contains("micro-batches in a noise measurement is 1"), "{error}");
    let error = measure_noise(&task(Kind::Mlp, DType::F32), &mut loader, 36..44, 2).unwrap_err().to_string();
    assert!(error.contains("8 with 4 left in the epoch"), "{error}");
}

#[test]
fn evaluation_does_not_depend_on_its_batch() {
    let (task, data) = (task(Kind::Cnn, DType::F64), glyphs(130));
    let whole = evaluate(&task, &data, 1000).unwrap();
    assert_eq!(whole.n_examples, 130);
    for batch in [1, 7, 130] {
        let parts = evaluate(&task, &data, batch).unwrap();
        assert_eq!(parts.accuracy, whole.accuracy);
        assert!((parts.loss - whole.loss).abs() < 1e-12);
    }
}

#[test]
fn training_learns() {
    let data = glyphs(4000);
    let trainer = train(Kind::Mlp, DType::F32, 4000, run(50, 50, 16_000));
    let after = evaluate(trainer.task(), &data, 500).unwrap();
    let before = evaluate(&task(Kind::Mlp, DType::F32), &data, 500).unwrap();
    assert!(before.accuracy.unwrap() < 0.25 && 0.4 < after.accuracy.unwrap(), "{before:?} {after:?}");
}

/// Counts the lower half of the classes only.
fn lower_half(output: &Tensor, targets: &Tensor) -> Result<loss::LossSum> {
    let counts = targets.lt(5u32)?.to_dtype(output.dtype())?;
    let chances = candle_nn::ops::log_softmax(output, 1)?;
    let losses = chances.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?;
    let weight = counts.to_dtype(DType::F64)?.sum_all()?.to_scalar()?;
    Ok(loss::LossSum { sum: (losses * counts)?.sum_all()?, weight })
}

#[test]
fn a_micro_batch_that_the_loss_does_not_count_has_no_say_in_the_noise() {
    let first = |settings: Run| {
        let task = Task { loss: lower_half, ..task(Kind::Mlp, DType::F64) };
        let mut trainer = Trainer::new(task, glyphs(64), settings).unwrap();
        let step = trainer.step().unwrap().unwrap();
        (step.noise.unwrap(), step.gradient_norm)
    };
    let settings = Run { tap: Tap::Norms, ..run(32, 1, 64) };
    let (found, norm) = first(settings.clone());
    // The same examples in larger micro-batches, each of which counts some.
    let (_, whole) = first(Run { micro_batch: 16, ..settings });
    assert!((norm - whole).abs() < 1e-12 * whole);
    // ‖g‖² of the batch is 𝒢 + 𝒮/B by construction, where B is what the counted examples weigh.
    assert!(found.total.tr_sigma.is_finite() && 0.0 < found.total.tr_sigma);
    let sum = found.total.g2 + found.total.tr_sigma / 32.0;
    assert!((sum - norm * norm).abs() < 1e-9 * norm * norm, "{sum} {}", norm * norm);
}
