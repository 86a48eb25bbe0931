//! The loss of a task on fixed examples, as a function of its parameters.

use super::vector;
use crate::accumulate::{micro_batches, receive};
use crate::evaluate::{mean_and_error, read, whole_parts};
use crate::{Task, TrainError};
use batchwise_data::Loader;
use batchwise_nn::gradients::{Gradients, Tap};
use batchwise_nn::tape::Recorded;
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;

/// A task in evaluation mode on a fixed set of examples: what probes look at.
///
/// ```
/// use batchwise_data::Loader;
/// use batchwise_nn::models::{Mlp, MlpConfig};
/// use batchwise_nn::{Parameters, loss};
/// use batchwise_train::Task;
/// use batchwise_train::generalisation::{Point, SharpnessConfig, sharpness};
/// use candle_core::{DType, Device};
///
/// let data = batchwise_data::open("glyphs:train=64,test=10", None)?;
/// let config = MlpConfig { inputs: 784, hidden: vec![8], classes: 10 };
/// let parameters = Parameters::new();
/// let model = Mlp::new(&config, parameters.builder(1, DType::F32, &Device::Cpu))?;
/// let task = Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu);
/// let mut loader = Loader::sequential(data.train, Device::Cpu)?;
///
/// let mut point = Point::new(&task, &mut loader, 0..64, 32)?;
/// let sharp = sharpness(&mut point, &SharpnessConfig::USUAL)?;
/// assert!(0.0 < sharp.value.unwrap());
/// # Ok::<(), batchwise_train::TrainError>(())
/// ```
pub struct Point<'a> {
    pub(super) task: &'a Task,
    loader: &'a mut Loader,
    pub(super) positions: Range<u64>,
    batch: u64,
}

impl<'a> Point<'a> {
    /// The examples at `positions` of the loader's order, up to `batch` at a time (memory and speed only).
    ///
    /// # Errors
    /// No positions, a batch of 0.
    pub fn new(
        task: &'a Task,
        loader: &'a mut Loader,
        positions: Range<u64>,
        batch: u64,
    ) -> Result<Self, TrainError> {
        if positions.end <= positions.start {
            let found = format!("{}..{}", positions.start, positions.end);
            return Err(TrainError::Config {
                name: "the positions of a probe",
                found,
                allowed: "at least 1 example",
            });
        }
        if batch == 0 {
            let (name, found) = ("the batch of a probe", "0".to_owned());
            return Err(TrainError::Config { name, found, allowed: "at least 1" });
        }
        Ok(Self { task, loader, positions, batch })
    }

    /// How many examples there are.
    #[must_use]
    pub fn n_examples(&self) -> u64 {
        self.positions.end - self.positions.start
    }

    /// The mean loss, and its standard error where there are two parts or more.
    ///
    /// # Errors
    /// Data and device errors.
    pub fn loss(&mut self) -> Result<(f64, Option<f64>), TrainError> {
        Ok(mean_and_error(&self.losses(self.positions.clone())?))
    }

    /// The loss of parts of `positions`, as (sum, weight).
    pub(super) fn losses(&mut self, positions: Range<u64>) -> Result<Vec<(f64, f64)>, TrainError> {
        Ok(read(self.task, self.loader, positions, self.batch, false)?.0)
    }

    /// The gradient of the mean loss over `positions`, parameter after parameter in name order.
    pub(super) fn gradient(&mut self, positions: Range<u64>) -> Result<Vec<f64>, TrainError> {
        let n = positions.end.saturating_sub(positions.start);
        let (mut gradients, mut weight) = (Gradients::new(), 0.0);
        let mut requests = micro_batches(positions, whole_parts(n, self.batch)).peekable();
        while let Some(part) = requests.next() {
            let data = receive(self.loader, part)?;
            if let Some(next) = requests.peek() {
                self.loader.request(next.clone())?;
            }
            let recorded = Recorded::new(|| {
                let output = self.task.forward(&data.inputs, false)?;
                let loss = (self.task.loss)(&output, &data.targets)?;
                weight += loss.weight;
                Ok::<_, TrainError>(loss.sum)
            })?;
            gradients.backward(&self.task.parameters, recorded.scaled(1.0 / n as f64), Tap::Off)?;
            self.loader.recycle(data);
        }
        let to_mean = n as f64 / weight;
        let mut numbers = vector::flat(gradients.tensors())?;
        numbers.iter_mut().for_each(|x| *x *= to_mean);
        Ok(numbers)
    }

    /// The rounding unit of the least precise parameter: 2⁻²³ in f32, 2⁻⁵² in f64.
    pub(super) fn rounding(&self) -> f64 {
        let of = |dtype: DType| match dtype {
            DType::F64 => f64::EPSILON,
            DType::F16 => (-10f64).exp2(),
            DType::BF16 => (-7f64).exp2(),
            _ => f64::from(f32::EPSILON),
        };
        self.task.parameters.named().iter().map(|(_, var)| of(var.dtype())).fold(f64::EPSILON, f64::max)
    }
}

/// Puts parameters and running statistics back as they were, at the latest when it goes.
pub(super) struct Kept<'a> {
    task: &'a Task,
    values: Option<BTreeMap<String, Tensor>>,
}

impl<'a> Kept<'a> {
    /// Copies what is there now.
    pub(super) fn new(task: &'a Task) -> Result<Self, TrainError> {
        Ok(Self { task, values: Some(task.parameters.snapshot()?) })
    }

    /// Puts it back, and says so if that fails.
    pub(super) fn restore(mut self) -> Result<(), TrainError> {
        match self.values.take() {
            Some(values) => Ok(self.task.parameters.restore(&values)?),
            None => Ok(()),
        }
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if let Some(values) = self.values.take()
            && let Err(error) = self.task.parameters.restore(&values)
        {
            tracing::error!(%error, "the parameters could not be put back after a probe");
        }
    }
}
