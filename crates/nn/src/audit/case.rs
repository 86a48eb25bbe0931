//! Cases: a layer in one shape and stride, run by the audit into a row of a table.

use super::causes::{self, CANDLE_VERSION, KnownCause, Symptom};
use super::judge::{self, Outcome};
use super::report::{Report, align};
use super::{Config, guard, weigh};
use crate::random;
use candle_core::{DType, Device, Result, Tensor, Var};
use std::fmt;

/// A layer or operation in one shape and stride.
pub struct Case {
    /// The layer.
    pub layer: &'static str,
    /// The shape, stride or setting.
    pub case: String,
    dtype: DType,
    strided: bool,
    body: Body,
}

enum Body {
    Op { inputs: Vec<Input>, f: Box<Function>, reference: Option<Box<Function>> },
    Model(Box<dyn Fn(DType) -> Result<Model>>),
}

type Function = dyn Fn(&[Tensor]) -> Result<Tensor>;

struct Input {
    name: &'static str,
    shape: Vec<usize>,
    fill: Fill,
}

/// A model on a fixed batch.
pub struct Model {
    /// Its named variables.
    pub vars: Vec<(String, Var)>,
    /// Computes the loss.
    pub loss: Box<dyn Fn() -> Result<Tensor>>,
}

/// What the values of an input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Normal numbers.
    Normal,
    /// Numbers between 0.5 and 1.5, as of variances.
    Positive,
    /// Small whole numbers, so that many are equal.
    Ties,
}

impl Fill {
    fn values(self, name: &str, shape: &[usize]) -> Vec<f64> {
        let (stream, n) = (format!("audit.case.{name}"), shape.iter().product());
        match self {
            Self::Normal => random::normal(0, &stream, n, 0.0, 1.0),
            Self::Positive => random::uniform(0, &stream, n, 0.5, 1.5),
            Self::Ties => random::uniform(0, &stream, n, 0.0, 2.0).into_iter().map(f64::floor).collect(),
        }
    }
}

