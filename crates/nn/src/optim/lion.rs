//! Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2), as `optax.lion`.

use super::config::{at_least_zero, share};
use super::state::{Buffers, Ledger};
use super::steps::Accumulate;
use super::{Groups, Optimizer};
use crate::update::{Real, Update, update_var};
use crate::{Gradients, Parameters};
use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use std::fmt;

/// Hyper-parameters of [`Lion`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LionConfig {
    /// Share of the momentum in what gives the step its sign, in [0, 1).
    pub beta1: f64,
    /// Decay of the momentum, in [0, 1).
    pub beta2: f64,
    /// w ← w − η·λ·w at each step, at least 0. The paper's are 3 to 10 times AdamW's, at learning rates as many
    /// times smaller (section 5).
    pub weight_decay: f64,
}

impl LionConfig {
    /// The paper's β = (0.9, 0.99), without decay.
    pub const USUAL: Self = Self { beta1: 0.9, beta2: 0.99, weight_decay: 0.0 };
}

impl fmt::Display for LionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { beta1, beta2, weight_decay } = self;
        write!(f, "Lion with β ({beta1}, {beta2}) and weight decay {weight_decay}")
    }
}

/// w ← w − η(sign(β1·m + (1−β1)g) + λw), then m ← β2·m + (1−β2)g; the sign of 0 is 0.
///
/// The momentum is of the gradient of a batch: a change of batch size leaves it as it is.
pub struct Lion {
    config: LionConfig,
    ledger: Ledger,
    momentum: Buffers,
}

impl Lion {
    /// An optimizer before its first step.
    ///
    /// # Errors
    /// A hyper-parameter out of its range, a group that matches nothing, a device that cannot allocate.
    pub fn new(config: LionConfig, parameters: &Parameters, groups: &Groups) -> Result<Self> {
        share("β1", config.beta1)?;
        share("β2", config.beta2)?;
        at_least_zero("weight decay", config.weight_decay)?;
        let momentum = Buffers::zeros("momentum", parameters)?;
        Ok(Self { config, ledger: Ledger::new(parameters, groups)?, momentum })
    }
}

impl Optimizer for Lion {
    fn step(&mut self, parameters: &Parameters, gradients: &Gradients, learning_rate: f64) -> Result<()> {
        let LionConfig { beta1, beta2, weight_decay } = self.config;
        for turn in self.ledger.begin(parameters, gradients, learning_rate, weight_decay)? {
            let m = &mut self.momentum[turn.i];
            let step = Step { rate: turn.learning_rate, beta1, decay: turn.weight_decay };
            update_var(&turn.w, [m, turn.g], &step)?;
            Accumulate { keep: beta2, take: 1.0 - beta2, decay: 0.0, square: false }
                .apply(m, turn.g, &turn.w)?;
        }
        Ok(())
    }

    fn state(&self) -> BTreeMap<String, Tensor> {
        self.ledger.state([&self.momentum])
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.ledger.load(state, [&mut self.momentum])
    }
}

/// w ← w − rate·(sign(β1·m + (1−β1)g) + decay·w) from m and g.
struct Step {
    rate: f64,
    beta1: f64,
    decay: f64,
}

impl Update<2> for Step {
    const NAME: &'static str = "lion_step";

    #[inline(always)]
    fn piece<T: Real>(&self, w: &mut [T], [m, g]: [&[T]; 2]) {
        let (rate, decay) = (T::from_f64(self.rate), T::from_f64(self.decay));
        let (keep, take) = (T::from_f64(self.beta1), T::from_f64(1.0 - self.beta1));
        for ((w, m), g) in w.iter_mut().zip(m).zip(g) {
            let c = keep * *m + take * *g;
            // What is neither above nor below 0 is its own sign: 0 and NaN.
            let sign = if T::ZERO < c {
                T::ONE
            } else if c < T::ZERO {
                T::ZERO - T::ONE
            } else {
                c
            };
            *w -= rate * (sign + decay * *w);
        }
    }

    fn plain(&self, w: &Tensor, [m, g]: [&Tensor; 2]) -> Result<Tensor> {
        let c = ((m * self.beta1)? + (g * (1.0 - self.beta1))?)?;
        // candle's sign of NaN is 0, which would hide it.
        let sign = c.ne(&c)?.where_cond(&c, &c.sign()?)?;
        w - ((sign + (w * self.decay)?)? * self.rate)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::equals_its_twin;
    use crate::update::update;
    use candle_core::Device;

    #[test]
    fn the_kernel_equals_its_twin() {
        equals_its_twin(&Step { rate: 0.1, beta1: 0.9, decay: 0.3 }, [false; 2]);
    }

    #[test]
    fn zero_has_sign_zero_and_nan_travels() {
        let step = Step { rate: 1.0, beta1: 0.5, decay: 0.0 };
        let m = Tensor::new(&[1.0f64, -1.0, f64::NAN, f64::INFINITY, 0.0], &Device::Cpu).unwrap();
        let g = Tensor::new(&[-1.0f64, -1.0, 0.0, 0.0, -0.0], &Device::Cpu).unwrap();
        let mut w = Tensor::zeros_like(&m).unwrap();
        let plain: Vec<f64> = step.plain(&w, [&m, &g]).unwrap().to_vec1().unwrap();
        update(&mut w, [&m, &g], &step).unwrap();
        for got in [w.to_vec1().unwrap(), plain] {
            assert_eq!(got[..2], [0.0, 1.0]);
            assert!(got[2].is_nan());
            assert_eq!(got[3..], [-1.0, 0.0]);
        }
    }
}
