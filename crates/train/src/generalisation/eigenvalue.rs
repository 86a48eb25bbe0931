//! The largest eigenvalue of the Hessian, from differences of gradients.

use super::point::{Kept, Point};
use super::vector::{self, dot, norm, plus};
use crate::TrainError;
use batchwise_estimate::grade::Grade;
use serde::{Deserialize, Serialize};

/// When an iteration for the top eigenvalue ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EigenvalueConfig {
    /// Converged only where λ changed by at most this share in the last iteration, above 0.
    pub change: f64,
    /// … and where ‖Hv − λv‖ is at most this share of |λ|, above 0. (Of a hundredth of the dominant |λ| where λ is
    /// smaller than that.)
    pub residual: f64,
    /// The most iterations, at least 2, each of two gradients; as many again where the first ones found a negative
    /// eigenvalue.
    pub iterations: u32,
    /// Of the direction that is started from.
    pub seed: u64,
    /// The step h of the differences, above 0; `None` for ε^⅓·max(1, ‖w‖).
    pub step: Option<f64>,
}

impl EigenvalueConfig {
    /// Change 10⁻³, residual 2 %, 100 iterations.
    pub const USUAL: Self = Self { change: 1e-3, residual: 0.02, iterations: 100, seed: 0, step: None };
}

/// The largest (most positive) eigenvalue of the Hessian of the mean loss, or why it is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Eigenvalue {
    /// λ; `None` where not identified.
    pub value: Option<f64>,
    /// λ less its uncertainty, the largest of ‖Hv − λv‖ (an eigenvalue lies within, as H is symmetric), of the difference to
    /// other steps, and of the gradients' rounding. It is the top one unless the start was nearly orthogonal to that.
    pub low: Option<f64>,
    /// λ and its uncertainty; a bound alone where no curvature was seen.
    pub high: Option<f64>,
    /// The eigenvalue that is largest in absolute value, where it is negative and was found first.
    pub dominant: Option<f64>,
    /// ‖Hv − λv‖/|λ| at the end.
    pub residual: Option<f64>,
    /// Share by which λ changed in the last iteration.
    pub change: Option<f64>,
    /// The largest share by which λ at h/2 and at 2h differs from λ at h.
    pub spread: Option<f64>,
    /// Iterations, of two gradients each.
    pub iterations: u32,
    /// The step h. With ReLU the curvature is the one smoothed over ±h along the eigenvector (theory.md §5.3).
    pub step: f64,
    /// Examples.
    pub n_examples: u64,
    /// [`Grade::Measured`]; [`Grade::Approximate`] where λ depends on the step by more than 5 %;
    /// [`Grade::LowerBound`] where the iteration did not converge, as vᵀHv of any direction of length 1 is one;
    /// [`Grade::UpperBound`] where the gradient does not change at all; [`Grade::NotIdentified`].
    pub grade: Grade,
    /// What the grade means here, where it is not measured.
    pub why: Option<String>,
}

/// λ may differ by this share between steps and still count as measured (theory.md §5.3).
const SPREAD: f64 = 0.05;
/// Beyond this share there is no number.
const LARGEST_SPREAD: f64 = 0.5;

/// The top eigenvalue by power iteration on Hv ≈ (g(w + hv) − g(w − hv))/2h, ‖v‖ = 1 (theory.md §5.3).
///
/// The truncation of this difference grows as h², its rounding as ε‖g‖/h; the sum is least near h = ε^⅓, times the scale
/// of the weights, max(1, ‖w‖), where ε is 2⁻²³ in f32 (h = 0.005) and 2⁻⁵² in f64 (h = 6·10⁻⁶). Weights are rounded
/// when they are moved; the difference is divided by the move that was really made, so that this costs nothing.
///
/// Power iteration finds the eigenvalue that is largest in absolute value. Where that is negative, or where two of
/// opposite signs are about as large and it does not settle, the iteration is run again on H + cI, whose largest is the
/// most positive one. No value is told unless both λ and v stand still, which takes long where the largest eigenvalues are
/// nearly equal; then λ is also measured at h/2 and 2h.
///
/// Memory: five vectors of f64 beside the model and a copy of its parameters.
///
/// # Errors
/// A setting out of its range, a task without parameters; data and device errors. The parameters are as before, also
/// then.
pub fn top_eigenvalue(point: &mut Point<'_>, config: &EigenvalueConfig) -> Result<Eigenvalue, TrainError> {
    check(config)?;
    let kept = Kept::new(point.task)?;
    let weights = vector::weights(&point.task.parameters)?;
    if weights.is_empty() {
        let (name, found) = ("the number of parameters of a curvature", "0".to_owned());
        return Err(TrainError::Config { name, found, allowed: "at least 1" });
    }
    // Infinite weights make the gradient infinite, too, which is told below.
    let size = Some(norm(&weights)).filter(|norm| norm.is_finite()).unwrap_or(1.0).max(1.0);
    let step = config.step.unwrap_or_else(|| point.rounding().cbrt() * size);
    let mut hessian = Hessian { point, weights, step };
    let found = search(&mut hessian, config)?;
    let answer = found.answer(&mut hessian)?;
    kept.restore()?;
    Ok(answer)
}

