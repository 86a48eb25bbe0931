//! Whether k micro-batches give what the whole batch gives, on the user's own model and data.
//!
//! Accumulation is exact where the loss of a batch is a sum over its examples, each with a part that depends on no
//! other: then gradient and loss of any split are sums of the same terms in another order, and differ by rounding
//! only. [`accumulation`] computes them in f32 and, where the model can be built in it, in f64, with the code that a
//! [`crate::Trainer`] uses, and holds the difference against what rounding explains ([`tolerance`]). Where it is
//! larger, or the model is such that no two passes agree, experiments tell the [`Cause`].
//!
//! ```
//! use batchwise_data::open;
//! use batchwise_nn::models::{Mlp, MlpConfig};
//! use batchwise_nn::{Parameters, loss};
//! use batchwise_train::Task;
//! use batchwise_train::check::{AccumulationConfig, accumulation};
//! use candle_core::Device;
//!
//! let data = open("glyphs:train=100,test=10", None)?.train;
//! let build = |dtype| {
//!     let parameters = Parameters::new();
//!     let config = MlpConfig { inputs: 784, hidden: vec![16], classes: 10 };
//!     let model = Mlp::new(&config, parameters.builder(1, dtype, &Device::Cpu))?;
//!     Ok(Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu))
//! };
//! let report = accumulation(&build, &data, &AccumulationConfig::of_batch(32))?;
//! assert!(report.is_ok(), "{:?}", report.causes);
//! # Ok::<(), batchwise_train::TrainError>(())
//! ```

mod cause;
mod experiments;
mod measure;
pub mod tolerance;

pub use cause::Cause;

use crate::{Task, TrainError};
use batchwise_data::{Dataset, Loader, Order, gather_batch};
use candle_core::DType;
use measure::{Measured, cast, measure};
use std::sync::Arc;
use tolerance::Rounding;

/// What [`accumulation`] compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccumulationConfig {
    /// Examples of the batch, from 2 to the length of the data set.
    pub batch: u64,
    /// Sizes of the micro-batches it is split into, each from 1 to the batch; the last micro-batch of a split holds what
    /// is left.
    pub micro_batches: Vec<u64>,
    /// Of the order of the examples.
    pub seed: u64,
}

impl AccumulationConfig {
    /// Even and uneven splits of a batch: into halves, about a third, an eighth, sevens and single examples.
    ///
    /// ```
    /// use batchwise_train::check::AccumulationConfig;
    ///
    /// assert_eq!(AccumulationConfig::of_batch(64).micro_batches, [32, 22, 8, 7, 1]);
    /// assert_eq!(AccumulationConfig::of_batch(3).micro_batches, [2, 1]);
    /// ```
    pub fn of_batch(batch: u64) -> Self {
        let mut micro_batches = vec![batch.div_ceil(2), batch.div_ceil(3), batch / 8, 7, 1];
        micro_batches.retain(|size| (1..batch).contains(size));
        micro_batches.sort_unstable_by(|a, b| b.cmp(a));
        micro_batches.dedup();
        Self { batch, micro_batches, seed: 0 }
    }
}

/// One split of the batch, in one precision.
#[derive(Debug, Clone, PartialEq)]
pub struct AccumulationRow {
    /// The precision: f32 or f64.
    pub dtype: DType,
    /// Examples of a micro-batch.
    pub micro_batch: u64,
    /// Micro-batches.
    pub k: u64,
    /// The name of what differs most, measured by what is allowed: a parameter, or [`LOSS`].
    pub parameter: String,
    /// Its difference ‖g_k − g_1‖ / ‖g_1‖, of the loss |L_k − L_1| / |L_1|.
    pub difference: f64,
    /// What rounding explains of that difference.
    pub allowed: f64,
    /// The largest difference of one element over all parameters, relative to the largest element of its parameter.
    pub element: f64,
    /// The relative difference of the loss.
    pub loss: f64,
    /// Whether nothing differs by more than is allowed.
    pub is_equal: bool,
}

/// The loss where a row names what differs most.
pub const LOSS: &str = "the loss";

/// What [`accumulation`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct AccumulationReport {
    /// Examples of the batch.
    pub batch: u64,
    /// Each split in f32, then in f64; none where no gradient could be computed.
    pub rows: Vec<AccumulationRow>,
    /// What makes accumulation inexact, the most fundamental first.
    pub causes: Vec<Cause>,
    /// Why there are no rows in f64.
    pub no_f64: Option<String>,
}

impl AccumulationReport {
    /// Whether accumulation is exact: every split equals the whole batch, and nothing was found that says otherwise.
    pub fn is_ok(&self) -> bool {
        self.causes.is_empty() && !self.rows.is_empty() && self.rows.iter().all(|row| row.is_equal)
    }
}

