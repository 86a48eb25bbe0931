//! The memory of a batch: becomes a tensor without a copy, and comes back from one.

use std::sync::Mutex;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Tensor};

use crate::dataset::ValuesMut;
use crate::schema::ElementType;

/// The values of a batch's inputs or targets.
#[derive(Debug)]
pub(crate) enum Buffer {
    F32(Vec<f32>),
    U32(Vec<u32>),
}

impl Buffer {
    /// A buffer of `len` values that hold anything, in the memory of `spare` where that will do.
    pub(crate) fn with_len(spare: Option<Buffer>, element_type: ElementType, len: usize) -> Buffer {
        match (spare, element_type) {
            (Some(Buffer::F32(mut values)), ElementType::F32) if len <= values.capacity() => {
                values.resize(len, 0.0);
                Buffer::F32(values)
            }
            (Some(Buffer::U32(mut values)), ElementType::U32) if len <= values.capacity() => {
                values.resize(len, 0);
                Buffer::U32(values)
            }
            (_, ElementType::F32) => Buffer::F32(vec![0.0; len]),
            (_, ElementType::U32) => Buffer::U32(vec![0; len]),
        }
    }

    pub(crate) fn values_mut(&mut self) -> ValuesMut<'_> {
        match self {
            Buffer::F32(values) => ValuesMut::F32(values),
            Buffer::U32(values) => ValuesMut::U32(values),
        }
    }

    /// On the CPU the tensor takes the memory over.
    pub(crate) fn into_tensor(self, shape: Vec<usize>, device: &Device) -> candle_core::Result<Tensor> {
        match self {
            Buffer::F32(values) => Tensor::from_vec(values, shape, device),
            Buffer::U32(values) => Tensor::from_vec(values, shape, device),
        }
    }

    /// Takes the memory out of a CPU tensor, which is empty afterwards, and so is each of its clones: reading one is an
    /// error or a panic of candle's, never old memory. `None` on other devices and for views.
    pub(crate) fn take(tensor: Tensor) -> Option<Buffer> {
        let taker = Taker(Mutex::new(None));
        // On other devices there is no such operation: the tensor is dropped as usual.
        tensor.inplace_op1(&taker).ok()?;
        taker.0.into_inner().ok()?
    }
}

struct Taker(Mutex<Option<Buffer>>);

impl InplaceOp1 for Taker {
    fn name(&self) -> &'static str {
        "take-buffer"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let is_whole = |len: usize| {
            layout.is_contiguous() && layout.start_offset() == 0 && layout.shape().elem_count() == len
        };
        let taken = match storage {
            CpuStorage::F32(values) if is_whole(values.len()) => Some(Buffer::F32(std::mem::take(values))),
            CpuStorage::U32(values) if is_whole(values.len()) => Some(Buffer::U32(std::mem::take(values))),
            _ => None,
        };
        if let Ok(mut slot) = self.0.lock() {
            *slot = taken;
        }
        Ok(())
    }
}