fn check(config: &EigenvalueConfig) -> Result<(), TrainError> {
    let positive = |name, value: f64| match value.is_finite() && 0.0 < value {
        true => Ok(()),
        false => Err(TrainError::Config { name, found: value.to_string(), allowed: "finite and above 0" }),
    };
    positive("the change of a converged eigenvalue", config.change)?;
    positive("the residual of a converged eigenvalue", config.residual)?;
    positive("the step of a curvature", config.step.unwrap_or(1.0))?;
    if config.iterations < 2 {
        let (name, found) = ("the iterations for an eigenvalue", config.iterations.to_string());
        return Err(TrainError::Config { name, found, allowed: "at least 2" });
    }
    Ok(())
}

/// The Hessian at one point, known by its products.
struct Hessian<'p, 't> {
    point: &'p mut Point<'t>,
    weights: Vec<f64>,
    step: f64,
}

impl Hessian<'_, '_> {
    fn times(&mut self, v: &[f64], step: f64) -> Result<Product, TrainError> {
        let (mut u, ahead) = self.gradient(v, step)?;
        let (back, behind) = self.gradient(v, -step)?;
        u.iter_mut().zip(back).for_each(|(a, b)| *a -= b);
        let length = norm(&u);
        let hu = ahead.iter().zip(behind).map(|(a, b)| (a - b) / length).collect();
        u.iter_mut().for_each(|x| *x /= length);
        let rounding = self.point.rounding() * norm(&ahead) / length;
        Ok(Product { u, hu, rounding, has_moved: length != 0.0 })
    }

    /// Where the weights came to be, and the gradient there.
    fn gradient(&mut self, v: &[f64], step: f64) -> Result<(Vec<f64>, Vec<f64>), TrainError> {
        let parameters = &self.point.task.parameters;
        vector::set_weights(parameters, &plus(&self.weights, step, v))?;
        Ok((vector::weights(parameters)?, self.point.gradient(self.point.positions.clone())?))
    }
}

/// The Hessian times a direction.
struct Product {
    /// The direction of length 1 that was really gone, as weights are rounded.
    u: Vec<f64>,
    hu: Vec<f64>,
    /// Curvature that could hide in the rounding of the gradients: ε‖g‖ over the distance.
    rounding: f64,
    /// Whether a weight changed at all.
    has_moved: bool,
}

/// Where an iteration stands.
struct Found {
    v: Vec<f64>,
    lambda: f64,
    /// ‖Hv − λv‖.
    residual: f64,
    /// ‖Hv‖.
    length: f64,
    /// As in [`Product`].
    rounding: f64,
    has_moved: bool,
    change: Option<f64>,
    iterations: u32,
    dominant: Option<f64>,
    has_converged: bool,
}

/// Power iteration, once more with a shift where the eigenvalue found is not the most positive.
fn search(hessian: &mut Hessian<'_, '_>, config: &EigenvalueConfig) -> Result<Found, TrainError> {
    let start = vector::direction(config.seed, hessian.weights.len());
    let first = iterate(hessian, start, 0.0, config)?;
    // Where λ and ‖Hv‖ differ much, v mixes eigenvectors of both signs.
    let is_mixed = !first.has_converged && 1.2 * first.lambda.abs() < first.length;
    let is_seen = first.length.is_finite() && first.length != 0.0;
    if !is_seen || !(first.lambda < 0.0 || is_mixed) {
        return Ok(first);
    }
    let shift = 1.05 * first.length;
    let start = vector::direction(config.seed.wrapping_add(1), hessian.weights.len());
    let second = iterate(hessian, start, shift, config)?;
    let dominant = Some(first.lambda).filter(|lambda| first.has_converged && *lambda < 0.0);
    Ok(Found { dominant, iterations: first.iterations + second.iterations, ..second })
}

