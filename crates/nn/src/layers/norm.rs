//! Normalisation layers.

use crate::kernels::image::normed::Statistics;
use crate::ops::{self, Over};
use candle_core::{DType, Result, Tensor, Var};
use candle_nn::{Init, Module, ModuleT, VarBuilder};

/// Layer norm over the last dimension (Ba et al. 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// (width).
    pub weight: Tensor,
    /// (width).
    pub bias: Tensor,
    /// Added to the variance.
    pub epsilon: f64,
}

/// RMS norm over the last dimension (Zhang & Sennrich 2019).
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// (width).
    pub weight: Tensor,
    /// Added to the mean square.
    pub epsilon: f64,
}

/// Group norm of (n, channels, …) (Wu & He 2018).
#[derive(Debug, Clone)]
pub struct GroupNorm {
    /// (channels).
    pub weight: Tensor,
    /// (channels).
    pub bias: Tensor,
    /// Divides the channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Batch norm of (n, channels, …) (Ioffe & Szegedy 2015), or ghost-batch norm (Hoffer et al. 2017, §4).
///
/// In training each channel is normalised over the batch, or over ghost batches of a fixed size, so that the size of the
/// micro-batch does not change the function; the running mean and variance follow with `momentum`, and evaluation
/// uses them. The running variance is the one with divisor m − 1, as in PyTorch; from a single element per channel it
/// would be 0/0 (candle 0.11 lets that NaN in), so the running variance then stays as it is.
///
/// The layer couples examples: batches of other sizes are other functions, and the gradients of single examples are not
/// defined.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    /// (channels).
    pub weight: Tensor,
    /// (channels).
    pub bias: Tensor,
    /// (channels); not trained.
    pub running_mean: Var,
    /// (channels); not trained.
    pub running_var: Var,
    /// Examples of a ghost batch; the whole batch if `None`.
    pub ghost: Option<usize>,
    /// Share of the new statistics in the running ones, 0.1 as in PyTorch.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
}

fn ones(width: usize, vb: &VarBuilder<'_>) -> Result<Tensor> {
    vb.get_with_hints(width, "weight", Init::Const(1.0))
}

fn zeros(width: usize, vb: &VarBuilder<'_>) -> Result<Tensor> {
    vb.get_with_hints(width, "bias", Init::Const(0.0))
}

/// A layer with parameters `weight` (one) and `bias` (zero) and ε = 1e-5.
///
/// # Errors
/// A builder that has other shapes under these names.
pub fn layer_norm(width: usize, vb: VarBuilder<'_>) -> Result<LayerNorm> {
    Ok(LayerNorm { weight: ones(width, &vb)?, bias: zeros(width, &vb)?, epsilon: 1e-5 })
}

/// A layer with the parameter `weight` (one) and ε = 1e-5.
///
/// # Errors
/// A builder that has another shape under this name.
pub fn rms_norm(width: usize, vb: VarBuilder<'_>) -> Result<RmsNorm> {
    Ok(RmsNorm { weight: ones(width, &vb)?, epsilon: 1e-5 })
}

/// A layer with parameters `weight` (one) and `bias` (zero) and ε = 1e-5.
///
/// # Errors
/// Groups that do not divide the channels; a builder that has other shapes under these names.
pub fn group_norm(groups: usize, channels: usize, vb: VarBuilder<'_>) -> Result<GroupNorm> {
    if groups == 0 || !channels.is_multiple_of(groups) {
        candle_core::bail!("{groups} groups do not divide {channels} channels");
    }
    Ok(GroupNorm { weight: ones(channels, &vb)?, bias: zeros(channels, &vb)?, groups, epsilon: 1e-5 })
}

/// A layer with parameters `weight` (one) and `bias` (zero), ε = 1e-5, momentum 0.1, and its running statistics under
/// `running_mean` (zero) and `running_var` (one), which a [`crate::Parameters`] keeps as buffers.
///
/// # Errors
/// A builder that has other shapes under these names.
pub fn batch_norm(channels: usize, vb: VarBuilder<'_>) -> Result<BatchNorm> {
    // A variable of the builder stays the same variable; anything else becomes one of this layer's own.
    let running =
        |name: &str, value: f64| Var::from_tensor(&vb.get_with_hints(channels, name, Init::Const(value))?);
    Ok(BatchNorm {
        weight: ones(channels, &vb)?,
        bias: zeros(channels, &vb)?,
        running_mean: running("running_mean", 0.0)?,
        running_var: running("running_var", 1.0)?,
        ghost: None,
        momentum: 0.1,
        epsilon: 1e-5,
    })
}

