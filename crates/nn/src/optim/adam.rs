//! Adam (Kingma & Ba 2015, algorithm 1) and AdamW (Loshchilov & Hutter 2019, algorithm 2), as `torch.optim.Adam` and
//! `torch.optim.AdamW`.

use super::config::{above_zero, at_least_zero, share};
use super::state::{Buffers, Ledger};
use super::steps::{Accumulate, AdamStep, Corrected, InverseRoot, root_correction};
use super::{Groups, Optimizer};
use crate::ops::plain_device;
use crate::update::{Real, Share, Step, step_all, update, update_var};
use crate::{Gradients, Parameters};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use std::fmt;

/// Hyper-parameters of [`Adam`] with the decay in the gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// Decay of the mean of the gradient, in [0, 1).
    pub beta1: f64,
    /// Decay of the mean of its square, in [0, 1).
    pub beta2: f64,
    /// Added to the root of the second moment, above 0.
    pub epsilon: f64,
    /// λ of λ·w that is added to the gradient (L2 regularisation), at least 0.
    pub weight_decay: f64,
}

impl AdamConfig {
    /// The paper's and PyTorch's: β = (0.9, 0.999), ε = 1e-8, no decay.
    pub const USUAL: Self = Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
}

impl fmt::Display for AdamConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beta1, beta2, epsilon, weight_decay } = self;
        write!(f, "Adam with β ({beta1}, {beta2}), ε {epsilon:e} and weight decay {weight_decay}")
    }
}

/// Hyper-parameters of [`Adam`] with the decay beside the gradient.
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

impl fmt::Display for AdamWConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beta1, beta2, epsilon, weight_decay } = self;
        write!(f, "AdamW with β ({beta1}, {beta2}), ε {epsilon:e} and weight decay {weight_decay}")
    }
}

/// m ← β1·m + (1−β1)g, v ← β2·v + (1−β2)g², w ← w − η·m̂/(√v̂ + ε), with m̂ = m/(1−β1ᵗ) and v̂ = v/(1−β2ᵗ). The
/// decay enters as g ← g + λw before the moments (Adam), or as w ← w − η·λ·w beside them (AdamW).
///
/// The moments are of the gradient of a batch: a change of batch size leaves them as they are, and v follows the new
/// batch's smaller or larger noise within some 1/(1−β2) steps.
pub struct Adam {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    /// Whether the decay stays out of the moments.
    is_decoupled: bool,
    ledger: Ledger,
    first: Buffers,
    second: Buffers,
}

impl Adam {
    /// Adam before its first step.
    ///
    /// # Errors
    /// A hyper-parameter out of its range, a group that matches nothing, a device that cannot allocate.
    pub fn new(config: AdamConfig, parameters: &Parameters, groups: &Groups) -> Result<Self> {
        let AdamConfig { beta1, beta2, epsilon, weight_decay } = config;
        let config = AdamWConfig { beta1, beta2, epsilon, weight_decay };
        Ok(Self { is_decoupled: false, ..Self::decoupled(config, parameters, groups)? })
    }

    /// AdamW before its first step.
    ///
    /// # Errors
    /// As [`Adam::new`].
    pub fn decoupled(config: AdamWConfig, parameters: &Parameters, groups: &Groups) -> Result<Self> {
        let AdamWConfig { beta1, beta2, epsilon, weight_decay } = config;
        share("β1", beta1)?;
        share("β2", beta2)?;
        above_zero("ε", epsilon)?;
        at_least_zero("weight decay", weight_decay)?;
        let ledger = Ledger::new(parameters, groups)?;
        let first = Buffers::zeros("first_moment", parameters)?;
        let second = Buffers::zeros("second_moment", parameters)?;
        Ok(Self { beta1, beta2, epsilon, weight_decay, is_decoupled: true, ledger, first, second })
    }
}

impl Optimizer for Adam {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let Self { beta1, beta2, .. } = *self;
        let turns = self.ledger.begin(parameters, gradients, learning_rate, self.weight_decay)?;
        let corrected = Corrected::new(beta1, beta2, self.epsilon, self.ledger.n_steps());
        let mut shares = Vec::with_capacity(turns.len());
        for turn in turns {
            let (m, v) = (&mut self.first[turn.i], &mut self.second[turn.i]);
            let (inside, beside) =
                if self.is_decoupled { (0.0, turn.weight_decay) } else { (turn.weight_decay, 0.0) };
            let step = AdamStep {
                rate: turn.learning_rate * corrected.rate,
                epsilon: corrected.epsilon,
                decay: turn.learning_rate * beside,
            };
            if plain_device(&turn.w) {
                moments(m, v, &turn.w, turn.g, [beta1, beta2], inside)?;
                update_var(&turn.w, [m, v], &step)?;
                continue;
            }
            let rule = WholeStep { beta1, beta2, inside, step };
            shares.push(Share { rule, x: [turn.w.as_tensor().clone(), m.clone(), v.clone()], g: turn.g });
        }
        step_all(&shares)
    }

    fn preconditioner(&self) -> Result<Option<Vec<Tensor>>> {
        // 1/(√v/c + ε) = c/(√v + cε).
        let c = root_correction(self.beta2, self.ledger.n_steps());
        self.ledger.preconditioner(|i, factor| {
            let mut p = self.second[i].zeros_like()?;
            update(
                &mut p,
                [&self.second[i]],
                &InverseRoot { factor: factor * c, epsilon: self.epsilon * c },
            )?;
            Ok(p)
        })
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        self.ledger.state([&self.first, &self.second])
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.ledger.load(state, [&mut self.first, &mut self.second])
    }
}

/// The moments and the step from them, with the bits of [`moments`] and [`AdamStep`] but in one pass over memory.
struct WholeStep {
    beta1: f64,
    beta2: f64,
    /// Decay in the gradient.
    inside: f64,
    step: AdamStep,
}

impl Step<3> for WholeStep {
    const NAME: &'static str = "adam_step";

    #[inline(always)]
    fn piece<T: Real>(&self, [w, m, v]: [&mut [T]; 3], g: &[T]) {
        if self.inside == 0.0 {
            self.each(w, m, v, g, |g, _| g);
        } else {
            let decay = T::from_f64(self.inside);
            self.each(w, m, v, g, |g, w| g + decay * w);
        }
    }
}

impl WholeStep {
    #[inline(always)]
    fn each<T: Real>(&self, w: &mut [T], m: &mut [T], v: &mut [T], g: &[T], u: impl Fn(T, T) -> T) {
        let (keep1, take1) = (T::from_f64(self.beta1), T::from_f64(1.0 - self.beta1));
        let (keep2, take2) = (T::from_f64(self.beta2), T::from_f64(1.0 - self.beta2));
        let AdamStep { rate, epsilon, decay } = self.step;
        let (rate, epsilon, decay) = (T::from_f64(rate), T::from_f64(epsilon), T::from_f64(decay));
        for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(g) {
            let u = u(*g, *w);
            *m = keep1 * *m + take1 * u;
            *v = keep2 * *v + take2 * (u * u);
            *w -= decay * *w + rate * *m / (v.root() + epsilon);
        }
    }
}

/// Takes the gradient, with its decay, into both moments.
pub(super) fn moments(
    m: &mut Tensor,
    v: &mut Tensor,
    w: &candle_core::Var,
    g: &Tensor,
    [beta1, beta2]: [f64; 2],
    decay: f64,
) -> Result<()> {
    Accumulate { keep: beta1, take: 1.0 - beta1, decay, square: false }.apply(m, g, w)?;
    Accumulate { keep: beta2, take: 1.0 - beta2, decay, square: true }.apply(v, g, w)
}
