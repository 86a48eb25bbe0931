//! RMSprop (Tieleman & Hinton 2012; centred as Graves 2013), as `torch.optim.RMSprop`.

use super::config::{above_zero, at_least_zero, share};
use super::state::{Buffers, Ledger};
use super::steps::{Accumulate, Descend};
use super::{Groups, Optimizer};
use crate::update::{Real, Update, update, update_var};
use crate::{Gradients, Parameters};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use std::fmt;

/// Hyper-parameters of [`RmsProp`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsPropConfig {
    /// Decay α of the mean of the squared gradient, in [0, 1).
    pub alpha: f64,
    /// Added to the root, above 0.
    pub epsilon: f64,
    /// Share μ of the last velocity that is kept, in [0, 1). Without momentum no velocity is kept in memory.
    pub momentum: f64,
    /// Divides by the root of the variance instead of that of the mean square.
    pub centered: bool,
    /// λ of λ·w that is added to the gradient (L2 regularisation), at least 0.
    pub weight_decay: f64,
}

impl RmsPropConfig {
    /// PyTorch's: α = 0.99, ε = 1e-8, neither momentum nor centring nor decay.
    pub const USUAL: Self =
        Self { alpha: 0.99, epsilon: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 };
}

impl fmt::Display for RmsPropConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alpha, epsilon, momentum, centered, weight_decay } = self;
        let centered = if *centered { "centred " } else { "" };
        write!(f, "{centered}RMSprop with α {alpha}, ε {epsilon:e}, momentum {momentum}")?;
        write!(f, " and weight decay {weight_decay}")
    }
}

/// g ← g + λw, s ← α·s + (1−α)g², u = g/(√s + ε), and w ← w − ηu, or v ← μv + u, w ← w − ηv with momentum. Centred:
/// a ← α·a + (1−α)g, and s − a² in the place of s under the root (0 where rounding makes it negative, where PyTorch
/// answers NaN).
///
/// The moments are of the gradient of a batch: a change of batch size leaves them as they are, and they follow the
/// new batch's smaller or larger noise within some 1/(1−α) steps.
pub struct RmsProp {
    config: RmsPropConfig,
    ledger: Ledger,
    square: Buffers,
    mean: Option<Buffers>,
    velocity: Option<Buffers>,
}

impl RmsProp {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// A hyper-parameter out of its range, a group that matches nothing, a device that cannot allocate.
    pub fn new(config: RmsPropConfig, parameters: &Parameters, groups: &Groups) -> Result<Self> {
        share("α", config.alpha)?;
        above_zero("ε", config.epsilon)?;
        share("momentum", config.momentum)?;
        at_least_zero("weight decay", config.weight_decay)?;
        let zeros = |is_kept: bool, kind| is_kept.then(|| Buffers::zeros(kind, parameters)).transpose();
        Ok(Self {
            config,
            ledger: Ledger::new(parameters, groups)?,
            square: Buffers::zeros("second_moment", parameters)?,
            mean: zeros(config.centered, "first_moment")?,
            velocity: zeros(config.momentum != 0.0, "momentum")?,
        })
    }
}

impl Optimizer for RmsProp {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let RmsPropConfig { alpha, epsilon, momentum, weight_decay, .. } = self.config;
        for turn in self.ledger.begin(parameters, gradients, learning_rate, weight_decay)? {
            let (w, g, decay, i) = (&turn.w, turn.g, turn.weight_decay, turn.i);
            let s = &mut self.square[i];
            Accumulate { keep: alpha, take: 1.0 - alpha, decay, square: true }.apply(s, g, w)?;
            if let Some(mean) = &mut self.mean {
                let mean = &mut mean[i];
                Accumulate { keep: alpha, take: 1.0 - alpha, decay, square: false }.apply(mean, g, w)?;
            }
            let root = Root { epsilon, is_centered: self.mean.is_some() };
            // Where nothing is centred the mean is not looked at, and the square stands in its place.
            let s = &self.square[i];
            let mean = self.mean.as_ref().map_or(s, |mean| &mean[i]);
            match &mut self.velocity {
                Some(velocity) => {
                    let v = &mut velocity[i];
                    update(v, [g, w.as_tensor(), s, mean], &Velocity { momentum, decay, root })?;
                    update_var(w, [v], &Descend { rate: turn.learning_rate, decay: 0.0 })?;
                }
                None => {
                    let step = Step { rate: turn.learning_rate, decay, root };
                    update_var(w, [g, s, mean], &step)?;
                }
            }
        }
        Ok(())
    }

    fn preconditioner(&self) -> Result<Option<Vec<Tensor>>> {
        let root = Root { epsilon: self.config.epsilon, is_centered: self.mean.is_some() };
        self.ledger.preconditioner(|i, factor| {
            let s = &self.square[i];
            let mut p = s.zeros_like()?;
            // As in a step, the square stands in the place of a mean that is not looked at.
            let mean = self.mean.as_ref().map_or(s, |mean| &mean[i]);
            update(&mut p, [s, mean], &Inverse { factor, root })?;
            Ok(p)
        })
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        let Self { square, mean, velocity, .. } = self;
        self.ledger.state([Some(square), mean.as_ref(), velocity.as_ref()].into_iter().flatten())
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let Self { square, mean, velocity, ledger, .. } = self;
        ledger.load(state, [Some(square), mean.as_mut(), velocity.as_mut()].into_iter().flatten())
    }
}

