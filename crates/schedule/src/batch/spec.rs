//! What a batch-size schedule is made of, in the units it was written in.

use super::{BatchSchedule, Pair, Size};
use crate::controller::{Controller, ControllerError, ControllerSpec};
use crate::length::{Length, LengthError, RunLength};
use crate::lr::Schedule;
use crate::progress::Examples;
use crate::progress::LearningRate;
use crate::rules::{RuleError, Scaling, scale};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// A batch-size schedule as it is written.
///
/// It reads from and prints as a text; the grammar (brackets are optional, braces repeat):
///
/// ```text
/// batch  = [ "batch" ] size [ shape ] { bound } [ "lr" rule ]            64 doubling at 25%,50% max 2048
/// shape  = "then" size "at" length { "then" size "at" length }     64 then 128 at 30% then 256 at 60%
///        | "doubling" "at" length { "," length }
///        | xfactor "at" length { "," length }                64 x5 at 30%,60%,80%
///        | "ramp" "to" size "over" length [ "geometric" ] [ "from" length ]
///        | "increase"                                        where the learning rate falls (Smith et al. 2018)
///        | "seesaw"                                          half of it in the learning rate (Seesaw 2025)
///        | "critical" size "at" length { "," size "at" length }    doubles when B* is twice the batch (Merrill 2025)
///        | "adaptive" policy { frame }                       follows what the run measures: see `controller`
/// policy = "noise-scale" [ xfactor ] | "root" rate | "cabs" | "norm-test" θ | "inner-product" θ ν | "diversity" δ | "goodput"
/// frame  = "band" xfactor | "dwell" length | "most" xfactor | "grow-only"
/// bound  = "max" size | "min" size | "multiple" size | "doublings"
/// rule   = "keep" | "linear" | "sqrt" | "power" p | "noise-scale" φ | "root-noise-scale" φ | "surge" Bₙ    how the learning rate follows
/// size   = 64 | 2k                                           examples
/// ```
///
/// Without `lr`, `increase` follows the linear rule, `seesaw` and `critical` the square root, and all others keep the learning
/// rate as its own schedule says; with an adaptive batch size, whoever runs it decides.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct BatchSpec {
    /// The batch size at the beginning, at least 1.
    pub base: u64,
    /// How it changes.
    pub shape: BatchShape,
    /// Between what, and in what steps.
    pub bounds: Bounds,
    /// How the learning rate follows; `None` is what the shape's source does.
    pub rule: Option<Scaling>,
}

/// How a batch size changes over a run.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "shape", rename_all = "snake_case"))]
pub enum BatchShape {
    /// Not at all.
    Constant,
    /// To these sizes at these places of the run, ascending.
    Steps {
        /// (size, place).
        steps: Vec<(u64, Length)>,
    },
    /// Times `factor` at each place: doubling where it is 2.
    Times {
        /// Above 0; below 1 the batch shrinks.
        factor: f64,
        /// Ascending.
        at: Vec<Length>,
    },
    /// To `to` over a length, linearly or geometrically (a straight line on a logarithmic axis).
    Ramp {
        /// The size at the end.
        to: u64,
        /// How long it takes.
        over: Length,
        /// Where it begins.
        from: Length,
        /// By equal factors instead of equal amounts.
        geometric: bool,
    },
    /// B = base·(peak/η): as much larger as the learning rate would have fallen (Smith et al. 2018, "Don't decay the learning
    /// rate, increase the batch size": for SGD, η/B is the noise temperature, and it follows the same curve).
    Increase,
    /// The same batch sizes, for Adam: where the schedule cuts η by α, B grows by α and η falls by √α only (Seesaw, 2025).
    /// Valid while gradient noise dominates, that is below the critical batch.
    Seesaw,
    /// Doubles whenever the critical batch B* exceeds twice the batch (Merrill et al. 2025, batch size warmup).
    Critical {
        /// (B*, place of the run), ascending; B* is interpolated linearly.
        points: Vec<(u64, Length)>,
    },
    /// Follows what the run measures: [`BatchSpec::controller`].
    Adaptive(ControllerSpec),
}

/// Between what a batch size stays, and in what steps it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Bounds {
    /// Never below this, at least 1.
    pub min: u64,
    /// Never above this.
    pub max: u64,
    /// Always a multiple of this (the micro-batch times the number of workers), at least 1.
    pub multiple: u64,
    /// Only the first size times a power of two, rounded down.
    pub doublings: bool,
}

impl Default for Bounds {
    /// 1 to 2^40 examples, in steps of 1.
    fn default() -> Self {
        Self { min: 1, max: 1 << 40, multiple: 1, doublings: false }
    }
}

