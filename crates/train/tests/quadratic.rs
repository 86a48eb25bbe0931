//! A trainer's runs on the noisy quadratic model follow its closed forms (theory.md §3.3): curves, steps to a target, and
//! the noise that the tap reads.
//!
//! One run trains R replicas of the model side by side: the parameter is (R, K), and the gradient of example e in replica
//! r and mode k is h_k θ_rk + √c_k a_er z_ek with random signs a and z, which an example is made of. The closed forms ask
//! of the noise only its mean 0, its variance c and that examples are independent: signs have these exactly. Given z the
//! replicas are independent, and their expected loss is the same for every z, as z² = 1: so their losses are
//! uncorrelated, though they share their examples, and the spread between them is the error of their mean.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "with --nocapture the figures and their errors are seen")]

use batchwise_data::{
    DataError, Dataset, ElementType, Loader, Row, RowsMut, Schema, Target, TargetValue, TensorDataset, Unit,
};
use batchwise_estimate::fieller::fieller;
use batchwise_estimate::oracle::{Optimizer, Quadratic, Setting};
use batchwise_nn::loss::LossSum;
use batchwise_nn::optim::{EmaDecay, OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, gradients::norm2};
use batchwise_schedule::{BatchSpec, Examples, LearningRate, LrSpec, RunLength, Schedule};
use batchwise_train::average::Average;
use batchwise_train::target::{Course, Mark, Outcome};
use batchwise_train::{Plan, Run, Tap, Task, Trainer, evaluate_on};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Init, ModuleT};
use std::sync::Arc;

/// K, with h_k = c_k = 1/k and θ = 1 at the start.
const MODES: usize = 100;

/// How many standard errors a mean may be off. The seeds are fixed: a test that passes always passes.
const SIGMAS: f64 = 4.0;

fn curvature() -> Vec<f64> {
    (1..=MODES).map(|k| 1.0 / k as f64).collect()
}

/// The loss of each example, summed over the replicas: ½Σ h_k θ_rk² + Σ a_r θ_rk √c_k z_k.
struct Model {
    theta: Tensor,
    /// h.
    curvature: Tensor,
    /// √c.
    deviation: Tensor,
}

impl ModuleT for Model {
    fn forward_t(&self, signs: &Tensor, _: bool) -> Result<Tensor> {
        let replicas = self.theta.dim(0)?;
        let a = signs.narrow(1, 0, replicas)?.to_dtype(DType::F64)?;
        let z = signs.narrow(1, replicas, MODES)?.to_dtype(DType::F64)?;
        let noise = a.matmul(&self.theta)?.mul(&z.broadcast_mul(&self.deviation)?)?.sum(1)?;
        let loss = (self.theta.sqr()?.matmul(&self.curvature)?.sum_all()? * 0.5)?;
        noise.broadcast_add(&loss)
    }
}

fn sum(losses: &Tensor, _: &Tensor) -> Result<LossSum> {
    Ok(LossSum { sum: losses.sum_all()?, weight: losses.dim(0)? as f64 })
}

fn task(replicas: usize) -> Task {
    let parameters = Parameters::new();
    let vb = parameters.builder(1, DType::F64, &Device::Cpu);
    let vector = |values: Vec<f64>| Tensor::new(values, &Device::Cpu).unwrap();
    let model = Model {
        theta: vb.get_with_hints((replicas, MODES), "theta", Init::Const(1.0)).unwrap(),
        curvature: vector(curvature()).unsqueeze(1).unwrap(),
        deviation: vector(curvature().into_iter().map(f64::sqrt).collect()),
    };
    Task::new(parameters, Box::new(model), sum, Device::Cpu)
}

/// Examples of R + K random signs, each a pure function of its number.
struct Signs {
    schema: Schema,
    len: u64,
    seed: u64,
}

impl Signs {
    fn new(replicas: usize, len: u64, seed: u64) -> Self {
        let value = TargetValue { name: "none".to_owned(), mean: 0.0, deviation: 1.0 };
        let schema = Schema {
            name: "signs".to_owned(),
            input_shape: vec![replicas + MODES],
            input_type: ElementType::F32,
            columns: Vec::new(),
            target: Target::Values { values: vec![value] },
            unit: Unit::Example,
            uneven: false,
        };
        Self { schema, len, seed }
    }
}

