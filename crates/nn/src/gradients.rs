//! Gradients summed over micro-batches, with the squared norm of each contribution.

use crate::Parameters;
use crate::kernels::element::{contiguous, contiguous_mut, dispatch};
use crate::kernels::norm;
use crate::ops::{cpu, plain_device};
use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The gradients of all parameters in name order.
///
/// The first micro-batch's gradients become the sum itself and later ones are added in place, so a batch
/// that is one micro-batch needs no second set.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    tensors: Vec<Tensor>,
}

/// Whether [`Gradients::add`] should measure what it adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// Only add.
    Off,
    /// Also return the squared norm of each parameter's contribution.
    Norms,
}

impl Gradients {
    /// Nothing summed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one micro-batch's gradients. With [`Tap::Norms`] returns the squared norm of the
    /// contribution of each parameter, in name order, summed in f64 in the same pass; else nothing.
    ///
    /// # Errors
    /// A parameter without a gradient ([`Parameters::take_gradients`]), a device error.
    pub fn add(&mut self, parameters: &Parameters, store: &mut GradStore, tap: Tap) -> Result<Vec<f64>> {
        let fresh = parameters.take_gradients(store)?;
        if self.tensors.is_empty() {
            // A gradient may be a strided view of another tensor: the sum must own its memory.
            self.tensors = fresh.into_iter().map(|g| g.contiguous()).collect::<Result<_>>()?;
            return match tap {
                Tap::Off => Ok(Vec::new()),
                Tap::Norms => self.norms2(),
            };
        }
        let mut norms = Vec::new();
        for (sum, fresh) in self.tensors.iter_mut().zip(fresh) {
            let fresh = fresh.contiguous()?;
            if plain_device(sum) {
                if tap == Tap::Norms {
                    norms.push(norm2(&fresh)?);
                }
                *sum = sum.add(&fresh)?;
                continue;
            }
            let op = AddOp { tap, norm2: AtomicU64::new(0) };
            sum.inplace_op2(&fresh, &op)?;
            if tap == Tap::Norms {
                norms.push(f64::from_bits(op.norm2.load(Relaxed)));
            }
        }
        Ok(norms)
    }

    /// Multiplies all gradients by a number.
    ///
    /// # Errors
    /// A device error.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        self.tensors.iter_mut().try_for_each(|g| {
            *g = g.affine(factor, 0.0)?;
            Ok(())
        })
    }

    /// The squared norm of each parameter's gradient, in name order, in f64.
    ///
    /// # Errors
    /// A device error.
    pub fn norms2(&self) -> Result<Vec<f64>> {
        self.tensors.iter().map(norm2).collect()
    }

    /// The gradients in name order; empty before the first [`Gradients::add`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Forgets the sum and frees its memory.
    pub fn clear(&mut self) {
        self.tensors.clear();
    }
}

/// Σ x² of a tensor, summed in f64 on the CPU (in f32 on a GPU, one sum per tensor).
///
/// # Errors
/// A device error.
pub fn norm2(tensor: &Tensor) -> Result<f64> {
    if plain_device(tensor) {
        return tensor.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar();
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let storage = cpu(&storage)?;
    dispatch!("norm2", storage.dtype(), T => Ok(norm::sum_of_squares::<T>(contiguous("norm2", storage, layout)?)))
}

struct AddOp {
    tap: Tap,
    norm2: AtomicU64,
}

impl InplaceOp2 for AddOp {
    fn name(&self) -> &'static str {
        "add_gradient"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        fresh: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        dispatch!(self.name(), sum.dtype(), T => {
            let sum: &mut [T] = contiguous_mut(self.name(), sum, sum_layout)?;
            let fresh: &[T] = contiguous(self.name(), fresh, layout)?;
            match self.tap {
                Tap::Off => norm::add(sum, fresh),
                Tap::Norms => self.norm2.store(norm::add_and_square(sum, fresh).to_bits(), Relaxed),
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, linear};
    use candle_core::Device;

    #[test]
    fn contributions_add_up_and_their_norms_are_right() {
        let parameters = Parameters::new();
        let vb = parameters.builder(3, DType::F64, &Device::Cpu);
        let init = candle_nn::Init::Randn { mean: 0.0, stdev: 1.0 };
        let w = vb.get_with_hints((5, 4), "w", init).unwrap();
        let b = vb.get_with_hints(5, "b", init).unwrap();
        let x = Tensor::from_vec(crate::random::normal(1, "x", 28, 0.0, 1.0), (7, 4), &Device::Cpu).unwrap();
        let grads = |from: usize, n: usize| {
            let x = x.narrow(0, from, n).unwrap();
            let y = linear(&x, &w, &b, Activation::Relu).unwrap();
            y.sqr().unwrap().sum_all().unwrap().backward().unwrap()
        };
        let mut whole = Gradients::new();
        whole.add(&parameters, &mut grads(0, 7), Tap::Off).unwrap();
        let mut parts = Gradients::new();
        for (from, n) in [(0, 3), (3, 3), (6, 1)] {
            let norms = parts.add(&parameters, &mut grads(from, n), Tap::Norms).unwrap();
            let mut alone = Gradients::new();
            alone.add(&parameters, &mut grads(from, n), Tap::Off).unwrap();
            assert_eq!(norms, alone.norms2().unwrap());
        }
        for (a, b) in whole.tensors().iter().zip(parts.tensors()) {
            let difference = norm2(&(a - b).unwrap()).unwrap();
            assert!(difference < 1e-24 * norm2(a).unwrap(), "{difference}");
        }
    }
}
