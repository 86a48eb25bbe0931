//! Median time of a training step by batch size.

use super::{Context, Emit, progress};
use crate::LabError;
use crate::advice::SpeedPoint;
use batchwise_estimate::time::robust_median;
use batchwise_train::{Run, Trainer};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Which batch sizes to time, and how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// (batch, micro-batch) of each point.
    pub steps: Vec<(u64, u64)>,
    /// How often each batch size has its turn; the order is drawn anew each time.
    pub rounds: u64,
    /// Seconds of one turn, at least (a turn has one timed step or more).
    pub turn_seconds: f64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// In the order asked.
    pub points: Vec<SpeedPoint>,
}

/// Timed steps of one turn, at most: more of them say little about drift between turns.
const MAX_STEPS: usize = 200;

/// Times real training steps on real data with a learning rate of 0, batch sizes in random order within
/// each round, so that a machine that drifts hits all of them alike (theory.md §7).
///
/// # Errors
/// A workload that cannot be built, data errors, a loss that is not finite.
pub fn measure(context: &Context<'_>, request: &Request, emit: Emit<'_>) -> Result<Measured, LabError> {
    let run = Run::idle(1, 1, context.workload.optimizer(), context.seed);
    let mut trainer = Trainer::new(context.task(context.seed)?, Arc::clone(&context.data.train), run)?;
    let mut samples = vec![Vec::new(); request.steps.len()];
    let mut waits = vec![Duration::ZERO; request.steps.len()];
    let mut rng = ChaCha8Rng::seed_from_u64(context.seed);
    let total = request.rounds * request.steps.len() as u64;
    let mut done = 0;
    for _ in 0..request.rounds {
        for i in shuffled(request.steps.len(), &mut rng) {
            let (batch, micro_batch) = request.steps[i];
            progress(emit, done, total, format!("batch {batch}"));
            trainer.set_batch(batch, micro_batch)?;
            waits[i] += turn(&mut trainer, batch, request.turn_seconds, &mut samples[i])?;
            done += 1;
        }
    }
    let points = request
        .steps
        .iter()
        .zip(samples.iter().zip(waits))
        .map(|((batch, micro_batch), (samples, wait))| {
            let (seconds, spread) = robust_median(samples)
                .ok_or_else(|| LabError::NoAdvice(format!("no step of batch {batch} could be timed")))?;
            let data_wait = (wait.as_secs_f64() / samples.iter().sum::<f64>()).clamp(0.0, 1.0);
            Ok(SpeedPoint {
                batch: *batch,
                micro_batch: *micro_batch,
                seconds,
                spread,
                n_steps: samples.len() as u64,
                data_wait,
            })
        })
        .collect::<Result<_, LabError>>()?;
    Ok(Measured { points })
}

/// One untimed step, then timed ones; returns how long these waited for data.
fn turn(
    trainer: &mut Trainer,
    batch: u64,
    seconds: f64,
    samples: &mut Vec<f64>,
) -> Result<Duration, LabError> {
    trainer.step()?;
    trainer.task().device.synchronize()?;
    let start = Instant::now();
    let mut waited = Duration::ZERO;
    let mut n_timed = 0;
    // A short batch at the end of an epoch is not counted; a data set of few batches has many of them.
    for _ in 0..MAX_STEPS {
        let (before, wait_before) = (Instant::now(), trainer.data_wait());
        let Some(report) = trainer.step()? else { break };
        trainer.task().device.synchronize()?;
        if report.batch == batch {
            samples.push(before.elapsed().as_secs_f64());
            waited += trainer.data_wait().saturating_sub(wait_before);
            n_timed += 1;
        }
        if 1 <= n_timed && seconds <= start.elapsed().as_secs_f64() {
            break;
        }
    }
    Ok(waited)
}

fn shuffled(n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    order
}
