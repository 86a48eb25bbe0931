//! The gradient noise scale at several moments of a short training, the parameters frozen at each.

use super::learning_rate::schedule;
use super::{Context, Emit, progress};
use crate::LabError;
use crate::advice::{NoisePoint, ParameterNoise};
use crate::process::Message;
use batchwise_data::{Loader, Order};
use batchwise_estimate::noise::{Measurement, estimate};
use batchwise_schedule::Examples;
use batchwise_train::{NoiseReading, Plan, Run, Task, Trainer, measure_noise};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How to train and how to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Batch size of the training.
    pub batch: u64,
    /// Its micro-batch.
    pub train_micro_batch: u64,
    /// Its peak learning rate.
    pub learning_rate: f64,
    /// Its length.
    pub examples: u64,
    /// Moments to measure at, in examples, ascending; the last below `examples`.
    pub moments: Vec<u64>,
    /// Size of a measurement's micro-batches.
    pub micro_batch: u64,
    /// Micro-batches of one measurement, at least 2.
    pub micro_batches: u64,
    /// Measurements at each moment, at least; they double until the error is small enough.
    pub min_measurements: u64,
    /// At most.
    pub max_measurements: u64,
    /// Enough when the relative standard error of ‖G‖² is below this.
    pub relative_error: f64,
    /// Confidence of the intervals.
    pub confidence: f64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// One for each moment reached.
    pub points: Vec<NoisePoint>,
    /// Whether the training diverged before its end, and where.
    pub diverged: Option<String>,
}

/// Trains, and stops at each moment to measure. All figures are pure functions of the seed.
///
/// # Errors
/// A workload that cannot be built, data errors, fewer than two micro-batches per measurement.
pub fn measure(context: &Context<'_>, request: &Request, emit: Emit<'_>) -> Result<Measured, LabError> {
    let total = Examples(request.examples);
    let plan = Plan::constant(request.batch, schedule(request.learning_rate, total));
    let run = Run::new(plan, request.train_micro_batch, total, context.workload.optimizer(), context.seed);
    let train = &context.data.train;
    let mut trainer = Trainer::new(context.task(context.seed)?, Arc::clone(train), run)?;
    let mut points = Vec::new();
    let mut moments = request.moments.iter().peekable();
    loop {
        let seen = trainer.progress().0;
        if moments.peek().is_some_and(|moment| **moment <= seen) {
            moments.next();
            progress(emit, seen, request.examples, format!("measuring at {seen} examples"));
            // Each moment has an order of its own, so its examples are independent of the other moments'.
            let order = Order::new(context.seed ^ (0x9e37_79b9_7f4a_7c15 ^ seen), train.len())?;
            let mut loader = Loader::new(Arc::clone(train), order, context.device.clone())?;
            let point = match at(trainer.task(), &mut loader, seen, request) {
                // The loss of the last step was still finite, its gradient is not.
                Err(LabError::Train(error)) if error.is_divergence() => {
                    return Ok(Measured {
                        points,
                        diverged: Some(format!("{error}, after {seen} examples")),
                    });
                }
                point => point?,
            };
            if let Ok(value) = serde_json::to_value(&point) {
                emit(Message::Point { value });
            }
            points.push(point);
            if moments.peek().is_none() {
                return Ok(Measured { points, diverged: None });
            }
        }
        match trainer.step() {
            Ok(None) => return Ok(Measured { points, diverged: None }),
            Ok(Some(step)) => {
                if step.step.0.is_multiple_of(16) {
                    progress(emit, step.progress.0, request.examples, "training");
                }
            }
            Err(error) if error.is_divergence() => {
                return Ok(Measured { points, diverged: Some(error.to_string()) });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Measurements at one θ, doubled until ‖G‖² is known well enough, the examples run out, or the limit.
fn at(task: &Task, loader: &mut Loader, seen: u64, request: &Request) -> Result<NoisePoint, LabError> {
    let size = request.micro_batch * request.micro_batches;
    // Without replacement within one epoch, so that no example is measured twice.
    let available = (loader.order().len() / size).min(request.max_measurements);
    if available < 2 {
        return Err(LabError::NoAdvice(format!(
            "{} examples are too few to measure gradient noise: two measurements take {}",
            loader.order().len(),
            2 * size
        )));
    }
    let mut readings: Vec<NoiseReading> = Vec::new();
    let mut wanted = request.min_measurements.clamp(2, available);
    loop {
        while (readings.len() as u64) < wanted {
            let start = readings.len() as u64 * size;
            readings.push(measure_noise(task, loader, start..start + size, request.micro_batch)?);
        }
        let totals: Vec<Measurement> = readings.iter().map(|reading| reading.total).collect();
        let total = estimate(&totals, request.confidence).map_err(batchwise_train::TrainError::from)?;
        let is_enough = total
            .g2_standard_error
            .is_some_and(|error| 0.0 < total.g2 && error <= request.relative_error * total.g2);
        if is_enough || wanted == available {
            return point(task, seen, request, &readings, &total);
        }
        wanted = (2 * wanted).min(available);
    }
}

fn point(
    task: &Task,
    seen: u64,
    request: &Request,
    readings: &[NoiseReading],
    total: &batchwise_estimate::noise::NoiseEstimate,
) -> Result<NoisePoint, LabError> {
    let parameters = task
        .parameters
        .named()
        .into_iter()
        .enumerate()
        .map(|(i, (name, _))| {
            let group: Vec<Measurement> = readings.iter().map(|reading| reading.groups[i]).collect();
            let group = estimate(&group, request.confidence).map_err(batchwise_train::TrainError::from)?;
            Ok(ParameterNoise { name, g2: group.g2, tr_sigma: group.tr_sigma, phi: group.phi })
        })
        .collect::<Result<_, LabError>>()?;
    Ok(NoisePoint {
        examples_seen: seen,
        g2: total.g2,
        tr_sigma: total.tr_sigma,
        phi: total.phi.value(),
        low: total.phi.low(),
        high: total.phi.high(),
        grade: total.phi.grade().to_owned(),
        n_measurements: readings.len() as u64,
        micro_batches: request.micro_batches,
        micro_batch: request.micro_batch,
        loss: readings.iter().map(|reading| reading.loss).sum::<f64>() / readings.len() as f64,
        parameters,
    })
}
