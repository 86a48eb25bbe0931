//! Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2).

use super::sgd::{MIN_PIECES, PIECE};
use super::{Optimizer, check, load, zeros_like};
use crate::kernels::element::{contiguous, contiguous_mut, dispatch};
use crate::kernels::vectorized;
use crate::ops::plain_device;
use crate::{Gradients, Parameters};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, InplaceOp3, Layout, Result, Tensor, WithDType};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Hyper-parameters of [`AdamW`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean of the gradient, in [0, 1).
    pub beta1: f64,
    /// Decay of the mean of its square, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment, above 0.
    pub epsilon: f64,
    /// w ← w − η·λ·w at each step, at least 0.
    pub weight_decay: f64,
}

impl AdamWConfig {
    /// The values most papers and PyTorch use: β = (0.9, 0.999), ε = 1e-8, λ = 0.01.
    pub const USUAL: Self = Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };
}

/// m ← β1·m + (1−β1)g, v ← β2·v + (1−β2)g², w ← w − η·λ·w − η·m̂/(√v̂ + ε).
pub struct AdamW {
    config: AdamWConfig,
    first: Vec<(String, Tensor)>,
    second: Vec<(String, Tensor)>,
    n_steps: u64,
}

impl AdamW {
    /// An optimizer with zero moments.
    ///
    /// # Errors
    /// A device that cannot allocate.
    pub fn new(config: AdamWConfig, parameters: &Parameters) -> Result<Self> {
        Ok(Self { config, first: zeros_like(parameters)?, second: zeros_like(parameters)?, n_steps: 0 })
    }
}

impl Optimizer for AdamW {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        check(parameters, gradients, &self.first)?;
        self.n_steps += 1;
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let steps = self.n_steps as f64;
        // η·m̂/(√v̂+ε) = step_size·m/(√v + ε·√c2) with the two bias corrections moved into scalars.
        let (c1, c2) = (1.0 - beta1.powf(steps), (1.0 - beta2.powf(steps)).sqrt());
        let update = UpdateOp {
            keep: 1.0 - learning_rate * weight_decay,
            step_size: learning_rate * c2 / c1,
            epsilon: epsilon * c2,
        };
        let moments = self.first.iter_mut().zip(&mut self.second);
        for (((_, w), g), ((_, m), (_, v))) in parameters.named().iter().zip(gradients.tensors()).zip(moments)
        {
            if plain_device(w) {
                *m = ((&*m * beta1)? + (g * (1.0 - beta1))?)?;
                *v = ((&*v * beta2)? + (g.sqr()? * (1.0 - beta2))?)?;
                let step = ((&*m * update.step_size)? / (v.sqrt()? + update.epsilon)?)?;
                w.set(&((w.as_tensor() * update.keep)? - step)?)?;
            } else {
                m.inplace_op2(g, &MomentOp { beta: beta1, square: false })?;
                v.inplace_op2(g, &MomentOp { beta: beta2, square: true })?;
                w.inplace_op3(m, v, &update)?;
            }
        }
        Ok(())
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        let first = self.first.iter().map(|(name, m)| (format!("first_moment.{name}"), m.clone()));
        let second = self.second.iter().map(|(name, v)| (format!("second_moment.{name}"), v.clone()));
        let steps = Tensor::from_vec(vec![self.n_steps as i64], (), &Device::Cpu);
        first.chain(second).chain(steps.ok().map(|steps| ("n_steps".to_owned(), steps))).collect()
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let Some(steps) = state.get("n_steps") else {
            candle_core::bail!("the saved optimizer state lacks `n_steps`");
        };
        let n_steps = steps.to_dtype(DType::I64)?.to_scalar::<i64>()?.max(0) as u64;
        let (mut first, mut second) = (self.first.clone(), self.second.clone());
        load("first_moment", &mut first, state)?;
        load("second_moment", &mut second, state)?;
        (self.first, self.second, self.n_steps) = (first, second, n_steps);
        Ok(())
    }
}

struct MomentOp {
    beta: f64,
    square: bool,
}

impl InplaceOp2 for MomentOp {
    fn name(&self) -> &'static str {
        "adamw_moment"
    }

    fn cpu_fwd(
        &self,
        m: &mut CpuStorage,
        m_layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<()> {
        dispatch!(self.name(), m.dtype(), T => {
            let (keep, take) = (T::from_f64(self.beta), T::from_f64(1.0 - self.beta));
            let m: &mut [T] = contiguous_mut(self.name(), m, m_layout)?;
            let g: &[T] = contiguous(self.name(), g, g_layout)?;
            m.par_chunks_mut(PIECE).zip(g.par_chunks(PIECE)).with_min_len(MIN_PIECES).for_each(|(m, g)| {
                vectorized(
                    #[inline(always)]
                    || {
                        if self.square {
                            m.iter_mut().zip(g).for_each(|(m, g)| *m = keep * *m + take * (*g * *g));
                        } else {
                            m.iter_mut().zip(g).for_each(|(m, g)| *m = keep * *m + take * *g);
                        }
                    },
                );
            });
        });
        Ok(())
    }
}

struct UpdateOp {
    keep: f64,
    step_size: f64,
    epsilon: f64,
}

impl InplaceOp3 for UpdateOp {
    fn name(&self) -> &'static str {
        "adamw_update"
    }

    fn cpu_fwd(
        &self,
        w: &mut CpuStorage,
        w_layout: &Layout,
        m: &CpuStorage,
        m_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<()> {
        dispatch!(self.name(), w.dtype(), T => {
            let (keep, step, epsilon) =
                (T::from_f64(self.keep), T::from_f64(self.step_size), T::from_f64(self.epsilon));
            let w: &mut [T] = contiguous_mut(self.name(), w, w_layout)?;
            let m: &[T] = contiguous(self.name(), m, m_layout)?;
            let v: &[T] = contiguous(self.name(), v, v_layout)?;
            w.par_chunks_mut(PIECE).zip(m.par_chunks(PIECE)).zip(v.par_chunks(PIECE)).with_min_len(MIN_PIECES).for_each(|((w, m), v)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
                            *w = keep * *w - step * *m / (v.sqrt() + epsilon);
                        }
                    },
                );
            });
        });
        Ok(())
    }
}
