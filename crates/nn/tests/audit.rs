//! The audit catches each known defect of candle, and planted ones; it passes what is right and says where it
//! cannot tell.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use batchwise_nn::audit::{self, Case, Config, Outcome, Report, RowOutcome, Symptom, Table};
use batchwise_nn::ops::{self, Activation, ConvConfig};
use batchwise_nn::{Parameters, layers, models, random};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, D, DType, Device, Layout, Result, Shape, Tensor, Var, WithDType,
};
use candle_nn::{LayerNorm, Module, ModuleT, RmsNorm, VarMap, rotary_emb};
use common::{normal, var};
use std::cell::Cell;

/// The audit of one operation on inputs of these shapes, without moving them.
fn op(shapes: &[&[usize]], dtype: DType, f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Report {
    let inputs: Vec<Tensor> =
        shapes.iter().enumerate().map(|(i, shape)| normal(&format!("input {i}"), shape, dtype)).collect();
    let config = Config { nudge: 0.0, ..Config::default() };
    audit::layer("an operation", &inputs, &[], &f, &config).unwrap()
}

fn outcome<'a>(report: &'a Report, name: &str) -> &'a Outcome {
    &report.get(name).unwrap().outcome
}

/// The layers of the candle defects that the report names.
fn suspects(report: &Report) -> Vec<&'static str> {
    report.causes().iter().flat_map(|cause| cause.layers).copied().collect()
}

fn assert_cut(report: &Report, suspect: &str) {
    for check in &report.checks {
        assert_eq!(check.outcome, Outcome::Cut { in_graph: false }, "{report}");
    }
    assert!(suspects(report).contains(&suspect), "{report}");
}

fn assert_wrong(report: &Report, name: &str, suspect: &str) {
    assert!(matches!(outcome(report, name), Outcome::Wrong { .. }), "{report}");
    assert!(suspects(report).contains(&suspect), "{report}");
    assert!(report.ensure_right().is_err());
}

#[test]
fn candles_max_pool_is_scaled_and_found_between_its_neighbours() {
    for (k, factor) in [(2, 0.25), (3, 1.0 / 9.0)] {
        let parameters = Parameters::new();
        let vb = parameters.builder(3, DType::F64, &Device::Cpu);
        let conv = candle_nn::conv2d(1, 3, 3, candle_nn::Conv2dConfig::default(), vb.pp("conv")).unwrap();
        let head = candle_nn::linear(3 * (6 / k) * (6 / k), 2, vb.pp("head")).unwrap();
        let x = normal("x", &[2, 1, 8, 8], DType::F64);
        let loss = || head.forward(&conv.forward(&x)?.max_pool2d(k)?.flatten_from(1)?)?.sqr()?.mean_all();
        let report = audit::gradients(&parameters.named(), &loss, &Config::default()).unwrap();
        for name in ["conv.weight", "conv.bias"] {
            match outcome(&report, name) {
                Outcome::Scaled { factor: found } => assert!((found - factor).abs() < 1e-6, "{report}"),
                other => panic!("{name}: {other}"),
            }
        }
        assert_eq!(report.faulty_layers(), ["conv"]);
        assert_eq!(suspects(&report), ["max_pool2d"]);
        let (right, wrong) = report.boundary().unwrap();
        assert!(right.name.starts_with("head."), "{report}");
        assert!(wrong.unwrap().name.starts_with("conv."), "{report}");
        assert!(report.to_string().contains(&format!("scaled by {}", if k == 2 { "0.25" } else { "0.111" })));
    }
}

#[test]
fn candles_pools_are_misplaced_where_the_window_leaves_a_rest() {
    assert_wrong(&op(&[&[1, 2, 5, 5]], DType::F64, |t| t[0].max_pool2d(2)), "input 0", "max_pool2d");
    assert_wrong(&op(&[&[1, 2, 7, 7]], DType::F64, |t| t[0].avg_pool2d(2)), "input 0", "avg_pool2d");
}

#[test]
fn candles_conv1d_is_wrong_in_its_weight() {
    let report = op(&[&[3, 2, 8], &[4, 2, 3]], DType::F64, |t| t[0].conv1d(&t[1], 1, 1, 1, 1));
    assert_wrong(&report, "input 1", "conv1d");
    assert!(outcome(&report, "input 0").is_right(), "{report}");
    assert_eq!(suspects(&report), ["conv1d"]);
}