/// The signs of a byte's bits.
static SIGNS: [[f32; 8]; 256] = {
    let mut signs = [[1.0; 8]; 256];
    let mut i = 0;
    while i < 256 * 8 {
        if (i / 8) >> (i % 8) & 1 == 1 {
            signs[i / 8][i % 8] = -1.0;
        }
        i += 1;
    }
    signs
};

/// SplitMix64's output function (Steele et al. 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Dataset for Signs {
    fn schema(&self) -> &Schema {
        &self.schema
    }
    fn len(&self) -> u64 {
        self.len
    }
    fn content_hash(&self) -> std::result::Result<String, DataError> {
        Ok(format!("{} signs of seed {}", self.len, self.seed))
    }
    fn resident_bytes(&self) -> u64 {
        0
    }
    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> std::result::Result<(), DataError> {
        out.targets.f32()?.fill(0.0);
        for (row, signs) in rows.iter().zip(out.inputs.f32()?.chunks_exact_mut(self.schema.input_len())) {
            // A repeated example would be repeated noise.
            assert_eq!(row.epoch, 0);
            let mut state = mix(mix(self.seed) ^ row.index);
            for word in signs.chunks_mut(64) {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                for (signs, byte) in word.chunks_mut(8).zip(mix(state).to_le_bytes()) {
                    signs.copy_from_slice(&SIGNS[usize::from(byte)][..signs.len()]);
                }
            }
        }
        Ok(())
    }
    fn label(&self, _: u64) -> std::result::Result<u32, DataError> {
        Err(DataError::NoClasses { name: self.schema.name.clone() })
    }
}

/// SGD, or heavy ball with a momentum above 0.
fn sgd(momentum: f64) -> OptimizerConfig {
    OptimizerConfig::Sgd(SgdConfig { momentum, ..SgdConfig::USUAL })
}

fn constant(batch: u64, learning_rate: f64) -> Plan {
    Plan::constant(batch, Schedule::constant(LearningRate(learning_rate)))
}

fn run(plan: Plan, micro_batch: u64, total: u64, momentum: f64) -> Run {
    Run::new(plan, micro_batch, Examples(total), sgd(momentum), 3)
}

/// On as many examples as the run takes, so that it sees each once.
fn trainer(replicas: usize, run: Run) -> Trainer {
    let examples = Signs::new(replicas, run.total.0, 5);
    Trainer::new(task(replicas), Arc::new(examples), run).unwrap()
}

fn theta(parameters: &Parameters) -> Tensor {
    parameters.get("theta").unwrap().as_detached_tensor()
}

/// ½Σ h_k θ_rk² of each replica.
fn losses(parameters: &Parameters) -> Vec<f64> {
    let h = Tensor::from_vec(curvature(), (MODES, 1), &Device::Cpu).unwrap();
    let losses = theta(parameters).sqr().unwrap().matmul(&h).unwrap() * 0.5;
    losses.unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The mean of independent numbers and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n * (n - 1.0))).sqrt())
}

/// Evaluates as a program does, on a test set: of one example without noise, so that the loss is exact.
struct Judge {
    loader: Loader,
    replicas: usize,
}

impl Judge {
    fn new(replicas: usize) -> Self {
        let (width, none) = (replicas + MODES, vec![0.0]);
        let noiseless = TensorDataset::with_values("noiseless", vec![0.0; width], &[width], none, 1).unwrap();
        Self { loader: Loader::sequential(Arc::new(noiseless), Device::Cpu).unwrap(), replicas }
    }

    /// The loss, averaged over the replicas.
    fn loss(&mut self, task: &Task) -> f64 {
        evaluate_on(task, &mut self.loader, 0..1, 1).unwrap().loss / self.replicas as f64
    }
}

/// The steps at which the golden curves are known.
const MOMENTS: [u64; 4] = [1, 10, 100, 1000];

/// Each replica's loss at those of the [`MOMENTS`] that are within `steps`, of the weights and of their averages.
fn curves(replicas: usize, micro_batch: u64, momentum: f64, steps: u64) -> [Vec<Vec<f64>>; 2] {
    let mut trainer = trainer(replicas, run(constant(16, 0.05), micro_batch, 16 * steps, momentum));
    let mut average =
        Average::with(&trainer.task().parameters, EmaDecay::at_batch(0.99, 16.0).unwrap()).unwrap();
    let mut judge = Judge::new(replicas);
    let (mut own, mut averaged) = (Vec::new(), Vec::new());
    while let Some(step) = trainer.step().unwrap() {
        let task = trainer.task();
        average.follow(&task.parameters, step.batch).unwrap();
        assert_eq!(step.n_micro_batches as u64, 16u64.div_ceil(micro_batch));
        if MOMENTS.contains(&trainer.steps().0) {
            own.push(losses(&task.parameters));
            let at_average =
                average.evaluate(&task.parameters, || Ok((losses(&task.parameters), judge.loss(task))));
            let (losses, evaluated) = at_average.unwrap();
            // The program's evaluation is the mean over the replicas.
            assert!((evaluated / mean_and_error(&losses).0 - 1.0).abs() < 1e-12);
            averaged.push(losses);
        }
    }
    [own, averaged]
}

