//! Gradient noise in the metrics of the optimizer's preconditioner, from micro-batches.
//!
//! A step of Adam is θ − η·P·ĝ with P = 1/(√v̂ + ε), so the noise that matters to it is not that of ĝ but that of P·ĝ
//! (theory.md §1.1, "Generalised noise scale for a preconditioned step"). P is that of the step before: one that has seen
//! the batch correlates with its gradients, and neither part of the noise scale is unbiased.

use crate::{Run, Tap, TrainError};
use batchwise_estimate::noise::{IdentityCurvature, InverseCurvature, MicroNorm, NoiseError, Preconditioned};
use batchwise_nn::Gradients;
use batchwise_nn::gradients::PreconditionedNorms;
use batchwise_nn::optim::Optimizer;
use candle_core::Tensor;

/// Both forms of the noise of a preconditioned step, over all parameters: what was measured on one batch at one θ with
/// one P.
///
/// Divide no single one: pass many to [`Preconditioned::estimate`]. They are measurements at one P only where little has
/// changed between them.
///
/// A coordinate whose gradients were 0 until now has P = 1/ε, and outweighs all others in the batch that first moves it,
/// more so in the form with P². The optimizer's own step does not: it takes that gradient into v before it divides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreconditionedNoise {
    /// GᵀPG and tr(PΣ), for a curvature that is a multiple of P⁻¹.
    pub inverse_curvature: Preconditioned<InverseCurvature>,
    /// GᵀP²G and tr(P²Σ), for a curvature that is a multiple of the identity.
    pub identity_curvature: Preconditioned<IdentityCurvature>,
}

/// The squared norms of one gradient over all parameters in both metrics of a preconditioner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FormNorms {
    /// gᵀPg.
    pub(crate) by_p: f64,
    /// gᵀP²g.
    pub(crate) by_p2: f64,
}

impl FormNorms {
    /// The sums over the parameters of a gradient that is `factor` times as long as what was measured.
    pub(crate) fn of(parameters: &[PreconditionedNorms], factor: f64) -> Self {
        let sum = |norm2: fn(&PreconditionedNorms) -> f64| {
            factor * factor * parameters.iter().map(norm2).sum::<f64>()
        };
        Self { by_p: sum(|norms| norms.by_p), by_p2: sum(|norms| norms.by_p2) }
    }
}

/// What the micro-batches of a batch measure beside their gradient.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measuring<'a> {
    pub(crate) tap: Tap,
    /// With [`Tap::Norms`], for norms in its metrics too.
    pub(crate) preconditioner: Option<&'a [Tensor]>,
}

impl<'a> Measuring<'a> {
    /// What the tap says, without a preconditioner.
    pub(crate) fn plain(tap: Tap) -> Self {
        Self { tap, preconditioner: None }
    }

    /// The same with a preconditioner, if there is one.
    pub(crate) fn with(tap: Tap, preconditioner: Option<&'a Vec<Tensor>>) -> Self {
        Self { tap, preconditioner: preconditioner.map(Vec::as_slice) }
    }

    /// The norms of the whole batch's mean gradient, with the P of its micro-batches.
    pub(crate) fn of_batch(self, gradients: &Gradients) -> Result<Option<FormNorms>, TrainError> {
        let Some(p) = self.preconditioner else { return Ok(None) };
        Ok(Some(FormNorms::of(&gradients.preconditioned_norms2(p)?, 1.0)))
    }
}

/// The P to measure the next batch with, if the run asks for it and the optimizer has one yet.
pub(crate) fn preconditioner(
    run: &Run,
    tap: Tap,
    optimizer: &dyn Optimizer,
) -> Result<Option<Vec<Tensor>>, TrainError> {
    if run.tap_preconditioned && tap == Tap::Norms { Ok(optimizer.preconditioner()?) } else { Ok(None) }
}

/// Both forms from the weights and norms of the micro-batches, in their order, and those of the batch.
pub(crate) fn noise(
    micro: impl Iterator<Item = (f64, FormNorms)> + Clone,
    batch: FormNorms,
) -> Result<PreconditionedNoise, NoiseError> {
    let norms = |norm2: fn(&FormNorms) -> f64| -> Vec<MicroNorm> {
        micro.clone().map(|(weight, forms)| MicroNorm { weight, norm2: norm2(&forms) }).collect()
    };
    Ok(PreconditionedNoise {
        inverse_curvature: Preconditioned::from_norms(&norms(|forms| forms.by_p), batch.by_p)?,
        identity_curvature: Preconditioned::from_norms(&norms(|forms| forms.by_p2), batch.by_p2)?,
    })
}
