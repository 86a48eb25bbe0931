//! The LR range test: short trainings over a grid of learning rates, on log LR.
//!
//! Raising the learning rate within one run (Smith 2017) confounds it with progress and suggests the slope,
//! not the optimum; here each learning rate gets its own run, with the same start and the same examples.

use super::{Context, Emit, progress};
use crate::LabError;
use batchwise_data::{Loader, Order};
use batchwise_estimate::ridge::{BestLr, Edge, LrPoint, best_learning_rate};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::{Plan, Run, Trainer, evaluate_on};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What to try.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Batch size of all trainings.
    pub batch: u64,
    /// Micro-batch of all trainings.
    pub micro_batch: u64,
    /// Examples of each.
    pub examples: u64,
    /// Middle of the grid; its neighbours are factors of 2 apart.
    pub middle: f64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Ascending in the learning rate.
    pub points: Vec<LrPoint>,
    /// Where the best lies.
    pub best: BestLr,
}

/// Grid points on each side of the middle, before the grid is extended.
const REACH: i32 = 3;
/// The grid grows this far on either side while its best is on the edge.
const MAX_REACH: i32 = 9;
/// Examples that a trained model is judged on: fresh ones of the training set, where it has them.
const JUDGED_ON: u64 = 4096;

/// Trains once per learning rate, extending the grid while the best is on its edge.
///
/// # Errors
/// A workload that cannot be built, data errors. Divergence is a point without a loss.
pub fn measure(context: &Context<'_>, request: &Request, emit: Emit<'_>) -> Result<Measured, LabError> {
    let (mut low, mut high) = (-REACH, REACH);
    let mut todo: Vec<i32> = (low..=high).collect();
    let mut tried: Vec<(i32, LrPoint)> = Vec::new();
    loop {
        let total = (tried.len() + todo.len()) as u64;
        for exponent in std::mem::take(&mut todo) {
            let learning_rate = request.middle * f64::from(exponent).exp2();
            progress(emit, tried.len() as u64, total, format!("learning rate {learning_rate:.2e}"));
            let loss = loss_after(context, request, learning_rate)?;
            tried.push((exponent, LrPoint { learning_rate, loss }));
        }
        tried.sort_by_key(|(exponent, _)| *exponent);
        let points: Vec<LrPoint> = tried.iter().map(|(_, point)| *point).collect();
        let best = best_learning_rate(&points);
        let all_diverged = points.iter().all(|point| point.loss.is_none());
        match best {
            BestLr::AtEdge { edge: Edge::High, .. } if high < MAX_REACH => {
                high += 1;
                todo.push(high);
            }
            BestLr::AtEdge { edge: Edge::Low, .. } if -MAX_REACH < low => {
                low -= 1;
                todo.push(low);
            }
            _ if all_diverged && -MAX_REACH < low => {
                low -= 1;
                todo.push(low);
            }
            best => return Ok(Measured { points, best }),
        }
    }
}

/// The loss after a short training, or `None` if it diverged: a loss that is not finite, or above the one
/// at the start.
fn loss_after(context: &Context<'_>, request: &Request, learning_rate: f64) -> Result<Option<f64>, LabError> {
    let total = Examples(request.examples);
    let plan = Plan::constant(request.batch, schedule(learning_rate, total));
    let run = Run::new(plan, request.micro_batch, total, context.workload.optimizer(), context.seed);
    let mut trainer = Trainer::new(context.task(context.seed)?, Arc::clone(&context.data.train), run)?;
    let mut first = None;
    loop {
        match trainer.step() {
            Ok(None) => break,
            Ok(Some(step)) => first = first.or(Some(step.loss)),
            Err(error) if error.is_divergence() => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    let n = context.data.train.len();
    let judged = JUDGED_ON.min(n);
    let start = request.examples.min(n - judged);
    let order = Order::new(context.seed, n)?;
    let mut loader = Loader::new(Arc::clone(&context.data.train), order, context.device.clone())?;
    let loss =
        evaluate_on(trainer.task(), &mut loader, start..start + judged, request.micro_batch.max(64))?.loss;
    Ok(Some(loss).filter(|loss| loss.is_finite() && first.is_none_or(|first| *loss <= first)))
}

/// The schedule of every short training: a tenth of warmup, then half a cosine.
pub fn schedule(learning_rate: f64, total: Examples) -> Schedule {
    Schedule::warmup_cosine(LearningRate(learning_rate), Examples(total.0 / 10), total)
}
