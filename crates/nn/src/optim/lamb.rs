//! LAMB (You et al. 2020, "Large Batch Optimization for Deep Learning", algorithm 2 with φ(z) = z), as `optax.lamb`.

use super::adam::moments;
use super::config::{above_zero, at_least_zero, share};
use super::state::{Buffers, Ledger};
use super::steps::{AdamStep, Corrected, trust_ratio};
use super::{Groups, Optimizer};
use crate::gradients::norm2;
use crate::update::{Measure, Real, measure, sum_by, update_var};
use crate::{Gradients, Parameters};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use std::fmt;

/// Hyper-parameters of [`Lamb`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LambConfig {
    /// Decay of the mean of the gradient, in [0, 1).
    pub beta1: f64,
    /// Decay of the mean of its square, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment, above 0.
    pub epsilon: f64,
    /// λ of λ·w that is added to the update before its norm is taken, at least 0.
    pub weight_decay: f64,
}

impl LambConfig {
    /// The paper's for BERT: β = (0.9, 0.999), ε = 1e-6, λ = 0.01.
    pub const USUAL: Self = Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weight_decay: 0.01 };
}

impl fmt::Display for LambConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beta1, beta2, epsilon, weight_decay } = self;
        write!(f, "LAMB with β ({beta1}, {beta2}), ε {epsilon:e} and weight decay {weight_decay}")
    }
}

/// m and v as Adam's, u = m̂/(√v̂ + ε) + λw with bias-corrected moments, w ← w − η·r·u, for each parameter tensor with
/// its own trust ratio r = ‖w‖/‖u‖, which is 1 where either norm is 0 or the parameter's [`Groups`] say so; biases and
/// norms are best left without ([`Groups::matrices_only`]).
///
/// The moments are of the gradient of a batch: a change of batch size leaves them as they are, and v follows the new
/// batch's smaller or larger noise within some 1/(1−β2) steps.
pub struct Lamb {
    config: LambConfig,
    ledger: Ledger,
    first: Buffers,
    second: Buffers,
}

impl Lamb {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// A hyper-parameter out of its range, a group that matches nothing, a device that cannot allocate.
    pub fn new(config: LambConfig, parameters: &Parameters, groups: &Groups) -> Result<Self> {
        share("β1", config.beta1)?;
        share("β2", config.beta2)?;
        above_zero("ε", config.epsilon)?;
        at_least_zero("weight decay", config.weight_decay)?;
        let first = Buffers::zeros("first_moment", parameters)?;
        let second = Buffers::zeros("second_moment", parameters)?;
        Ok(Self { config, ledger: Ledger::new(parameters, groups)?, first, second })
    }
}

impl Optimizer for Lamb {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let LambConfig { beta1, beta2, epsilon, weight_decay } = self.config;
        let turns = self.ledger.begin(parameters, gradients, learning_rate, weight_decay)?;
        let Corrected { rate, epsilon } = Corrected::new(beta1, beta2, epsilon, self.ledger.n_steps());
        for turn in turns {
            let (w, decay) = (&turn.w, turn.weight_decay);
            let (m, v) = (&mut self.first[turn.i], &mut self.second[turn.i]);
            moments(m, v, w, turn.g, [beta1, beta2], 0.0)?;
            let mut step = turn.learning_rate;
            if turn.trust_ratio {
                let update = measure([w.as_tensor(), m, v], &UpdateNorm2 { rate, epsilon, decay })?.sqrt();
                let weights = norm2(w)?.sqrt();
                step *= trust_ratio(weights, update, weights / update);
            }
            update_var(w, [m, v], &AdamStep { rate: step * rate, epsilon, decay: step * decay })?;
        }
        Ok(())
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        self.ledger.state([&self.first, &self.second])
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.ledger.load(state, [&mut self.first, &mut self.second])
    }
}

/// ‖rate·m/(√v + ε) + decay·w‖² from w, m and v, without a tensor for the update.
struct UpdateNorm2 {
    rate: f64,
    epsilon: f64,
    decay: f64,
}

impl Measure<3> for UpdateNorm2 {
    const NAME: &'static str = "lamb_update_norm";

    #[inline(always)]
    fn piece<T: Real>(&self, [w, m, v]: [&[T]; 3]) -> f64 {
        let (rate, epsilon, decay) =
            (T::from_f64(self.rate), T::from_f64(self.epsilon), T::from_f64(self.decay));
        sum_by(w.len(), |i| {
            let update = (rate * m[i] / (v[i].root() + epsilon) + decay * w[i]).widen();
            update * update
        })
    }

    fn plain(&self, [w, m, v]: [&Tensor; 3]) -> Result<f64> {
        let update = ((m * self.rate)? / (v.sqrt()? + self.epsilon)?)?;
        norm2(&(update + (w * self.decay)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::measure_equals_its_twin;

    #[test]
    fn the_norm_equals_its_twin() {
        measure_equals_its_twin(&UpdateNorm2 { rate: 2.0, epsilon: 0.1, decay: 0.3 }, [false, false, true]);
    }
}
