//! Stochastic gradient descent with momentum, as `torch.optim.SGD`.

use super::config::{at_least_zero, share};
use super::state::{Buffers, Ledger};
use super::steps::{Accumulate, Descend};
use super::{Groups, Optimizer};
use crate::ops::plain_device;
use crate::update::{Real, Share, Step, Update, step_all, update_var};
use crate::{Gradients, Parameters};
use candle_core::{Result, Tensor, bail};
use std::collections::BTreeMap;
use std::fmt;

/// Hyper-parameters of [`Sgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdConfig {
    /// Share μ of the last velocity that is kept, in [0, 1). Without momentum no velocity is kept in memory.
    pub momentum: f64,
    /// Share d of a gradient that does not enter the velocity, in [0, 1]; the first step's enters whole.
    pub dampening: f64,
    /// Steps along the gradient plus μ times the new velocity (Sutskever et al. 2013 in PyTorch's form); needs
    /// momentum and no dampening.
    pub nesterov: bool,
    /// λ of λ·w that is added to the gradient (L2 regularisation), at least 0.
    pub weight_decay: f64,
}

impl SgdConfig {
    /// Momentum 0.9 and nothing else.
    pub const USUAL: Self = Self { momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0 };
}

impl fmt::Display for SgdConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { momentum, dampening, nesterov, weight_decay } = self;
        write!(f, "SGD with {}momentum {momentum}", if *nesterov { "Nesterov " } else { "" })?;
        if *dampening != 0.0 {
            write!(f, ", dampening {dampening}")?;
        }
        write!(f, " and weight decay {weight_decay}")
    }
}

/// g ← g + λw, v ← μv + (1−d)g (v ← g at the first step), w ← w − ηv, or w ← w − η(g + μv) with Nesterov; as in
/// PyTorch, the learning rate is not inside the velocity.
///
/// The velocity is a sum over steps: a change of batch size leaves it as it is.
pub struct Sgd {
    config: SgdConfig,
    ledger: Ledger,
    velocity: Option<Buffers>,
}

impl Sgd {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// A hyper-parameter out of its range, a group that matches nothing, a device that cannot allocate.
    pub fn new(config: SgdConfig, parameters: &Parameters, groups: &Groups) -> Result<Self> {
        share("momentum", config.momentum)?;
        at_least_zero("weight decay", config.weight_decay)?;
        if !(0.0..=1.0).contains(&config.dampening) {
            bail!("dampening must be in [0, 1], not {}", config.dampening);
        }
        if config.nesterov && (config.momentum == 0.0 || config.dampening != 0.0) {
            bail!("Nesterov momentum needs momentum above 0 and dampening 0");
        }
        let velocity =
            (config.momentum != 0.0).then(|| Buffers::zeros("momentum", parameters)).transpose()?;
        Ok(Self { config, ledger: Ledger::new(parameters, groups)?, velocity })
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let SgdConfig { momentum, dampening, nesterov, weight_decay } = self.config;
        let turns = self.ledger.begin(parameters, gradients, learning_rate, weight_decay)?;
        let take = if self.ledger.n_steps() == 1 { 1.0 } else { 1.0 - dampening };
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for turn in turns {
            let (w, g, rate, decay) = (&turn.w, turn.g, turn.learning_rate, turn.weight_decay);
            let Some(velocity) = &mut self.velocity else {
                let rule = Descend { rate, decay };
                if plain_device(w) {
                    update_var(w, [g], &rule)?;
                } else {
                    without.push(Share { rule, x: [w.as_tensor().clone()], g });
                }
                continue;
            };
            let v = &mut velocity[turn.i];
            let accumulate = Accumulate { keep: momentum, take, decay, square: false };
            if !plain_device(w) {
                let rule = WholeStep { accumulate, rate, nesterov };
                with.push(Share { rule, x: [w.as_tensor().clone(), v.clone()], g });
                continue;
            }
            accumulate.apply(v, g, w)?;
            if nesterov {
                update_var(w, [g, v], &Nesterov { rate, momentum, decay })?;
            } else {
                update_var(w, [v], &Descend { rate, decay: 0.0 })?;
            }
        }
        step_all(&without)?;
        step_all(&with)
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        self.ledger.state(&self.velocity)
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.ledger.load(state, &mut self.velocity)
    }
}

/// w ← w − rate·((g + decay·w) + momentum·v) from g and v.
struct Nesterov {
    rate: f64,
    momentum: f64,
    decay: f64,
}

impl Update<2> for Nesterov {
    const NAME: &'static str = "sgd_nesterov";

    #[inline(always)]
    fn piece<T: Real>(&self, w: &mut [T], [g, v]: [&[T]; 2]) {
        let (rate, momentum, decay) =
            (T::from_f64(self.rate), T::from_f64(self.momentum), T::from_f64(self.decay));
        for ((w, g), v) in w.iter_mut().zip(g).zip(v) {
            *w -= rate * ((*g + decay * *w) + momentum * *v);
        }
    }

    fn plain(&self, w: &Tensor, [g, v]: [&Tensor; 2]) -> Result<Tensor> {
        w - (((g + (w * self.decay)?)? + (v * self.momentum)?)? * self.rate)?
    }
}

/// The velocity and the step from it, piece by piece, so that memory is read and written once.
struct WholeStep {
    accumulate: Accumulate,
    rate: f64,
    nesterov: bool,
}

impl Step<2> for WholeStep {
    const NAME: &'static str = "sgd_momentum";

    #[inline(always)]
    fn piece<T: Real>(&self, [w, v]: [&mut [T]; 2], g: &[T]) {
        let (rate, decay) = (self.rate, self.accumulate.decay);
        if decay == 0.0 {
            Update::piece(&self.accumulate, v, [g]);
        } else {
            Update::piece(&self.accumulate, v, [g, &*w]);
        }
        if self.nesterov {
            Nesterov { rate, momentum: self.accumulate.keep, decay }.piece(w, [g, &*v]);
        } else {
            Update::piece(&Descend { rate, decay: 0.0 }, w, [&*v]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::equals_its_twin;

    #[test]
    fn the_kernel_equals_its_twin() {
        equals_its_twin(&Nesterov { rate: 0.1, momentum: 0.9, decay: 0.3 }, [false; 2]);
    }
}