impl Case {
    /// An operation on named inputs of these shapes, in f64. `f` receives them in order.
    pub fn op<const N: usize>(
        layer: &'static str,
        case: &str,
        inputs: [(&'static str, &[usize]); N],
        f: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
    ) -> Self {
        let inputs = inputs.map(|(name, shape)| Input { name, shape: shape.to_vec(), fill: Fill::Normal });
        let body = Body::Op { inputs: inputs.into(), f: Box::new(f), reference: None };
        Self { layer, case: case.to_owned(), dtype: DType::F64, strided: false, body }
    }

    /// A model in f64: `make` builds it in the dtype it is given.
    pub fn model(layer: &'static str, case: &str, make: impl Fn(DType) -> Result<Model> + 'static) -> Self {
        let body = Body::Model(Box::new(make));
        Self { layer, case: case.to_owned(), dtype: DType::F64, strided: false, body }
    }

    /// The same in f32, for what has no f64 and for models that train in f32.
    #[must_use]
    pub fn f32(self) -> Self {
        Self { dtype: DType::F32, case: format!("{}, f32", self.case), ..self }
    }

    /// The same on views whose last two dimensions are swapped in memory. The value is held against that on
    /// contiguous copies, too.
    #[must_use]
    pub fn strided(self) -> Self {
        Self { strided: true, case: format!("{}, strided", self.case), ..self }
    }

    /// Another way to compute the same, which the value is held against.
    #[must_use]
    pub fn reference(mut self, other: impl Fn(&[Tensor]) -> Result<Tensor> + 'static) -> Self {
        if let Body::Op { reference, .. } = &mut self.body {
            *reference = Some(Box::new(other));
        }
        self
    }

    /// Other values for the input of this name.
    #[must_use]
    pub fn fill(mut self, name: &str, fill: Fill) -> Self {
        if let Body::Op { inputs, .. } = &mut self.body {
            inputs.iter_mut().filter(|input| input.name == name).for_each(|input| input.fill = fill);
        }
        self
    }

    /// Runs the audit. Errors and panics of the case are its outcome.
    pub fn run(&self) -> Row {
        let outcome = match guard::catch(|| self.audit()) {
            Ok(outcome) => outcome,
            Err(error) => RowOutcome::Refused(self.brief_error(&error.to_string())),
        };
        let symptom = match &outcome {
            RowOutcome::Faulty(faults) => faults.iter().find_map(|(_, outcome)| causes::symptom(outcome)),
            RowOutcome::WrongValue { .. } => Some(Symptom::WrongValue),
            RowOutcome::Refused(_) => Some(Symptom::Refused),
            RowOutcome::Right { .. } => None,
        };
        let cause = symptom.and_then(|symptom| causes::of(self.layer, symptom));
        Row { layer: self.layer, case: self.case.clone(), outcome, cause }
    }

    /// An error without its backtrace and without what the row says anyway.
    fn brief_error(&self, text: &str) -> String {
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("audit: ").unwrap_or(line);
        let backward = format!("the backward pass of {} fails: ", self.layer);
        match line.strip_prefix(&backward) {
            Some(error) if error.starts_with("backward") => error.to_owned(),
            Some(error) => format!("backward: {error}"),
            None => line.to_owned(),
        }
    }

    fn audit(&self) -> Result<RowOutcome> {
        match &self.body {
            Body::Model(make) => {
                let model = make(self.dtype)?;
                Ok(conclude(&super::gradients(&model.vars, &model.loss, &Config::default())?))
            }
            Body::Op { inputs, f, reference } => self.audit_op(inputs, f, reference.as_deref()),
        }
    }

    fn audit_op(&self, inputs: &[Input], f: &Function, reference: Option<&Function>) -> Result<RowOutcome> {
        let vars = inputs.iter().map(|input| {
            let values = Tensor::from_vec(
                input.fill.values(input.name, &input.shape),
                input.shape.as_slice(),
                &Device::Cpu,
            )?;
            let values = values.to_dtype(self.dtype)?;
            let stored =
                if self.strided && 2 <= values.rank() { swap(&values)?.contiguous()? } else { values };
            Ok((input.name.to_owned(), Var::from_tensor(&stored)?))
        });
        let vars: Vec<(String, Var)> = vars.collect::<Result<_>>()?;
        let views = || -> Result<Vec<Tensor>> {
            let view = |(_, var): &(String, Var)| {
                let tensor = var.as_tensor();
                if self.strided && 2 <= tensor.rank() { swap(tensor) } else { Ok(tensor.clone()) }
            };
            vars.iter().map(view).collect()
        };
        if self.strided || reference.is_some() {
            let copies: Vec<Tensor> = views()?.iter().map(Tensor::contiguous).collect::<Result<_>>()?;
            let error = distance(&f(&views()?)?, &reference.unwrap_or(f)(&copies)?)?;
            // A NaN is no agreement either.
            if error.is_nan() || VALUE_TOLERANCE < error {
                return Ok(RowOutcome::WrongValue { error });
            }
        }
        // The inputs are random, or chosen to be special: they stay where they are.
        let config = Config { nudge: 0.0, ..Config::default() };
        Ok(conclude(&super::check(self.layer, &vars, &|| weigh(&f(&views()?)?), &config)?))
    }
}

/// Relative difference of two ways to compute a value, in f32, that is more than rounding.
const VALUE_TOLERANCE: f64 = 1e-4;

fn swap(tensor: &Tensor) -> Result<Tensor> {
    tensor.transpose(tensor.rank() - 2, tensor.rank() - 1)
}

/// ‖a − b‖/‖b‖.
fn distance(a: &Tensor, b: &Tensor) -> Result<f64> {
    let norm = |t: &Tensor| -> Result<f64> { t.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar() };
    Ok((norm(&(a - b)?)? / norm(b)?.max(f64::MIN_POSITIVE)).sqrt())
}

fn conclude(report: &Report) -> RowOutcome {
    let not_right: Vec<_> = report
        .checks
        .iter()
        .filter(|check| !check.outcome.is_right())
        .map(|check| (check.name.clone(), check.outcome.clone()))
        .collect();
    if !not_right.is_empty() {
        return RowOutcome::Faulty(not_right);
    }
    let error = report.checks.iter().map(|check| match check.outcome {
        Outcome::Right { error } => error,
        _ => 0.0,
    });
    RowOutcome::Right { error: error.fold(0.0, f64::max) }
}

/// A case and what the audit said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The layer.
    pub layer: &'static str,
    /// The shape, stride or setting.
    pub case: String,
    /// What the audit said.
    pub outcome: RowOutcome,
    /// The known defect behind it.
    pub cause: Option<&'static KnownCause>,
}

/// What the audit said of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum RowOutcome {
    /// All gradients are right.
    Right {
        /// Largest relative difference.
        error: f64,
    },
    /// The inputs and variables whose gradient is not right, with the outcome of each.
    Faulty(Vec<(String, Outcome)>),
    /// The output differs between views and contiguous copies of them, or from the case's reference.
    WrongValue {
        /// Relative difference.
        error: f64,
    },
    /// The forward or backward pass ended with an error or a panic.
    Refused(String),
}