impl Bounds {
    /// The batch size nearest below `wanted` that is allowed: never 0, never beyond the bounds. A `wanted` that is no
    /// number counts as the lower bound.
    #[must_use]
    pub fn apply(&self, wanted: f64, base: u64) -> u64 {
        let (step, min, max) = (self.multiple.max(1), self.min.max(1), self.max.max(1));
        let mut size = if wanted.is_nan() { min as f64 } else { wanted.clamp(min as f64, max as f64) };
        if self.doublings && base > 0 {
            // The tiny excess keeps 2·base from falling to base by a rounding.
            let doublings = (size / base as f64).log2() + 1e-9;
            size = base as f64 * doublings.floor().exp2();
        }
        // What is a rounding below a whole number is that number.
        let whole = (size * (1.0 + 1e-12)).floor().min(max as f64) as u64;
        let down = whole / step * step;
        let least = min.div_ceil(step).saturating_mul(step);
        let most = max / step * step;
        down.clamp(least.min(most.max(step)), most.max(step)).max(1)
    }

    /// # Errors
    /// Bounds that no batch size satisfies, or not `size` (doublings are counted from `base`); a size of 0.
    pub fn admit(&self, size: u64, base: u64) -> Result<(), BatchError> {
        self.check()?;
        if size == 0 {
            return Err(BatchError::ZeroSize);
        }
        if self.apply(size as f64, base) == size {
            return Ok(());
        }
        let Self { min, max, multiple, .. } = *self;
        Err(BatchError::BaseOutside { base: size, min, max, multiple })
    }

    /// # Errors
    /// Bounds that no batch size satisfies.
    fn check(&self) -> Result<(), BatchError> {
        if self.min == 0 || self.multiple == 0 || self.max == 0 {
            return Err(BatchError::ZeroSize);
        }
        let step = self.multiple;
        if self.max < self.min || self.max / step * step < self.min {
            return Err(BatchError::Empty { min: self.min, max: self.max, multiple: step });
        }
        Ok(())
    }
}

