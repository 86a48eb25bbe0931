//! The noise scale of a preconditioned step, measured while training.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_data::{Dataset, Order, TensorDataset, gather_batch, open};
use batchwise_estimate::noise::{
    Form, FormName, IdentityCurvature, InverseCurvature, Measurement, Preconditioned,
};
use batchwise_nn::loss::{self, Loss, LossSum};
use batchwise_nn::models::{Mlp, MlpConfig};
use batchwise_nn::ops::CrossEntropyConfig;
use batchwise_nn::optim::{AdamConfig, AdamWConfig, OptimizerConfig, RmsPropConfig, SgdConfig};
use batchwise_nn::{Parameters, fingerprint, random};
use batchwise_schedule::{BatchSpec, Examples, LearningRate, LrSpec, RunLength, Scaling, Schedule};
use batchwise_train::{
    Adaptive, Follow, NoiseReading, Plan, PreconditionedNoise, Run, StepReport, Tap, Task, Trainer,
};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Init, ModuleT};
use std::ops::Range;
use std::sync::Arc;

const ADAM: AdamConfig = AdamConfig { weight_decay: 0.1, ..AdamConfig::USUAL };
const RMSPROP: RmsPropConfig = RmsPropConfig { momentum: 0.9, ..RmsPropConfig::USUAL };
const OPTIMIZERS: [OptimizerConfig; 4] = [
    OptimizerConfig::Adam(ADAM),
    OptimizerConfig::AdamW(AdamWConfig::USUAL),
    OptimizerConfig::RmsProp(RMSPROP),
    OptimizerConfig::RmsProp(RmsPropConfig { centered: true, ..RMSPROP }),
];

/// The loader's f32 batches, turned to the dtype of the parameters.
struct InDtype(Mlp, DType);

impl ModuleT for InDtype {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward_t(&x.to_dtype(self.1)?, train)
    }
}

fn task(dtype: DType) -> Task {
    task_with(dtype, loss::cross_entropy)
}

fn task_with(dtype: DType, loss: Loss) -> Task {
    let parameters = Parameters::new();
    let config = MlpConfig { inputs: 784, hidden: vec![16], classes: 10 };
    let model = Mlp::new(&config, parameters.builder(4, dtype, &Device::Cpu)).unwrap();
    Task::new(parameters, Box::new(InDtype(model, dtype)), loss, Device::Cpu)
}

fn glyphs(len: u64) -> Arc<dyn Dataset> {
    open(&format!("glyphs:train={len},test=10"), None).unwrap().train
}

/// 24 examples in micro-batches of 7, the last of 3; the epoch of 77 ends in a batch of 5.
fn run(optimizer: OptimizerConfig) -> Run {
    let plan = Plan::constant(24, Schedule::constant(LearningRate(0.003)));
    Run { tap: Tap::Norms, tap_preconditioned: true, ..Run::new(plan, 7, Examples(154), optimizer, 9) }
}

fn steps(trainer: &mut Trainer) -> Vec<StepReport> {
    std::iter::from_fn(|| trainer.step().unwrap()).collect()
}

fn hash(trainer: &Trainer) -> String {
    let named = trainer.task().parameters.named();
    fingerprint::sha256(named.iter().map(|(name, var)| (name.as_str(), var.as_tensor()))).unwrap()
}

fn flat(tensors: &[Tensor]) -> Vec<f64> {
    tensors.iter().flat_map(|x| x.flatten_all().unwrap().to_vec1::<f64>().unwrap()).collect()
}

/// P from its definition and the optimizer's state as it is now, for all parameters in one list.
fn preconditioner(optimizer: OptimizerConfig, trainer: &Trainer) -> Vec<f64> {
    let state = trainer.optimizer().state();
    let n_steps = state["n_steps"].to_scalar::<i64>().unwrap() as f64;
    let moments = |kind: &str| -> Vec<f64> {
        let names = trainer.task().parameters.named().into_iter().map(|(name, _)| format!("{kind}.{name}"));
        flat(&names.map(|name| state[&name].clone()).collect::<Vec<_>>())
    };
    let v = moments("second_moment");
    let adam = |beta2: f64, epsilon: f64| {
        v.iter().map(|v| 1.0 / ((v / (1.0 - beta2.powf(n_steps))).sqrt() + epsilon)).collect()
    };
    match optimizer {
        OptimizerConfig::Adam(AdamConfig { beta2, epsilon, .. })
        | OptimizerConfig::AdamW(AdamWConfig { beta2, epsilon, .. }) => adam(beta2, epsilon),
        OptimizerConfig::RmsProp(RmsPropConfig { epsilon, centered, .. }) => {
            let means = if centered { moments("first_moment") } else { vec![0.0; v.len()] };
            v.iter().zip(means).map(|(v, mean)| 1.0 / ((v - mean * mean).max(0.0).sqrt() + epsilon)).collect()
        }
        other => panic!("{other} has no preconditioner"),
    }
}

