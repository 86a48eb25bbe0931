//! Optimizers: one update of all parameters in name order, in place, with state in plain named tensors; parameter
//! groups, clipping and averages of the weights.

mod adam;
mod clip;
mod config;
mod ema;
mod groups;
mod lamb;
mod lars;
mod lion;
mod rmsprop;
mod sgd;
mod state;
mod steps;

pub use adam::{Adam, AdamConfig, AdamWConfig};
pub use clip::{ClipError, clip_known_norm, clip_norm, clip_value};
pub use config::OptimizerConfig;
pub use ema::{Ema, EmaDecay};
pub use groups::{Groups, Rule, Setting};
pub use lamb::{Lamb, LambConfig};
pub use lars::{Lars, LarsConfig};
pub use lion::{Lion, LionConfig};
pub use rmsprop::{RmsProp, RmsPropConfig};
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
    /// Gradients or parameters that do not belong to the optimizer, or a learning rate that is not a finite number of
    /// at least 0: then nothing changes. A device error: then some parameters may have been updated.
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()>;

    /// The diagonal of P, one tensor for each parameter in name order, with which the last step took θ − η·P·ĝ of its
    /// mean gradient ĝ (momentum and weight decay apart): 1/(√v̂ + ε) with v̂ corrected for its bias as in that step, times
    /// the group's factor of the learning rate. `None` before the first step, and for an optimizer that has no such P
    /// ([`OptimizerConfig::has_preconditioner`]).
    ///
    /// The tensors are copies: they stay as they are at the next step, for whose gradient this P is the latest that has not
    /// seen it. They take the memory of the parameters once more.
    ///
    /// An entry whose gradient was always 0 has P = 1/ε, so that the first gradient it gets counts for far more in the
    /// metric of P than in the optimizer's own step, which takes that gradient into v before it divides.
    ///
    /// # Errors
    /// A device error.
    fn preconditioner(&self) -> Result<Option<Vec<Tensor>>> {
        Ok(None)
    }

    /// The state by name, such as `momentum.layer0.weight`, and the count `n_steps`; the tensors share storage with
    /// the optimizer.
    fn state(&self) -> BTreeMap<String, Tensor>;

    /// Replaces the state by a saved one (copied), which goes on bit for bit.
    ///
    /// # Errors
    /// A missing or unknown name, a wrong shape or type; then nothing changes.
    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}
