//! The check of accumulation: models that are exact pass, and each fault is named.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use batchwise_data::{Dataset, Sequences, TensorDataset, TextConfig, open, read_text};
use batchwise_nn::layers::{Linear, linear};
use batchwise_nn::loss::{self, Loss, LossSum};
use batchwise_nn::models::{Cnn, CnnConfig, Gpt, GptConfig, Mlp, MlpConfig, Norm, ResNet, ResNetConfig};
use batchwise_nn::ops::Activation;
use batchwise_nn::{Parameters, ops, random};
use batchwise_train::check::{AccumulationConfig, AccumulationReport, Cause, accumulation};
use batchwise_train::{Task, TrainError};
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{Module, ModuleT, VarBuilder};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

type Model = Box<dyn ModuleT + Send>;

fn glyphs() -> Arc<dyn Dataset> {
    open("glyphs:train=64,test=10", None).unwrap().train
}

fn check(
    dataset: &Arc<dyn Dataset>,
    loss: Loss,
    batch: u64,
    build: impl Fn(VarBuilder<'_>) -> Result<Model>,
) -> AccumulationReport {
    let build = |dtype| {
        let parameters = Parameters::new();
        let model = build(parameters.builder(4, dtype, &Device::Cpu))?;
        Ok(Task::new(parameters, model, loss, Device::Cpu))
    };
    accumulation(&build, dataset, &AccumulationConfig::of_batch(batch)).unwrap()
}

fn mlp(vb: VarBuilder<'_>) -> Result<Model> {
    Ok(Box::new(Mlp::new(&MlpConfig { inputs: 784, hidden: vec![16], classes: 10 }, vb)?))
}

/// One linear layer and what a fault makes of it.
struct Faulty<F> {
    layer: Linear,
    fault: F,
}

impl<F: Fn(&Tensor, &Linear) -> Result<Tensor>> ModuleT for Faulty<F> {
    fn forward_t(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        (self.fault)(&x.flatten_from(1)?, &self.layer)
    }
}

fn faulty<F>(vb: &VarBuilder<'_>, fault: F) -> Result<Model>
where
    F: Fn(&Tensor, &Linear) -> Result<Tensor> + Send + 'static,
{
    Ok(Box::new(Faulty { layer: linear(784, 10, Activation::Identity, vb.pp("layer"))?, fault }))
}

fn only_cause(report: &AccumulationReport) -> &Cause {
    assert!(!report.is_ok());
    assert_eq!(report.causes.len(), 1, "{:?}", report.causes);
    &report.causes[0]
}

/// Passes in both precisions, with differences that are seen and not merely allowed.
fn assert_exact(name: &str, report: &AccumulationReport, n_splits: usize) {
    assert!(report.is_ok(), "{name}: {report:?}");
    assert_eq!((report.rows.len(), &report.no_f64), (2 * n_splits, &None), "{name}");
    for row in &report.rows {
        let most = if row.dtype == DType::F64 { 1e-11 } else { 1e-3 };
        assert!(row.allowed < most, "{name}: so much says nothing: {row:?}");
    }
    assert!(report.rows.iter().any(|row| 0.0 < row.difference), "{name}");
}

#[test]
fn models_for_images_are_exact() {
    let cnn = |vb: VarBuilder<'_>| -> Result<Model> {
        let (in_channels, height, width) = (1, 28, 28);
        let config = CnnConfig { in_channels, height, width, channels: vec![2, 3], hidden: 8, classes: 10 };
        Ok(Box::new(Cnn::new(&config, vb)?))
    };
    assert_exact("mlp", &check(&glyphs(), loss::cross_entropy, 32, mlp), 5);
    assert_exact("cnn", &check(&glyphs(), loss::cross_entropy, 32, cnn), 5);
}

fn resnet(norm: Norm) -> impl Fn(VarBuilder<'_>) -> Result<Model> {
    move |vb| {
        let config = ResNetConfig { in_channels: 1, channels: vec![4, 6], blocks: 1, norm, classes: 10 };
        Ok(Box::new(ResNet::new(&config, vb)?))
    }
}

#[test]
fn batch_norm_is_named_with_its_layers_and_group_norm_is_exact() {
    assert_exact("group norm", &check(&glyphs(), loss::cross_entropy, 12, resnet(Norm::Group(2))), 4);
    for norm in [Norm::Batch, Norm::GhostBatch(5)] {
        let report = check(&glyphs(), loss::cross_entropy, 12, resnet(norm));
        let cause = only_cause(&report);
        let Cause::Companions { layers, parameter, difference } = cause else { panic!("{cause}") };
        assert_eq!(layers.len(), 6, "{layers:?}");
        assert!(layers.contains(&"stem.norm".to_owned()) && parameter.is_some() && 1e-3 < *difference);
        assert!(cause.to_string().contains("`block0.first.norm`"), "{cause}");
        assert!(report.rows.iter().all(|row| !row.is_equal));
    }
}

/// Texts as sequences that all have one length, or differ.
fn texts(sequences: Sequences) -> Arc<dyn Dataset> {
    let line = |k: usize| format!("{}\n", ["ab", "bca", "abcabcab", "cabcabcabc", "c"][(k * 3 + k / 5) % 5]);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{sequences:?}.txt"));
    std::fs::write(&path, (0..80).map(line).collect::<String>()).unwrap();
    let config = TextConfig { sequences, context: 12, ..TextConfig::default() };
    Arc::new(read_text("texts", &path, &config).unwrap().0)
}

fn gpt(dataset: &Arc<dyn Dataset>, dropout: f64) -> impl Fn(VarBuilder<'_>) -> Result<Model> {
    let (vocabulary, context) = (dataset.schema().n_outputs(), dataset.schema().longest());
    let config = GptConfig { vocabulary, context, width: 8, heads: 2, layers: 2, dropout, seed: 1 };
    move |vb| Ok(Box::new(Gpt::new(&config, vb)?))
}

#[test]
fn models_for_tokens_are_exact_with_dropout_and_with_sequences_of_any_length() {
    let packed = texts(Sequences::Packed);
    assert_exact("packed", &check(&packed, loss::next_token, 15, gpt(&packed, 0.2)), 4);
    // Here the micro-batches of one size weigh differently.
    let lines = texts(Sequences::Lines);
    assert_exact("lines", &check(&lines, loss::next_token, 15, gpt(&lines, 0.0)), 4);
}

#[test]
fn values_are_compared_in_f64_too() {
    let inputs: Vec<f32> = (0..60u8).map(|k| (f32::from(k) * 1.3).sin()).collect();
    let targets = inputs.chunks(3).flat_map(|x| [x[0] - 2.0 * x[1], x[2]]).collect();
    let data: Arc<dyn Dataset> =
        Arc::new(TensorDataset::with_values("waves", inputs, &[3], targets, 2).unwrap());
    let mlp = |vb: VarBuilder<'_>| -> Result<Model> {
        Ok(Box::new(Mlp::new(&MlpConfig { inputs: 3, hidden: vec![6], classes: 2 }, vb)?))
    };
    assert_exact("values", &check(&data, loss::mse, 20, mlp), 4);
}

