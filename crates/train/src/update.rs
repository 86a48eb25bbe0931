//! From a batch's gradient to the update: whether it is finite, its noise, how large it may be, the optimizer, the plan.

use crate::accumulate::Accumulated;
use crate::plan::Finished;
use crate::preconditioned::Measuring;
use crate::{Clip, OnNonFinite, Run, StepReport, Tap, Task, TrainError};
use batchwise_nn::optim::{ClipError, Optimizer, clip_known_norm, clip_value};
use batchwise_nn::{Gradients, Parameters};
use batchwise_schedule::{Examples, LearningRate, Steps};
use candle_core::{DType, Tensor};
use std::ops::Range;

/// What an update changes, and with what.
pub(crate) struct Update<'a> {
    pub(crate) task: &'a Task,
    pub(crate) run: &'a mut Run,
    pub(crate) optimizer: &'a mut dyn Optimizer,
    /// The mean gradient of the batch.
    pub(crate) gradients: &'a mut Gradients,
    /// Batches left out so far.
    pub(crate) skipped: &'a mut u64,
    /// Whether to measure the norm of the update.
    pub(crate) watch: bool,
    /// Examples of the training set.
    pub(crate) dataset_size: u64,
}

impl Update<'_> {
    /// Ends step number `step` over the positions `batch`.
    ///
    /// # Errors
    /// A loss or gradient that is not finite, where the run stops at it; a device error.
    pub(crate) fn finish(
        mut self,
        step: Steps,
        batch: Range<u64>,
        measuring: Measuring<'_>,
        accumulated: &Accumulated,
    ) -> Result<StepReport, TrainError> {
        let (start, progress) = (Examples(batch.start), Examples(batch.end));
        let norms2 = {
            let _span = tracing::trace_span!("norms").entered();
            self.gradients.norms2()?
        };
        let mut report = StepReport {
            step,
            progress,
            batch: batch.end - batch.start,
            batch_size: self.run.plan.batch(start),
            micro_batch: self.run.micro_batch,
            n_micro_batches: accumulated.n_micro_batches,
            loss: accumulated.loss,
            learning_rate: self.run.plan.learning_rate(start, progress),
            gradient_norm: norms2.iter().sum::<f64>().sqrt(),
            clipped: false,
            update_norm: None,
            skipped: None,
            noise: None,
            phi: None,
            verdict: None,
        };
        let at = At { step, progress: start, learning_rate: report.learning_rate };
        match at.fault(&self.task.parameters, accumulated.loss, &norms2) {
            None => self.update(&mut report, accumulated, &norms2, measuring)?,
            Some(fault) => report.skipped = Some(self.skip(fault)?),
        }
        report.phi = self.run.plan.phi().cloned();
        Ok(report)
    }

    /// Measures, clips, updates, and lets the plan see the step.
    fn update(
        &mut self,
        report: &mut StepReport,
        accumulated: &Accumulated,
        norms2: &[f64],
        measuring: Measuring<'_>,
    ) -> Result<(), TrainError> {
        if measuring.tap != Tap::Off {
            report.noise = accumulated.noise(norms2, measuring.of_batch(self.gradients)?)?;
        }
        report.clipped = clip(self.gradients, self.run.clip, report.gradient_norm)?;
        let parameters = &self.task.parameters;
        let before = if self.watch { Some(parameters.snapshot()?) } else { None };
        {
            let _span = tracing::trace_span!("optimizer").entered();
            self.optimizer.step(parameters, self.gradients, report.learning_rate.0)?;
        }
        if let Some(before) = before {
            let mut sum = 0.0;
            for (name, var) in parameters.named() {
                sum += distance2(&var.as_detached_tensor(), &before[&name])?;
            }
            report.update_norm = Some(sum.sqrt());
        }
        report.verdict = self.run.plan.observe(&Finished {
            progress: report.progress,
            loss: report.loss,
            learning_rate: report.learning_rate,
            noise: report.noise.as_ref(),
            dataset_size: self.dataset_size,
        });
        Ok(())
    }

    /// Counts a batch that is left out, or stops the run.
    fn skip(&mut self, fault: TrainError) -> Result<String, TrainError> {
        match self.run.on_non_finite {
            OnNonFinite::Skip { at_most } if *self.skipped < at_most => {
                *self.skipped += 1;
                Ok(fault.to_string())
            }
            _ => Err(fault),
        }
    }
}

/// Where a run is.
#[derive(Debug, Clone, Copy)]
struct At {
    /// The step, counted from 0.
    step: Steps,
    /// Examples processed before it.
    progress: Examples,
    learning_rate: LearningRate,
}

impl At {
    /// What is not finite, if anything is: the loss, or a gradient by its squared norm.
    fn fault(self, parameters: &Parameters, loss: f64, norms2: &[f64]) -> Option<TrainError> {
        let Self { step, progress, learning_rate } = self;
        if !loss.is_finite() {
            return Some(TrainError::NonFinite { loss, step, progress, learning_rate });
        }
        let bad = norms2.iter().position(|norm2| !norm2.is_finite())?;
        let parameter = parameters.named().into_iter().nth(bad).map_or_else(String::new, |named| named.0);
        Some(TrainError::NonFiniteGradient { parameter, loss, step, progress, learning_rate })
    }
}

/// Clips gradients whose norm is `norm`, if they are to be; whether they were too large.
fn clip(gradients: &mut Gradients, clip: Option<Clip>, norm: f64) -> Result<bool, TrainError> {
    match clip {
        None => Ok(false),
        Some(Clip::Norm(limit)) => Ok(clip_known_norm(gradients, norm, limit)?),
        Some(Clip::Value(limit)) => match clip_value(gradients, limit) {
            Ok(n_outside) => Ok(0 < n_outside),
            Err(ClipError::Candle(error)) => Err(error.into()),
            Err(error @ ClipError::NotFinite { .. }) => {
                Err(candle_core::Error::Msg(error.to_string()).into())
            }
        },
    }
}

/// The squared distance of two tensors, in f64.
fn distance2(a: &Tensor, b: &Tensor) -> candle_core::Result<f64> {
    // Subtracted first: the parameters' own rounding is then all there is.
    (a - b)?.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()
}