#[test]
fn candles_conv1d_is_wrong_in_its_value_where_the_kernel_is_a_view() {
    let case = Case::op("conv1d", "a view", [("x", &[3, 2, 8]), ("weight", &[4, 2, 3])], |t| {
        t[0].conv1d(&t[1], 1, 1, 1, 1)
    });
    let row = case.strided().run();
    assert!(matches!(row.outcome, RowOutcome::WrongValue { error } if 0.1 < error), "{row:?}");
    assert_eq!(row.cause.unwrap().symptom, Symptom::WrongValue);
}

#[test]
fn candles_layer_norm_cuts() {
    let report = op(&[&[4, 6], &[6], &[6]], DType::F32, |t| {
        LayerNorm::new(t[1].clone(), t[2].clone(), 1e-5).forward(&t[0])
    });
    assert_cut(&report, "LayerNorm");
    assert_eq!(report.without_gradient().count(), 3);
}

#[test]
fn candles_rms_norm_cuts() {
    let report = op(&[&[4, 6], &[6]], DType::F32, |t| RmsNorm::new(t[1].clone(), 1e-5).forward(&t[0]));
    assert_cut(&report, "RmsNorm");
}

#[test]
fn candles_softmax_last_dim_cuts() {
    assert_cut(&op(&[&[4, 6]], DType::F64, |t| candle_nn::ops::softmax_last_dim(&t[0])), "softmax_last_dim");
}

#[test]
fn candles_rotary_embedding_cuts() {
    type Rope = fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>;
    for rope in [rotary_emb::rope as Rope, rotary_emb::rope_i] {
        assert_cut(
            &op(&[&[1, 2, 3, 4], &[3, 2], &[3, 2]], DType::F64, |t| rope(&t[0], &t[1], &t[2])),
            "rope",
        );
    }
}

#[test]
fn a_model_is_right_down_to_the_cut() {
    let parameters = Parameters::new();
    let vb = parameters.builder(3, DType::F32, &Device::Cpu);
    let below = candle_nn::linear(5, 6, vb.pp("below")).unwrap();
    let norm = candle_nn::layer_norm(6, 1e-5, vb.pp("norm")).unwrap();
    let head = candle_nn::linear(6, 2, vb.pp("head")).unwrap();
    let x = normal("x", &[7, 5], DType::F32);
    let loss = || head.forward(&norm.forward(&below.forward(&x)?)?)?.sqr()?.mean_all();
    let report = audit::gradients(&parameters.named(), &loss, &Config::default()).unwrap();
    assert_eq!(report.faulty_layers(), ["below", "norm"]);
    let (right, wrong) = report.boundary().unwrap();
    assert!(right.name.starts_with("head.") && wrong.is_none(), "{report}");
}

fn at(index: [u32; 4]) -> Result<Tensor> {
    Tensor::from_slice(&index, (2, 2), &Device::Cpu)
}

#[test]
fn candles_scatter_is_wrong_in_what_is_overwritten() {
    let report = op(&[&[2, 3], &[2, 2]], DType::F64, |t| t[0].scatter(&at([0, 2, 1, 0])?, &t[1], 1));
    assert_wrong(&report, "input 0", "scatter");
    assert!(outcome(&report, "input 1").is_right(), "{report}");
}

#[test]
fn candles_scatter_add_is_wrong_in_what_is_added_to() {
    let report = op(&[&[2, 2], &[2, 2]], DType::F64, |t| t[0].scatter_add(&at([0, 1, 1, 1])?, &t[1], 1));
    assert_wrong(&report, "input 0", "scatter_add");
    let f = |t: &[Tensor]| t[0].scatter_add(&at([0, 1, 1, 1])?, &t[1], 1);
    let row = Case::op("scatter_add", "into part", [("init", &[2, 3]), ("source", &[2, 2])], f).run();
    assert!(matches!(row.outcome, RowOutcome::Refused(_)), "{row:?}");
    assert_eq!(row.cause.unwrap().symptom, Symptom::Refused);
}

#[test]
fn candles_upsample_nearest_overwrites() {
    let skip = |t: &[Tensor]| t[0].upsample_nearest2d(6, 6)?.avg_pool2d(2)? + t[0].sqr()?;
    assert_wrong(&op(&[&[1, 2, 3, 3]], DType::F64, skip), "input 0", "upsample_nearest2d");
}

