//! Rows of a weight by number.

use super::linear::cpu;
use super::plain;
use crate::kernels::Element;
use crate::kernels::element::{contiguous, dispatch};
use crate::kernels::gather::{gather, scatter_add};
use crate::sink::{self, Use};
use crate::tape::apply2;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, WithDType};

/// Looks up rows: `ids` are u32 of any shape, `weight` is (rows, width); returns (…ids, width).
///
/// # Errors
/// An id that is not a row (naming both), ids of another dtype, a weight that is not 2-D or of a dtype other than f32
/// and f64 (on the CPU).
pub fn embedding(ids: &Tensor, weight: &Tensor) -> Result<Tensor> {
    weight.dims2()?;
    if ids.dtype() != DType::U32 {
        candle_core::bail!("embedding: ids are {:?}, expected U32", ids.dtype());
    }
    if plain::is_asked_for(weight) {
        return plain::embedding(ids, weight);
    }
    apply2(&weight.contiguous()?, &ids.contiguous()?, EmbeddingOp)
}

struct EmbeddingOp;

impl EmbeddingOp {
    fn backward<T: Element>(&self, weight: &Tensor, ids: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (_, width) = weight.dims2()?;
        let dy = dy.contiguous()?;
        if sink::wants_examples() {
            let n = ids.elem_count();
            sink::note(weight, Use::Rows { ids: ids.flatten_all()?, gradient: dy.reshape((n, width))? });
        }
        let ((ids_storage, ids_layout), (dy_storage, dy_layout)) =
            (ids.storage_and_layout(), dy.storage_and_layout());
        let dy_values: &[T] = contiguous(self.name(), cpu(&dy_storage)?, dy_layout)?;
        let ids = id_slice(cpu(&ids_storage)?, ids_layout)?;
        let dw = scatter_add(weight.elem_count(), width, ids, dy_values);
        Tensor::from_vec(dw, weight.shape(), weight.device())
    }
}

impl CustomOp2 for EmbeddingOp {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(
        &self,
        weight: &CpuStorage,
        w_layout: &Layout,
        ids: &CpuStorage,
        ids_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = w_layout.shape().dims2()?;
        let ids = id_slice(ids, ids_layout)?;
        if let Some((i, id)) = ids.iter().enumerate().find(|(_, id)| rows <= **id as usize) {
            candle_core::bail!("embedding: id {id} at position {i} is not one of the {rows} rows");
        }
        let storage = dispatch!(self.name(), weight.dtype(), T => {
            let weight: &[T] = contiguous(self.name(), weight, w_layout)?;
            T::to_cpu_storage_owned(gather(weight, width, ids))
        });
        let mut dims = ids_layout.dims().to_vec();
        dims.push(width);
        Ok((storage, dims.into()))
    }

    fn bwd(
        &self,
        weight: &Tensor,
        ids: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dw = dispatch!(self.name(), weight.dtype(), T => self.backward::<T>(weight, ids, dy))?;
        Ok((sink::give(weight, dw)?, None))
    }
}

pub(crate) fn id_slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [u32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<u32>()?[from..to]),
        None => candle_core::bail!("class numbers and ids must be contiguous"),
    }
}
