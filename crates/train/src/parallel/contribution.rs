//! What one micro-batch adds to its batch.

use crate::accumulate::of_examples;
use crate::{Tap, Task, TrainError};
use batchwise_data::Batch;
use batchwise_nn::{Gradients, gradients, random};
use candle_core::DType;

/// What one micro-batch adds to its batch, its gradient apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Contribution {
    /// Of its loss.
    pub(super) weight: f64,
    /// Its loss sum.
    pub(super) loss: f64,
    /// The weight of the micro-batch, or of each example, and the squared norm of its mean gradient for each parameter.
    pub(super) norms: Vec<(f64, Vec<f64>)>,
}

/// Leaves the gradient of the micro-batch's loss sum, divided by the `expected` weight of the whole batch, in `gradients`.
pub(super) fn contribute(
    task: &Task,
    data: &Batch,
    expected: f64,
    tap: Tap,
    gradients: &mut Gradients,
) -> Result<Contribution, TrainError> {
    gradients.clear();
    let output = {
        let _span = tracing::trace_span!("forward").entered();
        random::with_first_example(data.positions.start, || task.model.forward_t(&data.inputs, true))?
    };
    let loss = (task.loss)(&output, &data.targets)?;
    drop(output);
    let _span = tracing::trace_span!("backward").entered();
    let share = loss.sum.affine(1.0 / expected, 0.0)?;
    let norms = match tap {
        Tap::Off => {
            gradients.backward(&task.parameters, &share, gradients::Tap::Off)?;
            Vec::new()
        }
        Tap::Norms => {
            let norms = gradients.backward(&task.parameters, &share, gradients::Tap::Norms)?;
            let to_mean = (expected / loss.weight).powi(2);
            vec![(loss.weight, norms.into_iter().map(|norm2| norm2 * to_mean).collect())]
        }
        Tap::Examples => {
            if data.mask.is_some() {
                return Err(TrainError::Config {
                    name: "the sequences with norms of single examples",
                    found: "of differing length".to_owned(),
                    allowed: "all of one length, which gives each the same weight in the loss",
                });
            }
            let weight = loss.weight / data.n_examples as f64;
            let norms = gradients.backward_examples(&task.parameters, &share, data.n_examples)?;
            of_examples(task, &norms, weight, (expected / weight).powi(2))?.collect()
        }
    };
    Ok(Contribution { weight: loss.weight, loss: loss.sum.to_dtype(DType::F64)?.to_scalar()?, norms })
}
