//! Checks the gradients of anybody's candle model against finite differences of its own loss.
//!
//! candle's backward pass is wrong or silent in ordinary layers ([`known_causes`]), and nothing says so: the model
//! trains, only worse. [`gradients`] takes named variables and a closure that computes the loss of one fixed batch;
//! [`layer`] takes the inputs of a single layer. Both compare the gradient of candle's `backward` with the slope
//! that the loss really has, and name each variable whose gradient is wrong, scaled or missing.
//!
//! # Method
//!
//! Along a direction d of one variable, the slope of the loss is estimated by central differences D(h) at steps h
//! that shrink, extrapolated from each two (Richardson). The error of a step is bounded by the sum of
//!
//! - |D(h) − D(h')| against the step h' before: at least the truncation that is left;
//! - |L(h) − 2L(0) + L(−h)|/h, the right slope less the left one: where the loss has kinks (a ReLU, a maximum) within
//!   the step, this and the error are sums of the same terms up to random signs, so that it is a sample of twice the
//!   error; at a kink at exactly 0 each value between the two slopes is a subgradient, and this covers them;
//! - 6 σ/h, where σ is the measured noise of the loss: the scatter of nine values along a line too short for the
//!   loss to curve (fourth differences; Moré & Wild 2011, *Estimating computational noise*, section 3).
//!
//! The first two are the largest of the last steps (each brought to the last by √h, as the number of kinks in a step
//! grows with h), times 1.5. A gradient that agrees with a slope that looks smooth is taken at once; one that does
//! not is wrong only where it differs from the slope of *every* precise step by more than the bound (twice the bound
//! in f32, where kinks lie too close for it to be more than an estimate) and a relative
//! tolerance of 10⁻⁵ in f64 (candle's GELU rounds its constants to six digits) or 2·10⁻³ in f32 (a gradient that is a
//! sum of 10⁴ rounded terms is no better). Where the bound exceeds 1 % of the slope (5 % in f32), the answer is *not
//! decided*.
//!
//! The directions are: the gradient itself, which shows an error of scale best; the gradient on a random half of
//! the elements; random signs, which see every element at once, also one whose gradient is falsely 0; and single
//! elements, where the gradient is largest and at random. In f64 a variable takes about 50 evaluations of the
//! loss, in f32 about 130, whatever its size.

mod case;
mod causes;
mod difference;
mod guard;
mod judge;
mod ours;
mod report;
mod stock;
mod variable;

pub use case::{Case, Fill, Model, Row, RowOutcome, Table};
pub use causes::{CANDLE_VERSION, KnownCause, Symptom, known_causes};
pub use judge::{Outcome, Probe, Where};
pub use ours::ours;
pub use report::{Check, Report};
pub use stock::stock;

use crate::random;
use candle_core::{DType, Result, Tensor, Var};
use candle_nn::VarMap;
use difference::Precision;
use variable::Variable;

/// How thoroughly to check.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Seed of the directions, the elements and the displacement.
    pub seed: u64,
    /// Random directions per variable, at least 1.
    pub directions: usize,
    /// Single elements per variable: half where the gradient is largest, half at random.
    pub elements: usize,
    /// How far each variable is moved before the check, as a share of its root mean square (of 1 where it is all
    /// zero). A fresh model often stands exactly on kinks and symmetries (zero biases under a ReLU, a head of
    /// zeros that hides what is below it), where nothing can be decided. The values are put back afterwards.
    pub nudge: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 0, directions: 2, elements: 8, nudge: 0.01 }
    }
}

/// The variables of a candle `VarMap`, in name order.
pub fn named(map: &VarMap) -> Vec<(String, Var)> {
    let data = map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut vars: Vec<_> = data.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
    vars.sort_by(|a, b| a.0.cmp(&b.0));
    vars
}

/// Checks the gradient of a loss with respect to each variable.
///
/// `vars` come from [`Parameters::named`](crate::Parameters::named) or [`named`]; `loss` computes the scalar loss
/// of one fixed batch from them. Build the model in f64 where its layers allow it: f32 decides less. The variables
/// hold their values again afterwards, also after an error.
///
/// # Errors
/// Variables of a dtype other than f32 and f64; a loss that is no scalar or not finite; a loss that changes from
/// call to call (dropout, or a layer that keeps state), because its differences mean nothing; an error or a panic
/// of the forward or backward pass.
///
/// ```
/// use batchwise_nn::audit::{self, Config};
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{Module, VarBuilder, VarMap};
///
/// let map = VarMap::new();
/// let head = candle_nn::linear(4, 2, VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu))?;
/// let x = Tensor::ones((3, 4), DType::F64, &Device::Cpu)?;
/// let report = audit::gradients(&audit::named(&map), &|| head.forward(&x)?.sqr()?.mean_all(), &Config::default())?;
/// assert!(report.is_right(), "{report}");
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn gradients(
    vars: &[(String, Var)],
    loss: &dyn Fn() -> Result<Tensor>,
    config: &Config,
) -> Result<Report> {
    check("the loss", vars, loss, config)
}

