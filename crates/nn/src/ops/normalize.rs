//! Mean 0 and variance 1 over parts of a tensor: what all normalisation layers share.

use super::linear::cpu;
use super::{norm, plain};
use crate::kernels::element::{contiguous, dispatch};
use crate::kernels::normalize::{Channels, backward, forward};
use crate::kernels::rows::Center;
use crate::sink;
use crate::tape::apply1;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

/// What is normalised together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The last dimension: layer norm.
    Last,
    /// Groups of channels of each example (n, channels, …), all their pixels together: group norm. The number of
    /// groups divides the channels.
    Groups(usize),
    /// Each channel (n, channels, …) over the whole batch: batch norm. This couples the examples.
    Batch,
}

/// y = (x − μ)/√(σ² + ε) over each part, σ² with divisor n.
///
/// candle 0.11's own fused layer and RMS norms stop the gradient.
///
/// # Errors
/// A shape without channels where there must be some, groups that do not divide them, ε below 0, a dtype
/// other than f32 and f64 (on the CPU). In its backward pass, [`Over::Batch`] refuses norms of single examples'
/// gradients ([`crate::Gradients::backward_examples`]): there are none.
pub fn normalize(x: &Tensor, over: Over, epsilon: f64) -> Result<Tensor> {
    apply(x, over, Center::Mean, epsilon)
}

/// y = x/√(mean x² + ε) over the last dimension: RMS norm without its weight (Zhang & Sennrich 2019).
///
/// # Errors
/// As [`normalize`].
pub fn normalize_by_rms(x: &Tensor, epsilon: f64) -> Result<Tensor> {
    apply(x, Over::Last, Center::Zero, epsilon)
}

fn apply(x: &Tensor, over: Over, center: Center, epsilon: f64) -> Result<Tensor> {
    if !(0.0 <= epsilon && epsilon.is_finite()) {
        candle_core::bail!("normalize: ε is {epsilon}, but must be finite and at least 0");
    }
    let parts = parts(x.shape(), over)?;
    if x.elem_count() == 0 {
        return Ok(x.clone());
    }
    if plain::is_asked_for(x) {
        return plain::normalize(x, over, center == Center::Mean, epsilon);
    }
    match parts {
        Parts::Rows(len) => norm::normalize_rows(x, len, center, epsilon),
        Parts::Channels(sets) => apply1(&x.contiguous()?, NormalizeOp { sets, epsilon }),
    }
}

enum Parts {
    /// So many numbers one after the other.
    Rows(usize),
    Channels(Channels),
}

fn parts(shape: &Shape, over: Over) -> Result<Parts> {
    let dims = shape.dims();
    match (over, dims) {
        (Over::Last, [.., last]) => Ok(Parts::Rows(*last)),
        (Over::Batch, [_, channels, rest @ ..]) => {
            Ok(Parts::Channels(Channels { channels: *channels, inner: rest.iter().product() }))
        }
        (Over::Groups(groups), [_, channels, rest @ ..])
            if groups != 0 && channels.is_multiple_of(groups) =>
        {
            Ok(Parts::Rows(channels / groups * rest.iter().product::<usize>()))
        }
        _ => candle_core::bail!("normalize: shape {shape:?} cannot be normalised over {over:?}"),
    }
}

struct NormalizeOp {
    sets: Channels,
    epsilon: f64,
}

impl CustomOp1 for NormalizeOp {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let x: &[T] = contiguous(self.name(), x, layout)?;
            T::to_cpu_storage_owned(forward(x, self.sets, self.epsilon))
        });
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        if sink::wants_examples() {
            candle_core::bail!(
                "batch norm couples the examples of a batch, so their gradients have no norms of their own: use group norm"
            );
        }
        let dy = dy.contiguous()?;
        dispatch!(self.name(), x.dtype(), T => {
            let ((x_storage, x_layout), (y_storage, y_layout)) = (x.storage_and_layout(), y.storage_and_layout());
            let (dy_storage, dy_layout) = dy.storage_and_layout();
            let dx = backward::<T>(
                contiguous(self.name(), cpu(&x_storage)?, x_layout)?,
                contiguous(self.name(), cpu(&y_storage)?, y_layout)?,
                contiguous(self.name(), cpu(&dy_storage)?, dy_layout)?,
                self.sets,
                self.epsilon,
            );
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}
