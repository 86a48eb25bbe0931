//! Which optimizer, by its hyper-parameters.

use super::{
    Adam, AdamConfig, AdamWConfig, Groups, Lamb, LambConfig, Lars, LarsConfig, Lion, LionConfig, Optimizer,
    RmsProp, RmsPropConfig, Sgd, SgdConfig,
};
use crate::Parameters;
use candle_core::{Result, bail};
use std::fmt;

/// Which optimizer, with its hyper-parameters.
///
/// None of them is told the batch size, and none of their states depends on it: what is saved at one size goes on at
/// another. How learning rate, β and decay should follow a change of batch size is for the schedules to say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam with the decay in the gradient.
    Adam(AdamConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
    /// RMSprop.
    RmsProp(RmsPropConfig),
    /// Lion: the sign of a momentum.
    Lion(LionConfig),
    /// LARS: SGD with a trust ratio for each tensor.
    Lars(LarsConfig),
    /// LAMB: Adam with a trust ratio for each tensor.
    Lamb(LambConfig),
}

impl OptimizerConfig {
    /// An optimizer for these parameters before its first step, which treats all of them alike.
    ///
    /// # Errors
    /// A hyper-parameter out of its range, a device that cannot allocate.
    pub fn build(self, parameters: &Parameters) -> Result<Box<dyn Optimizer>> {
        self.build_with(parameters, &Groups::new())
    }

    /// The same with parameter groups.
    ///
    /// # Errors
    /// As [`OptimizerConfig::build`], and a group that matches no parameter.
    pub fn build_with(self, parameters: &Parameters, groups: &Groups) -> Result<Box<dyn Optimizer>> {
        Ok(match self {
            Self::Sgd(config) => Box::new(Sgd::new(config, parameters, groups)?),
            Self::Adam(config) => Box::new(Adam::new(config, parameters, groups)?),
            Self::AdamW(config) => Box::new(Adam::decoupled(config, parameters, groups)?),
            Self::RmsProp(config) => Box::new(RmsProp::new(config, parameters, groups)?),
            Self::Lion(config) => Box::new(Lion::new(config, parameters, groups)?),
            Self::Lars(config) => Box::new(Lars::new(config, parameters, groups)?),
            Self::Lamb(config) => Box::new(Lamb::new(config, parameters, groups)?),
        })
    }

    /// Whether its steps multiply the gradient by a diagonal that is known before the gradient is
    /// ([`Optimizer::preconditioner`]): Adam, AdamW and RMSprop. The trust ratios of LARS and LAMB depend on the gradient
    /// itself, Lion takes a sign, and with SGD the diagonal is 1.
    #[must_use]
    pub const fn has_preconditioner(self) -> bool {
        match self {
            Self::Adam(_) | Self::AdamW(_) | Self::RmsProp(_) => true,
            Self::Sgd(_) | Self::Lion(_) | Self::Lars(_) | Self::Lamb(_) => false,
        }
    }
}

impl fmt::Display for OptimizerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sgd(config) => config.fmt(f),
            Self::Adam(config) => config.fmt(f),
            Self::AdamW(config) => config.fmt(f),
            Self::RmsProp(config) => config.fmt(f),
            Self::Lion(config) => config.fmt(f),
            Self::Lars(config) => config.fmt(f),
            Self::Lamb(config) => config.fmt(f),
        }
    }
}

/// Refuses what is not in [0, 1).
pub(super) fn share(name: &str, value: f64) -> Result<()> {
    if !(0.0..1.0).contains(&value) {
        bail!("{name} must be in [0, 1), not {value}");
    }
    Ok(())
}

/// Refuses what is not a finite number of at least 0.
pub(super) fn at_least_zero(name: &str, value: f64) -> Result<()> {
    if !(value.is_finite() && 0.0 <= value) {
        bail!("{name} must be a finite number of at least 0, not {value}");
    }
    Ok(())
}

/// Refuses what is not a finite number above 0.
pub(super) fn above_zero(name: &str, value: f64) -> Result<()> {
    if !(value.is_finite() && 0.0 < value) {
        bail!("{name} must be a finite number above 0, not {value}");
    }
    Ok(())
}