/// The mean where the sum is expected.
fn mean(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    let LossSum { sum, weight } = loss::cross_entropy(logits, targets)?;
    Ok(LossSum { sum: (sum / weight)?, weight })
}

/// The mean with weight 1: even splits agree, uneven ones do not.
fn mean_of_weight_1(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    Ok(LossSum { weight: 1.0, ..mean(logits, targets)? })
}

fn sum_of_weight_1(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    Ok(LossSum { weight: 1.0, ..loss::cross_entropy(logits, targets)? })
}

/// A millionth of an example too heavy, once for each micro-batch.
fn slightly_heavy(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    let LossSum { sum, weight } = loss::cross_entropy(logits, targets)?;
    Ok(LossSum { sum, weight: weight + 1e-6 })
}

/// Each output is to be most like itself among those of its batch (van den Oord et al. 2018, eq. 4, without views).
fn in_batch(logits: &Tensor, _: &Tensor) -> Result<LossSum> {
    let alike = (logits.matmul(&logits.t()?)? * 0.1)?;
    let own = Tensor::arange(0, logits.dim(0)? as u32, logits.device())?;
    loss::cross_entropy(&alike, &own)
}

fn not_a_number(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    let LossSum { sum, weight } = loss::cross_entropy(logits, targets)?;
    Ok(LossSum { sum: (sum * f64::NAN)?, weight })
}

static DRAWN: AtomicU64 = AtomicU64::new(0);

fn drawn(len: usize, like: &Tensor) -> Result<Tensor> {
    let numbers = random::normal(DRAWN.fetch_add(1, Relaxed), "drawn", len, 1.0, 0.5);
    Tensor::from_vec(numbers, len, like.device())?.to_dtype(like.dtype())
}

fn random_loss(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    loss::cross_entropy(&logits.broadcast_mul(&drawn(1, logits)?)?, targets)
}

