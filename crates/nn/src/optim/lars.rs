//! LARS (You, Gitman & Ginsburg 2017, "Large Batch Training of Convolutional Networks", algorithm 1).

use super::config::{above_zero, at_least_zero, share};
use super::state::{Buffers, Ledger};
use super::steps::{Accumulate, Descend, trust_ratio};
use super::{Groups, Optimizer};
use crate::gradients::norm2;
use crate::update::update_var;
use crate::{Gradients, Parameters};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use std::fmt;

/// Hyper-parameters of [`Lars`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LarsConfig {
    /// Share μ of the last velocity that is kept, in [0, 1). Without momentum no velocity is kept in memory.
    pub momentum: f64,
    /// λ of λ·w that is added to the gradient, at least 0.
    pub weight_decay: f64,
    /// η_t of the trust ratio η_t·‖w‖/(‖g‖ + λ‖w‖ + ε), above 0.
    pub trust_coefficient: f64,
    /// ε of the trust ratio, at least 0.
    pub epsilon: f64,
}

impl LarsConfig {
    /// Momentum 0.9, trust coefficient 0.001 and decay 0.0005 as in the paper, ε = 0.
    pub const USUAL: Self =
        Self { momentum: 0.9, weight_decay: 0.0005, trust_coefficient: 0.001, epsilon: 0.0 };
}

impl fmt::Display for LarsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { momentum, weight_decay, trust_coefficient, epsilon } = self;
        write!(f, "LARS with momentum {momentum}, weight decay {weight_decay}, trust coefficient ")?;
        write!(f, "{trust_coefficient} and ε {epsilon:e}")
    }
}

/// v ← μv + η·r·(g + λw), w ← w − v, for each parameter tensor with its own trust ratio r = η_t·‖w‖/(‖g‖ + λ‖w‖ + ε),
/// which is 1 where ‖w‖ or ‖g‖ is 0 or the parameter's [`Groups`] say so; biases and norms are best left without
/// ([`Groups::matrices_only`]).
///
/// This is the paper's form, with the learning rate inside the velocity. `optax.lars` has ‖g + λw‖ below the line
/// where the paper has ‖g‖ + λ‖w‖, and so agrees where there is no decay; torchvision's and NVIDIA's LARC keep the
/// learning rate out of the velocity.
///
/// The velocity is made of past updates, not of gradients: a change of batch size leaves it as it is, and a change of
/// learning rate takes some 1/(1−μ) steps to take hold.
pub struct Lars {
    config: LarsConfig,
    ledger: Ledger,
    velocity: Option<Buffers>,
}

impl Lars {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// A hyper-parameter out of its range, a group that matches nothing, a device that cannot allocate.
    pub fn new(config: LarsConfig, parameters: &Parameters, groups: &Groups) -> Result<Self> {
        share("momentum", config.momentum)?;
        at_least_zero("weight decay", config.weight_decay)?;
        above_zero("trust coefficient", config.trust_coefficient)?;
        at_least_zero("ε", config.epsilon)?;
        let velocity =
            (config.momentum != 0.0).then(|| Buffers::zeros("momentum", parameters)).transpose()?;
        Ok(Self { config, ledger: Ledger::new(parameters, groups)?, velocity })
    }

    /// r for one parameter.
    fn ratio(&self, w: &Tensor, g: &Tensor, weight_decay: f64) -> Result<f64> {
        let LarsConfig { trust_coefficient, epsilon, .. } = self.config;
        let (w, g) = (norm2(w)?.sqrt(), norm2(g)?.sqrt());
        Ok(trust_ratio(w, g, trust_coefficient * w / (g + weight_decay * w + epsilon)))
    }
}

impl Optimizer for Lars {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let LarsConfig { momentum, weight_decay, .. } = self.config;
        for turn in self.ledger.begin(parameters, gradients, learning_rate, weight_decay)? {
            let (w, g, decay) = (&turn.w, turn.g, turn.weight_decay);
            let ratio = if turn.trust_ratio { self.ratio(w, g, decay)? } else { 1.0 };
            let rate = turn.learning_rate * ratio;
            match &mut self.velocity {
                Some(velocity) => {
                    let v = &mut velocity[turn.i];
                    Accumulate { keep: momentum, take: rate, decay, square: false }.apply(v, g, w)?;
                    update_var(w, [v], &Descend { rate: 1.0, decay: 0.0 })?;
                }
                None => update_var(w, [g], &Descend { rate, decay })?,
            }
        }
        Ok(())
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        self.ledger.state(&self.velocity)
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.ledger.load(state, &mut self.velocity)
    }
}
