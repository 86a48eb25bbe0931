//! Probes against Hessians that are known: in closed form, and by brute force.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_data::{DataError, Dataset, Loader, Row, RowsMut, Schema, Target, TargetValue};
use batchwise_estimate::grade::Grade;
use batchwise_nn::models::{Mlp, MlpConfig};
use batchwise_nn::{Parameters, fingerprint, loss, random};
use batchwise_train::generalisation::{
    Ball, Eigenvalue, EigenvalueConfig, Point, Sharpness, SharpnessConfig, sharpness, temperature,
    top_eigenvalue,
};
use batchwise_train::{Task, TrainError};
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{Init, ModuleT, VarBuilder};
use std::sync::Arc;

/// Rows of numbers that a test made up, with a class or one value each.
struct Rows {
    schema: Schema,
    inputs: Vec<f32>,
    values: Vec<f32>,
    /// Reading this row fails.
    fault: Option<u64>,
}

impl Dataset for Rows {
    fn schema(&self) -> &Schema {
        &self.schema
    }
    fn len(&self) -> u64 {
        self.values.len() as u64
    }
    fn content_hash(&self) -> std::result::Result<String, DataError> {
        Ok(String::new())
    }
    fn resident_bytes(&self) -> u64 {
        0
    }
    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> std::result::Result<(), DataError> {
        let width = self.schema.input_len();
        for (i, row) in rows.iter().enumerate() {
            if self.fault == Some(row.index) {
                return Err(DataError::IndexOutOfRange {
                    name: "faulty".to_owned(),
                    index: row.index,
                    len: 0,
                });
            }
            let own = row.index as usize;
            out.inputs.f32()?[i * width..(i + 1) * width]
                .copy_from_slice(&self.inputs[own * width..(own + 1) * width]);
            match self.schema.target {
                Target::Class { .. } => out.targets.u32()?[i] = self.values[own] as u32,
                _ => out.targets.f32()?[i] = self.values[own],
            }
        }
        Ok(())
    }
    fn label(&self, index: u64) -> std::result::Result<u32, DataError> {
        Ok(self.values[index as usize] as u32)
    }
}

const WIDTH: usize = 5;
const CLASSES: usize = 3;

fn rows(n: usize, is_class: bool) -> Rows {
    let inputs = random::normal(5, "inputs", n * WIDTH, 0.3, 1.0).iter().map(|x| *x as f32).collect();
    let values = random::uniform(5, "values", n, 0.0, CLASSES as f64);
    let values = values.iter().map(|v| if is_class { v.floor() as f32 } else { *v as f32 }).collect();
    let mut schema = Schema::classes("rows", &[WIDTH], CLASSES);
    if !is_class {
        schema.target =
            Target::Values { values: vec![TargetValue { name: "y".to_owned(), mean: 0.0, deviation: 1.0 }] };
    }
    Rows { schema, inputs, values, fault: None }
}

/// wᵀx, times `sign`: with −1 the loss ½(y)² … is used with its own losses below.
struct Line {
    weight: Tensor,
    dtype: DType,
}

impl ModuleT for Line {
    fn forward_t(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        x.to_dtype(self.dtype)?.matmul(&self.weight.t()?)
    }
}

fn squares(output: &Tensor, targets: &Tensor) -> Result<loss::LossSum> {
    loss::mse(output, &targets.to_dtype(output.dtype())?)
}

/// Curved downwards everywhere.
fn minus_squares(output: &Tensor, targets: &Tensor) -> Result<loss::LossSum> {
    let loss = squares(output, targets)?;
    Ok(loss::LossSum { sum: loss.sum.neg()?, weight: loss.weight })
}

/// Curved as much upwards along the first input as downwards along the second: the targets do not matter.
fn saddle(output: &Tensor, _: &Tensor) -> Result<loss::LossSum> {
    let (up, down) = (output.narrow(1, 0, 1)?.sqr()?.sum_all()?, output.narrow(1, 1, 1)?.sqr()?.sum_all()?);
    Ok(loss::LossSum { sum: (up - down)?, weight: output.dim(0)? as f64 })
}