#[test]
fn faults_of_the_loss_are_named() {
    let found = |loss: Loss| only_cause(&check(&glyphs(), loss, 16, mlp)).clone();
    assert_eq!(found(mean), Cause::LossIsMean);
    assert_eq!(found(mean_of_weight_1), Cause::LossIsMean);
    assert_eq!(found(sum_of_weight_1), Cause::LossWeight { whole: 1.0, parts: 2.0 });
    assert!(matches!(found(slightly_heavy), Cause::LossWeight { .. }));
    assert!(matches!(found(in_batch), Cause::LossCouples { difference } if 0.01 < difference));
    assert!(matches!(found(not_a_number), Cause::NotFinite { name } if name == "the loss"));
    assert_eq!(found(random_loss), Cause::Randomness { of: "the losses of fixed outputs" });
}

#[test]
fn the_mean_of_means_passes_even_splits_only() {
    let report = check(&glyphs(), mean_of_weight_1, 16, mlp);
    assert!(
        report.rows.iter().all(|row| row.is_equal == 16u64.is_multiple_of(row.micro_batch)),
        "{report:?}"
    );
}

#[test]
fn companions_without_running_statistics_are_named_by_the_parameter() {
    let centred = |vb: VarBuilder<'_>| {
        faulty(&vb, |x, layer| {
            let y = layer.forward(x)?;
            y.broadcast_sub(&(y.mean_keepdim(0)? * 0.5)?)
        })
    };
    let report = check(&glyphs(), loss::cross_entropy, 16, centred);
    let cause = only_cause(&report);
    let Cause::Companions { layers, parameter: Some(parameter), .. } = cause else { panic!("{cause}") };
    assert!(layers.is_empty() && parameter.starts_with("layer."), "{parameter}");
    // Outputs over pairs of examples.
    let pairs = |vb: VarBuilder<'_>| {
        faulty(&vb, |x, layer| {
            let y = layer.forward(x)?;
            y.matmul(&y.t()?)
        })
    };
    let diagonal = |alike: &Tensor, _: &Tensor| {
        let own = Tensor::arange(0, alike.dim(0)? as u32, alike.device())?;
        loss::cross_entropy(alike, &own)
    };
    let report = check(&glyphs(), diagonal, 16, pairs);
    assert!(report.causes[0].to_string().contains("even their shape"), "{:?}", report.causes);
}

#[test]
fn drawn_numbers_and_state_are_told_apart() {
    let random =
        |vb: VarBuilder<'_>| faulty(&vb, |x, layer| layer.forward(&x.broadcast_mul(&drawn(784, x)?)?));
    let found = check(&glyphs(), loss::cross_entropy, 16, random);
    assert_eq!(only_cause(&found), &Cause::Randomness { of: "the outputs" });

    let counting = |vb: VarBuilder<'_>| {
        let passes = AtomicU64::new(0);
        faulty(&vb, move |x, layer| layer.forward(x)? * (1.0 + 0.01 * passes.fetch_add(1, Relaxed) as f64))
    };
    let found = check(&glyphs(), loss::cross_entropy, 16, counting);
    assert_eq!(only_cause(&found), &Cause::State { parameters: Vec::new() });

    let changing = |vb: VarBuilder<'_>| {
        faulty(&vb, |x, layer| {
            // The tensor shares its storage with the variable.
            let bias = Var::from_tensor(&layer.bias)?;
            bias.set(&(bias.as_detached_tensor() + 0.01)?)?;
            layer.forward(x)
        })
    };
    let found = check(&glyphs(), loss::cross_entropy, 16, changing);
    assert_eq!(only_cause(&found), &Cause::State { parameters: vec!["layer.bias".to_owned()] });
}

#[test]
fn cut_gradients_are_all_named() {
    let cut = |vb: VarBuilder<'_>| {
        let head = linear(10, 10, Activation::Identity, vb.pp("head"))?;
        faulty(&vb, move |x, layer| head.forward(&layer.forward(x)?.detach()))
    };
    let report = check(&glyphs(), loss::cross_entropy, 16, cut);
    let names = ["layer.bias".to_owned(), "layer.weight".to_owned()];
    assert_eq!(only_cause(&report), &Cause::MissingGradients { parameters: names.to_vec() });
    assert!(report.rows.is_empty());
}