/// [`batch_norm`] over ghost batches of `ghost` examples, at least 1: what batch norm would do at that batch size,
/// whatever the real one. The last ghost batch may be smaller.
///
/// # Errors
/// As [`batch_norm`]; a ghost batch of 0.
pub fn ghost_batch_norm(channels: usize, ghost: usize, vb: VarBuilder<'_>) -> Result<BatchNorm> {
    if ghost == 0 {
        candle_core::bail!("a ghost batch must hold at least 1 example");
    }
    Ok(BatchNorm { ghost: Some(ghost), ..batch_norm(channels, vb)? })
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }
}

impl Module for RmsNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.weight, self.epsilon)
    }
}

impl Module for GroupNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normal = ops::normalize(x, Over::Groups(self.groups), self.epsilon)?;
        ops::scale_shift(&normal, &self.weight, &self.bias, 1)
    }
}

impl BatchNorm {
    /// The running statistics move towards those of `x`.
    fn follow(&self, x: &Tensor) -> Result<()> {
        let channels = x.dim(1)?;
        let rows = x.detach().transpose(0, 1)?.contiguous()?.reshape((channels, ()))?;
        let n = rows.dim(1)?;
        if n == 0 {
            return Ok(());
        }
        let rows = rows.to_dtype(if rows.device().is_cpu() { DType::F64 } else { rows.dtype() })?;
        let mean = rows.mean_keepdim(1)?;
        let toward = |running: &Var, new: Tensor| {
            let new = new.to_dtype(running.dtype())?;
            running.set(&((running.as_tensor() * (1.0 - self.momentum))? + (new * self.momentum)?)?.detach())
        };
        toward(&self.running_mean, mean.squeeze(1)?)?;
        if 1 < n {
            let squares = rows.broadcast_sub(&mean)?.sqr()?.sum(1)?;
            toward(&self.running_var, (squares * (1.0 / (n - 1) as f64))?)?;
        }
        Ok(())
    }
}

impl BatchNorm {
    /// The same for statistics that a fused op has found.
    pub(crate) fn follow_statistics(&self, statistics: &Statistics) -> Result<()> {
        let Statistics { mean, variance, count } = statistics;
        let toward = |running: &Var, new: &mut dyn Iterator<Item = f64>| {
            let old = running.as_detached_tensor().to_dtype(DType::F64)?.to_vec1::<f64>()?;
            let values: Vec<f64> = old
                .iter()
                .zip(new)
                .map(|(old, new)| (1.0 - self.momentum) * old + self.momentum * new)
                .collect();
            running.set(
                &Tensor::from_vec(values, running.shape(), running.device())?.to_dtype(running.dtype())?,
            )
        };
        toward(&self.running_mean, &mut mean.iter().copied())?;
        if 1 < *count {
            let unbiased = *count as f64 / (*count - 1) as f64;
            toward(&self.running_var, &mut variance.iter().map(|variance| variance * unbiased))?;
        }
        Ok(())
    }
}

impl ModuleT for BatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if !train {
            let deviation = (self.running_var.as_detached_tensor() + self.epsilon)?.sqrt()?;
            let scale = self.weight.div(&deviation)?;
            let shift = (&self.bias - self.running_mean.as_detached_tensor().mul(&scale)?)?;
            return ops::scale_shift(x, &scale, &shift, 1);
        }
        let n = x.dim(0)?;
        let ghost = self.ghost.unwrap_or(n).max(1);
        let parts = (0..n).step_by(ghost).map(|first| x.narrow(0, first, ghost.min(n - first)));
        let parts = parts
            .map(|part| {
                let part = part?.contiguous()?;
                self.follow(&part)?;
                ops::normalize(&part, Over::Batch, self.epsilon)
            })
            .collect::<Result<Vec<_>>>()?;
        let normal = match &parts[..] {
            [] => x.clone(),
            [whole] => whole.clone(),
            parts => Tensor::cat(parts, 0)?,
        };
        ops::scale_shift(&normal, &self.weight, &self.bias, 1)
    }
}
