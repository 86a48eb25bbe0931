//! What a fit answers.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::third::ThreeParameter;
use crate::grade::Grade;
use crate::outcome::Outcome;

/// S(B) = S_min(1+B_c/B), E(B) = E_min(1+B/B_c), E_min = B_c·S_min (McCandlish et al. 2018, eqs 2.11–2.12; theory.md §1.1).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Hyperbola {
    /// Critical batch size B_c, in examples: twice the least steps and twice the least examples.
    pub b_crit: f64,
    /// Steps at B → ∞.
    pub s_min: f64,
}

impl Hyperbola {
    /// Steps to the target at `batch` examples: S_min(1+B_c/B).
    #[must_use]
    pub fn steps(&self, batch: f64) -> f64 {
        self.s_min * (1.0 + self.b_crit / batch)
    }

    /// Examples to the target at `batch` examples: S_min(B+B_c).
    #[must_use]
    pub fn examples(&self, batch: f64) -> f64 {
        self.s_min * (batch + self.b_crit)
    }

    /// Examples at B → 0: E_min = B_c·S_min.
    #[must_use]
    pub fn e_min(&self) -> f64 {
        self.b_crit * self.s_min
    }

    /// −d ln S/d ln B = B_c/(B_c+B): 1 where doubling B halves the steps, 0 where it buys nothing.
    #[must_use]
    pub fn slope(&self, batch: f64) -> f64 {
        self.b_crit / (self.b_crit + batch)
    }

    /// Example efficiency E_min/E(B) = 1/(1+B/B_c), the same number as the slope: 80 % at B_c/4, 50 % at B_c.
    #[must_use]
    pub fn efficiency(&self, batch: f64) -> f64 {
        self.slope(batch)
    }
}

/// One batch size of the fit.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct BatchRow {
    /// Batch size in examples.
    pub batch: f64,
    /// Robust geometric mean of the steps, censored runs included; `None` where no run reached the target.
    pub steps: Option<f64>,
    /// Runs that were used.
    pub n: usize,
    /// Those of them that never reached the target.
    pub censored: usize,
    /// Runs that say nothing: censored after an unknown time where no other run reached the target.
    pub unused: usize,
    /// Steps of the fitted curve.
    pub fitted: Option<f64>,
    /// steps/fitted − 1.
    pub residual: Option<f64>,
}

/// How fast the steps fall between two neighbouring batch sizes: a look at the regime that needs no model.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct LocalSlope {
    /// The smaller batch size.
    pub from: f64,
    /// The larger.
    pub to: f64,
    /// −Δln S/Δln B: about 1 with perfect scaling, 0 when saturated (theory.md §3.2).
    pub slope: f64,
}

/// Runs by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct RunCount {
    /// Reached the target.
    pub reached: usize,
    /// Never did, and count as "more than so many steps".
    pub censored: usize,
    /// Say nothing (see [`BatchRow::unused`]).
    pub unused: usize,
}

/// The trade-off between steps and examples, with its evidence.
///
/// `b_crit`, `s_min` and `e_min` obey the grade: a number that the grade forbids is not in them. What was computed all the
/// same stands in `curve` and `interval`, for a plot of the raw curve.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TradeoffFit {
    /// Critical batch size B_c, in examples.
    pub b_crit: Outcome,
    /// Least steps S_min, at B → ∞.
    pub s_min: Outcome,
    /// Least examples E_min, at B → 0.
    pub e_min: Outcome,
    /// How far the answer may be trusted (theory.md §8.3).
    pub grade: Grade,
    /// Why it is no better, as lower-case clauses.
    pub reasons: Vec<String>,
    /// The fitted hyperbola; `None` with fewer than 3 batch sizes.
    pub curve: Option<Hyperbola>,
    /// Ends of B_c's interval whatever the grade; `None` where the data leave a side open.
    pub interval: (Option<f64>, Option<f64>),
    /// Standard error of ln B_c from the curvature at the best fit; `None` without a curve or beyond f64.
    pub ln_se: Option<f64>,
    /// Largest relative residual of a batch size, e^|r| − 1.
    pub misfit: Option<f64>,
    /// Standard deviation of ln S between seeds of one batch size; `None` without repeats.
    pub seed_sd: Option<f64>,
    /// Standard deviation of a batch size's ln S about the hyperbola beyond what the seeds explain.
    pub batch_sd: Option<f64>,
    /// Degrees of freedom of the interval.
    pub degrees_of_freedom: Option<f64>,
    /// Two-sided confidence of every interval here.
    pub confidence: f64,
    /// Batch by batch, ascending.
    pub batches: Vec<BatchRow>,
    /// Between neighbouring batch sizes at which a run reached the target.
    pub slopes: Vec<LocalSlope>,
    /// The check with a free exponent; `None` below 5 batch sizes.
    pub three_parameter: Option<ThreeParameter>,
    /// Runs by what became of them.
    pub runs: RunCount,
}

impl TradeoffFit {
    /// Steps to the target at `batch` examples on the fitted curve.
    #[must_use]
    pub fn steps(&self, batch: f64) -> Option<f64> {
        self.curve.map(|c| c.steps(batch)).filter(|v| v.is_finite())
    }

    /// Examples to the target at `batch` examples on the fitted curve.
    #[must_use]
    pub fn examples(&self, batch: f64) -> Option<f64> {
        self.curve.map(|c| c.examples(batch)).filter(|v| v.is_finite())
    }

    /// Example efficiency at `batch` examples on the fitted curve.
    #[must_use]
    pub fn efficiency(&self, batch: f64) -> Option<f64> {
        self.curve.map(|c| c.efficiency(batch)).filter(|v| v.is_finite())
    }

    /// Grade of a statement about `batch`: [`Grade::Extrapolated`] beyond twice the largest batch size at which a run
    /// reached the target (theory.md §8.3), else that of the fit.
    #[must_use]
    pub fn grade_at(&self, batch: f64) -> Grade {
        let largest = self.batches.iter().rev().find(|b| b.steps.is_some()).map_or(0.0, |b| b.batch);
        let claims = matches!(self.grade, Grade::Measured | Grade::LowerBound | Grade::UpperBound);
        if claims && batch > 2.0 * largest { Grade::Extrapolated } else { self.grade }
    }
}
