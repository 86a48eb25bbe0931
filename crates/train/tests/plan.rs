//! Runs whose batch size changes: every example as often as in a constant run, and batch sizes that follow the noise.

use batchwise_data::{Dataset, open};
use batchwise_estimate::time::{TimeCurve, TimePoint};
use batchwise_nn::models::{Mlp, MlpConfig};
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, fingerprint, loss};
use batchwise_schedule::{BatchSpec, Examples, LrSpec, RunLength, Scaling};
use batchwise_train::{Adaptive, Follow, Plan, Run, StepReport, Task, Trainer};
use candle_core::{DType, Device};
use proptest::prelude::*;
use std::sync::Arc;

fn glyphs(n: u64) -> Arc<dyn Dataset> {
    open(&format!("glyphs:train={n},test=10"), None).expect("glyphs are built in").train
}

fn task() -> Task {
    let parameters = Parameters::new();
    let config = MlpConfig { inputs: 784, hidden: vec![8], classes: 10 };
    let model = Mlp::new(&config, parameters.builder(1, DType::F32, &Device::Cpu)).expect("a small model");
    Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu)
}

fn run(plan: Plan, micro_batch: u64, total: u64) -> Run {
    let optimizer = OptimizerConfig::Sgd(SgdConfig::USUAL);
    Run::new(plan, micro_batch, Examples(total), optimizer, 5)
}

fn length(total: u64, epoch: u64) -> RunLength {
    RunLength { total: Examples(total), dataset_size: Some(epoch), tokens_per_example: None }
}

fn fixed(batch: &str, lr: &str, total: u64, epoch: u64) -> Plan {
    let run = length(total, epoch);
    let lr = lr.parse::<LrSpec>().expect("a schedule").resolve(&run, None).expect("it fits");
    Plan::Fixed(batch.parse::<BatchSpec>().expect("a schedule").resolve(&run, lr).expect("it fits"))
}

fn steps(plan: Plan, micro_batch: u64, total: u64, epoch: u64) -> (Trainer, Vec<StepReport>) {
    let mut trainer = Trainer::new(task(), glyphs(epoch), run(plan, micro_batch, total)).expect("a run");
    let mut reports = Vec::new();
    while let Some(step) = trainer.step().expect("a step") {
        reports.push(step);
    }
    (trainer, reports)
}

fn weights(trainer: &Trainer) -> String {
    let named = trainer.task().parameters.named();
    fingerprint::sha256(named.iter().map(|(name, var)| (name.as_str(), var.as_tensor())))
        .expect("readable weights")
}

#[test]
fn a_run_that_doubles_twice_takes_the_positions_of_a_constant_one() {
    // Every position of the order once, none across an epoch's end: so each example is seen exactly as often.
    let (epoch, total) = (500, 1250);
    for (batch, want) in
        [("16 doubling at 25%,50%", vec![16, 32, 64]), ("64 then 24 at 30% multiple 8", vec![64, 24])]
    {
        let (trainer, reports) = steps(fixed(batch, "0.05", total, epoch), 10, total, epoch);
        let mut at = 0;
        for step in &reports {
            assert_eq!(step.progress.0 - step.batch, at, "{batch}");
            assert_eq!(at / epoch, (step.progress.0 - 1) / epoch, "{batch}");
            assert_eq!(step.n_micro_batches as u64, step.batch.div_ceil(10), "{batch}");
            at = step.progress.0;
        }
        assert_eq!((at, trainer.progress().0), (total, total));
        let mut sizes: Vec<u64> = reports.iter().map(|s| s.batch_size).collect();
        sizes.dedup();
        assert_eq!(sizes, want);
    }
}

#[test]
fn a_schedule_of_one_size_is_a_constant_batch_to_the_bit() {
    let (constant, _) = steps(fixed("32", "0.1 warmup 10% then cosine to 0", 600, 300), 32, 600, 300);
    let (scheduled, _) =
        steps(fixed("32 then 32 at 50%", "0.1 warmup 10% then cosine to 0", 600, 300), 32, 600, 300);
    assert_eq!(weights(&constant), weights(&scheduled));
    let (other, _) =
        steps(fixed("32 then 64 at 50%", "0.1 warmup 10% then cosine to 0", 600, 300), 32, 600, 300);
    assert_ne!(weights(&constant), weights(&other));
}

#[test]
fn the_learning_rate_follows_the_batch_by_its_rule() {
    let (_, reports) = steps(fixed("10 doubling at 50% lr linear", "0.02", 200, 200), 10, 200, 200);
    for step in reports {
        let want = 0.02 * step.batch_size as f64 / 10.0;
        assert!((step.learning_rate.0 - want).abs() < 1e-12, "{:?}", step.learning_rate);
    }
}

