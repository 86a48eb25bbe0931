//! Sharpness by one step of ascent.

use super::point::{Kept, Point};
use super::vector;
use crate::TrainError;
use crate::accumulate::micro_batches;
use crate::evaluate::mean_and_error;
use batchwise_estimate::grade::Grade;
use serde::{Deserialize, Serialize};

/// Among which neighbours of the parameters the steepest is sought.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ball {
    /// ‖ε‖ ≤ ρ, as in SAM (Foret et al. 2021): ε = ρ·g/‖g‖.
    Euclidean,
    /// ‖T⁻¹ε‖ ≤ ρ with T = |w| + `offset`, as in ASAM (Kwon et al. 2021): ε = ρ·T²g/‖Tg‖. With an offset of 0 the sharpness
    /// stays the same where weights are rescaled without changing the model; then a weight of 0 does not move.
    Adaptive {
        /// At least 0; Kwon et al. take 0.01 for stability.
        offset: f64,
    },
}

/// How sharpness is measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SharpnessConfig {
    /// Radius of the ball, above 0.
    pub rho: f64,
    /// Its shape.
    pub ball: Ball,
    /// Examples that take their step of ascent together (m-sharpness, Foret et al. 2021, §4.1); all of them if `None`.
    /// The sharpness falls as m grows, because a step that suits few examples is steeper for them: fix m where batch
    /// sizes are compared (theory.md §5.4).
    pub m: Option<u64>,
}

impl SharpnessConfig {
    /// ρ = 0.05, Foret et al.'s default, in a Euclidean ball over all examples together.
    pub const USUAL: Self = Self { rho: 0.05, ball: Ball::Euclidean, m: None };
}

/// How much the loss grows at the steepest neighbour of the parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sharpness {
    /// max over the ball of L(w + ε) − L(w), by one step of ascent, hence from below; `None` where not identified.
    pub value: Option<f64>,
    /// Its standard error from the finite number of examples, by the spread between parts (or groups of m) of the
    /// growth; `None` for a single part. The step's own dependence on the examples is not in it.
    pub error: Option<f64>,
    /// L(w), the mean loss, where it is finite.
    pub loss: Option<f64>,
    /// Norm of the gradient, ‖g‖, or ‖Tg‖ in an adaptive ball; the mean over groups. ρ times it is the part of the
    /// sharpness that a slope explains; what is left, curvature. `None` where it is not finite.
    pub gradient_norm: Option<f64>,
    /// The settings.
    pub config: SharpnessConfig,
    /// Examples.
    pub n_examples: u64,
    /// [`Grade::Measured`]; [`Grade::Approximate`] where rounding matters; [`Grade::NotIdentified`].
    pub grade: Grade,
    /// What the grade means here, where it is not measured.
    pub why: Option<String>,
}

/// max_{‖ε‖≤ρ} L(w + ε) − L(w) by one step of ascent (Foret et al. 2021, eq. 2), ≈ ρ‖g‖ + ½ρ²gᵀHg/‖g‖² in a Euclidean ball.
/// Costs a gradient and two evaluations.
///
/// # Errors
/// A setting out of its range; data and device errors. The parameters are as before, also then.
pub fn sharpness(point: &mut Point<'_>, config: &SharpnessConfig) -> Result<Sharpness, TrainError> {
    check(config)?;
    let (all, n_examples) = (point.positions.clone(), point.n_examples());
    let kept = Kept::new(point.task)?;
    let weights = vector::weights(&point.task.parameters)?;
    let group = config.m.unwrap_or(n_examples);
    // The growth of each part as (sum, weight), with its loss before.
    let (mut growth, mut before, mut norms) = (Vec::new(), Vec::new(), Vec::new());
    for positions in micro_batches(all, group) {
        let at = point.losses(positions.clone())?;
        let gradient = point.gradient(positions.clone())?;
        let (norm, step) = ascent(&weights, &gradient, config);
        if 0.0 < norm && norm.is_finite() {
            vector::set_weights(&point.task.parameters, &vector::plus(&weights, config.rho, &step))?;
            let after = point.losses(positions)?;
            vector::set_weights(&point.task.parameters, &weights)?;
            growth
                .extend(at.iter().zip(after).map(|((before, weight), (after, _))| (after - before, *weight)));
        } else {
            growth.extend(at.iter().map(|(_, weight)| (if norm == 0.0 { 0.0 } else { f64::NAN }, *weight)));
        }
        before.extend(at);
        norms.push(norm);
    }
    kept.restore()?;
    let (value, error) = mean_and_error(&growth);
    let (loss, _) = mean_and_error(&before);
    let gradient_norm = norms.iter().sum::<f64>() / norms.len() as f64;
    let (grade, why) = judge(value, loss, gradient_norm, point.rounding());
    let is_known = grade != Grade::NotIdentified;
    Ok(Sharpness {
        value: is_known.then_some(value),
        error: error.filter(|_| is_known),
        loss: Some(loss).filter(|loss| loss.is_finite()),
        gradient_norm: Some(gradient_norm).filter(|norm| norm.is_finite()),
        config: *config,
        n_examples,
        grade,
        why,
    })
}

fn check(config: &SharpnessConfig) -> Result<(), TrainError> {
    let bad = |name, found: String, allowed| Err(TrainError::Config { name, found, allowed });
    if !(config.rho.is_finite() && 0.0 < config.rho) {
        return bad("the radius of a sharpness", config.rho.to_string(), "finite and above 0");
    }
    if let Ball::Adaptive { offset } = config.ball
        && !(offset.is_finite() && 0.0 <= offset)
    {
        return bad("the offset of an adaptive sharpness", offset.to_string(), "finite and at least 0");
    }
    if config.m == Some(0) {
        return bad("the group of an m-sharpness", "0".to_owned(), "at least 1 example");
    }
    Ok(())
}

/// The norm of the (scaled) gradient and the step to the surface of a ball of radius 1.
fn ascent(weights: &[f64], gradient: &[f64], config: &SharpnessConfig) -> (f64, Vec<f64>) {
    let scale = |w: f64| match config.ball {
        Ball::Euclidean => 1.0,
        Ball::Adaptive { offset } => w.abs() + offset,
    };
    let scaled: Vec<f64> = weights.iter().zip(gradient).map(|(w, g)| scale(*w) * g).collect();
    let norm = vector::norm(&scaled);
    let step = weights.iter().zip(&scaled).map(|(w, g)| scale(*w) * g / norm).collect();
    (norm, step)
}

fn judge(value: f64, loss: f64, norm: f64, rounding: f64) -> (Grade, Option<String>) {
    if norm == 0.0 {
        let why = "the gradient is 0, so that no direction is the steepest: look at the top eigenvalue";
        return (Grade::NotIdentified, Some(why.to_owned()));
    }
    if !(value.is_finite() && loss.is_finite() && norm.is_finite()) {
        let why = format!("the loss is {loss}, it grows by {value}, and the gradient's norm is {norm}");
        return (Grade::NotIdentified, Some(why));
    }
    // A sum of losses is good to a few units of rounding.
    let noise = 10.0 * rounding * loss.abs();
    if value.abs() < noise {
        let why = format!(
            "the growth of {value:.1e} is within the loss's rounding of {noise:.1e}: take a larger radius"
        );
        return (Grade::Approximate, Some(why));
    }
    (Grade::Measured, None)
}