#[test]
fn candles_maximum_gives_a_tie_too_much() {
    let x = Tensor::new(&[[1.0, 1.0, 0.0], [0.5, 0.2, 0.9]], &Device::Cpu).unwrap();
    let config = Config { nudge: 0.0, directions: 8, ..Config::default() };
    let report = audit::layer("max", &[x], &[], &|t| t[0].max(1), &config).unwrap();
    assert_wrong(&report, "input 0", "max");
}

#[test]
fn a_right_model_passes() {
    let map = VarMap::new();
    let vb = candle_nn::VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let q = candle_nn::linear(6, 6, vb.pp("q")).unwrap();
    let head = candle_nn::linear(6, 3, vb.pp("head")).unwrap();
    // candle draws initial weights from a generator that cannot be seeded.
    for (name, variable) in audit::named(&map) {
        variable.set(&normal(&name, variable.dims(), DType::F64)).unwrap();
    }
    let x = normal("x", &[4, 6], DType::F64);
    let loss = || {
        let q = q.forward(&x)?.gelu()?;
        let mixed = candle_nn::ops::softmax(&q.matmul(&q.t()?)?, D::Minus1)?.matmul(&x)?;
        head.forward(&mixed)?.sqr()?.mean_all()
    };
    let report = audit::gradients(&audit::named(&map), &loss, &Config::default()).unwrap();
    let names: Vec<&str> = report.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["head.bias", "head.weight", "q.bias", "q.weight"]);
    report.ensure_right().unwrap();
    assert!(report.boundary().is_none() && report.causes().is_empty(), "{report}");
    // A key or query bias that cancels in the softmax has a gradient of zero, and that is right.
    let shifted = op(&[&[4, 6], &[4, 1]], DType::F64, |t| {
        candle_nn::ops::softmax(&t[0].broadcast_add(&t[1])?, D::Minus1)
    });
    shifted.ensure_right().unwrap();
}

/// y = x², whose backward pass multiplies by `factor` at `at`, or everywhere.
struct Planted {
    factor: f64,
    at: Option<usize>,
}

impl CustomOp1 for Planted {
    fn name(&self) -> &'static str {
        "planted"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (from, to) = layout.contiguous_offsets().unwrap();
        let y = match x {
            CpuStorage::F32(x) => f32::to_cpu_storage_owned(x[from..to].iter().map(|v| v * v).collect()),
            CpuStorage::F64(x) => f64::to_cpu_storage_owned(x[from..to].iter().map(|v| v * v).collect()),
            _ => candle_core::bail!("planted: dtype"),
        };
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let n = x.elem_count();
        let factor = |i| if self.at.is_none_or(|at| at == i) { self.factor } else { 1.0 };
        let factors = Tensor::from_iter((0..n).map(factor), &Device::Cpu)?.reshape(x.shape())?;
        Ok(Some(((x * 2.0)? * dy)?.mul(&factors.to_dtype(x.dtype())?)?))
    }
}

#[test]
fn an_error_of_one_percent_in_one_element_is_caught() {
    for at in [0, 17, 500, 999] {
        let report =
            op(&[&[10, 100]], DType::F64, |t| t[0].apply_op1(Planted { factor: 1.01, at: Some(at) }));
        assert!(matches!(outcome(&report, "input 0"), Outcome::Wrong { .. }), "{at}: {report}");
    }
    op(&[&[10, 100]], DType::F64, |t| t[0].apply_op1(Planted { factor: 1.0, at: None }))
        .ensure_right()
        .unwrap();
}

