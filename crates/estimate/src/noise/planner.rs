//! How many measurements, of which batch in which micro-batches, bring the wanted error (theory §1.3).
//!
//! For Gaussian examples, with r = (tr Σ)²/tr Σ² the effective rank, α = GᵀΣG/(‖G‖² tr Σ) the alignment and β = φ/B,
//! the means over K measurements have the relative variances
//!
//! - of 𝒢: (4αβ + 2β²/r·B/(B−b))/K;
//! - of 𝒮: 2/(r(n−1)K), n = B/b.
//!
//! So the finest split, b = 1, is best for 𝒮. For 𝒢, which is the noisy part where φ ≫ B, the examples M = K·B are the
//! better spent the larger the batch, up to B ≈ φ/(2αr); beyond, only M counts. Heavy tails need more than this says
//! (34 times more in one case of theory §1.3): plan with it, never state an error with it.
//!
//! ```
//! use batchwise_estimate::noise::{Choice, Shape, plan};
//! let shape = Shape { phi: 2000.0, effective_rank: 50.0, alignment: 0.05 };
//! let choices = [64.0, 256.0, 1024.0].map(|batch| Choice { batch, micro_batch: 1.0 });
//! let plan = plan(&shape, &choices, 0.2)?;
//! let needed: Vec<_> = plan.rows.iter().filter_map(|row| row.measurements).collect();
//! assert_eq!(needed, [1149, 101, 14]);
//! assert_eq!(plan.best, Some(2));
//! # Ok::<(), batchwise_estimate::noise::PlanError>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// What the error of a measurement depends on, besides the sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Shape {
    /// φ, a first guess; finite and at least 0.
    pub phi: f64,
    /// r = (tr Σ)²/tr Σ², at least 1: in how many directions the noise spreads.
    pub effective_rank: f64,
    /// α = GᵀΣG/(‖G‖² tr Σ) in [0, 1]: the share of the noise along the gradient; 1/r where noise knows no direction.
    pub alignment: f64,
}

/// A way to measure: batches of B in micro-batches of b.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Choice {
    /// B, in examples.
    pub batch: f64,
    /// b, in examples; at most B/2.
    pub micro_batch: f64,
}

/// What one choice takes.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct PlanRow {
    /// The sizes.
    pub choice: Choice,
    /// K, at least 2, because one measurement has no spread. `None` where it is beyond 2⁵³.
    pub measurements: Option<u64>,
    /// K·B, the examples it takes; `None` with the measurements.
    pub examples: Option<f64>,
    /// Relative standard error of ‖G‖² in one measurement.
    pub g2_relative_error: f64,
    /// Relative standard error of tr Σ in one measurement.
    pub tr_sigma_relative_error: f64,
}

/// The choices compared.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Plan {
    /// In the order of the choices.
    pub rows: Vec<PlanRow>,
    /// Position of the row with the fewest examples, of the smaller batch where two tie; `None` if no row has a number.
    pub best: Option<usize>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A number of the shape, or the wanted error, out of range.
    #[error("{name} is {value}, {allowed} is needed")]
    OutOfRange {
        /// Which.
        name: &'static str,
        /// The value found.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Sizes that make no two micro-batches.
    #[error(
        "choice {index} is a batch of {batch} in micro-batches of {micro_batch}: finite sizes above 0 are needed, and \
         a batch of at least 2 micro-batches"
    )]
    BadChoice {
        /// Position in the slice.
        index: usize,
        /// Batch size found.
        batch: f64,
        /// Micro-batch size found.
        micro_batch: f64,
    },
    /// Nothing to choose from.
    #[error("no choice of batch and micro-batch")]
    NoChoice,
}

/// K and its cost for every choice, so that both parts have the wanted relative standard error; and the cheapest.
///
/// # Errors
/// No choice; one that makes no two micro-batches; a shape or a wanted error out of range.
pub fn plan(shape: &Shape, choices: &[Choice], wanted_relative_error: f64) -> Result<Plan, PlanError> {
    let out = |name, value, allowed| Err(PlanError::OutOfRange { name, value, allowed });
    if !(shape.phi.is_finite() && shape.phi >= 0.0) {
        return out("the noise scale", shape.phi, "a finite number of at least 0");
    }
    if !(shape.effective_rank.is_finite() && shape.effective_rank >= 1.0) {
        return out("the effective rank", shape.effective_rank, "a finite number of at least 1");
    }
    if !(0.0..=1.0).contains(&shape.alignment) {
        return out("the alignment", shape.alignment, "a number from 0 to 1");
    }
    if !(wanted_relative_error.is_finite() && wanted_relative_error > 0.0) {
        return out("the wanted relative error", wanted_relative_error, "a finite number above 0");
    }
    if choices.is_empty() {
        return Err(PlanError::NoChoice);
    }
    let rows = choices
        .iter()
        .enumerate()
        .map(|(index, choice)| {
            row(shape, *choice, wanted_relative_error).ok_or(PlanError::BadChoice {
                index,
                batch: choice.batch,
                micro_batch: choice.micro_batch,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let best = rows
        .iter()
        .enumerate()
        .filter_map(|(i, row)| Some((row.examples?, row.choice.batch, i)))
        .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)))
        .map(|(_, _, i)| i);
    Ok(Plan { rows, best })
}

/// How many measurements K bring both parts to the wanted relative standard error, not rounded.
///
/// `batch` B and `micro_batch` b in examples. `None` where an argument is out of the range that [`plan`] names, or
/// the number out of the range of f64.
#[must_use]
pub fn measurements_needed(shape: &Shape, choice: Choice, wanted_relative_error: f64) -> Option<f64> {
    plan(shape, &[choice], wanted_relative_error).ok()?;
    let (g2, tr_sigma) = relative_variances(shape, choice);
    Some(g2.max(tr_sigma) / wanted_relative_error / wanted_relative_error).filter(|k| k.is_finite())
}

fn row(shape: &Shape, choice: Choice, wanted: f64) -> Option<PlanRow> {
    let Choice { batch, micro_batch } = choice;
    if !(batch.is_finite() && micro_batch > 0.0 && batch / micro_batch >= 2.0) {
        return None;
    }
    let (g2, tr_sigma) = relative_variances(shape, choice);
    let needed = (g2.max(tr_sigma) / wanted / wanted).ceil().max(2.0);
    let measurements = (needed <= 2f64.powi(53)).then_some(needed as u64);
    Some(PlanRow {
        choice,
        measurements,
        examples: measurements.map(|k| k as f64 * batch).filter(|examples| examples.is_finite()),
        g2_relative_error: g2.sqrt().min(f64::MAX),
        tr_sigma_relative_error: tr_sigma.sqrt().min(f64::MAX),
    })
}

/// The relative variances of 𝒢 and 𝒮 in one measurement.
fn relative_variances(shape: &Shape, Choice { batch, micro_batch }: Choice) -> (f64, f64) {
    let beta = shape.phi / batch;
    let others = 1.0 - micro_batch / batch;
    let g2 = beta * (4.0 * shape.alignment + 2.0 * beta / shape.effective_rank / others);
    (g2, 2.0 / (shape.effective_rank * (batch / micro_batch - 1.0)))
}