fn adaptive(batch: &str, total: u64, follow: Follow, times: Option<TimeCurve>) -> Plan {
    let run = length(total, 2000);
    let lr = "0.05".parse::<LrSpec>().expect("a schedule").resolve(&run, None).expect("it fits");
    let spec: BatchSpec = batch.parse().expect("a schedule");
    Plan::Adaptive(Box::new(Adaptive::new(&spec, &run, lr, follow, times).expect("a controller")))
}

#[test]
fn an_adaptive_batch_follows_the_noise_and_keeps_its_bounds() {
    let total = 6000;
    let batch = "16 adaptive noise-scale dwell 1% min 8 max 128 multiple 8";
    for micro_batch in [128, 8] {
        let plan = adaptive(batch, total, Follow::Rule(Scaling::Linear), None);
        let (trainer, reports) = steps(plan, micro_batch, total, 2000);
        assert_eq!(trainer.progress().0, total);
        let changes: Vec<_> =
            reports.iter().filter_map(|s| s.verdict.filter(|v| v.batch != v.before)).collect();
        assert!(!changes.is_empty(), "φ of an untrained model on glyphs is far from 16");
        for step in &reports {
            assert!((8..=128).contains(&step.batch_size) && step.batch_size % 8 == 0);
            // The linear rule: the temperature stays.
            assert!((step.learning_rate.0 / step.batch_size as f64 - 0.05 / 16.0).abs() < 1e-12);
        }
        assert!(reports.iter().any(|s| s.phi.as_ref().is_some_and(|phi| phi.low().is_some())));
    }
}

#[test]
fn the_same_run_decides_the_same() {
    let plan = || adaptive("16 adaptive noise-scale dwell 1% max 64", 3000, Follow::Gain, None);
    let (one, first) = steps(plan(), 64, 3000, 2000);
    let (two, second) = steps(plan(), 64, 3000, 2000);
    assert_eq!((weights(&one), first), (weights(&two), second));
}

#[test]
fn goodput_weighs_noise_against_time() {
    // Steps that cost the same whatever the batch: nothing speaks against the largest.
    let flat: Vec<_> = [8.0, 256.0].map(|batch| TimePoint { batch, seconds: 1e-3, spread: 0.0 }).to_vec();
    // Steps that cost as their examples: nothing speaks for more than the least.
    let steep: Vec<_> =
        [8.0, 256.0].map(|batch| TimePoint { batch, seconds: 1e-3 * batch, spread: 0.0 }).to_vec();
    let last = |points: &[TimePoint]| {
        let times = TimeCurve::new(points).expect("two points");
        let plan = adaptive("32 adaptive goodput dwell 1% min 8 max 256", 6000, Follow::Gain, Some(times));
        let (_, reports) = steps(plan, 256, 6000, 2000);
        reports.last().expect("some steps").batch_size
    };
    let (flat, steep) = (last(&flat), last(&steep));
    assert!(flat >= 128 && steep <= 16, "{flat} {steep}");
}

#[test]
fn what_a_run_cannot_measure_is_refused() {
    let run = length(1000, 500);
    let lr = "0.05".parse::<LrSpec>().expect("a schedule").resolve(&run, None).expect("it fits");
    for (batch, allowed) in [
        ("16 adaptive goodput", "the time of a step"),
        ("16 adaptive inner-product 0.9 5.84", "no inner products"),
        ("16", "adaptive"),
        ("16 adaptive noise-scale max 8", "a controller within its bounds"),
    ] {
        let spec: BatchSpec = batch.parse().expect("a schedule");
        let error = Adaptive::new(&spec, &run, lr.clone(), Follow::Gain, None).expect_err(batch).to_string();
        assert!(error.contains(allowed), "{batch}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever the schedule, the positions are covered once and in order, and memory changes nothing but rounding.
    #[test]
    fn positions_are_covered_once(base in 1u64..60, factor in 0.3f64..4.0, place in 0u64..100, micro in 1u64..40, total in 50u64..500) {
        let text = format!("{base} x{factor} at {place}% max 200");
        let (trainer, reports) = steps(fixed(&text, "0.01", total, 200), micro, total, 200);
        let mut at = 0;
        for step in &reports {
            prop_assert_eq!(step.progress.0 - step.batch, at);
            prop_assert!(0 < step.batch && step.batch <= step.batch_size && step.batch_size <= 200);
            at = step.progress.0;
        }
        prop_assert_eq!((at, trainer.progress().0), (total, total));
    }
}