/// The mean gradient over some positions, from a pass of its own.
fn gradient(task: &Task, data: &dyn Dataset, order: &Order, positions: Range<u64>) -> Vec<f64> {
    let weight = (positions.end - positions.start) as f64;
    let batch = gather_batch(data, order, positions, &Device::Cpu).unwrap();
    let loss = (task.loss)(&task.model.forward_t(&batch.inputs, true).unwrap(), &batch.targets).unwrap();
    let mut store = (loss.sum / weight).unwrap().backward().unwrap();
    flat(&task.parameters.take_gradients(&mut store).unwrap())
}

fn close(got: Measurement, want: Measurement, tolerance: f64) {
    for (got, want) in [(got.g2, want.g2), (got.tr_sigma, want.tr_sigma)] {
        assert!((got - want).abs() <= tolerance * want.abs(), "{got} is not {want}");
    }
}

/// The parts of a reading by the name of their form.
fn parts(noise: &PreconditionedNoise) -> [(FormName, Measurement); 2] {
    let name = |of: Measurement, name: FormName| (name, of);
    [
        name(noise.inverse_curvature.parts(), InverseCurvature::NAME),
        name(noise.identity_curvature.parts(), IdentityCurvature::NAME),
    ]
}

#[test]
fn it_equals_the_brute_force_figures() {
    for optimizer in OPTIMIZERS {
        let data = glyphs(77);
        let order = Order::new(9, 77).unwrap();
        let mut trainer = Trainer::new(task(DType::F64), Arc::clone(&data), run(optimizer)).unwrap();
        let mut n_readings = 0;
        while trainer.progress().0 < 154 {
            let start = trainer.progress().0;
            let end = (start + 24).min((start / 77 + 1) * 77);
            // From the parameters and the state before the step.
            let p = (0 < trainer.steps().0).then(|| preconditioner(optimizer, &trainer));
            let micro = (start..end).step_by(7).map(|from| from..(from + 7).min(end));
            let weights: Vec<f64> = micro.clone().map(|part| (part.end - part.start) as f64).collect();
            let of = |part| gradient(trainer.task(), data.as_ref(), &order, part);
            let gradients: Vec<Vec<f64>> = micro.map(of).collect();
            let step = trainer.step().unwrap().unwrap();
            assert_eq!(step.progress.0, end);
            let Some(noise) = step.noise else {
                assert_eq!(step.n_micro_batches, 1, "only the end of the epoch has no noise");
                continue;
            };
            let Some(p) = p else {
                assert_eq!(noise.preconditioned, None, "the first step has no P");
                continue;
            };
            let reading = noise.preconditioned.unwrap();
            let inverse = Preconditioned::<InverseCurvature>::from_slices(&weights, &gradients, &p);
            let identity = Preconditioned::<IdentityCurvature>::from_slices(&weights, &gradients, &p);
            close(reading.inverse_curvature.parts(), inverse.unwrap().parts(), 1e-10);
            close(reading.identity_curvature.parts(), identity.unwrap().parts(), 1e-10);
            n_readings += 1;
        }
        // 24 + 24 + 24 + 5, twice, less the first step and the ends of the epochs.
        assert_eq!(n_readings, 5, "{optimizer}");
    }
}

/// Targets of one class count for nothing, so that the weight of a micro-batch is not its number of examples.
fn uneven(logits: &Tensor, targets: &Tensor) -> Result<LossSum> {
    let config = CrossEntropyConfig { ignore_index: Some(3), ..Default::default() };
    loss::cross_entropy_with(logits, targets, config)
}

