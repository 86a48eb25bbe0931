//! Exponential moving averages of the weights (Polyak & Juditsky 1992; Busbridge et al. 2023 for the batch size).

use super::config::{above_zero, share};
use super::state::saved;
use crate::Parameters;
use crate::update::{Real, Update, update};
use candle_core::{Result, Tensor, bail};
use std::collections::BTreeMap;

/// How fast the averages forget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EmaDecay {
    /// The share ρ that one step keeps, in [0, 1), whatever its batch: the horizon in examples grows with the batch.
    PerStep(f64),
    /// After this many examples (or whatever unit the batches are counted in) half of an average is left, so that a
    /// change of batch size changes no horizon: a batch κ times as large keeps ρ^κ.
    HalfLife {
        /// Above 0.
        examples: f64,
    },
}

impl EmaDecay {
    /// The half-life of ρ per step at a batch of `batch` examples: ρ → ρ^κ at κ times the batch.
    ///
    /// # Errors
    /// ρ not in (0, 1), a batch that is not above 0.
    ///
    /// ```
    /// use batchwise_nn::optim::EmaDecay;
    ///
    /// let decay = EmaDecay::at_batch(0.99, 64.0)?;
    /// assert!((decay.kept(64.0) - 0.99).abs() < 1e-15);
    /// assert!((decay.kept(256.0) - 0.99f64.powi(4)).abs() < 1e-15);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn at_batch(rho: f64, batch: f64) -> Result<Self> {
        share("the decay of an average", rho)?;
        above_zero("the decay of an average", rho)?;
        above_zero("the batch of a decay", batch)?;
        Ok(Self::HalfLife { examples: -batch * std::f64::consts::LN_2 / rho.ln() })
    }

    /// The share of the averages that a step over a batch of so many examples keeps.
    pub fn kept(self, examples: f64) -> f64 {
        match self {
            Self::PerStep(rho) => rho,
            Self::HalfLife { examples: half_life } => (-examples / half_life).exp2(),
        }
    }

    /// 1 − [`EmaDecay::kept`], with all its digits where the half-life is long.
    fn taken(self, examples: f64) -> f64 {
        match self {
            Self::PerStep(rho) => 1.0 - rho,
            Self::HalfLife { examples: half_life } => {
                -(-examples / half_life * std::f64::consts::LN_2).exp_m1()
            }
        }
    }
}

/// a ← a + (1 − ρ)(w − a) after each step, from a = w at the start. No correction of the start is needed: the averages
/// are of the first weights and all later ones, with weights that sum to 1.
#[derive(Debug)]
pub struct Ema {
    decay: EmaDecay,
    averages: Vec<(String, Tensor)>,
    is_swapped: bool,
}

impl Ema {
    /// The averages of parameters that have not moved yet, and of running statistics, which belong to them: copies of
    /// their values.
    ///
    /// # Errors
    /// A decay out of its range, a device error.
    pub fn new(parameters: &Parameters, decay: EmaDecay) -> Result<Self> {
        match decay {
            EmaDecay::PerStep(rho) => share("the decay of an average", rho)?,
            EmaDecay::HalfLife { examples } => above_zero("the half-life of an average", examples)?,
        }
        Ok(Self { decay, averages: parameters.snapshot()?.into_iter().collect(), is_swapped: false })
    }

    /// Takes in the weights after a step over a batch of `examples`, at least 0.
    ///
    /// # Errors
    /// Parameters that are not those of the averages, averages that are swapped in: then nothing changes. A device
    /// error.
    pub fn update(&mut self, parameters: &Parameters, examples: f64) -> Result<()> {
        if !(examples.is_finite() && 0.0 <= examples) {
            bail!("a batch of {examples} examples cannot be averaged");
        }
        if self.is_swapped {
            bail!("the averages are in the place of the weights: swap them back before the next step");
        }
        self.check(parameters)?;
        let lerp = Lerp { take: self.decay.taken(examples) };
        let named = parameters.all();
        self.averages
            .iter_mut()
            .zip(&named)
            .try_for_each(|((_, a), (_, w))| update(a, [w.as_tensor()], &lerp))
    }

