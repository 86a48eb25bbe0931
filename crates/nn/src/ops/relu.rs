//! max(0, x).

use super::{Activation, masked, plain};
use crate::kernels::element::{contiguous, dispatch, relu as one};
use crate::kernels::vectorized;
use crate::tape::apply1;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

/// max(0, x) with derivative 0 at 0; candle's own has 1 there. A NaN stays one.
pub(super) fn relu(x: &Tensor) -> Result<Tensor> {
    if plain::is_asked_for(x) {
        return plain::activation(x, Activation::Relu);
    }
    apply1(&x.contiguous()?, ReluOp)
}

struct ReluOp;

impl CustomOp1 for ReluOp {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let x: &[T] = contiguous(self.name(), x, layout)?;
            T::to_cpu_storage_owned(vectorized(
                #[inline(always)]
                || x.iter().map(|v| one(*v)).collect(),
            ))
        });
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(self.name(), y.dtype(), T => masked::<T>(&dy.contiguous()?, y)).map(Some)
    }
}