#[test]
fn a_preconditioner_of_one_number_leaves_the_noise_scale() {
    // Beside this ε no root of a second moment is seen: P is 1/ε for every entry.
    let epsilon = 1e13;
    let adamw = OptimizerConfig::AdamW(AdamWConfig { epsilon, ..AdamWConfig::USUAL });
    let rmsprop = OptimizerConfig::RmsProp(RmsPropConfig { epsilon, ..RMSPROP });
    for (optimizer, loss) in
        [(adamw, loss::cross_entropy as Loss), (rmsprop, loss::cross_entropy), (adamw, uneven)]
    {
        let mut trainer = Trainer::new(task_with(DType::F64, loss), glyphs(77), run(optimizer)).unwrap();
        let mut n_readings = 0;
        for noise in steps(&mut trainer).into_iter().filter_map(|step| step.noise) {
            let NoiseReading { total, preconditioned: Some(preconditioned), .. } = noise else { continue };
            for (form, found) in parts(&preconditioned) {
                let (phi, of_form) = (total.tr_sigma / total.g2, found.tr_sigma / found.g2);
                assert!((phi - of_form).abs() < 1e-10 * phi.abs(), "{form:?}: {of_form} is not {phi}");
                let scale = match form {
                    FormName::InverseCurvature => 1.0 / epsilon,
                    FormName::IdentityCurvature => (1.0 / epsilon).powi(2),
                };
                close(found, Measurement { g2: total.g2 * scale, tr_sigma: total.tr_sigma * scale }, 1e-10);
            }
            n_readings += 1;
        }
        assert_eq!(n_readings, 5);
    }
}

#[test]
fn it_only_looks() {
    for optimizer in OPTIMIZERS {
        let settings = run(optimizer);
        let train = |tap, tap_preconditioned| {
            let run = Run { tap, tap_preconditioned, ..settings.clone() };
            let mut trainer = Trainer::new(task(DType::F32), glyphs(77), run).unwrap();
            let steps = steps(&mut trainer);
            (hash(&trainer), steps)
        };
        let ((on, mut with), (off, without)) = (train(Tap::Norms, true), train(Tap::Norms, false));
        assert_eq!(on, off, "{optimizer}");
        assert_eq!(on, train(Tap::Off, true).0, "{optimizer}");
        let readings = |steps: &mut [StepReport]| {
            let readings = steps.iter_mut().filter_map(|step| step.noise.as_mut());
            readings.filter_map(|noise| noise.preconditioned.take()).count()
        };
        assert_eq!(readings(&mut with), 5);
        // The readings apart, which `readings` has taken out, all that is reported has the same bits.
        assert_eq!(with, without);
    }
}

/// The output is x − w for a vector w.
struct Shift(Tensor);

impl ModuleT for Shift {
    fn forward_t(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        x.to_dtype(DType::F64)?.broadcast_sub(&self.0)
    }
}

fn half_square(output: &Tensor, _targets: &Tensor) -> Result<LossSum> {
    Ok(LossSum { sum: (output.sqr()?.sum_all()? * 0.5)?, weight: output.dim(0)? as f64 })
}

