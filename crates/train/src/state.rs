//! All that a run must remember to go on as if it had never stopped.

use crate::{Plan, PlanState, Task, TrainError, Trainer};
use batchwise_nn::optim::Optimizer;
use batchwise_schedule::{Examples, Steps};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a run remembers beside its tensors. The order of the examples, dropout and augmentation are pure functions of
/// the seed and of the position, so `examples` is all there is of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Examples processed.
    pub examples: u64,
    /// Updates made, batches left out included.
    pub steps: u64,
    /// Batches left out.
    pub skipped: u64,
    /// Of the plan.
    pub plan: PlanState,
}

/// The whole state of a run between two steps.
#[derive(Debug, Clone)]
pub struct State {
    /// What is not a tensor.
    pub numbers: Numbers,
    /// Parameters and buffers by name, copied.
    pub parameters: BTreeMap<String, Tensor>,
    /// The optimizer's state by name, copied.
    pub optimizer: BTreeMap<String, Tensor>,
}

/// The tensors of a run as they are now, which share its storage: `parameters/NAME`, buffers too, and `optimizer/NAME`.
pub(crate) fn tensors(task: &Task, optimizer: &dyn Optimizer) -> BTreeMap<String, Tensor> {
    let named = task.parameters.named().into_iter().chain(task.parameters.buffers());
    let named = named.map(|(name, var)| (format!("parameters/{name}"), var.as_detached_tensor()));
    let optimizer = optimizer.state().into_iter();
    named.chain(optimizer.map(|(name, tensor)| (format!("optimizer/{name}"), tensor))).collect()
}

/// Puts the tensors of a state in their place, and gives the plan as it was then.
///
/// # Errors
/// A state of another model, optimizer or plan; then nothing changes, but where a device fails.
pub(crate) fn load(
    task: &Task,
    optimizer: &mut dyn Optimizer,
    plan: &Plan,
    state: &State,
) -> Result<Plan, TrainError> {
    let mut restored = plan.clone();
    restored.restore(&state.numbers.plan)?;
    if let Some(name) = state.parameters.keys().find(|name| task.parameters.get(name).is_none()) {
        let found = format!("one of another model, with a parameter `{name}`");
        return Err(TrainError::Config { name: "the saved state", found, allowed: "of this model" });
    }
    // The optimizer checks all before it changes anything, and so do the parameters.
    let before = optimizer.state();
    optimizer.load_state(&state.optimizer)?;
    if let Err(error) = task.parameters.restore(&state.parameters) {
        optimizer.load_state(&before)?;
        return Err(error.into());
    }
    Ok(restored)
}

impl Trainer {
    /// What the run remembers beside its tensors.
    pub fn numbers(&self) -> Numbers {
        Numbers {
            examples: self.progress().0,
            steps: self.steps().0,
            skipped: self.skipped(),
            plan: self.plan().state(),
        }
    }

    /// The tensors of the run as they are now, which share its storage: `parameters/NAME`, buffers too, and
    /// `optimizer/NAME`.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        tensors(self.task(), self.optimizer())
    }

    /// The state after the last step. Restored into a trainer with the same task, data and settings it goes on with the
    /// same bits; micro-batches, and with them the noise tap's readings, may be others.
    ///
    /// # Errors
    /// A device that fails to copy.
    pub fn state(&self) -> Result<State, TrainError> {
        let copied = |(name, tensor): (String, Tensor)| Ok((name, tensor.copy()?));
        Ok(State {
            numbers: self.numbers(),
            parameters: self.task().parameters.snapshot()?,
            optimizer: self
                .optimizer()
                .state()
                .into_iter()
                .map(copied)
                .collect::<candle_core::Result<_>>()?,
        })
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// A state of another model, optimizer or plan; then nothing changes, but where a device fails.
    pub fn restore(&mut self, state: &State) -> Result<(), TrainError> {
        let (task, optimizer, plan) = self.parts();
        let plan = load(task, optimizer, plan, state)?;
        let Numbers { examples, steps, skipped, .. } = &state.numbers;
        self.resume_at(plan, Examples(*examples), Steps(*steps), *skipped);
        Ok(())
    }
}
