//! The settings of a run, and what each of its steps reports.

use crate::{NoiseReading, Plan, Tap, TrainError};
use batchwise_data::Order;
use batchwise_estimate::fieller::Ratio;
use batchwise_nn::optim::OptimizerConfig;
use batchwise_schedule::controller::Verdict;
use batchwise_schedule::{Examples, LearningRate, Schedule, Steps};
use std::ops::Range;

/// The settings of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Examples of each optimizer step, at least 1, and its learning rate. The last batch of an epoch, and of the run, is
    /// shorter where it must be.
    pub plan: Plan,
    /// Examples of one forward and backward pass, at least 1; changes memory and speed only.
    pub micro_batch: u64,
    /// Where the run ends.
    pub total: Examples,
    /// The optimizer and its hyper-parameters.
    pub optimizer: OptimizerConfig,
    /// Of the order of the examples.
    pub seed: u64,
    /// Whether steps measure the gradient noise.
    pub tap: Tap,
    /// Steps from one measurement of the noise to the next, at least 1.
    pub tap_every: u64,
    /// Whether steps that measure the noise by [`Tap::Norms`] also measure it in the metrics of the optimizer's
    /// preconditioner P ([`NoiseReading::preconditioned`]), for optimizers that have one
    /// ([`OptimizerConfig::has_preconditioner`]). P is of the step before, so the first step has no such reading, nor has
    /// one whose plan measures single examples of its own accord: their norms exist without gradients that P could be
    /// multiplied with. Costs the making of P and one more read of it for each micro-batch, and during such a step the
    /// memory of the parameters once more.
    pub tap_preconditioned: bool,
    /// How large a gradient may be, once per batch, after its noise was measured.
    pub clip: Option<Clip>,
    /// What to do where the loss or the gradient is not finite.
    pub on_non_finite: OnNonFinite,
}

/// How gradients are clipped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// The norm of all gradients together is at most this (Pascanu et al. 2013).
    Norm(f64),
    /// Each element lies in [−limit, limit].
    Value(f64),
}

/// What to do where the loss or the gradient is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNonFinite {
    /// The run stops with an error; the parameters hold what the step before left.
    Stop,
    /// The batch is left out, and counted; the run stops where more batches than this would be.
    Skip {
        /// Batches of the run that may be left out.
        at_most: u64,
    },
}

impl Run {
    /// A run that measures no noise, clips nothing, and stops where it diverges.
    pub fn new(plan: Plan, micro_batch: u64, total: Examples, optimizer: OptimizerConfig, seed: u64) -> Self {
        let (tap, tap_every, clip, on_non_finite) = (Tap::Off, 1, None, OnNonFinite::Stop);
        Self {
            plan,
            micro_batch,
            total,
            optimizer,
            seed,
            tap,
            tap_every,
            tap_preconditioned: false,
            clip,
            on_non_finite,
        }
    }

    /// An endless run that learns nothing: its steps cost what steps of a training cost, while the loss does
    /// not fall to where gradients become denormal numbers. For measurements of time and memory.
    pub fn idle(batch: u64, micro_batch: u64, optimizer: OptimizerConfig, seed: u64) -> Self {
        let plan = Plan::constant(batch, Schedule::constant(LearningRate(0.0)));
        Self::new(plan, micro_batch, Examples(u64::MAX), optimizer, seed)
    }

    /// Refuses sizes of 0, and limits and learning rates that are none.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let sizes = [
            ("the batch size", self.plan.base()),
            ("the micro-batch size", self.micro_batch),
            ("the number of steps between measurements of the noise", self.tap_every),
        ];
        if let Some((name, found)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(TrainError::Config { name, found: found.to_string(), allowed: "at least 1" });
        }
        if let Some(Clip::Norm(limit) | Clip::Value(limit)) = self.clip
            && !(limit.is_finite() && 0.0 < limit)
        {
            let (name, found) = ("the limit of the gradient", limit.to_string());
            return Err(TrainError::Config { name, found, allowed: "a finite number above 0" });
        }
        self.check_preconditioned()?;
        let peak = self.plan.schedule().peak().0;
        if peak.is_finite() && 0.0 <= peak {
            return Ok(());
        }
        let (name, allowed) = ("the learning rate", "finite and not negative");
        Err(TrainError::Config { name, found: peak.to_string(), allowed })
    }

    /// Refuses a preconditioned noise scale where no step could measure one.
    fn check_preconditioned(&self) -> Result<(), TrainError> {
        if !self.tap_preconditioned {
            return Ok(());
        }
        if self.tap == Tap::Examples {
            return Err(TrainError::Config {
                name: "the tap of a preconditioned noise scale",
                found: "Tap::Examples, which gives norms without the gradients that P multiplies".to_owned(),
                allowed: "Tap::Norms, with two or more micro-batches in a batch",
            });
        }
        if !self.optimizer.has_preconditioner() {
            return Err(TrainError::Config {
                name: "the optimizer of a preconditioned noise scale",
                found: self.optimizer.to_string(),
                allowed: "one whose P is known before the gradient: Adam, AdamW or RMSprop",
            });
        }
        Ok(())
    }

    /// The positions of the batch that starts at `start`: cut at the end of an epoch and of the run.
    pub(crate) fn batch_at(&self, start: u64, order: &Order) -> Option<Range<u64>> {
        let left = self.total.0.saturating_sub(start);
        let size = self.plan.batch(Examples(start)).min(order.remaining_in_epoch(start)).min(left);
        (0 < size).then(|| start..start + size)
    }

    /// What step number `step` measures of a batch of so many examples: what the run asks for, and what its plan needs to
    /// know. `micro_batch` is the first size, so that what is measured does not depend on the memory that is left.
    pub(crate) fn tap_at(&self, step: Steps, batch: u64, micro_batch: u64) -> Tap {
        let asked = if step.0.is_multiple_of(self.tap_every) { self.tap } else { Tap::Off };
        let tap = if asked == Tap::Off && self.plan.wants_noise() { Tap::Auto } else { asked };
        tap.of(batch, micro_batch)
    }
}

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// This step, counted from 0.
    pub step: Steps,
    /// Examples processed after it.
    pub progress: Examples,
    /// Examples in its batch.
    pub batch: u64,
    /// Its batch size as planned.
    pub batch_size: u64,
    /// Examples of its micro-batches; the last one, or the only one, may hold fewer.
    pub micro_batch: u64,
    /// Micro-batches it took.
    pub n_micro_batches: usize,
    /// Mean loss over the batch, before the update; not finite only where the batch was left out.
    pub loss: f64,
    /// The learning rate of the update.
    pub learning_rate: LearningRate,
    /// The norm of the batch's mean gradient, before it was clipped.
    pub gradient_norm: f64,
    /// Whether it was clipped.
    pub clipped: bool,
    /// The norm of the change of all parameters, where [`crate::Trainer::watch_next_step`] asked for it.
    pub update_norm: Option<f64>,
    /// Why the batch was left out and no update made, if so.
    pub skipped: Option<String>,
    /// The gradient noise, if tapped and there were at least two micro-batches.
    pub noise: Option<NoiseReading>,
    /// φ over the last readings, where the batch size follows it.
    pub phi: Option<Ratio>,
    /// What was decided of the batch size after this step, where it follows measurements and a reading was due.
    pub verdict: Option<Verdict>,
}
