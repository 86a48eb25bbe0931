//! An average of the weights beside a run: followed step by step, put in their place to evaluate, saved and loaded.

use crate::TrainError;
use batchwise_nn::Parameters;
use batchwise_nn::optim::{Ema, EmaDecay};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// What the names of saved averages begin with.
pub const PREFIX: &str = "average/";

/// What [`Ema`]'s own names begin with.
const EMA_PREFIX: &str = "average.";

/// An exponential moving average of all weights (and of running statistics, which belong to them).
///
/// Its half-life counts examples, so that it spans the same data after a change of batch size (Busbridge et al. 2023:
/// ρ → ρ^κ at κ times the batch).
///
/// ```
/// use batchwise_nn::Parameters;
/// use batchwise_train::average::Average;
/// use candle_core::{DType, Device};
///
/// let parameters = Parameters::new();
/// let layer = candle_nn::linear(2, 1, parameters.builder(1, DType::F32, &Device::Cpu))?;
/// let mut average = Average::new(&parameters, 1000.0)?;
/// // … after each step over `batch` examples:
/// average.follow(&parameters, 64)?;
/// let n_names = average.evaluate(&parameters, || Ok(parameters.named().len()))?;
/// assert_eq!(n_names, 2);
/// assert!(average.state()?.contains_key("average/weight"));
/// # let _ = layer;
/// # Ok::<(), batchwise_train::TrainError>(())
/// ```
#[derive(Debug)]
pub struct Average {
    ema: Ema,
}

impl Average {
    /// The average of weights that have not moved yet, half of which is left after `half_life` examples.
    ///
    /// # Errors
    /// A half-life that is not finite and above 0; a device error.
    pub fn new(parameters: &Parameters, half_life: f64) -> Result<Self, TrainError> {
        Self::with(parameters, EmaDecay::HalfLife { examples: half_life })
    }

    /// The same with any decay.
    ///
    /// # Errors
    /// A decay out of its range; a device error.
    pub fn with(parameters: &Parameters, decay: EmaDecay) -> Result<Self, TrainError> {
        Ok(Self { ema: Ema::new(parameters, decay)? })
    }

    /// Takes in the weights after a step over a batch of `examples`.
    ///
    /// # Errors
    /// Parameters that are not those of the average; a device error.
    pub fn follow(&mut self, parameters: &Parameters, examples: u64) -> Result<(), TrainError> {
        Ok(self.ema.update(parameters, examples as f64)?)
    }

    /// Runs `work`, such as an evaluation, with the averages in the place of the weights, and puts the weights back bit
    /// for bit, also when `work` fails or panics.
    ///
    /// # Errors
    /// What `work` says; parameters that are not those of the average; a device error.
    pub fn evaluate<R>(
        &mut self,
        parameters: &Parameters,
        work: impl FnOnce() -> Result<R, TrainError>,
    ) -> Result<R, TrainError> {
        self.ema.swap(parameters)?;
        let mut swapped = Swapped { ema: &mut self.ema, parameters };
        let result = work();
        swapped.back()?;
        result
    }

    /// The averages by name, such as `average/layer0.weight`; the tensors share storage with them.
    ///
    /// # Errors
    /// None in this version, as the averages are never left in the place of the weights.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let renamed = |(name, tensor): (String, Tensor)| {
            (format!("{PREFIX}{}", name.strip_prefix(EMA_PREFIX).unwrap_or(&name)), tensor)
        };
        Ok(self.ema.state()?.into_iter().map(renamed).collect())
    }

    /// Replaces the averages by saved ones (copied).
    ///
    /// # Errors
    /// A missing or unknown name, a wrong shape or type; then nothing changes.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        let renamed = state.iter().map(|(name, tensor)| match name.strip_prefix(PREFIX) {
            Some(own) => Ok((format!("{EMA_PREFIX}{own}"), tensor.clone())),
            None => Err(TrainError::Config {
                name: "the name of a saved average",
                found: format!("`{name}`"),
                allowed: "`average/` and the name of a parameter",
            }),
        });
        Ok(self.ema.load_state(&renamed.collect::<Result<_, _>>()?)?)
    }
}

/// Puts the weights back when it goes.
struct Swapped<'a> {
    ema: &'a mut Ema,
    parameters: &'a Parameters,
}

impl Swapped<'_> {
    fn back(&mut self) -> Result<(), TrainError> {
        Ok(self.ema.swap(self.parameters)?)
    }
}

impl Drop for Swapped<'_> {
    fn drop(&mut self) {
        if self.ema.is_swapped()
            && let Err(error) = self.back()
        {
            tracing::error!(%error, "the weights could not be put back in the place of their averages");
        }
    }
}
