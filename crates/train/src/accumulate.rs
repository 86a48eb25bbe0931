//! The exactly weighted sum of micro-batch gradients.

use crate::contribution::contribute;
use crate::noise::NoiseReading;
use crate::preconditioned::{self, FormNorms, Measuring};
use crate::{Tap, Task, TrainError};
use batchwise_data::{Batch, DataError, Loader};
use batchwise_estimate::noise::MicroNorm;
use batchwise_nn::Gradients;
use candle_core::{DType, Tensor};
use std::ops::Range;

/// What one batch gave: the mean gradient is left in the [`Gradients`].
pub(crate) struct Accumulated {
    /// Mean loss over the batch.
    pub(crate) loss: f64,
    pub(crate) n_micro_batches: usize,
    /// The weight of each micro-batch, or example, and the squared norm of its mean gradient for each parameter.
    micro: Vec<(f64, Vec<f64>)>,
    /// For each of these its norms in the metrics of a preconditioner; empty without one.
    forms: Vec<FormNorms>,
}

/// The micro-batches of a batch: full ones, then what is left.
pub(crate) fn micro_batches(batch: Range<u64>, micro_batch: u64) -> impl Iterator<Item = Range<u64>> {
    let end = batch.end;
    batch
        .step_by(micro_batch.max(1) as usize)
        .map(move |start| start..start.saturating_add(micro_batch.max(1)).min(end))
}

/// Leaves the mean gradient over `batch` in `gradients`, whatever the micro-batches' sizes.
///
/// Each micro-batch's loss *sum* is divided by the weight of the whole batch before its backward pass, so
/// the sum of the gradients is the batch's mean gradient and a short micro-batch counts for what it holds.
/// `next` is prefetched while the last micro-batch is computed.
pub(crate) fn accumulate(
    task: &Task,
    loader: &mut Loader,
    batch: Range<u64>,
    micro_batch: u64,
    next: Option<Range<u64>>,
    measuring: Measuring<'_>,
    gradients: &mut Gradients,
) -> Result<Accumulated, TrainError> {
    gradients.clear();
    let tap = measuring.tap.of(batch.end - batch.start, micro_batch);
    let measuring = Measuring { tap, ..measuring };
    let expected = (batch.end - batch.start) as f64;
    let n_in_epoch = loader.order().remaining_in_epoch(batch.start);
    if tap != Tap::Off && n_in_epoch < batch.end - batch.start {
        // The same example twice would pass for less noise.
        return Err(TrainError::Config {
            name: "the number of examples whose noise is measured",
            found: format!("{} with {n_in_epoch} left in the epoch", batch.end - batch.start),
            allowed: "what is left in the epoch",
        });
    }
    let mut parts = micro_batches(batch, micro_batch).peekable();
    let mut losses = LossTotal::default();
    let mut n_micro_batches = 0;
    let (mut micro, mut forms): (Vec<(f64, Vec<f64>)>, Vec<FormNorms>) = Default::default();
    let mut weight = 0.0;
    while let Some(part) = parts.next() {
        let data = receive(loader, part)?;
        if let Some(following) = parts.peek().cloned().or_else(|| next.clone()) {
            loader.request(following)?;
        }
        let part = contribute(task, &data, expected, measuring, gradients)?;
        micro.extend(part.norms);
        forms.extend(part.forms);
        weight += part.weight;
        losses.add(&part.loss)?;
        n_micro_batches += 1;
        // The graph, which held the batch, is gone: its memory is to serve a later one.
        loader.recycle(data);
    }
    // A noise scale counts examples, also where the loss is averaged over tokens: what one example weighs on average is 1.
    micro.iter_mut().for_each(|(of_micro, _)| *of_micro *= expected / weight);
    if weight != expected {
        // Losses that weigh tokens, say: the true weight is known only now.
        gradients.scale(expected / weight)?;
    }
    Ok(Accumulated { loss: losses.read()? / weight, n_micro_batches, micro, forms })
}

/// The sum of the micro-batches' losses: in f64 on the CPU; on a GPU there, because each read waits for it.
#[derive(Default)]
struct LossTotal {
    read: f64,
    unread: Option<Tensor>,
}

impl LossTotal {
    fn add(&mut self, sum: &Tensor) -> Result<(), TrainError> {
        if sum.device().is_cpu() {
            self.read += sum.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            return Ok(());
        }
        let sum = sum.detach();
        self.unread = Some(match self.unread.take() {
            None => sum,
            Some(total) => (total + sum)?,
        });
        Ok(())
    }

    fn read(self) -> Result<f64, TrainError> {
        match self.unread {
            None => Ok(self.read),
            Some(total) => Ok(self.read + f64::from(total.to_dtype(DType::F32)?.to_scalar::<f32>()?)),
        }
    }
}

impl Accumulated {
    /// From what was measured elsewhere; the weights of `micro` are in examples.
    pub(crate) fn from_parts(
        loss: f64,
        n_micro_batches: usize,
        micro: Vec<(f64, Vec<f64>)>,
        forms: Vec<FormNorms>,
    ) -> Self {
        Self { loss, n_micro_batches, micro, forms }
    }

    /// The weight of each micro-batch, or example, and the squared norm of its mean gradient for each parameter; empty
    /// without a tap.
    pub(crate) fn micro_norms2(&self) -> &[(f64, Vec<f64>)] {
        &self.micro
    }

    /// The noise of the batch, if its norms were tapped and there were at least two micro-batches.
    /// `norms2` are the squared norms of the batch's mean gradient by parameter, `forms` those in the metrics of the
    /// preconditioner, if there was one.
    pub(crate) fn noise(
        &self,
        norms2: &[f64],
        forms: Option<FormNorms>,
    ) -> Result<Option<NoiseReading>, TrainError> {
        // What the loss does not count at all, padding alone say, has no gradient of its own.
        let counts = |(weight, _): &&(f64, Vec<f64>)| *weight != 0.0;
        if self.micro.iter().filter(counts).count() < 2 {
            return Ok(None);
        }
        let groups = norms2
            .iter()
            .enumerate()
            .map(|(i, &batch_norm2)| {
                let norms: Vec<MicroNorm> = self
                    .micro
                    .iter()
                    .filter(counts)
                    .map(|(weight, norm2)| MicroNorm { weight: *weight, norm2: norm2[i] })
                    .collect();
                batchwise_estimate::noise::measure(&norms, batch_norm2)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let total = batchwise_estimate::noise::add(&groups);
        let micro = self.micro.iter().zip(self.forms.iter().copied());
        let micro = micro.filter(|(micro, _)| counts(micro)).map(|((weight, _), forms)| (*weight, forms));
        let preconditioned = forms.map(|of_batch| preconditioned::noise(micro, of_batch)).transpose()?;
        Ok(Some(NoiseReading { groups, total, loss: self.loss, preconditioned }))
    }
}

/// Takes in and drops what was requested and not received, also where it failed: what is still wanted is requested anew.
pub(crate) fn forget_requests(loader: &mut Loader) {
    while 0 < loader.n_outstanding() {
        drop(loader.receive());
    }
}

/// The batch at `positions`, which an earlier call may have requested already; what was requested for
/// other positions (before the batch size changed) is dropped.
pub(crate) fn receive(loader: &mut Loader, positions: Range<u64>) -> Result<Batch, DataError> {
    let _span = tracing::trace_span!("data").entered();
    while 0 < loader.n_outstanding() {
        let batch = loader.receive()?;
        if batch.positions == positions {
            return Ok(batch);
        }
    }
    loader.request(positions)?;
    loader.receive()
}