/// What the gradient is divided by.
#[derive(Clone, Copy)]
struct Root {
    epsilon: f64,
    is_centered: bool,
}

impl Root {
    #[inline(always)]
    fn of<T: Real>(self, s: T, mean: T) -> T {
        let square = if self.is_centered { s - mean * mean } else { s };
        // Written so that NaN stays NaN.
        let square = if square < T::ZERO { T::ZERO } else { square };
        square.root() + T::from_f64(self.epsilon)
    }

    fn plain(self, s: &Tensor, mean: &Tensor) -> Result<Tensor> {
        let square = if self.is_centered { (s - mean.sqr()?)? } else { s.clone() };
        let square = square.lt(0.0)?.where_cond(&square.zeros_like()?, &square)?;
        square.sqrt()? + self.epsilon
    }
}

/// p ← factor/root from s and the mean: what a gradient is multiplied by.
struct Inverse {
    factor: f64,
    root: Root,
}

impl Update<2> for Inverse {
    const NAME: &'static str = "rmsprop_preconditioner";

    #[inline(always)]
    fn piece<T: Real>(&self, p: &mut [T], [s, mean]: [&[T]; 2]) {
        let factor = T::from_f64(self.factor);
        for ((p, s), mean) in p.iter_mut().zip(s).zip(mean) {
            *p = factor / self.root.of(*s, *mean);
        }
    }

    fn plain(&self, _: &Tensor, [s, mean]: [&Tensor; 2]) -> Result<Tensor> {
        self.root.plain(s, mean)?.recip()? * self.factor
    }
}

/// w ← w − rate·(g + decay·w)/root from g, s and the mean.
struct Step {
    rate: f64,
    decay: f64,
    root: Root,
}

impl Update<3> for Step {
    const NAME: &'static str = "rmsprop_step";

    #[inline(always)]
    fn piece<T: Real>(&self, w: &mut [T], [g, s, mean]: [&[T]; 3]) {
        let (rate, decay) = (T::from_f64(self.rate), T::from_f64(self.decay));
        for (((w, g), s), mean) in w.iter_mut().zip(g).zip(s).zip(mean) {
            *w -= rate * (*g + decay * *w) / self.root.of(*s, *mean);
        }
    }

    fn plain(&self, w: &Tensor, [g, s, mean]: [&Tensor; 3]) -> Result<Tensor> {
        let g = (g + (w * self.decay)?)?;
        w - ((g * self.rate)? / self.root.plain(s, mean)?)?
    }
}

/// v ← momentum·v + (g + decay·w)/root from g, w, s and the mean.
struct Velocity {
    momentum: f64,
    decay: f64,
    root: Root,
}

impl Update<4> for Velocity {
    const NAME: &'static str = "rmsprop_velocity";

    #[inline(always)]
    fn piece<T: Real>(&self, v: &mut [T], [g, w, s, mean]: [&[T]; 4]) {
        let (momentum, decay) = (T::from_f64(self.momentum), T::from_f64(self.decay));
        for ((((v, g), w), s), mean) in v.iter_mut().zip(g).zip(w).zip(s).zip(mean) {
            *v = momentum * *v + (*g + decay * *w) / self.root.of(*s, *mean);
        }
    }

    fn plain(&self, v: &Tensor, [g, w, s, mean]: [&Tensor; 4]) -> Result<Tensor> {
        let g = (g + (w * self.decay)?)?;
        (v * self.momentum)? + (g / self.root.plain(s, mean)?)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::equals_its_twin;

    #[test]
    fn the_kernels_equal_their_twins() {
        for is_centered in [false, true] {
            // An ε this large keeps a difference of roundings under the root from being blown up.
            let root = Root { epsilon: 1.0, is_centered };
            equals_its_twin(&Step { rate: 0.1, decay: 0.3, root }, [false, true, false]);
            equals_its_twin(&Inverse { factor: 0.7, root }, [true, false]);
            let velocity = Velocity { momentum: 0.9, decay: 0.3, root };
            equals_its_twin(&velocity, [false, false, true, false]);
        }
    }

    #[test]
    fn the_root_of_a_variance_that_rounding_made_negative_is_zero() {
        let root = Root { epsilon: 0.5, is_centered: true };
        assert_eq!(root.of(1.0f64, 1.0 + 1e-15), 0.5);
        assert!(root.of(f64::NAN, 1.0).is_nan());
    }
}
