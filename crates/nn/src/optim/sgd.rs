//! Stochastic gradient descent with momentum.

use super::{Optimizer, check, load, zeros_like};
use crate::kernels::element::{contiguous, contiguous_mut, dispatch};
use crate::kernels::vectorized;
use crate::ops::plain_device;
use crate::{Gradients, Parameters};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, WithDType};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Hyper-parameters of [`Sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// Share of the last velocity that is kept, in [0, 1).
    pub momentum: f64,
    /// Added to the gradient as weight_decay·w (L2 as in PyTorch), at least 0.
    pub weight_decay: f64,
}

/// v ← μv + (g + λw), w ← w − ηv, as in PyTorch (the learning rate is not inside the velocity).
pub struct Sgd {
    config: SgdConfig,
    momentum: Vec<(String, Tensor)>,
}

impl Sgd {
    /// An optimizer with zero velocity.
    ///
    /// # Errors
    /// A device that cannot allocate.
    pub fn new(config: SgdConfig, parameters: &Parameters) -> Result<Self> {
        Ok(Self { config, momentum: zeros_like(parameters)? })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        check(parameters, gradients, &self.momentum)?;
        let SgdConfig { momentum, weight_decay } = self.config;
        for (((_, w), g), (_, v)) in
            parameters.named().iter().zip(gradients.tensors()).zip(&mut self.momentum)
        {
            if plain_device(w) {
                let decayed = (g + (w.as_tensor() * weight_decay)?)?;
                *v = ((&*v * momentum)? + decayed)?;
                w.set(&(w.as_tensor() - (&*v * learning_rate)?)?)?;
            } else {
                v.inplace_op3(g, w, &VelocityOp { momentum, weight_decay })?;
                w.inplace_op2(v, &SubtractOp { learning_rate })?;
            }
        }
        Ok(())
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        self.momentum.iter().map(|(name, v)| (format!("momentum.{name}"), v.clone())).collect()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        load("momentum", &mut self.momentum, state)
    }
}

/// Elements one thread updates at a time.
pub(super) const PIECE: usize = 1 << 14;

/// Pieces that one thread takes at least: fewer are done before another thread has woken up.
pub(super) const MIN_PIECES: usize = 16;

struct VelocityOp {
    momentum: f64,
    weight_decay: f64,
}

impl InplaceOp3 for VelocityOp {
    fn name(&self) -> &'static str {
        "sgd_velocity"
    }

    fn cpu_fwd(
        &self,
        v: &mut CpuStorage,
        v_layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<()> {
        dispatch!(self.name(), v.dtype(), T => {
            let (momentum, decay) = (T::from_f64(self.momentum), T::from_f64(self.weight_decay));
            let v: &mut [T] = contiguous_mut(self.name(), v, v_layout)?;
            let g: &[T] = contiguous(self.name(), g, g_layout)?;
            let w: &[T] = contiguous(self.name(), w, w_layout)?;
            v.par_chunks_mut(PIECE).zip(g.par_chunks(PIECE)).zip(w.par_chunks(PIECE)).with_min_len(MIN_PIECES).for_each(|((v, g), w)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for ((v, g), w) in v.iter_mut().zip(g).zip(w) {
                            *v = momentum * *v + (*g + decay * *w);
                        }
                    },
                );
            });
        });
        Ok(())
    }
}

struct SubtractOp {
    learning_rate: f64,
}

impl InplaceOp2 for SubtractOp {
    fn name(&self) -> &'static str {
        "sgd_update"
    }

    fn cpu_fwd(
        &self,
        w: &mut CpuStorage,
        w_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<()> {
        dispatch!(self.name(), w.dtype(), T => {
            let learning_rate = T::from_f64(self.learning_rate);
            let w: &mut [T] = contiguous_mut(self.name(), w, w_layout)?;
            let v: &[T] = contiguous(self.name(), v, v_layout)?;
            w.par_chunks_mut(PIECE).zip(v.par_chunks(PIECE)).with_min_len(MIN_PIECES).for_each(|(w, v)| {
                vectorized(
                    #[inline(always)]
                    || w.iter_mut().zip(v).for_each(|(w, v)| *w -= learning_rate * *v),
                );
            });
        });
        Ok(())
    }
}