    /// Exchanges the averages and the weights, bit for bit: once to evaluate the averages, once more to go on. The
    /// parameters' storage stays the model's; one tensor at a time is copied.
    ///
    /// # Errors
    /// Parameters that are not those of the averages: then nothing changes. A device error: then some are exchanged.
    pub fn swap(&mut self, parameters: &Parameters) -> Result<()> {
        self.check(parameters)?;
        for ((_, a), (_, w)) in self.averages.iter_mut().zip(parameters.all()) {
            let weights = w.as_detached_tensor().copy()?;
            w.set(a)?;
            *a = weights;
        }
        self.is_swapped = !self.is_swapped;
        Ok(())
    }

    /// Whether the averages are in the place of the weights.
    pub fn is_swapped(&self) -> bool {
        self.is_swapped
    }

    /// The averages by name, such as `average.layer0.weight`; the tensors share storage with them.
    ///
    /// # Errors
    /// Averages that are swapped in: the weights would be saved in their place.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        if self.is_swapped {
            bail!("the averages are in the place of the weights: swap them back before saving");
        }
        Ok(self.averages.iter().map(|(name, a)| (format!("{PREFIX}{name}"), a.clone())).collect())
    }

    /// Replaces the averages by saved ones (copied).
    ///
    /// # Errors
    /// A missing or unknown name, a wrong shape or type, averages that are swapped in; then nothing changes.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        if self.is_swapped {
            bail!("the averages are in the place of the weights: swap them back before loading");
        }
        let known = |name: &str| {
            name.strip_prefix(PREFIX).is_some_and(|name| self.averages.iter().any(|(own, _)| own == name))
        };
        if let Some(name) = state.keys().find(|name| !known(name)) {
            bail!("the saved averages have `{name}`, which is no parameter's");
        }
        let averages = self
            .averages
            .iter()
            .map(|(name, own)| Ok((name.clone(), saved(state, &format!("{PREFIX}{name}"), own)?)));
        self.averages = averages.collect::<Result<_>>()?;
        Ok(())
    }

    fn check(&self, parameters: &Parameters) -> Result<()> {
        let named = parameters.all();
        if named.len() != self.averages.len() {
            bail!(
                "averages of {} parameters and running statistics for {}",
                self.averages.len(),
                named.len()
            );
        }
        for ((own, a), (name, w)) in self.averages.iter().zip(&named) {
            if own != name || a.shape() != w.shape() || a.dtype() != w.dtype() {
                bail!(
                    "parameter `{name}` ({:?} {:?}) where the averages have `{own}` ({:?} {:?})",
                    w.dtype(),
                    w.shape(),
                    a.dtype(),
                    a.shape()
                );
            }
        }
        Ok(())
    }
}

const PREFIX: &str = "average.";

/// a ← a + take·(w − a). In this form the averages of weights that stand still are those weights, whatever f32 makes
/// of a small `take`; ρ·a + (1−ρ)·w is off by the rounding of ρ over 1−ρ.
struct Lerp {
    take: f64,
}

impl Update<1> for Lerp {
    const NAME: &'static str = "ema";

    #[inline(always)]
    fn piece<T: Real>(&self, a: &mut [T], [w]: [&[T]; 1]) {
        let take = T::from_f64(self.take);
        a.iter_mut().zip(w).for_each(|(a, w)| *a += take * (*w - *a));
    }

    fn plain(&self, a: &Tensor, [w]: [&Tensor; 1]) -> Result<Tensor> {
        a + ((w - a)? * self.take)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::equals_its_twin;

    #[test]
    fn the_kernel_equals_its_twin() {
        equals_its_twin(&Lerp { take: 0.01 }, [false]);
    }
}
