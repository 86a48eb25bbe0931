//! Fully connected layers.

use super::he_normal;
use crate::ops::{self, Activation};
use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};

/// A fully connected layer, y = act(x·wᵀ + b).
#[derive(Debug, Clone)]
pub struct Linear {
    /// (out, in).
    pub weight: Tensor,
    /// (out); a constant 0 where the layer has none.
    pub bias: Tensor,
    /// Applied to the output.
    pub activation: Activation,
}

/// A layer with parameters `weight` (He et al. 2015: normal with variance gain²/fan-in; gain² is 2 before an
/// activation, else 1) and `bias` (zero).
///
/// # Errors
/// A builder that has other shapes under these names.
pub fn linear(inner: usize, out: usize, activation: Activation, vb: VarBuilder<'_>) -> Result<Linear> {
    let weight = vb.get_with_hints((out, inner), "weight", he_normal(activation))?;
    let bias = vb.get_with_hints(out, "bias", Init::Const(0.0))?;
    Ok(Linear { weight, bias, activation })
}

/// The same without a bias.
///
/// # Errors
/// A builder that has another shape under this name.
pub fn linear_no_bias(
    inner: usize,
    out: usize,
    activation: Activation,
    vb: VarBuilder<'_>,
) -> Result<Linear> {
    let weight = vb.get_with_hints((out, inner), "weight", he_normal(activation))?;
    let bias = Tensor::zeros(out, weight.dtype(), weight.device())?;
    Ok(Linear { weight, bias, activation })
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, &self.bias, self.activation)
    }
}
