//! Optimizers: one update of all parameters in name order, in place, with state in plain named tensors.

mod adamw;
mod sgd;

pub use adamw::{AdamW, AdamWConfig};
pub use sgd::{Sgd, SgdConfig};

use crate::{Gradients, Parameters};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;

/// What updates parameters from their gradients.
///
/// The learning rate is given at each step: schedules live elsewhere.
pub trait Optimizer: Send {
    /// One update of every parameter.
    ///
    /// # Errors
    /// Gradients that do not belong to the parameters, a device error; then some parameters may have been
    /// updated.
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()>;

    /// The state by name, such as `momentum.layer0.weight`; the tensors share storage with the optimizer.
    fn state(&self) -> BTreeMap<String, Tensor>;

    /// Replaces the state by a saved one (copied).
    ///
    /// # Errors
    /// A missing or unknown name; then nothing changes.
    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}

/// Which optimizer, with its hyper-parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
}

impl OptimizerConfig {
    /// An optimizer for these parameters, its state at zero.
    ///
    /// # Errors
    /// A device that cannot allocate.
    pub fn build(self, parameters: &Parameters) -> Result<Box<dyn Optimizer>> {
        Ok(match self {
            Self::Sgd(config) => Box::new(Sgd::new(config, parameters)?),
            Self::AdamW(config) => Box::new(AdamW::new(config, parameters)?),
        })
    }
}

impl std::fmt::Display for OptimizerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sgd(SgdConfig { momentum, weight_decay }) => {
                write!(f, "SGD with momentum {momentum} and weight decay {weight_decay}")
            }
            Self::AdamW(AdamWConfig { beta1, beta2, epsilon, weight_decay }) => {
                write!(f, "AdamW with β ({beta1}, {beta2}), ε {epsilon:e} and weight decay {weight_decay}")
            }
        }
    }
}

/// One tensor of zeros for each parameter.
fn zeros_like(parameters: &Parameters) -> Result<Vec<(String, Tensor)>> {
    parameters.named().into_iter().map(|(name, var)| Ok((name, var.zeros_like()?))).collect()
}

/// Pairs each parameter with its gradient and the optimizer's tensors, or says which do not fit.
fn check(parameters: &Parameters, gradients: &Gradients, state: &[(String, Tensor)]) -> Result<()> {
    let named = parameters.named();
    if named.len() != gradients.tensors().len() || named.len() != state.len() {
        candle_core::bail!(
            "{} parameters, {} gradients and optimizer state for {} do not belong together",
            named.len(),
            gradients.tensors().len(),
            state.len()
        );
    }
    for (((name, var), gradient), (state_name, state)) in named.iter().zip(gradients.tensors()).zip(state) {
        if name != state_name || var.shape() != gradient.shape() || var.shape() != state.shape() {
            candle_core::bail!("gradient or optimizer state of parameter `{name}` does not fit it");
        }
    }
    Ok(())
}

/// Copies the saved tensors `prefix.name` into place.
fn load(prefix: &str, into: &mut [(String, Tensor)], state: &BTreeMap<String, Tensor>) -> Result<()> {
    let saved = into
        .iter()
        .map(|(name, tensor)| match state.get(&format!("{prefix}.{name}")) {
            Some(saved) if saved.shape() == tensor.shape() => saved.to_dtype(tensor.dtype())?.copy(),
            Some(saved) => candle_core::bail!("state `{prefix}.{name}` has shape {:?}", saved.shape()),
            None => candle_core::bail!("the saved optimizer state lacks `{prefix}.{name}`"),
        })
        .collect::<Result<Vec<_>>>()?;
    into.iter_mut().zip(saved).for_each(|((_, tensor), saved)| *tensor = saved);
    Ok(())
}