/// Proves on the model that `build` makes that splits of a batch give its gradient and its loss, or says why not.
///
/// `build` makes the task with parameters of the dtype it is given, with the same values each time (up to rounding);
/// inputs and targets that are values are turned to that dtype. An error for f64 only leaves out the rows in f64. The
/// task's state is as `build` leaves it: load trained weights there to check them.
///
/// # Errors
/// Sizes out of range, a model that cannot be built or run in f32, data and device errors. That accumulation is not
/// exact is no error.
pub fn accumulation(
    build: &dyn Fn(DType) -> candle_core::Result<Task>,
    dataset: &Arc<dyn Dataset>,
    config: &AccumulationConfig,
) -> Result<AccumulationReport, TrainError> {
    check_sizes(config, dataset.len())?;
    let single = || Ok::<_, TrainError>(cast(build(DType::F32)?, DType::F32));
    let task = single()?;
    let order = Order::new(config.seed, dataset.len())?;
    let data = gather_batch(dataset.as_ref(), &order, 0..config.batch, &task.device)?;
    let mut report =
        AccumulationReport { batch: config.batch, rows: Vec::new(), causes: Vec::new(), no_f64: None };
    report.causes.extend(experiments::repeat(&task, &single()?, &data)?);
    if let Some(cause) = experiments::missing_gradients(&task, &data)? {
        report.causes.push(cause);
        return Ok(report);
    }
    let mut loader = Loader::new(Arc::clone(dataset), order, task.device.clone())?;
    let whole = measure(&task, &mut loader, config.batch, config.batch)?;
    if let Some(name) = whole.not_finite() {
        report.causes.push(Cause::NotFinite { name });
        return Ok(report);
    }
    let double = in_f64(build, &mut loader, config.batch, &whole)?;
    let rounding = match &double {
        Ok((_, double)) => Rounding::measured(&whole, double)?,
        Err(_) => Rounding::guessed(&whole),
    };
    report.rows.extend(rows(&task, &mut loader, config, (DType::F32, &whole), &rounding)?);
    let judged = match double {
        Ok((double, whole)) => {
            report.rows.extend(rows(&double, &mut loader, config, (DType::F64, &whole), &rounding)?);
            double
        }
        Err(reason) => {
            report.no_f64 = Some(reason);
            task
        }
    };
    // A model whose passes do not agree tells nothing here.
    if report.causes.is_empty() {
        report.causes.extend(experiments::companions(&judged, &data, &report.rows)?);
        report.causes.extend(experiments::loss(&judged, &data)?);
    }
    if report.causes.is_empty()
        && let Some(row) = worst(&report.rows).filter(|row| !row.is_equal)
    {
        let (parameter, difference, allowed) = (row.parameter.clone(), row.difference, row.allowed);
        report.causes.push(Cause::Unknown { parameter, difference, allowed });
    }
    Ok(report)
}

fn check_sizes(config: &AccumulationConfig, n_examples: u64) -> Result<(), TrainError> {
    let wrong =
        |name, found: u64, allowed| Err(TrainError::Config { name, found: found.to_string(), allowed });
    if config.batch < 2 || n_examples < config.batch {
        let allowed = "from 2 to the length of the data set";
        return wrong("the batch size of a check of accumulation", config.batch, allowed);
    }
    match config.micro_batches.iter().find(|size| !(1..=config.batch).contains(size)) {
        Some(size) => wrong("the micro-batch size", *size, "from 1 to the batch size"),
        None if config.micro_batches.is_empty() => wrong("the number of splits", 0, "at least 1"),
        None => Ok(()),
    }
}

/// The model in f64 with the figures of the whole batch, or why there is none.
fn in_f64(
    build: &dyn Fn(DType) -> candle_core::Result<Task>,
    loader: &mut Loader,
    batch: u64,
    single: &Measured,
) -> Result<Result<(Task, Measured), String>, TrainError> {
    let task = match build(DType::F64) {
        Ok(task) => cast(task, DType::F64),
        Err(error) => return Ok(Err(error.to_string())),
    };
    if let Some((name, _)) = task.parameters.named().iter().find(|(_, var)| var.dtype() != DType::F64) {
        return Ok(Err(format!("parameter `{name}` was not built in f64")));
    }
    let whole = match measure(&task, loader, batch, batch) {
        Ok(whole) => whole,
        Err(TrainError::Candle(error)) => return Ok(Err(error.to_string())),
        Err(error) => return Err(error),
    };
    Ok(match tolerance::distance_in_all(single, &whole)? {
        distance if distance <= tolerance::SAME_MODEL => Ok((task, whole)),
        distance => Err(format!(
            "the gradient in f64 differs from that in f32 by {distance:.1e} of its norm: that is another function"
        )),
    })
}

fn rows(
    task: &Task,
    loader: &mut Loader,
    config: &AccumulationConfig,
    (dtype, whole): (DType, &Measured),
    rounding: &Rounding,
) -> Result<Vec<AccumulationRow>, TrainError> {
    let mut rows = Vec::new();
    for micro_batch in &config.micro_batches {
        let split = measure(task, loader, config.batch, *micro_batch)?;
        let mut row = AccumulationRow {
            dtype,
            micro_batch: *micro_batch,
            k: config.batch.div_ceil(*micro_batch),
            parameter: String::new(),
            difference: 0.0,
            allowed: 0.0,
            element: 0.0,
            loss: measure::relative(split.loss, whole.loss),
            is_equal: true,
        };
        let mut most = f64::NEG_INFINITY;
        let mut take = |name: &str, difference: f64, allowed: f64, row: &mut AccumulationRow| {
            // Not a number is not equal, and more than any other difference.
            row.is_equal &= difference <= allowed;
            let excess = if difference.is_nan() { f64::INFINITY } else { difference / allowed };
            if most < excess {
                most = excess;
                (row.parameter, row.difference, row.allowed) = (name.to_owned(), difference, allowed);
            }
        };
        let loss = row.loss;
        take(LOSS, loss, rounding.allowed_of_loss(dtype, config.batch), &mut row);
        for (i, name) in whole.names.iter().enumerate() {
            let (norm, element) =
                measure::differences(&split.gradients.tensors()[i], &whole.gradients.tensors()[i])?;
            row.element = row.element.max(element);
            take(name, norm, rounding.allowed(dtype, i, split.conditions[i], config.batch), &mut row);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The row that differs most, measured by what is allowed.
fn worst(rows: &[AccumulationRow]) -> Option<&AccumulationRow> {
    let excess = |row: &&AccumulationRow| row.difference / row.allowed;
    rows.iter().filter(|row| !row.is_equal).max_by(|a, b| excess(a).total_cmp(&excess(b)))
}