/// No curvature at all.
fn slope(output: &Tensor, _: &Tensor) -> Result<loss::LossSum> {
    Ok(loss::LossSum { sum: output.sum_all()?, weight: output.dim(0)? as f64 })
}

fn line(loss: loss::Loss, dtype: DType) -> Task {
    let parameters = Parameters::new();
    let vb = parameters.builder(2, dtype, &Device::Cpu);
    let weight = vb.get_with_hints((1, WIDTH), "weight", Init::Randn { mean: 0.0, stdev: 1.0 }).unwrap();
    Task::new(parameters, Box::new(Line { weight, dtype }), loss, Device::Cpu)
}

/// The batches of f32 turned to the type of the parameters.
struct InDtype(Mlp, DType);

impl ModuleT for InDtype {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.forward_t(&x.to_dtype(self.1)?, train)
    }
}

fn mlp(hidden: &[usize], dtype: DType) -> Task {
    let parameters = Parameters::new();
    let config = MlpConfig { inputs: WIDTH, hidden: hidden.to_vec(), classes: CLASSES };
    let model = Mlp::new(&config, parameters.builder(6, dtype, &Device::Cpu)).unwrap();
    Task::new(parameters, Box::new(InDtype(model, dtype)), loss::cross_entropy, Device::Cpu)
}

/// A smooth MLP: the Hessian exists everywhere.
struct Smooth {
    first: candle_nn::Linear,
    second: candle_nn::Linear,
}

impl Smooth {
    fn new(vb: VarBuilder<'_>) -> Self {
        let first = candle_nn::linear(WIDTH, 4, vb.pp("first")).unwrap();
        Self { first, second: candle_nn::linear(4, CLASSES, vb.pp("second")).unwrap() }
    }
}

impl ModuleT for Smooth {
    fn forward_t(&self, x: &Tensor, _: bool) -> Result<Tensor> {
        let hidden = x.to_dtype(self.first.weight().dtype())?.apply(&self.first)?.tanh()?;
        hidden.apply(&self.second)
    }
}

fn smooth() -> Task {
    let parameters = Parameters::new();
    let model = Smooth::new(parameters.builder(8, DType::F64, &Device::Cpu));
    Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu)
}

fn loader(rows: Rows) -> Loader {
    Loader::sequential(Arc::new(rows), Device::Cpu).unwrap()
}

fn hash(task: &Task) -> String {
    let named = task.parameters.named();
    fingerprint::sha256(named.iter().map(|(name, var)| (name.as_str(), var.as_tensor()))).unwrap()
}

/// Tight: the eigenvalue to the rounding of the differences.
const TIGHT: EigenvalueConfig =
    EigenvalueConfig { change: 1e-10, residual: 1e-5, iterations: 3000, ..EigenvalueConfig::USUAL };

fn top(task: &Task, data: Rows, config: &EigenvalueConfig) -> Eigenvalue {
    let (before, n) = (hash(task), data.len());
    let mut loader = loader(data);
    let found = top_eigenvalue(&mut Point::new(task, &mut loader, 0..n, 24).unwrap(), config).unwrap();
    assert_eq!(hash(task), before, "the parameters moved");
    assert_eq!(found.n_examples, n);
    found
}

/// The eigenvalues of a symmetric matrix by Jacobi's rotations, the smallest first.
fn eigenvalues(mut a: Vec<Vec<f64>>) -> Vec<f64> {
    let n = a.len();
    for _ in 0..60 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q].abs() < 1e-300 {
                    continue;
                }
                let theta = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (s, c) = theta.sin_cos();
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (old_p, old_q) = (a[p].clone(), a[q].clone());
                let turned = |s: f64, c: f64| old_p.iter().zip(&old_q).map(|(x, y)| c * x + s * y).collect();
                (a[p], a[q]) = (turned(-s, c), turned(c, s));
            }
        }
    }
    let mut values: Vec<f64> = (0..n).map(|i| a[i][i]).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Σ wᵢ·xᵢxᵢᵀ over rows with the given weights, `bias` adding a column of ones.
