//! The variables under check: their values on the host, and moving them.

use super::Config;
use crate::random;
use candle_core::{DType, Device, Result, Tensor, Var};

/// A named variable and its values before the audit.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) var: Var,
    pub(super) start: Vec<f64>,
    /// Root mean square of the values, 1 where it is 0: the unit of all steps.
    pub(super) unit: f64,
}

impl Variable {
    pub(super) fn new(name: &str, var: &Var) -> Result<Self> {
        if !matches!(var.dtype(), DType::F32 | DType::F64) {
            candle_core::bail!(
                "audit: variable `{name}` is {:?}, too coarse for finite differences: build the model in f64 or f32",
                var.dtype()
            );
        }
        let start = host(var.as_tensor())?;
        let mean = start.iter().map(|v| v * v).sum::<f64>() / start.len().max(1) as f64;
        let unit = if 0.0 < mean && mean.is_finite() { mean.sqrt() } else { 1.0 };
        Ok(Self { name: name.to_owned(), var: var.clone(), start, unit })
    }

    pub(super) fn dtype(&self) -> DType {
        self.var.dtype()
    }

    fn set(&self, values: Vec<f64>) -> Result<()> {
        let value = Tensor::from_vec(values, self.var.shape(), &Device::Cpu)?;
        self.var.set(&value.to_dtype(self.dtype())?.to_device(self.var.device())?)
    }
}

/// The values of a tensor in f64.
pub(super) fn host(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

/// The variables at the place where they are checked; they return to their start when this is dropped.
pub(super) struct Moved<'a> {
    variables: &'a [Variable],
    centers: Vec<Vec<f64>>,
}

impl<'a> Moved<'a> {
    pub(super) fn new(variables: &'a [Variable], config: &Config) -> Result<Self> {
        let centers = variables.iter().map(|v| {
            if config.nudge == 0.0 {
                return v.start.clone();
            }
            let stream = format!("audit.nudge.{}", v.name);
            let by = random::normal(config.seed, &stream, v.start.len(), 0.0, config.nudge * v.unit);
            v.start.iter().zip(by).map(|(v, by)| v + by).collect()
        });
        let moved = Self { variables, centers: centers.collect() };
        moved.center()?;
        Ok(moved)
    }

    /// Moves variable `i` to its center + `t` · `direction`.
    pub(super) fn displace(&self, i: usize, t: f64, direction: &Direction) -> Result<()> {
        let mut values = self.centers[i].clone();
        direction.add_to(&mut values, t);
        self.variables[i].set(values)
    }

    /// Moves variable `i` to its center.
    pub(super) fn center_one(&self, i: usize) -> Result<()> {
        self.variables[i].set(self.centers[i].clone())
    }

    /// Moves all variables to their centers.
    pub(super) fn center(&self) -> Result<()> {
        (0..self.variables.len()).try_for_each(|i| self.center_one(i))
    }

    /// Gives all variables the values they had before the audit.
    pub(super) fn restore(&self) -> Result<()> {
        self.variables.iter().try_for_each(|v| v.set(v.start.clone()))
    }
}

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        // On the way out of an error there is nobody left to tell of a second one.
        let _ = self.restore();
    }
}

/// A direction in the space of one variable.
pub(super) enum Direction {
    /// All elements.
    Dense(Vec<f64>),
    /// One element, by this much.
    Element(usize, f64),
}

impl Direction {
    fn add_to(&self, values: &mut [f64], t: f64) {
        match self {
            Self::Dense(direction) => values.iter_mut().zip(direction).for_each(|(v, d)| *v += t * d),
            Self::Element(at, by) => values[*at] += t * by,
        }
    }

    /// The slope that a gradient claims along this direction.
    pub(super) fn slope(&self, gradient: &[f64]) -> f64 {
        match self {
            Self::Dense(direction) => direction.iter().zip(gradient).map(|(d, g)| d * g).sum(),
            Self::Element(at, by) => by * gradient[*at],
        }
    }
}