/// That the mean of independent numbers is `want` within its error, and is known well enough to tell.
fn assert_near(name: &str, found: &[f64], want: f64) {
    let (mean, error) = mean_and_error(found);
    println!(
        "{name}: {mean:.6}, want {want:.6}, {:+.2} standard errors of {error:.6}",
        (mean - want) / error
    );
    assert!((mean - want).abs() < SIGMAS * error, "{name}: {mean} ± {error}, not {want}");
    assert!(error < 0.02 * want, "{name}: {mean} ± {error} says little");
}

fn assert_curve(name: &str, found: &[Vec<f64>], golden: [f64; 4]) {
    assert_eq!(found.len(), golden.len());
    for ((losses, golden), step) in found.iter().zip(golden).zip(MOMENTS) {
        assert_near(&format!("{name} at {step}"), losses, golden);
    }
}

#[test]
fn sgd_and_its_average_follow_their_curves() {
    let [own, averaged] = curves(128, 16, 0.0, 1000);
    assert_curve("SGD", &own, [2.51356980618, 1.99901733826, 0.915140966539, 0.114431895626]);
    assert_curve("average", &averaged, [2.59287142989, 2.55482988797, 1.55679618175, 0.134198750756]);
}

#[test]
fn heavy_ball_follows_its_curve() {
    // What is left at the end is noise, which takes more replicas to average out.
    let [own, _] = curves(360, 16, 0.9, 1000);
    assert_curve("heavy ball", &own, [2.51356980618, 1.31420232162, 0.149823108512, 0.0406973916023]);
}

#[test]
fn micro_batches_change_no_curve() {
    for momentum in [0.0, 0.9] {
        let all = |micro_batch| curves(8, micro_batch, momentum, 100).concat().concat();
        let whole = all(16);
        // Three moments of weights and averages.
        assert_eq!(whole.len(), 8 * 3 * 2);
        for micro_batch in [4, 5] {
            for (whole, parts) in whole.iter().zip(all(micro_batch)) {
                assert!((parts / whole - 1.0).abs() < 1e-11, "{parts} is not {whole}");
            }
        }
    }
}

#[test]
fn a_changing_plan_follows_the_moments_piece_by_piece() {
    let (replicas, total) = (256, 6400);
    let length = RunLength { total: Examples(total), dataset_size: Some(total), tokens_per_example: None };
    let lr = "0.1 warmup 10%".parse::<LrSpec>().unwrap().resolve(&length, None).unwrap();
    let batch: BatchSpec = "16 then 64 at 50% lr linear".parse().unwrap();
    let plan = Plan::Fixed(batch.resolve(&length, lr).unwrap());
    // Batches of 64 are 20 + 20 + 20 + 4. No momentum: the model's velocity has the learning rate inside, PyTorch's and the
    // trainer's has not, which is the same as long as the learning rate stays.
    let mut trainer = trainer(replicas, run(plan, 20, total, 0.0));

    let world = Quadratic::zhang(MODES).unwrap();
    let mut oracle = world.run(Optimizer::Sgd).unwrap();
    while let Some(step) = trainer.step().unwrap() {
        match step.step.0 {
            // The mean of the ramp over the step's examples.
            at @ 0..40 => oracle.advance(16.0, 0.1 * (at as f64 + 0.5) / 40.0, 1).unwrap(),
            40..200 => oracle.advance(16.0, 0.1, 1).unwrap(),
            _ => oracle.advance(64.0, 0.4, 1).unwrap(),
        };
        if [1, 40, 200, 201, 250].contains(&trainer.steps().0) {
            let losses = losses(&trainer.task().parameters);
            assert_near(&format!("the plan at {}", oracle.steps()), &losses, oracle.loss().unwrap());
        }
    }
    assert_eq!(oracle.steps(), 250);
}

