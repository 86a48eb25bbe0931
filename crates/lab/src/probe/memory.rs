//! Peak memory of a training step by size of the micro-batch.
//!
//! On the CPU the counting allocator gives the exact bytes that parameters, optimizer, gradients,
//! activations and batches take together; the data set itself is not counted, as it would not be on a GPU.

use super::{Context, Emit, progress};
use crate::LabError;
use crate::process::Message;
use batchwise_estimate::memory::MemoryPoint;
use batchwise_nn::memory;
use batchwise_nn::meter::Meter;
use batchwise_train::{Run, Trainer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which steps to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// (batch, micro-batch) of each step, ascending.
    pub steps: Vec<(u64, u64)>,
    /// Bytes training may take: the process dies where it would take more.
    pub limit_bytes: u64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Peak by micro-batch, in the order asked, up to the first that did not fit.
    pub points: Vec<MemoryPoint>,
}

/// Enough that the loader runs ahead and every buffer that lives between steps is there.
const STEPS: u64 = 4;

/// Measures each step in turn; a point is emitted as soon as it is known, because the next may kill.
///
/// # Errors
/// A device whose memory cannot be measured, a workload that cannot be built, data errors.
pub fn measure(context: &Context<'_>, request: &Request, emit: Emit<'_>) -> Result<Measured, LabError> {
    let meter = Meter::new(&context.device).map_err(|error| LabError::Input(error.to_string()))?;
    let base = meter.live()?;
    meter.set_limit(base.saturating_add(request.limit_bytes));
    let total = request.steps.len() as u64;
    let mut points = Vec::new();
    for (i, (batch, micro_batch)) in request.steps.iter().enumerate() {
        progress(emit, i as u64, total, format!("micro-batch {micro_batch}"));
        // On a thread of its own, whose workspaces end with it: a point does not depend on those before.
        let peak =
            std::thread::scope(|scope| scope.spawn(|| peak(context, &meter, *batch, *micro_batch)).join())
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let peak_bytes = match peak {
            Ok(peak) => peak.saturating_sub(base),
            Err(error) if error.is_out_of_memory() => break,
            Err(error) => return Err(error),
        };
        // On a GPU nothing stops the step at the limit: a point above it did not fit.
        if request.limit_bytes < peak_bytes {
            break;
        }
        let point = MemoryPoint { batch: *micro_batch, peak_bytes };
        points.push(point);
        if let Ok(value) = serde_json::to_value(point) {
            emit(Message::Point { value });
        }
    }
    Ok(Measured { points })
}

/// The most bytes live during a few steps, in the whole process.
fn peak(context: &Context<'_>, meter: &Meter, batch: u64, micro_batch: u64) -> Result<u64, LabError> {
    memory::allocate_workspaces();
    meter.reset_peak()?;
    let run = Run::idle(batch, micro_batch, context.workload.optimizer(), context.seed);
    let mut trainer = Trainer::new(context.task(context.seed)?, Arc::clone(&context.data.train), run)?;
    for _ in 0..STEPS {
        trainer.step()?;
        memory::allocate_workspaces();
    }
    Ok(meter.peak()?)
}