#[test]
fn an_error_of_two_percent_in_f32_is_caught() {
    let audit = |factor| {
        let parameters = Parameters::new();
        let vb = parameters.builder(3, DType::F32, &Device::Cpu);
        let hidden = layers::linear(12, 20, Activation::Identity, vb.pp("hidden")).unwrap();
        let head = layers::linear(20, 4, Activation::Identity, vb.pp("head")).unwrap();
        let x = normal("x", &[16, 12], DType::F32);
        let targets = Tensor::from_iter((0..16).map(|i| i % 4u32), &Device::Cpu).unwrap();
        let loss = || {
            let y = hidden.forward(&x)?.apply_op1(Planted { factor, at: None })?;
            ops::cross_entropy_sum(&head.forward(&y)?, &targets)?.affine(1.0 / 16.0, 0.0)
        };
        audit::gradients(&parameters.named(), &loss, &Config::default()).unwrap()
    };
    audit(1.0).ensure_right().unwrap();
    let report = audit(1.02);
    assert_eq!(report.faulty_layers(), ["hidden"], "{report}");
    match outcome(&report, "hidden.weight") {
        Outcome::Scaled { factor } => assert!((factor - 1.02).abs() < 2e-3, "{report}"),
        Outcome::Wrong { worst } => assert!(worst.relative_error() < 0.03, "{report}"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_kink_is_never_wrong() {
    let x = Tensor::new(&[0.0, 0.0, 1.0, -1.0], &Device::Cpu).unwrap();
    for seed in 0..20 {
        let config = Config { seed, nudge: 0.0, ..Config::default() };
        // Both derivatives of a ReLU at 0 are subgradients: candle takes 1, we take 0.
        let ours = |t: &[Tensor]| {
            let one = Tensor::new(&[[1.0]], &Device::Cpu)?;
            let zero = Tensor::new(&[0.0], &Device::Cpu)?;
            ops::linear(&t[0].unsqueeze(1)?, &one, &zero, Activation::Relu)
        };
        for f in [&|t: &[Tensor]| t[0].relu() as _, &ours as &dyn Fn(&[Tensor]) -> Result<Tensor>] {
            let report = audit::layer("relu", std::slice::from_ref(&x), &[], f, &config).unwrap();
            let outcome = outcome(&report, "input 0");
            assert!(
                matches!(outcome, Outcome::NotDecided { kink: true, .. } | Outcome::Right { .. }),
                "{report}"
            );
        }
    }
    // Away from it, it is right.
    let moved = audit::layer("relu", &[x], &[], &|t| t[0].relu(), &Config::default()).unwrap();
    moved.ensure_right().unwrap();
}

#[test]
fn models_of_ours_pass_in_f32_at_the_sizes_people_train() {
    let parameters = Parameters::new();
    let config = models::CnnConfig {
        in_channels: 1,
        height: 14,
        width: 14,
        channels: vec![8, 16],
        hidden: 32,
        classes: 10,
    };
    let model = models::Cnn::new(&config, parameters.builder(5, DType::F32, &Device::Cpu)).unwrap();
    let x = normal("x", &[32, 1, 14, 14], DType::F32);
    let targets = Tensor::from_iter((0..32).map(|i| i % 10u32), &Device::Cpu).unwrap();
    let loss = || ops::cross_entropy_sum(&model.forward_t(&x, true)?, &targets)?.affine(1.0 / 32.0, 0.0);
    let report = audit::gradients(&parameters.named(), &loss, &Config::default()).unwrap();
    assert_eq!(report.faults().count(), 0, "{report}");
    report.ensure_right().unwrap();
}

#[test]
fn no_right_gradient_is_called_wrong_among_kinks() {
    let config =
        models::CnnConfig { in_channels: 1, height: 8, width: 8, channels: vec![4], hidden: 16, classes: 4 };
    for (seed, dtype) in (0..10).flat_map(|seed| [(seed, DType::F32), (seed, DType::F64)]) {
        let parameters = Parameters::new();
        let model = models::Cnn::new(&config, parameters.builder(seed, dtype, &Device::Cpu)).unwrap();
        let x = normal(&format!("x {seed}"), &[8, 1, 8, 8], dtype);
        let targets = Tensor::from_iter((0..8).map(|i| i % 4u32), &Device::Cpu).unwrap();
        let loss = || ops::cross_entropy_sum(&model.forward_t(&x, true)?, &targets)?.affine(0.125, 0.0);
        let audit = Config { seed, ..Config::default() };
        let report = audit::gradients(&parameters.named(), &loss, &audit).unwrap();
        assert_eq!(report.faults().count(), 0, "{seed}: {report}");
        if dtype == DType::F64 {
            report.ensure_right().unwrap();
        }
    }
}

#[test]
fn the_mended_model_of_the_example_is_right() {
    let x = random::normal(1, "x", 32 * 64, 0.0, 1.0);
    let x = Tensor::from_vec(x, (32, 1, 8, 8), &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    let y = Tensor::from_iter((0..32).map(|i| i % 4u32), &Device::Cpu).unwrap();
    let parameters = Parameters::new();
    let vb = parameters.builder(7, DType::F32, &Device::Cpu);
    let config = candle_nn::Conv2dConfig { padding: 1, ..Default::default() };
    let conv = candle_nn::conv2d(1, 4, 3, config, vb.pp("conv")).unwrap();
    let hidden = candle_nn::linear(64, 16, vb.pp("hidden")).unwrap();
    let norm = candle_nn::layer_norm(16, 1e-5, vb.pp("norm")).unwrap();
    let head = layers::linear(16, 4, Activation::Identity, vb.pp("head")).unwrap();
    let loss = || {
        let features = ops::max_pool2d(&conv.forward(&x)?.relu()?, 2)?.flatten_from(1)?;
        let (weight, bias) = (norm.weight(), norm.bias().unwrap());
        let normed = candle_nn::ops::layer_norm_slow(&hidden.forward(&features)?, weight, bias, 1e-5)?;
        candle_nn::loss::cross_entropy(&head.forward(&normed)?, &y)
    };
    // One of its slopes lies further from the gradient than one bound: a kink beside it hides from all steps.
    audit::gradients(&parameters.named(), &loss, &Config::default()).unwrap().ensure_right().unwrap();
}

#[test]
fn what_the_loss_does_not_use_is_named_but_no_fault() {
    let (used, forgotten) = (var("used", &[3], DType::F64), var("forgotten", &[3], DType::F64));
    let vars = [("used".to_owned(), used.clone()), ("forgotten".to_owned(), forgotten)];
    let report = audit::gradients(&vars, &|| used.sqr()?.sum_all(), &Config::default()).unwrap();
    assert_eq!(*outcome(&report, "forgotten"), Outcome::Unused);
    let names: Vec<&str> = report.without_gradient().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["forgotten"]);
    assert_eq!((report.faults().count(), report.is_right()), (0, false));
}

#[test]
fn a_gradient_that_is_no_number_is_told() {
    // √0 has an infinite slope; times 0 it is no number.
    let x = Tensor::new(&[0.0, 1.0], &Device::Cpu).unwrap();
    let config = Config { nudge: 0.0, ..Config::default() };
    let var = Var::from_tensor(&x).unwrap();
    let vars = [("x".to_owned(), var.clone())];
    let loss = || (var.sqr()?.sqrt()? * 0.5)?.sum_all();
    let report = audit::gradients(&vars, &loss, &config).unwrap();
    assert_eq!(*outcome(&report, "x"), Outcome::NotFinite);
}

/// a + b, whose backward pass forgets both.
struct Forgetful;

impl CustomOp2 for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((f64::to_cpu_storage_owned(a.as_slice::<f64>()?.to_vec()), layout.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((None, None))
    }
}

#[test]
fn a_backward_pass_that_gives_nothing_is_told_apart() {
    let report = op(&[&[3], &[3]], DType::F64, |t| t[0].apply_op2(&t[1], Forgetful));
    assert_eq!(*outcome(&report, "input 0"), Outcome::Cut { in_graph: true });
    assert_eq!(*outcome(&report, "input 1"), Outcome::Unused);
    assert!(report.causes().is_empty(), "{report}");
    // candle panics where the argument is no variable.
    let x = var("x", &[3], DType::F64);
    let vars = [("x".to_owned(), x.clone())];
    let loss = || x.sqr()?.apply_op2(&x.sqr()?, Forgetful)?.sum_all();
    let error = audit::gradients(&vars, &loss, &Config::default()).unwrap_err().to_string();
    assert!(error.contains("the backward pass of the loss fails: panicked: "), "{error}");
}

#[test]
fn a_loss_that_cannot_be_audited_is_refused_and_the_values_stay() {
    let x = var("x", &[4], DType::F64);
    let before = x.to_vec1::<f64>().unwrap();
    let vars = [("x".to_owned(), x.clone())];
    let refused = |loss: &dyn Fn() -> Result<Tensor>| {
        let error = audit::gradients(&vars, loss, &Config::default()).unwrap_err().to_string();
        assert_eq!(x.to_vec1::<f64>().unwrap(), before);
        error
    };
    let calls = Cell::new(0.0);
    let changing = refused(&|| {
        calls.set(calls.get() + 1.0);
        (x.sqr()?.sum_all()? * calls.get())?.sum_all()
    });
    assert!(changing.contains("turn dropout off"), "{changing}");
    // State that shows only later is seen at the end.
    let calls = Cell::new(0);
    let drifting = refused(&|| {
        calls.set(calls.get() + 1);
        (x.sqr()?.sum_all()? + f64::from(calls.get() / 20))?.sum_all()
    });
    assert!(drifting.contains("turn dropout off"), "{drifting}");
    assert!(refused(&|| x.sqr()).contains("must be one number"));
    assert!(refused(&|| (x.sqr()?.sum_all()? / 0.0)?.sum_all()).contains("the loss is inf"));
    let failing = refused(&|| candle_core::bail!("no forward pass"));
    assert!(failing.contains("no forward pass"), "{failing}");

    let half = [("w".to_owned(), var("w", &[2], DType::BF16))];
    let error = audit::gradients(&half, &|| half[0].1.sum_all(), &Config::default()).unwrap_err().to_string();
    assert!(error.contains("`w` is BF16"), "{error}");
    let config = Config { directions: 0, ..Config::default() };
    assert!(audit::gradients(&vars, &|| x.sum_all(), &config).is_err());

    audit::gradients(&vars, &|| x.sqr()?.sum_all(), &Config::default()).unwrap().ensure_right().unwrap();
    assert_eq!(x.to_vec1::<f64>().unwrap(), before, "also after an audit that ends well");
}

#[test]
fn an_integer_input_is_handed_over() {
    let (logits, targets) =
        (normal("logits", &[3, 4], DType::F64), Tensor::new(&[0u32, 3, 1], &Device::Cpu).unwrap());
    let f = |t: &[Tensor]| ops::cross_entropy_sum(&t[0], &t[1]);
    let report = audit::layer("cross entropy", &[logits, targets], &[], &f, &Config::default()).unwrap();
    assert_eq!(report.checks.len(), 1);
    report.ensure_right().unwrap();
}

#[test]
fn variables_of_a_layer_are_checked_with_its_inputs() {
    let parameters = Parameters::new();
    let config = ConvConfig { padding: 1, activation: Activation::Relu, ..ConvConfig::USUAL };
    let conv = layers::conv2d(2, 3, 3, config, parameters.builder(1, DType::F64, &Device::Cpu)).unwrap();
    let x = normal("x", &[2, 2, 5, 4], DType::F64);
    let f = |t: &[Tensor]| conv.forward(&t[0].transpose(2, 3)?);
    let report = audit::layer("conv2d", &[x], &parameters.named(), &f, &Config::default()).unwrap();
    let names: Vec<&str> = report.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["input 0", "bias", "weight"]);
    report.ensure_right().unwrap();
}

/// What candle 0.11.1 gets wrong, refuses or cuts in some case. A change here is news for the documentation.
const FAILING: [&str; 28] = [
    "Linear",
    "Embedding",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "max_pool2d",
    "avg_pool2d",
    "upsample_nearest2d",
    "upsample_nearest1d",
    "upsample_bilinear2d",
    "LayerNorm",
    "ops::layer_norm",
    "RmsNorm",
    "ops::rms_norm",
    "nll",
    "binary_cross_entropy_with_logit",
    "softmax_last_dim",
    "gather",
    "index_select",
    "scatter",
    "scatter_add",
    "flip",
    "rope",
    "rope_i",
    "rope_thd",
    "matmul",
    "max",
    "min",
];

#[test]
fn the_table_holds_all_of_candles_failures_and_all_of_ours_are_right() {
    let table = Table::run();
    for row in &table.ours {
        assert!(row.outcome.is_right(), "{}, {}: {}", row.layer, row.case, row.outcome);
    }
    assert!(table.ours_are_right());
    let mut failing: Vec<&str> = Vec::new();
    for row in table.stock.iter().filter(|row| !row.outcome.is_right()) {
        if !failing.contains(&row.layer) {
            failing.push(row.layer);
        }
        if let RowOutcome::Faulty(faults) = &row.outcome {
            let is_open = |(_, outcome): &(String, Outcome)| !outcome.is_fault();
            assert!(!faults.iter().any(is_open), "{}, {}: {}", row.layer, row.case, row.outcome);
        }
    }
    assert_eq!(failing, FAILING);
    for cause in audit::known_causes() {
        // Fused attention runs on Metal alone.
        let is_seen = table.stock.iter().any(|row| row.cause == Some(cause)) || cause.layers == ["sdpa"];
        assert!(is_seen, "not seen: {cause}");
    }
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/audit.md")).unwrap();
    assert!(
        documented.contains(&table.stock_text()),
        "docs/audit.md does not show the table as it is:\n{}",
        table.stock_text()
    );
}