#[test]
fn what_no_experiment_finds_is_still_a_failure() {
    // Wrong for micro-batches of 7 only, and by little.
    let sevens = |vb: VarBuilder<'_>| {
        faulty(&vb, |x, layer| layer.forward(x)? * if x.dim(0)? == 7 { 1.0 + 1e-9 } else { 1.0 })
    };
    let report = check(&glyphs(), loss::cross_entropy, 32, sevens);
    assert!(matches!(only_cause(&report), Cause::Unknown { .. }), "{:?}", report.causes);
    let wrong = |row: &&batchwise_train::check::AccumulationRow| !row.is_equal;
    let wrong: Vec<_> = report.rows.iter().filter(wrong).map(|row| (row.dtype, row.micro_batch)).collect();
    assert_eq!(wrong, [(DType::F64, 7)]);
}

#[test]
fn a_model_for_f32_only_is_checked_in_it() {
    let build = |dtype| {
        if dtype == DType::F64 {
            candle_core::bail!("there is a table in f32");
        }
        let parameters = Parameters::new();
        let model = mlp(parameters.builder(4, dtype, &Device::Cpu))?;
        Ok(Task::new(parameters, model, loss::cross_entropy, Device::Cpu))
    };
    let report = accumulation(&build, &glyphs(), &AccumulationConfig::of_batch(32)).unwrap();
    assert!(report.is_ok() && report.rows.len() == 5, "{report:?}");
    assert!(report.no_f64.as_ref().unwrap().contains("a table in f32"));
    assert!(report.rows.iter().all(|row| row.difference <= 1e-5 && row.allowed < 1e-3), "{:?}", report.rows);
    // And one that is built in f32 whatever is asked for, or is another model then.
    let build = |_| {
        let parameters = Parameters::new();
        let model = mlp(parameters.builder(4, DType::F32, &Device::Cpu))?;
        Ok(Task::new(parameters, model, mean as Loss, Device::Cpu))
    };
    let report = accumulation(&build, &glyphs(), &AccumulationConfig::of_batch(32)).unwrap();
    assert!(report.no_f64.as_ref().unwrap().contains("was not built in f64"));
    assert_eq!(only_cause(&report), &Cause::LossIsMean);
    let build = |dtype| {
        let parameters = Parameters::new();
        let seed = if dtype == DType::F64 { 5 } else { 4 };
        let model = mlp(parameters.builder(seed, dtype, &Device::Cpu))?;
        Ok(Task::new(parameters, model, loss::cross_entropy as Loss, Device::Cpu))
    };
    let report = accumulation(&build, &glyphs(), &AccumulationConfig::of_batch(32)).unwrap();
    assert!(report.is_ok() && report.no_f64.as_ref().unwrap().contains("another function"), "{report:?}");
}

#[test]
fn sizes_out_of_range_are_refused() {
    let build = |_| -> Result<Task> { panic!("sizes are looked at first") };
    for (batch, micro_batches) in [(1, vec![1]), (65, vec![1]), (8, vec![0]), (8, vec![4, 9]), (8, vec![])] {
        let config = AccumulationConfig { batch, micro_batches, seed: 0 };
        let error = accumulation(&build, &glyphs(), &config).unwrap_err();
        assert!(matches!(error, TrainError::Config { .. }), "{error}");
    }
}

/// Cross-entropy where class c weighs 1 + c/4, so that parts of one size weigh differently.
fn weighted(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    let weights = ((targets.to_dtype(logits.dtype())? * 0.25)? + 1.0)?;
    let picked = ops::log_softmax(logits, 1)?.gather(&targets.unsqueeze(1)?, D::Minus1)?.squeeze(1)?;
    let sum = picked.mul(&weights)?.sum_all()?.neg()?;
    Ok(LossSum { sum, weight: weights.sum_all()?.to_dtype(DType::F64)?.to_scalar()? })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the shapes, the seed, the batch, the weights and the parts.
    #[test]
    fn parts_equal_the_whole(
        hidden in prop::collection::vec(1usize..40, 0..3),
        seed: u64,
        (batch, micro) in (2u64..65).prop_flat_map(|batch| (Just(batch), 1..=batch)),
        is_weighted: bool,
    ) {
        let build = |dtype| {
            let parameters = Parameters::new();
            let config = MlpConfig { inputs: 784, hidden: hidden.clone(), classes: 10 };
            let model = Mlp::new(&config, parameters.builder(seed, dtype, &Device::Cpu))?;
            let loss: Loss = if is_weighted { weighted } else { loss::cross_entropy };
            Ok(Task::new(parameters, Box::new(model), loss, Device::Cpu))
        };
        let config = AccumulationConfig { batch, micro_batches: vec![micro], seed };
        let report = accumulation(&build, &glyphs(), &config).unwrap();
        prop_assert!(report.is_ok() && report.no_f64.is_none(), "{:?}", report);
    }
}