/// Checks one layer or operation: the gradient of a randomly weighted sum of its output with respect to each of
/// `inputs` and `vars`.
///
/// `f` receives the inputs as variables, in order, and may take views of them to try other strides. An input of an
/// integer dtype is handed over and not checked. The report names the inputs `input 0`, `input 1`, ….
///
/// # Errors
/// As [`gradients`].
pub fn layer(
    name: &str,
    inputs: &[Tensor],
    vars: &[(String, Var)],
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    config: &Config,
) -> Result<Report> {
    let mut checked = Vec::new();
    let mut given = Vec::new();
    for (i, input) in inputs.iter().enumerate() {
        if input.dtype().is_float() {
            let var = Var::from_tensor(&input.detach().contiguous()?)?;
            given.push(var.as_tensor().clone());
            checked.push((format!("input {i}"), var));
        } else {
            given.push(input.clone());
        }
    }
    checked.extend(vars.iter().cloned());
    check(name, &checked, &|| weigh(&f(&given)?), config)
}

/// A sum with a different weight on each element, so that no error cancels.
fn weigh(y: &Tensor) -> Result<Tensor> {
    let weights = random::normal(0, "audit.weights", y.elem_count(), 0.0, 1.0);
    let weights = Tensor::from_vec(weights, y.shape(), &candle_core::Device::Cpu)?;
    (y * weights.to_dtype(y.dtype())?.to_device(y.device())?)?.sum_all()
}

fn check(
    subject: &str,
    vars: &[(String, Var)],
    loss: &dyn Fn() -> Result<Tensor>,
    config: &Config,
) -> Result<Report> {
    if config.directions == 0 || !config.nudge.is_finite() {
        candle_core::bail!(
            "audit: {} directions and a nudge of {}: at least 1 direction and a finite nudge are needed",
            config.directions,
            config.nudge
        );
    }
    let variables: Vec<Variable> =
        vars.iter().map(|(name, var)| Variable::new(name, var)).collect::<Result<_>>()?;
    // Puts the values back when it goes.
    let moved = variable::Moved::new(&variables, config)?;
    let mut n_evaluations = 0;
    let mut value = || {
        n_evaluations += 1;
        scalar(subject, &loss()?)
    };
    let first = value()?;
    let wide = variables.iter().all(|v| v.dtype() == DType::F64);
    let precision = if wide && loss()?.dtype() == DType::F64 { Precision::F64 } else { Precision::F32 };
    steady(subject, first, value()?, precision)?;
    let noise = difference::noise(&variables, &moved, first, precision, config.seed, &mut value)?;
    let (found, order) = judge::backward(subject, loss, &variables)?;
    let judge = judge::Judge { config, precision, center: first, noise, found: &found, moved: &moved };
    let checks = judge.all(&variables, &order, &mut value)?;
    moved.center()?;
    steady(subject, first, value()?, precision)?;
    moved.restore()?;
    Ok(Report {
        subject: subject.to_owned(),
        dtype: precision.dtype(),
        loss: first,
        noise,
        n_evaluations,
        checks,
    })
}

/// The value of a loss.
fn scalar(subject: &str, loss: &Tensor) -> Result<f64> {
    if loss.elem_count() != 1 {
        candle_core::bail!("audit: {subject} has shape {:?}, but must be one number", loss.shape());
    }
    let value: f64 = loss.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?[0];
    if !value.is_finite() {
        candle_core::bail!("audit: {subject} is {value}: there is no slope to compare a gradient with");
    }
    Ok(value)
}

/// Whether two evaluations at the same place agree to rounding.
fn steady(subject: &str, first: f64, second: f64, precision: Precision) -> Result<()> {
    if (first - second).abs() <= precision.rounding() * 1e3 * first.abs().max(second.abs()) {
        return Ok(());
    }
    candle_core::bail!(
        "audit: {subject} is {first} at one call and {second} at another with the same variables: turn dropout off, \
         fix the batch, and keep no state that changes the loss"
    )
}