fn gram(data: &Rows, bias: bool, weight: impl Fn(usize) -> f64) -> Vec<Vec<f64>> {
    let width = WIDTH + usize::from(bias);
    let mut sum = vec![vec![0.0; width]; width];
    for i in 0..data.values.len() {
        let x = |j: usize| if j == WIDTH { 1.0 } else { f64::from(data.inputs[i * WIDTH + j]) };
        for (j, row) in sum.iter_mut().enumerate() {
            row.iter_mut().enumerate().for_each(|(k, s)| *s += weight(i) * x(j) * x(k));
        }
    }
    sum
}

#[test]
fn the_eigenvalue_of_a_linear_regression_is_that_of_its_gram_matrix() {
    // L = mean (wᵀx − y)², H = 2/n Σ xxᵀ.
    let n = 70;
    let truth = *eigenvalues(gram(&rows(n, false), false, |_| 2.0 / n as f64)).last().unwrap();
    let found = top(&line(squares, DType::F64), rows(n, false), &TIGHT);
    assert_eq!(found.grade, Grade::Measured, "{found:?}");
    assert!((found.value.unwrap() / truth - 1.0).abs() < 1e-6, "{found:?} {truth}");
    assert!(found.low.unwrap() <= truth * (1.0 + 1e-9) && truth * (1.0 - 1e-9) <= found.high.unwrap());
    // f32: the gradients' rounding over the step, 1e-7/5e-3, times a few.
    let found = top(
        &line(squares, DType::F32),
        rows(n, false),
        &EigenvalueConfig { iterations: 300, ..EigenvalueConfig::USUAL },
    );
    assert_eq!(found.grade, Grade::Measured, "{found:?}");
    let error = (found.value.unwrap() / truth - 1.0).abs();
    assert!(error < 2e-3, "{error} {found:?}");
}

#[test]
fn a_dominant_eigenvalue_that_is_negative_is_not_the_top() {
    let n = 70;
    let all = eigenvalues(gram(&rows(n, false), false, |_| -2.0 / n as f64));
    let found = top(&line(minus_squares, DType::F64), rows(n, false), &TIGHT);
    assert!((found.dominant.unwrap() / all[0] - 1.0).abs() < 1e-6, "{found:?} {all:?}");
    assert!((found.value.unwrap() / all.last().unwrap() - 1.0).abs() < 1e-5, "{found:?} {all:?}");
}

#[test]
fn eigenvalues_of_opposite_signs_and_the_same_size_are_told_apart() {
    // Two outputs w₁·x and w₂·x of the same inputs: ±2/n Σ xxᵀ.
    let (n, dtype) = (40, DType::F64);
    let parameters = Parameters::new();
    let vb = parameters.builder(2, dtype, &Device::Cpu);
    let weight = vb.get_with_hints((2, WIDTH), "weight", Init::Randn { mean: 0.0, stdev: 1.0 }).unwrap();
    let task = Task::new(parameters, Box::new(Line { weight, dtype }), saddle, Device::Cpu);
    let truth = *eigenvalues(gram(&rows(n, false), false, |_| 2.0 / n as f64)).last().unwrap();
    let found = top(&task, rows(n, false), &EigenvalueConfig { iterations: 1000, ..TIGHT });
    assert!((found.value.unwrap() / truth - 1.0).abs() < 1e-6, "{found:?} {truth}");
}

#[test]
fn a_loss_without_curvature_has_none_and_rounding_is_no_curvature() {
    let found = top(&line(slope, DType::F64), rows(30, false), &EigenvalueConfig::USUAL);
    // The gradient does not depend on the weights: the same bits on both sides.
    assert_eq!((found.value, found.grade), (None, Grade::UpperBound), "{found:?}");
    assert!(found.high.unwrap() < 1e-9, "{found:?}");
    // Steps so small that only biases of 0 move, too little to change a logit: the bound is large then.
    let at = |step: f64| {
        let config = EigenvalueConfig { step: Some(step), ..EigenvalueConfig::USUAL };
        top(&mlp(&[6], DType::F32), rows(40, true), &config)
    };
    let truth = at(0.005).value.unwrap();
    for step in [1e-9, 1e-8, 1e-7, 1e-6] {
        let found = at(step);
        assert_ne!(found.grade, Grade::Measured, "{found:?}");
        assert!(found.why.is_some() && found.high.is_none_or(|high| truth < high), "{truth} {found:?}");
    }
    let config = EigenvalueConfig { step: Some(1e-30), ..EigenvalueConfig::USUAL };
    let found = top(&line(squares, DType::F32), rows(30, false), &config);
    assert!(found.why.as_ref().unwrap().contains("moves no weight"), "{found:?}");
}

