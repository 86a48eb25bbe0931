//! What one micro-batch adds to its batch.

use crate::preconditioned::{FormNorms, Measuring};
use crate::{Tap, Task, TrainError};
use batchwise_data::Batch;
use batchwise_nn::gradients::{self, ExampleNorms};
use batchwise_nn::{Gradients, Recorded, random};
use candle_core::{DType, Tensor};

/// What one micro-batch adds to its batch, its gradient apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contribution<Loss> {
    /// Of its loss.
    pub(crate) weight: f64,
    /// Its loss sum: a tensor where it was computed, as on a GPU each reading of it waits, or a number.
    pub(crate) loss: Loss,
    /// The weight of the micro-batch, or of each example, and the squared norm of its mean gradient for each parameter.
    pub(crate) norms: Vec<(f64, Vec<f64>)>,
    /// The norms of the micro-batch's mean gradient in the metrics of a preconditioner, where there was one.
    pub(crate) forms: Option<FormNorms>,
}

impl Contribution<Tensor> {
    /// With its loss as a number.
    pub(crate) fn read(self) -> Result<Contribution<f64>, TrainError> {
        let loss = self.loss.to_dtype(DType::F64)?.to_scalar()?;
        Ok(Contribution { weight: self.weight, loss, norms: self.norms, forms: self.forms })
    }
}

/// Adds the gradient of the micro-batch's loss sum, divided by the `expected` weight of the whole batch, to `gradients`.
pub(crate) fn contribute(
    task: &Task,
    data: &Batch,
    expected: f64,
    measuring: Measuring<'_>,
    gradients: &mut Gradients,
) -> Result<Contribution<Tensor>, TrainError> {
    let mut weight = 0.0;
    let recorded = {
        let _span = tracing::trace_span!("forward").entered();
        Recorded::new(|| {
            let forward = || task.forward(&data.inputs, true);
            let output = random::with_first_example(data.positions.start, forward)?;
            let loss = (task.loss)(&output, &in_dtype_of(&output, &data.targets)?)?;
            weight = loss.weight;
            Ok::<_, TrainError>(loss.sum)
        })?
    };
    let _span = tracing::trace_span!("backward").entered();
    let loss = recorded.loss().detach();
    let share = recorded.scaled(1.0 / expected);
    let mut forms = None;
    let norms = match measuring.tap {
        Tap::Off => {
            gradients.backward(&task.parameters, share, gradients::Tap::Off)?;
            Vec::new()
        }
        Tap::Norms | Tap::Auto => {
            // What the loss does not count has no mean gradient, and nobody asks for its norm (`Accumulated::noise`).
            let factor = if weight == 0.0 { 0.0 } else { expected / weight };
            let norms = match measuring.preconditioner {
                None => gradients.backward(&task.parameters, share, gradients::Tap::Norms)?,
                Some(p) => {
                    let norms = gradients.backward_preconditioned(&task.parameters, share, p)?;
                    forms = Some(FormNorms::of(&norms, factor));
                    norms.into_iter().map(|norms| norms.plain).collect()
                }
            };
            let to_mean = factor * factor;
            vec![(weight, norms.into_iter().map(|norm2| norm2 * to_mean).collect())]
        }
        Tap::Examples => {
            if data.mask.is_some() {
                return Err(TrainError::Config {
                    name: "the sequences with norms of single examples",
                    found: "of differing length".to_owned(),
                    allowed: "all of one length, which gives each the same weight in the loss",
                });
            }
            let own = weight / data.n_examples as f64;
            let norms = gradients.backward_examples(&task.parameters, share, data.n_examples)?;
            let factor = if own == 0.0 { 0.0 } else { expected / own };
            of_examples(task, &norms, own, factor * factor)?.collect()
        }
    };
    Ok(Contribution { weight, loss, norms, forms })
}

/// The norms by example, each of the same weight, from those by parameter.
fn of_examples(
    task: &Task,
    norms: &ExampleNorms,
    weight: f64,
    to_own: f64,
) -> Result<impl Iterator<Item = (f64, Vec<f64>)>, TrainError> {
    let named = task.parameters.named();
    if let Some(((name, _), _)) = named.iter().zip(&norms.groups).find(|(_, group)| group.is_none()) {
        return Err(TrainError::Config {
            name: "the layer of a parameter with norms of single examples",
            found: format!("one of candle's own for `{name}`"),
            allowed: "the layers of batchwise_nn",
        });
    }
    let groups: Vec<Vec<f64>> = norms.groups.iter().flatten().cloned().collect();
    let n = groups.first().map_or(0, Vec::len);
    Ok((0..n).map(move |i| (weight, groups.iter().map(|norms| norms[i] * to_own).collect())))
}

/// Targets that are values, in the dtype of the model; the loader gives f32.
pub(crate) fn in_dtype_of(output: &Tensor, targets: &Tensor) -> Result<Tensor, TrainError> {
    let differ = targets.dtype().is_float() && output.dtype().is_float() && targets.dtype() != output.dtype();
    Ok(if differ { targets.to_dtype(output.dtype())? } else { targets.clone() })
}
