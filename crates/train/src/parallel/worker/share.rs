//! What one rank computes of a batch, and the sum over all ranks.

use super::Worker;
use crate::TrainError;
use crate::accumulate::receive;
use crate::contribution::contribute;
use crate::parallel::buckets::add_to;
use crate::parallel::record::Measured;
use crate::parallel::{Collective, ParallelError, Shares, TreeSum, flat};
use crate::preconditioned::Measuring;
use batchwise_nn::Gradients;
use std::ops::Range;

impl<C: Collective> Worker<C> {
    /// The sum over this rank's micro-batches of `batch`, if it has any, and what each of them measured.
    pub(super) fn compute(
        &mut self,
        batch: &Range<u64>,
        shares: &Shares,
        measuring: Measuring<'_>,
    ) -> Result<(Option<Vec<f32>>, Vec<Measured>), ParallelError> {
        let expected = (batch.end - batch.start) as f64;
        let (mut sum, mut contributions) = (TreeSum::new(), Vec::new());
        let mut gradients = Gradients::new();
        let mut spare = std::mem::take(&mut self.spare);
        let own = shares.of(self.collective.rank());
        for i in own.clone() {
            let part = self.micro_batch(batch, i);
            let data = receive(&mut self.loader, part).map_err(TrainError::from)?;
            let next =
                if i + 1 < own.end { Some(self.micro_batch(batch, i + 1)) } else { self.first_after(batch) };
            if let Some(next) = next {
                self.loader.request(next).map_err(TrainError::from)?;
            }
            contributions.push(contribute(&self.task, &data, expected, measuring, &mut gradients)?.read()?);
            let mut leaf = spare.pop().unwrap_or_else(|| vec![0.0; self.buckets.padded_len()]);
            flat::flatten(gradients.tensors(), &mut leaf)?;
            gradients.clear();
            self.loader.recycle(data);
            sum.push(leaf, |left, right| add_and_keep(left, right, &mut spare));
        }
        let sum = sum.finish(|left, right| add_and_keep(left, right, &mut spare));
        self.spare = spare;
        Ok((sum, contributions))
    }

    /// The gradients of the whole batch from the sums of the ranks.
    pub(super) fn reduce(
        &mut self,
        sum: Option<Vec<f32>>,
        shares: &Shares,
    ) -> Result<Gradients, ParallelError> {
        let _span = tracing::trace_span!("exchange").entered();
        let mut flat = match sum.or_else(|| self.spare.pop()) {
            Some(flat) => flat,
            None => vec![0.0; self.buckets.padded_len()],
        };
        self.buckets.sum(&mut self.collective, &mut flat, shares.n_ranks_with_work())?;
        let gradients = flat::to_gradients(&self.task.parameters, &flat)?;
        self.spare.push(flat);
        Ok(gradients)
    }

    pub(super) fn shares(&self, batch: &Range<u64>) -> Shares {
        Shares::new((batch.end - batch.start).div_ceil(self.run.micro_batch), self.collective.world())
    }

    /// The positions of micro-batch `i` of a batch.
    fn micro_batch(&self, batch: &Range<u64>, i: u64) -> Range<u64> {
        let start = batch.start + i * self.run.micro_batch;
        start..start.saturating_add(self.run.micro_batch).min(batch.end)
    }

    /// This rank's first micro-batch of the batch after `batch`, as far as the plan is known.
    fn first_after(&self, batch: &Range<u64>) -> Option<Range<u64>> {
        let next = self.run.batch_at(batch.end, self.loader.order())?;
        let first = self.shares(&next).of(self.collective.rank()).next()?;
        Some(self.micro_batch(&next, first))
    }
}

fn add_and_keep(left: &mut [f32], right: Vec<f32>, spare: &mut Vec<Vec<f32>>) {
    add_to(left, &right);
    spare.push(right);
}