#[test]
fn an_iteration_that_has_not_converged_gives_a_lower_bound() {
    let config = EigenvalueConfig { iterations: 2, ..TIGHT };
    let found = top(&line(squares, DType::F64), rows(70, false), &config);
    let truth = top(&line(squares, DType::F64), rows(70, false), &TIGHT).value.unwrap();
    assert!(found.low.is_some_and(|low| 0.0 < low && low < truth), "{found:?}, but {truth}");
    assert_eq!((found.value, found.high, found.grade), (None, None, Grade::LowerBound));
    assert!(found.why.as_ref().unwrap().contains("not converged after 2 iterations"), "{found:?}");
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Eigenvalue>(&json).unwrap(), found);
}

#[test]
fn the_eigenvalue_of_a_softmax_regression_is_that_of_its_closed_form() {
    // H = 1/n Σ (diag(p) − ppᵀ) ⊗ x̃x̃ᵀ with x̃ = (x, 1); at weights of 0, p = 1/3: eigenvalue 1/3 of the centring times
    // that of the Gram matrix.
    let n = 60;
    let task = mlp(&[], DType::F64);
    for (_, var) in task.parameters.named() {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    let truth = eigenvalues(gram(&rows(n, true), true, |_| 1.0 / n as f64)).last().unwrap() / CLASSES as f64;
    // The top eigenvalue is double: any vector of its plane will do.
    let found = top(&task, rows(n, true), &TIGHT);
    assert!((found.value.unwrap() / truth - 1.0).abs() < 1e-6, "{found:?} {truth}");
}

#[test]
fn the_eigenvalue_of_a_small_network_is_that_of_its_brute_force_hessian() {
    let (task, n) = (smooth(), 50);
    let named = task.parameters.named();
    let data = rows(n, true);
    let x = Tensor::from_vec(data.inputs.clone(), (n, WIDTH), &Device::Cpu).unwrap();
    let y = Tensor::from_vec(data.values.iter().map(|v| *v as u32).collect(), n, &Device::Cpu).unwrap();
    // By candle's own backward pass, one parameter after another.
    let gradient = || -> Vec<f64> {
        let output = task.model.forward_t(&x, false).unwrap();
        let mut store = ((task.loss)(&output, &y).unwrap().sum / n as f64).unwrap().backward().unwrap();
        let gradients = task.parameters.take_gradients(&mut store).unwrap();
        gradients.iter().flat_map(|g| g.flatten_all().unwrap().to_vec1::<f64>().unwrap()).collect()
    };
    let mut hessian: Vec<Vec<f64>> = Vec::new();
    for (_, var) in &named {
        let values = var.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for i in 0..values.len() {
            let at = |step: f64| {
                let mut moved = values.clone();
                moved[i] += step;
                var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
                gradient()
            };
            let (ahead, behind) = (at(1e-5), at(-1e-5));
            at(0.0);
            hessian.push(ahead.iter().zip(behind).map(|(a, b)| (a - b) / 2e-5).collect());
        }
    }
    let all = eigenvalues(hessian);
    let found = top(&task, data, &TIGHT);
    assert!((found.value.unwrap() / all.last().unwrap() - 1.0).abs() < 1e-6, "{found:?} {all:?}");
    assert!(all[0] < 0.0, "a Hessian that is not positive");
}

#[test]
fn sharpness_is_its_expansion_on_a_quadratic() {
    // L(w + ρu) − L(w) = ρ‖g‖ + ½ρ²·uᵀHu exactly, u = g/‖g‖.
    let (n, rho) = (60, 0.1);
    let (task, data) = (line(squares, DType::F64), rows(n, false));
    let w = task.parameters.get("weight").unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let hessian = gram(&data, false, |_| 2.0 / n as f64);
    let mut gradient = [0.0; WIDTH];
    for i in 0..n {
        let x: Vec<f64> = (0..WIDTH).map(|j| f64::from(data.inputs[i * WIDTH + j])).collect();
        let residual = x.iter().zip(&w).map(|(x, w)| x * w).sum::<f64>() - f64::from(data.values[i]);
        gradient.iter_mut().zip(&x).for_each(|(g, x)| *g += 2.0 / n as f64 * residual * x);
    }
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    let curvature: f64 = (0..WIDTH)
        .flat_map(|j| (0..WIDTH).map(move |k| (j, k)))
        .map(|(j, k)| gradient[j] * hessian[j][k] * gradient[k])
        .sum();
    let want = rho * norm + 0.5 * rho * rho * curvature / (norm * norm);
    let before = hash(&task);
    let mut loader = loader(data);
    let mut point = Point::new(&task, &mut loader, 0..n as u64, 16).unwrap();
    let config = SharpnessConfig { rho, ..SharpnessConfig::USUAL };
    let found = sharpness(&mut point, &config).unwrap();
    assert!((found.value.unwrap() / want - 1.0).abs() < 1e-10, "{found:?} {want}");
    assert!((found.gradient_norm.unwrap() / norm - 1.0).abs() < 1e-12 && 0.0 < found.error.unwrap());
    // Fewer examples to a step of ascent find a steeper one each.
    let mut last = found.value.unwrap();
    for m in [20, 5, 1] {
        let value = sharpness(&mut point, &SharpnessConfig { m: Some(m), ..config }).unwrap().value.unwrap();
        assert!(last < value, "m {m}: {value} after {last}");
        last = value;
    }
    assert_eq!(hash(&task), before);
}

#[test]
fn adaptive_sharpness_does_not_change_where_the_function_does_not() {
    // A layer of ReLU times 4 and the next over 4: the same function, to the bit.
    let n = 50;
    let measure = |factor: f64, ball: Ball| {
        let task = mlp(&[6], DType::F64);
        for (name, var) in task.parameters.named() {
            let is_first = name.starts_with("layer0");
            let is_bias = name.ends_with("bias");
            let factor = if is_first {
                factor
            } else if is_bias {
                1.0
            } else {
                1.0 / factor
            };
            // Biases begin at 0, where an adaptive ball has no extent.
            let shift = if is_bias { 0.1 * factor } else { 0.0 };
            var.set(&var.affine(factor, shift).unwrap()).unwrap();
        }
        let mut loader = loader(rows(n, true));
        let mut point = Point::new(&task, &mut loader, 0..n as u64, 16).unwrap();
        sharpness(&mut point, &SharpnessConfig { rho: 0.2, ball, m: None }).unwrap()
    };
    let adaptive = Ball::Adaptive { offset: 0.0 };
    let (plain, scaled) = (measure(1.0, adaptive), measure(4.0, adaptive));
    assert_eq!(plain.loss, scaled.loss);
    assert!((plain.value.unwrap() / scaled.value.unwrap() - 1.0).abs() < 1e-9, "{plain:?} {scaled:?}");
    let (plain, scaled) = (measure(1.0, Ball::Euclidean), measure(4.0, Ball::Euclidean));
    assert!(0.1 < (plain.value.unwrap() / scaled.value.unwrap() - 1.0).abs(), "{plain:?} {scaled:?}");
}

#[test]
fn a_flat_point_or_a_radius_within_rounding_gives_no_number() {
    let task = line(squares, DType::F32);
    // All targets reached: wᵀx = y for w = 0 and y = 0.
    task.parameters
        .get("weight")
        .unwrap()
        .set(&Tensor::zeros((1, WIDTH), DType::F32, &Device::Cpu).unwrap())
        .unwrap();
    let mut data = rows(30, false);
    data.values.fill(0.0);
    let mut flat = loader(data);
    let found =
        sharpness(&mut Point::new(&task, &mut flat, 0..30, 30).unwrap(), &SharpnessConfig::USUAL).unwrap();
    assert_eq!((found.value, found.error, found.grade), (None, None, Grade::NotIdentified), "{found:?}");
    let task = mlp(&[6], DType::F32);
    let mut steep = loader(rows(30, true));
    let mut point = Point::new(&task, &mut steep, 0..30, 30).unwrap();
    let found = sharpness(&mut point, &SharpnessConfig { rho: 1e-9, ..SharpnessConfig::USUAL }).unwrap();
    assert_eq!(found.grade, Grade::Approximate, "{found:?}");
}

#[test]
fn parameters_are_as_before_also_after_a_fault() {
    // The first gradient is taken in batches; the fault is met once the weights have moved, or at the first reading.
    let task = mlp(&[6], DType::F32);
    let before = hash(&task);
    let mut faulty = loader(Rows { fault: Some(31), ..rows(40, true) });
    let mut point = Point::new(&task, &mut faulty, 0..40, 8).unwrap();
    let error = top_eigenvalue(&mut point, &EigenvalueConfig::USUAL).unwrap_err();
    assert!(matches!(error, TrainError::Data(_)), "{error}");
    assert_eq!(hash(&task), before);
    assert!(sharpness(&mut point, &SharpnessConfig::USUAL).is_err());
    assert_eq!(hash(&task), before);
}

#[test]
fn a_gradient_that_is_not_finite_is_told() {
    let task = mlp(&[6], DType::F32);
    let var = task.parameters.named().remove(0).1;
    var.set(&var.affine(0.0, f64::INFINITY).unwrap()).unwrap();
    let found = top(&task, rows(40, true), &EigenvalueConfig::USUAL);
    assert_eq!((found.value, found.grade), (None, Grade::NotIdentified));
    assert!(found.why.as_ref().unwrap().contains("not finite"), "{found:?}");
    assert_eq!(serde_json::from_str::<Eigenvalue>(&serde_json::to_string(&found).unwrap()).unwrap(), found);
    let mut loader = loader(rows(40, true));
    let mut point = Point::new(&task, &mut loader, 0..40, 8).unwrap();
    let found = sharpness(&mut point, &SharpnessConfig::USUAL).unwrap();
    assert_eq!((found.value, found.loss, found.grade), (None, None, Grade::NotIdentified), "{found:?}");
    assert_eq!(serde_json::from_str::<Sharpness>(&serde_json::to_string(&found).unwrap()).unwrap(), found);
}

#[test]
fn settings_out_of_range_are_refused() {
    let task = mlp(&[6], DType::F32);
    let mut loader = loader(rows(40, true));
    assert!(Point::new(&task, &mut loader, 3..3, 8).is_err());
    assert!(Point::new(&task, &mut loader, 0..8, 0).is_err());
    let mut point = Point::new(&task, &mut loader, 0..8, 8).unwrap();
    for config in [
        EigenvalueConfig { change: 0.0, ..EigenvalueConfig::USUAL },
        EigenvalueConfig { residual: f64::NAN, ..EigenvalueConfig::USUAL },
        EigenvalueConfig { iterations: 1, ..EigenvalueConfig::USUAL },
        EigenvalueConfig { step: Some(-1.0), ..EigenvalueConfig::USUAL },
    ] {
        assert!(top_eigenvalue(&mut point, &config).is_err(), "{config:?}");
    }
    for config in [
        SharpnessConfig { rho: 0.0, ..SharpnessConfig::USUAL },
        SharpnessConfig { m: Some(0), ..SharpnessConfig::USUAL },
        SharpnessConfig { ball: Ball::Adaptive { offset: -1.0 }, ..SharpnessConfig::USUAL },
    ] {
        assert!(sharpness(&mut point, &config).is_err(), "{config:?}");
    }
    for (batch, n, momentum) in [(0, 10, 0.0), (11, 10, 0.0), (5, 10, 1.0), (5, 10, f64::NAN)] {
        assert!(temperature(0.1, batch, n, momentum).is_err());
    }
    assert_eq!(temperature(0.1, 1, 1, 0.0).unwrap(), 0.0);
}