/// A place in the golden tables: when a run at a constant batch size and learning rate reaches each target, if ever.
struct Cell {
    setting: Setting,
    /// (C, the first t with E L_t < C).
    golden: &'static [(f64, Option<u64>)],
    replicas: usize,
    /// Where the run ends, in steps.
    limit: u64,
}

/// What `work` finds at the averages, where there are any, and else at the weights.
fn judged<T>(average: Option<&mut Average>, parameters: &Parameters, work: impl FnOnce() -> T) -> T {
    match average {
        Some(average) => average.evaluate(parameters, || Ok(work())).unwrap(),
        None => work(),
    }
}

/// Runs until all targets are reached: the outcome of each, and the error of the mean loss that reached it.
fn outcomes(cell: &Cell) -> Vec<(Outcome, f64)> {
    let (batch, limit) = (cell.setting.batch as u64, cell.limit);
    let (momentum, decay) = match cell.setting.optimizer {
        Optimizer::Sgd => (0.0, None),
        Optimizer::HeavyBall { momentum } => (momentum, None),
        Optimizer::Averaged { decay } => (0.0, Some(decay)),
    };
    let plan = constant(batch, cell.setting.learning_rate);
    let mut trainer = trainer(cell.replicas, run(plan, batch.min(64), batch * limit, momentum));
    let parameters = trainer.task().parameters.clone();
    let mut average = decay.map(|decay| Average::with(&parameters, EmaDecay::PerStep(decay)).unwrap());
    let mut judge = Judge::new(cell.replicas);
    let target = |at: f64| format!("loss={at}").parse().unwrap();
    let mut courses: Vec<(Course, f64)> =
        cell.golden.iter().map(|(at, _)| (Course::new(target(*at), 1).unwrap(), f64::NAN)).collect();
    loop {
        let mark = Mark { examples: trainer.progress(), steps: trainer.steps(), ..Mark::default() };
        let loss = judged(average.as_mut(), &parameters, || judge.loss(trainer.task()));
        for (course, error) in &mut courses {
            if course.observe(mark, loss).unwrap() && error.is_nan() {
                *error = mean_and_error(&judged(average.as_mut(), &parameters, || losses(&parameters))).1;
            }
        }
        if courses.iter().all(|(_, error)| error.is_finite()) {
            break;
        }
        let Some(step) = trainer.step().unwrap() else { break };
        if let Some(average) = &mut average {
            average.follow(&parameters, step.batch).unwrap();
        }
    }
    courses.into_iter().map(|(course, error)| (course.outcome(), error)).collect()
}

fn assert_steps(cells: &[Cell]) {
    let world = Quadratic::zhang(MODES).unwrap();
    for cell in cells {
        let Setting { optimizer, batch, learning_rate } = cell.setting;
        for ((at, golden), (outcome, error)) in cell.golden.iter().zip(outcomes(cell)) {
            let place = format!("{optimizer:?} to {at} at B = {batch}, η = {learning_rate}");
            match (golden, outcome) {
                (Some(golden), Outcome::Reached(reached)) => {
                    let steps = reached.steps.high;
                    // The mean loss crosses the target as much too early or late as its error is in steps.
                    let slope = world.loss(&cell.setting, golden - 1).unwrap()
                        - world.loss(&cell.setting, *golden).unwrap();
                    let allowed = 1.0 + SIGMAS * error / slope;
                    println!("{place}: {steps} of {golden}, allowed {allowed:.1}");
                    assert!((steps - *golden as f64).abs() <= allowed, "{place}: {steps}, not {golden}");
                    assert!(allowed < 3.0 + 0.05 * *golden as f64, "{place}: ± {allowed}");
                }
                (None, Outcome::Censored { after }) => assert_eq!(after.steps.0, cell.limit, "{place}"),
                (golden, outcome) => panic!("{place}: {outcome:?}, not {golden:?}"),
            }
        }
    }
}

fn cell(setting: Setting, golden: &'static [(f64, Option<u64>)], replicas: usize, limit: u64) -> Cell {
    Cell { setting, golden, replicas, limit }
}

#[test]
fn sgd_with_a_small_learning_rate_reaches_its_targets_when_the_model_does() {
    assert_steps(&[
        cell(Setting::sgd(1.0, 0.05), &[(0.5, Some(307))], 128, 400),
        cell(Setting::sgd(4.0, 0.05), &[(0.5, Some(276))], 64, 400),
        cell(Setting::sgd(16.0, 0.05), &[(0.5, Some(269)), (0.1, Some(1085))], 64, 1200),
        cell(Setting::sgd(256.0, 0.05), &[(0.5, Some(266))], 16, 300),
    ]);
}