/// L = E ½‖w − x‖² with independent normal x_k of mean 0: an example's gradient is w − x, so G = w and Σ is the
/// covariance of x.
#[test]
fn its_mean_is_the_truth_of_a_gaussian_toy() {
    const W: [f64; 4] = [1.0, -0.5, 0.3, 2.0];
    const DEVIATIONS: [f64; 4] = [1.0, 3.0, 0.5, 6.0];
    const STEPS: u64 = 4000;
    // Micro-batches of 5, 5, 5, and 3.
    const BATCH: u64 = 18;
    let n = (STEPS * BATCH) as usize;
    let x = random::normal(11, "x", 4 * n, 0.0, 1.0);
    let x = x.iter().zip(DEVIATIONS.iter().cycle()).map(|(x, deviation)| (x * deviation) as f32).collect();
    let data: Arc<dyn Dataset> =
        Arc::new(TensorDataset::with_classes("gaussian", x, &[4], vec![0; n]).unwrap());
    // Short memories, so that a P that had seen the batch would be far from independent of it.
    let adam = AdamWConfig { beta2: 0.7, epsilon: 1e-3, ..AdamWConfig::USUAL };
    let rmsprop = RmsPropConfig { alpha: 0.7, epsilon: 1e-3, ..RmsPropConfig::USUAL };
    for optimizer in [OptimizerConfig::AdamW(adam), OptimizerConfig::RmsProp(rmsprop)] {
        let parameters = Parameters::new();
        let vb = parameters.builder(1, DType::F64, &Device::Cpu);
        let w = vb.get_with_hints(4, "w", Init::Const(0.0)).unwrap();
        parameters.get("w").unwrap().set(&Tensor::new(&W, &Device::Cpu).unwrap()).unwrap();
        let task = Task::new(parameters, Box::new(Shift(w)), half_square, Device::Cpu);
        // At a rate of 0 the parameters stand still while v goes on; every example is seen once.
        let plan = Plan::constant(BATCH, Schedule::constant(LearningRate(0.0)));
        let run = Run {
            tap: Tap::Norms,
            tap_preconditioned: true,
            ..Run::new(plan, 5, Examples(n as u64), optimizer, 3)
        };
        let mut trainer = Trainer::new(task, Arc::clone(&data), run).unwrap();
        trainer.step().unwrap();
        let mut excesses: [Vec<f64>; 4] = Default::default();
        let mut sums = [0.0; 4];
        loop {
            let p = preconditioner(optimizer, &trainer);
            let Some(step) = trainer.step().unwrap() else { break };
            let reading = step.noise.unwrap().preconditioned.unwrap();
            let truth = |weight: fn(f64) -> f64, of: &[f64; 4]| -> f64 {
                p.iter().zip(of).map(|(p, x)| weight(*p) * x * x).sum()
            };
            let (inverse, identity) = (reading.inverse_curvature.parts(), reading.identity_curvature.parts());
            let pairs = [
                (inverse.g2, truth(|p| p, &W)),
                (inverse.tr_sigma, truth(|p| p, &DEVIATIONS)),
                (identity.g2, truth(|p| p * p, &W)),
                (identity.tr_sigma, truth(|p| p * p, &DEVIATIONS)),
            ];
            for (i, (found, truth)) in pairs.into_iter().enumerate() {
                excesses[i].push(found - truth);
                sums[i] += truth;
            }
        }
        for (excess, sum) in excesses.iter().zip(sums) {
            // Given the P of its step each excess has mean 0 and depends on no other.
            let k = excess.len() as f64;
            let (mean, truth) = (excess.iter().sum::<f64>() / k, sum / k);
            let variance = excess.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (k - 1.0);
            let error = (variance / k).sqrt();
            assert!(mean.abs() < 3.0 * error, "{optimizer}: off by {mean} ± {error} at {truth}");
            assert!(error < 0.04 * truth, "{optimizer}: {error} at {truth} would show nothing");
        }
    }
}

#[test]
fn what_cannot_be_measured_is_refused_and_says_why() {
    let refused = |run: Run| Trainer::new(task(DType::F32), glyphs(77), run).err().unwrap().to_string();
    let adamw = OptimizerConfig::AdamW(AdamWConfig::USUAL);
    let error = refused(Run { tap: Tap::Examples, ..run(adamw) });
    assert!(error.contains("norms without the gradients") && error.contains("must be Tap::Norms"), "{error}");
    let error = refused(run(OptimizerConfig::Sgd(SgdConfig::USUAL)));
    assert!(error.contains("is SGD") && error.contains("must be one whose P is known"), "{error}");
}

#[test]
fn a_plan_that_measures_of_its_own_accord_gives_it_where_there_are_micro_batches() {
    let length = RunLength { total: Examples(480), dataset_size: Some(480), tokens_per_example: None };
    for (micro_batch, has_forms) in [(4, true), (64, false)] {
        let lr = "0.001".parse::<LrSpec>().unwrap().resolve(&length, None).unwrap();
        let spec: BatchSpec = "16 adaptive noise-scale dwell 1% min 16 max 32 multiple 8".parse().unwrap();
        let adaptive = Adaptive::new(&spec, &length, lr, Follow::Rule(Scaling::SquareRoot), None).unwrap();
        let optimizer = OptimizerConfig::AdamW(AdamWConfig::USUAL);
        let run = Run {
            plan: Plan::Adaptive(Box::new(adaptive)),
            tap: Tap::Off,
            micro_batch,
            total: Examples(480),
            ..run(optimizer)
        };
        let mut trainer = Trainer::new(task(DType::F32), glyphs(480), run).unwrap();
        let readings: Vec<NoiseReading> =
            steps(&mut trainer).into_iter().filter_map(|step| step.noise).collect();
        assert!(5 < readings.len());
        assert!(readings[0].preconditioned.is_none());
        assert!(readings[1..].iter().all(|noise| noise.preconditioned.is_some() == has_forms));
    }
}