/// A batch-size schedule cannot be made for a run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// A size of no examples.
    #[error("a batch size, bound or multiple is 0, allowed is at least 1")]
    ZeroSize,
    /// Nothing lies between the bounds.
    #[error("no batch size is a multiple of {multiple} between {min} and {max}")]
    Empty {
        /// The lower bound.
        min: u64,
        /// The upper bound.
        max: u64,
        /// The multiple.
        multiple: u64,
    },
    /// The first size is not allowed by the bounds.
    #[error("the batch size {base} is not one of those allowed: {min} to {max} in multiples of {multiple}")]
    BaseOutside {
        /// The first size.
        base: u64,
        /// The lower bound.
        min: u64,
        /// The upper bound.
        max: u64,
        /// The multiple.
        multiple: u64,
    },
    /// Places that are not in order.
    #[error("the batch changes at {found} examples after {before}: places must ascend")]
    Order {
        /// The place.
        found: u64,
        /// The one before.
        before: u64,
    },
    /// A place beyond the run: it would never come.
    #[error("the batch is to change at {found} examples, but the run has {total}")]
    BeyondRun {
        /// The place.
        found: u64,
        /// Of the run.
        total: u64,
    },
    /// A factor out of range.
    #[error("the factor is {found}, allowed is above 0, at most 1000000")]
    Factor {
        /// What was found.
        found: f64,
    },
    /// Nobody can say beforehand what will be measured.
    #[error(
        "an adaptive batch size follows what the run measures, so it has no course that could be told beforehand"
    )]
    Adaptive,
    /// A length that cannot be told in examples.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// A rule that cannot be applied.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl BatchSpec {
    /// The same batch size throughout.
    #[must_use]
    pub fn constant(size: u64) -> Self {
        Self { base: size, shape: BatchShape::Constant, bounds: Bounds::default(), rule: None }
    }

    /// How the learning rate follows.
    #[must_use]
    pub fn rule(&self) -> Scaling {
        self.rule.unwrap_or(match self.shape {
            BatchShape::Increase => Scaling::Linear,
            BatchShape::Seesaw | BatchShape::Critical { .. } => Scaling::SquareRoot,
            _ => Scaling::Keep,
        })
    }

    /// The batch size and the learning rate of a run; `lr` is the schedule tuned for the first batch size.
    ///
    /// # Errors
    /// Sizes of 0, bounds that allow nothing or not the first size; places out of order or beyond the run; lengths
    /// that cannot be told in examples; a rule that cannot be applied.
    pub fn resolve(&self, run: &RunLength, lr: Schedule) -> Result<Pair, BatchError> {
        self.bounds.admit(self.base, self.base)?;
        let steps = |rows: Vec<(u64, u64)>| Size::Steps { steps: rows };
        let size = match &self.shape {
            BatchShape::Constant => steps(vec![(0, self.base)]),
            BatchShape::Steps { steps: rows } => {
                let places = places(rows.iter().map(|(_, at)| at), run)?;
                if rows.iter().any(|(size, _)| *size == 0) {
                    return Err(BatchError::ZeroSize);
                }
                let later = places.into_iter().zip(rows.iter().map(|(size, _)| *size));
                steps(std::iter::once((0, self.base)).chain(later).collect())
            }
            BatchShape::Times { factor, at } => {
                if !(0.0 < *factor && *factor <= 1e6) {
                    return Err(BatchError::Factor { found: *factor });
                }
                let mut size = self.base as f64;
                let mut rows = vec![(0, self.base)];
                for place in places(at.iter(), run)? {
                    // Bounded here as well, so that a long row of factors stays a number.
                    size = (size * factor).clamp(1e-9, 1e15);
                    rows.push((place, (size * (1.0 + 1e-12)).max(1.0) as u64));
                }
                steps(rows)
            }
            BatchShape::Ramp { to, over, from, geometric } => {
                if *to == 0 {
                    return Err(BatchError::ZeroSize);
                }
                let (start, length) = (from.resolve(run)?.0, over.resolve(run)?.0);
                within(start.saturating_add(length), run)?;
                Size::Ramp { from: self.base as f64, to: *to as f64, start, length, geometric: *geometric }
            }
            BatchShape::Increase | BatchShape::Seesaw => Size::AsLrFalls { lr: lr.clone() },
            BatchShape::Critical { points } => steps(self.doublings_of(points, run)?),
            BatchShape::Adaptive(_) => return Err(BatchError::Adaptive),
        };
        let rule = self.rule();
        // A rule that cannot be applied is found out now, not in the middle of the run.
        scale(rule, LearningRate(1.0), self.base, self.base)?;
        let batch = BatchSchedule { size, bounds: self.bounds, base: self.base };
        Ok(Pair::new(batch, lr, rule))
    }

    /// The controller of an adaptive batch size; `None` for all others.
    ///
    /// # Errors
    /// As [`Controller::new`].
    pub fn controller(&self, run: &RunLength) -> Result<Option<Controller>, ControllerError> {
        match &self.shape {
            BatchShape::Adaptive(spec) => Controller::new(spec, self.base, self.bounds, run).map(Some),
            _ => Ok(None),
        }
    }

    /// Where B*, interpolated linearly, first exceeds twice the batch, four times, and so on.
    fn doublings_of(&self, points: &[(u64, Length)], run: &RunLength) -> Result<Vec<(u64, u64)>, BatchError> {
        let at = places(points.iter().map(|(_, at)| at), run)?;
        let (mut rows, mut size) = (vec![(0, self.base)], self.base);
        for (i, (&(critical, _), &place)) in points.iter().zip(&at).enumerate() {
            while 2.0 * (size as f64) < critical as f64 && size <= self.bounds.max / 2 {
                let meets = match i.checked_sub(1) {
                    None => place,
                    // The first example after which the line from the point before exceeds twice the batch.
                    Some(last) => {
                        let (before, from) = (points[last].0 as f64, at[last]);
                        let share =
                            ((2.0 * size as f64 - before) / (critical as f64 - before)).clamp(0.0, 1.0);
                        (from + (share * (place - from) as f64).floor() as u64 + 1).min(place)
                    }
                };
                size *= 2;
                rows.push((meets, size));
            }
        }
        Ok(rows)
    }
}

/// Places in examples, ascending and within the run.
fn places<'a>(lengths: impl Iterator<Item = &'a Length>, run: &RunLength) -> Result<Vec<u64>, BatchError> {
    let mut places: Vec<u64> = Vec::new();
    for length in lengths {
        let Examples(place) = length.resolve(run)?;
        if let Some(&before) = places.last().filter(|b| place < **b) {
            return Err(BatchError::Order { found: place, before });
        }
        within(place, run)?;
        places.push(place);
    }
    Ok(places)
}

fn within(place: u64, run: &RunLength) -> Result<(), BatchError> {
    if place <= run.total.0 {
        Ok(())
    } else {
        Err(BatchError::BeyondRun { found: place, total: run.total.0 })
    }
}