#[test]
fn sgd_with_a_large_learning_rate_reaches_its_targets_when_the_model_does() {
    assert_steps(&[
        cell(Setting::sgd(1.0, 0.2), &[(0.5, Some(136))], 512, 200),
        cell(Setting::sgd(1.0, 0.2), &[(0.1, None)], 64, 300),
        cell(Setting::sgd(4.0, 0.2), &[(0.5, Some(77))], 256, 100),
        cell(Setting::sgd(16.0, 0.2), &[(0.5, Some(69)), (0.1, Some(293))], 128, 400),
        cell(Setting::sgd(256.0, 0.2), &[(0.5, Some(67)), (0.1, Some(267))], 32, 300),
        cell(Setting::sgd(1.0, 0.8), &[(0.5, None), (0.1, None)], 64, 200),
        cell(Setting::sgd(4.0, 0.8), &[(0.5, Some(40))], 512, 60),
        cell(Setting::sgd(4.0, 0.8), &[(0.1, None)], 64, 200),
        cell(Setting::sgd(16.0, 0.8), &[(0.5, Some(20))], 128, 60),
        cell(Setting::sgd(256.0, 0.8), &[(0.5, Some(17)), (0.1, Some(68))], 64, 100),
    ]);
}

#[test]
fn momentum_and_averages_reach_their_targets_when_the_model_does() {
    assert_steps(&[
        cell(Setting::heavy_ball(1.0, 0.05, 0.9), &[(0.5, None)], 128, 300),
        cell(Setting::heavy_ball(4.0, 0.05, 0.9), &[(0.5, Some(45))], 512, 100),
        cell(Setting::heavy_ball(16.0, 0.05, 0.9), &[(0.5, Some(35))], 256, 100),
        cell(Setting::heavy_ball(64.0, 0.05, 0.9), &[(0.5, Some(34))], 64, 100),
        cell(Setting::averaged(1.0, 0.2, 0.9), &[(0.5, Some(112))], 256, 200),
        cell(Setting::averaged(4.0, 0.2, 0.9), &[(0.5, Some(83))], 128, 200),
        cell(Setting::averaged(16.0, 0.2, 0.9), &[(0.5, Some(78))], 128, 200),
    ]);
}

#[test]
fn the_tap_reads_the_gradient_and_the_noise_of_the_model() {
    let (replicas, steps) = (32, 200);
    let h = Tensor::new(curvature(), &Device::Cpu).unwrap();
    let of_all = |power: i32| replicas as f64 * curvature().iter().map(|h| h.powi(power)).sum::<f64>();
    // The noise of all replicas: R·Σc.
    let tr_sigma = of_all(1);
    for learning_rate in [0.0, 0.05] {
        // Six micro-batches, the last of one example.
        let settings = run(constant(16, learning_rate), 3, 16 * steps, 0.0);
        let mut trainer = trainer(replicas, Run { tap: Tap::Norms, ..settings });
        let (mut truths, mut g2, mut noise) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            // ‖G‖² where the step is about to read it: Σ h²θ² over all replicas.
            let gradient = theta(&trainer.task().parameters).broadcast_mul(&h).unwrap();
            let truth = norm2(&gradient).unwrap();
            let Some(step) = trainer.step().unwrap() else { break };
            let reading = step.noise.unwrap().total;
            truths.push(truth);
            g2.push(reading.g2);
            noise.push(reading.tr_sigma);
        }
        assert_near("tr Σ", &noise, tr_sigma);
        // The readings are about their truths, wherever the run has gone; the same mean is added to all to compare with.
        let (truth, _) = mean_and_error(&truths);
        let about: Vec<f64> = g2.iter().zip(&truths).map(|(g2, at)| g2 - at + truth).collect();
        assert_near("‖G‖²", &about, truth);
        if learning_rate == 0.0 {
            // The run has stayed at θ = 1: φ = Σc/Σh², and the interval is that of independent readings.
            assert!((truth / of_all(2) - 1.0).abs() < 1e-12);
            let phi = fieller(&noise, &g2, 0.999);
            println!("φ: {phi:?}, want {:.6}", tr_sigma / truth);
            assert_eq!(phi.holds(tr_sigma / truth), Some(true), "{phi:?}");
            assert!(phi.high().unwrap() < 1.05 * phi.low().unwrap(), "{phi:?}");
        } else {
            assert!(truths[199] < 0.2 * truths[0]);
        }
    }
}