impl RowOutcome {
    /// Whether all gradients are right.
    pub fn is_right(&self) -> bool {
        matches!(self, Self::Right { .. })
    }
}

impl fmt::Display for RowOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right { error } => write!(f, "right (to {error:.0e})"),
            Self::WrongValue { error } => write!(f, "output wrong by {} %", judge::number(100.0 * error)),
            Self::Refused(text) => f.write_str(text),
            Self::Faulty(faults) => {
                // Inputs that show the same share a line.
                let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
                for (name, outcome) in faults {
                    let text = brief(outcome);
                    match groups.iter_mut().find(|(other, _)| *other == text) {
                        Some((_, names)) => names.push(name),
                        None => groups.push((text, vec![name])),
                    }
                }
                let parts = groups.iter().map(|(text, names)| format!("{}: {text}", names.join(", ")));
                f.write_str(&parts.collect::<Vec<_>>().join("; "))
            }
        }
    }
}

fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Wrong { worst } => format!("wrong by {} %", judge::number(100.0 * worst.relative_error())),
        Outcome::Cut { .. } => "no gradient".to_owned(),
        Outcome::Unused => "no influence".to_owned(),
        other => other.to_string(),
    }
}

/// The rows of candle's own layers and of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// candle's layers and operations.
    pub stock: Vec<Row>,
    /// Those of this crate.
    pub ours: Vec<Row>,
}

impl Table {
    /// Runs all cases of [`stock`](super::stock()) and [`ours`](super::ours()).
    pub fn run() -> Self {
        let run = |cases: Vec<Case>| cases.iter().map(Case::run).collect();
        Self { stock: run(super::stock()), ours: run(super::ours()) }
    }

    /// Whether all of ours are right.
    pub fn ours_are_right(&self) -> bool {
        self.ours.iter().all(|row| row.outcome.is_right())
    }
}

impl Table {
    /// What fails in candle, why, and what does not.
    pub fn stock_text(&self) -> String {
        let is_right = |row: &&Row| row.outcome.is_right();
        let n_right = self.stock.iter().filter(is_right).count();
        let mut rows = vec![["layer", "case", "gradient", "issue"].map(str::to_owned).to_vec()];
        let mut causes: Vec<&KnownCause> = Vec::new();
        for row in self.stock.iter().filter(|row| !is_right(row)) {
            let threads = row.cause.map_or("", |cause| cause.threads);
            rows.push(vec![
                row.layer.to_owned(),
                row.case.clone(),
                row.outcome.to_string(),
                threads.to_owned(),
            ]);
            causes.extend(row.cause.filter(|cause| !causes.contains(cause)));
        }
        let causes: Vec<String> = causes.iter().map(ToString::to_string).collect();
        format!(
            "candle {CANDLE_VERSION}: {n_right} of {} cases right, the others:\n\n{}\n{}\n\nRight in all cases: {}.\n",
            self.stock.len(),
            align(&rows),
            causes.join("\n"),
            right_layers(&self.stock).join(", ")
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nbatchwise:\n", self.stock_text())?;
        let rows =
            self.ours.iter().map(|row| vec![row.layer.to_owned(), row.case.clone(), row.outcome.to_string()]);
        writeln!(f, "{}", align(&rows.collect::<Vec<_>>()))?;
        match self.ours.iter().filter(|row| !row.outcome.is_right()).count() {
            0 => write!(f, "All {} cases of ours are right.", self.ours.len()),
            n => write!(f, "{n} of {} cases of ours are NOT right.", self.ours.len()),
        }
    }
}

/// The layers whose cases are all right, with how many those are.
fn right_layers(rows: &[Row]) -> Vec<String> {
    let mut layers: Vec<&str> = Vec::new();
    for row in rows {
        if !layers.contains(&row.layer) {
            layers.push(row.layer);
        }
    }
    let cases = |layer: &str| rows.iter().filter(|row| row.layer == layer).collect::<Vec<_>>();
    layers.retain(|layer| cases(layer).iter().all(|row| row.outcome.is_right()));
    layers.iter().map(|layer| format!("{layer} ({})", cases(layer).len())).collect()
}