/// Power iteration on H + shift·I.
fn iterate(
    hessian: &mut Hessian<'_, '_>,
    mut v: Vec<f64>,
    shift: f64,
    config: &EigenvalueConfig,
) -> Result<Found, TrainError> {
    let (mut before, mut iterations) = (None::<f64>, 0);
    loop {
        let Product { u, hu, rounding, has_moved } = hessian.times(&v, hessian.step)?;
        iterations += 1;
        let (lambda, length) = (dot(&u, &hu), norm(&hu));
        let residual = norm(&plus(&hu, -lambda, &u));
        let size = lambda.abs().max(0.01 * shift);
        let change = before.map(|before| (lambda - before).abs() / size);
        let has_converged =
            residual <= config.residual * size && change.is_some_and(|change| change <= config.change);
        let mut next = plus(&hu, shift, &u);
        let next_length = norm(&next);
        let is_over = has_converged || config.iterations <= iterations || length == 0.0;
        if is_over || !next_length.is_finite() || next_length == 0.0 {
            let (v, dominant) = (u, None);
            return Ok(Found {
                v,
                lambda,
                residual,
                length,
                rounding,
                has_moved,
                change,
                iterations,
                dominant,
                has_converged,
            });
        }
        next.iter_mut().for_each(|x| *x /= next_length);
        (v, before) = (next, Some(lambda));
    }
}

impl Found {
    /// What may be told of it.
    fn answer(self, hessian: &mut Hessian<'_, '_>) -> Result<Eigenvalue, TrainError> {
        let relative = |x: f64| Some(x / self.lambda.abs()).filter(|share| share.is_finite());
        let mut answer = Eigenvalue {
            value: None,
            low: None,
            high: None,
            dominant: self.dominant,
            residual: relative(self.residual),
            change: self.change.filter(|change| change.is_finite()),
            spread: None,
            iterations: self.iterations,
            step: hessian.step,
            n_examples: hessian.point.n_examples(),
            grade: Grade::NotIdentified,
            why: None,
        };
        if !self.has_moved {
            answer.why = Some(format!("a step of {:.1e} moves no weight: take a longer one", hessian.step));
            return Ok(answer);
        }
        if self.length == 0.0 {
            // In a random direction: what is curved at all is curved along it.
            answer.grade = Grade::UpperBound;
            answer.high = Some(self.rounding);
            answer.why = Some(format!(
                "the gradient is the same to the bit {:.1e} to both sides: its rounding hides a curvature of up to {:.1e}",
                hessian.step, self.rounding
            ));
            return Ok(answer);
        }
        if !self.length.is_finite() {
            answer.why =
                Some(format!("the gradient is not finite {:.1e} away from the weights", hessian.step));
            return Ok(answer);
        }
        let unconverged = format!(
            "not converged after {} iterations: ‖Hv − λv‖ is {:.1e} where |λ| is {:.1e}",
            self.iterations,
            self.residual,
            self.lambda.abs()
        );
        if !self.has_converged && self.lambda <= 0.0 {
            answer.why = Some(unconverged);
            return Ok(answer);
        }
        let mut farthest = 0.0f64;
        for step in [hessian.step / 2.0, hessian.step * 2.0] {
            let Product { u, hu, .. } = hessian.times(&self.v, step)?;
            let difference = (dot(&u, &hu) - self.lambda).abs();
            // A step that leads to where the loss is not finite is no agreement.
            farthest = if difference.is_finite() { farthest.max(difference) } else { f64::INFINITY };
        }
        answer.spread = if farthest == 0.0 { Some(0.0) } else { relative(farthest) };
        let spread = answer.spread.unwrap_or(f64::INFINITY);
        if LARGEST_SPREAD < spread {
            answer.why = Some(format!(
                "at half and double the step of {:.1e} the curvature of {:.1e} differs by {farthest:.1e}: it is rounding, or kinks",
                hessian.step, self.lambda
            ));
            return Ok(answer);
        }
        if !self.has_converged {
            // vᵀHv of any direction is at most the top eigenvalue.
            answer.grade = Grade::LowerBound;
            answer.low = Some(self.lambda - farthest.max(self.rounding));
            answer.why = Some(unconverged);
            return Ok(answer);
        }
        let margin = self.residual.max(farthest).max(self.rounding);
        (answer.value, answer.low, answer.high) =
            (Some(self.lambda), Some(self.lambda - margin), Some(self.lambda + margin));
        answer.grade = Grade::Measured;
        if SPREAD < spread {
            answer.grade = Grade::Approximate;
            answer.why = Some(format!(
                "at half and double the step of {:.1e} it differs by {:.0} %",
                hessian.step,
                100.0 * spread
            ));
        }
        Ok(answer)
    }
}
