//! What layers keep but do not train, to be put back.

use crate::{Task, TrainError};
use batchwise_nn::gradients::norm2;
use candle_core::{Tensor, Var};

/// What layers keep but do not train, such as running statistics, as it was at some time.
#[derive(Default)]
pub(crate) struct Kept(Vec<(Var, Tensor)>);

impl Kept {
    /// As it is now.
    pub(crate) fn of(task: &Task) -> Result<Self, TrainError> {
        let buffers = task.parameters.buffers().into_iter();
        let copies = buffers.map(|(_, var)| var.as_detached_tensor().copy().map(|value| (var, value)));
        Ok(Self(copies.collect::<candle_core::Result<_>>()?))
    }

    /// The layers, by name, whose tensors have changed.
    pub(crate) fn changed(&self, task: &Task) -> Result<Vec<String>, TrainError> {
        let mut layers = Vec::new();
        for ((name, var), (_, before)) in task.parameters.buffers().iter().zip(&self.0) {
            let difference = (var.as_detached_tensor() - before)?;
            if norm2(&difference)? != 0.0 {
                layers.push(name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer).to_owned());
            }
        }
        layers.dedup();
        Ok(layers)
    }

    /// As it was.
    pub(crate) fn put_back(&self) -> Result<(), TrainError> {
        Ok(self.0.iter().try_for_each(|(var, value)| var.set(value))?)
    }
}
