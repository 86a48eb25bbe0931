//! What all optimizers share: whose parameters they update, the count of steps, and buffers that save and load.

use super::{Groups, Setting};
use crate::{Gradients, Parameters};
use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};

/// The name of the count of steps in a saved state.
const N_STEPS: &str = "n_steps";

/// One tensor for each parameter, in name order.
pub(super) struct Buffers {
    kind: &'static str,
    tensors: Vec<Tensor>,
}

impl Buffers {
    /// Zeros, called `kind.name` in a saved state.
    pub(super) fn zeros(kind: &'static str, parameters: &Parameters) -> Result<Self> {
        let zeros = |(_, var): (String, Var)| var.as_detached_tensor().zeros_like();
        Ok(Self { kind, tensors: parameters.named().into_iter().map(zeros).collect::<Result<_>>()? })
    }
}

impl Index<usize> for Buffers {
    type Output = Tensor;

    fn index(&self, i: usize) -> &Tensor {
        &self.tensors[i]
    }
}

impl IndexMut<usize> for Buffers {
    fn index_mut(&mut self, i: usize) -> &mut Tensor {
        &mut self.tensors[i]
    }
}

struct Slot {
    name: String,
    shape: Shape,
    dtype: DType,
    setting: Setting,
}

/// The parameters an optimizer was made for, and how many steps it has taken.
pub(super) struct Ledger {
    slots: Vec<Slot>,
    n_steps: u64,
}

/// One parameter's share of a step.
pub(super) struct Turn<'a> {
    /// Its place among the buffers.
    pub(super) i: usize,
    pub(super) w: Var,
    pub(super) g: &'a Tensor,
    /// The learning rate with its group's factor.
    pub(super) learning_rate: f64,
    pub(super) weight_decay: f64,
    pub(super) trust_ratio: bool,
}

impl Ledger {
    /// Before the first step.
    pub(super) fn new(parameters: &Parameters, groups: &Groups) -> Result<Self> {
        let settings = groups.settings(parameters)?;
        let slots = parameters.named().into_iter().zip(settings).map(|((name, var), (_, setting))| Slot {
            name,
            shape: var.shape().clone(),
            dtype: var.dtype(),
            setting,
        });
        Ok(Self { slots: slots.collect(), n_steps: 0 })
    }

    /// Counts a step and hands out the parameters with their gradients, or says what does not fit; then nothing
    /// is counted.
    pub(super) fn begin<'a>(
        &mut self,
        parameters: &Parameters,
        gradients: &'a Gradients,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Result<Vec<Turn<'a>>> {
        if !(learning_rate.is_finite() && 0.0 <= learning_rate) {
            bail!("a learning rate must be a finite number of at least 0, not {learning_rate}");
        }
        let (named, gradients) = (parameters.named(), gradients.tensors());
        if named.len() != gradients.len() || named.len() != self.slots.len() {
            bail!(
                "{} parameters, {} gradients and optimizer state for {} do not belong together",
                named.len(),
                gradients.len(),
                self.slots.len()
            );
        }
        let slots = self.slots.iter().zip(named).zip(gradients).enumerate();
        let turns = slots.map(|(i, ((slot, (name, w)), g))| {
            if slot.name != name || slot.shape != *w.shape() || slot.dtype != w.dtype() {
                bail!(
                    "parameter `{name}` ({:?} {:?}) where the optimizer has `{}` ({:?} {:?})",
                    w.dtype(),
                    w.shape(),
                    slot.name,
                    slot.dtype,
                    slot.shape
                );
            }
            if g.shape() != w.shape() || g.dtype() != w.dtype() {
                bail!(
                    "parameter `{name}` is {:?} {:?}, its gradient {:?} {:?}",
                    w.dtype(),
                    w.shape(),
                    g.dtype(),
                    g.shape()
                );
            }
            Ok(Turn {
                i,
                w,
                g,
                learning_rate: learning_rate * slot.setting.learning_rate,
                weight_decay: if slot.setting.weight_decay { weight_decay } else { 0.0 },
                trust_ratio: slot.setting.trust_ratio,
            })
        });
        let turns = turns.collect::<Result<Vec<_>>>()?;
        self.n_steps += 1;
        Ok(turns)
    }

