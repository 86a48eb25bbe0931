//! Operands of products as a precision takes them.

use super::cpu;
use crate::kernels::element::contiguous;
use crate::kernels::{Element, bf16};
use crate::precision::Precision;
use candle_core::{Result, Tensor};

/// A tensor on the CPU, or a rounded copy where the precision asks for one.
pub(crate) fn rounded<T: Element>(precision: Precision, x: &Tensor) -> Result<Tensor> {
    if precision == Precision::F32 {
        return Ok(x.clone());
    }
    let x = x.contiguous()?;
    let values = {
        let (storage, layout) = x.storage_and_layout();
        bf16::rounded::<T>(contiguous("rounded", cpu(&storage)?, layout)?)
    };
    Tensor::from_vec(values, x.shape(), x.device())
}