    /// Steps taken, the one that has begun included.
    pub(super) fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// A preconditioner made of `of` each parameter's place and its group's factor of the learning rate; none before the
    /// first step.
    pub(super) fn preconditioner(
        &self,
        of: impl Fn(usize, f64) -> Result<Tensor>,
    ) -> Result<Option<Vec<Tensor>>> {
        if self.n_steps == 0 {
            return Ok(None);
        }
        let slots = self.slots.iter().enumerate();
        slots.map(|(i, slot)| of(i, slot.setting.learning_rate)).collect::<Result<_>>().map(Some)
    }

    /// The count of steps and the buffers, by name.
    pub(super) fn state<'a>(
        &self,
        buffers: impl IntoIterator<Item = &'a Buffers>,
    ) -> BTreeMap<String, Tensor> {
        let steps = Tensor::new(self.n_steps as i64, &Device::Cpu).ok();
        let steps = steps.map(|steps| (N_STEPS.to_owned(), steps));
        let named = buffers.into_iter().flat_map(|buffers| {
            let tensors = self.slots.iter().zip(&buffers.tensors);
            tensors.map(|(slot, tensor)| (format!("{}.{}", buffers.kind, slot.name), tensor.clone()))
        });
        named.chain(steps).collect()
    }

    /// Puts copies of saved tensors in the place of the buffers and of the count.
    pub(super) fn load<'a>(
        &mut self,
        state: &BTreeMap<String, Tensor>,
        buffers: impl IntoIterator<Item = &'a mut Buffers>,
    ) -> Result<()> {
        let mut unknown: BTreeSet<&str> = state.keys().map(String::as_str).collect();
        let n_steps = count(state)?;
        unknown.remove(N_STEPS);
        let mut loaded = Vec::new();
        for buffers in buffers {
            let mut tensors = Vec::with_capacity(buffers.tensors.len());
            for (slot, own) in self.slots.iter().zip(&buffers.tensors) {
                let name = format!("{}.{}", buffers.kind, slot.name);
                tensors.push(saved(state, &name, own)?);
                unknown.remove(name.as_str());
            }
            loaded.push((buffers, tensors));
        }
        if let Some(name) = unknown.first() {
            bail!("the saved optimizer state has `{name}`, which this optimizer does not know");
        }
        loaded.into_iter().for_each(|(buffers, tensors)| buffers.tensors = tensors);
        self.n_steps = n_steps;
        Ok(())
    }
}

/// The saved count of steps.
fn count(state: &BTreeMap<String, Tensor>) -> Result<u64> {
    let Some(steps) = state.get(N_STEPS) else { bail!("the saved optimizer state lacks `{N_STEPS}`") };
    if steps.dtype() != DType::I64 || steps.rank() != 0 {
        bail!("the saved `{N_STEPS}` is {:?} {:?}, not one I64", steps.dtype(), steps.shape());
    }
    let steps: i64 = steps.to_scalar()?;
    u64::try_from(steps).map_err(|_| candle_core::Error::Msg(format!("the saved `{N_STEPS}` is {steps}")))
}

/// A copy of the tensor of this name, on the device of the one it replaces.
pub(super) fn saved(state: &BTreeMap<String, Tensor>, name: &str, own: &Tensor) -> Result<Tensor> {
    let Some(saved) = state.get(name) else { bail!("the saved optimizer state lacks `{name}`") };
    if saved.shape() != own.shape() || saved.dtype() != own.dtype() {
        bail!(
            "the saved `{name}` is {:?} {:?}, the optimizer's {:?} {:?}",
            saved.dtype(),
            saved.shape(),
            own.dtype(),
            own.shape()
        );
    }
    saved.to_device(own.device())?.contiguous()?.copy()
}
