//! What a fitted curve may claim (theory.md §8.3).

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::third::ThreeParameter;
use crate::grade::Grade;

/// How the learning rate was chosen at each batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Tuning {
    /// Anew at each batch size, the best one inside its grid.
    #[default]
    Tuned,
    /// At some batch size the best learning rate was the outermost that was tried.
    AtEdge,
    /// One learning rate for all.
    Untuned,
}

/// Largest interval (high/low) that is published as a number.
pub const WIDEST: f64 = 10.0;
/// Largest relative residual of a hyperbola that is published (theory.md §3.3: up to about 15 % is no evidence of a bug).
pub const LARGEST_RESIDUAL: f64 = 0.15;
/// A batch size this many times below or above B_c has slope > 0.8 or < 0.2: near an asymptote of the curve.
const ASYMPTOTE: f64 = 4.0;

/// What the grade is decided on.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence<'a> {
    /// Batch sizes at which a run reached the target.
    pub distinct: usize,
    /// Smallest and largest of them.
    pub tried: (f64, f64),
    /// Lower end of B_c's interval; `None` where it is open.
    pub low: Option<f64>,
    /// Upper end; `None` where it is open.
    pub high: Option<f64>,
    /// Standard error of ln B_c.
    pub ln_se: f64,
    /// Largest relative residual of a batch size among those that the scatter between seeds does not explain.
    pub misfit: f64,
    /// Whether there are repeats, so that this scatter is known.
    pub repeated: bool,
    /// The three-parameter check.
    pub three_parameter: Option<&'a ThreeParameter>,
    /// How the learning rate was chosen.
    pub tuning: Tuning,
}

/// A grade and why it is no better.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Verdict {
    /// The grade.
    pub grade: Grade,
    /// Lower-case clauses; empty for [`Grade::Measured`].
    pub reasons: Vec<String>,
}

/// The first row of theory.md §8.3 that applies, the most damaging first; the reasons name every row that does.
///
/// Too few batch sizes or a learning rate on the edge of its grid: not identified. One learning rate: untuned. A residual
/// above 15 % that the seeds do not explain, or an exponent that is not 1: model misfit. An interval open to one side,
/// or all batch sizes on one asymptote (all slopes may be > 0.8 or < 0.2 within the interval): a bound. Open on both, a
/// standard error of ln B_c above ln 10, or an interval wider than tenfold: not identified.
#[must_use]
pub fn verdict(evidence: &Evidence<'_>) -> Verdict {
    let mut found: Vec<(Grade, String)> = Vec::new();
    let mut add = |grade, why: String| found.push((grade, why));
    let Evidence { distinct, tried: (smallest, largest), low, high, ln_se, .. } = *evidence;
    if distinct < 3 {
        add(
            Grade::NotIdentified,
            format!("runs reached the target at {distinct} batch sizes, at least 3 are needed"),
        );
    }
    match evidence.tuning {
        Tuning::Tuned => {}
        Tuning::AtEdge => add(
            Grade::NotIdentified,
            "at some batch size the best learning rate is the outermost tried; extend the grid".to_owned(),
        ),
        Tuning::Untuned => {
            add(Grade::Untuned, "one learning rate for all batch sizes confounds the curve".to_owned())
        }
    }
    if distinct < 3 {
        return first_of(found);
    }
    if evidence.misfit > LARGEST_RESIDUAL {
        let more = if evidence.repeated { "" } else { "; repeat with other seeds to tell noise from misfit" };
        let percent = evidence.misfit * 100.0;
        add(Grade::ModelMisfit, format!("a batch size lies {percent:.0} % off the hyperbola{more}"));
    }
    if let Some(three) = evidence.three_parameter.filter(|t| t.refuses_the_hyperbola()) {
        add(
            Grade::ModelMisfit,
            format!("a curve with a free exponent fits better by a BIC of {:.1}", three.delta_bic_granted),
        );
    }
    match (low, high) {
        (None, None) => add(Grade::NotIdentified, "the interval of B_c is open to both sides".to_owned()),
        (Some(_), None) => {
            add(Grade::LowerBound, "larger batch sizes are needed to see the curve flatten".to_owned())
        }
        (None, Some(_)) => {
            add(Grade::UpperBound, "smaller batch sizes are needed to see the steps grow".to_owned())
        }
        (Some(low), Some(high)) => {
            if ln_se > std::f64::consts::LN_10 {
                add(Grade::NotIdentified, "the standard error of ln B_c exceeds ln 10".to_owned());
            }
            if high / low > WIDEST {
                let why = format!("the interval [{low:.3e}, {high:.3e}] is wider than tenfold");
                add(Grade::NotIdentified, why);
            }
            if largest * ASYMPTOTE <= high {
                let why = format!("no batch size tried is above a quarter of {high:.3e}, where B_c may lie");
                add(Grade::LowerBound, why);
            } else if smallest >= low * ASYMPTOTE {
                let why = format!("no batch size tried is below four times {low:.3e}, where B_c may lie");
                add(Grade::UpperBound, why);
            }
        }
    }
    first_of(found)
}

fn first_of(found: Vec<(Grade, String)>) -> Verdict {
    Verdict {
        grade: found.first().map_or(Grade::Measured, |f| f.0),
        reasons: found.into_iter().map(|f| f.1).collect(),
    }
}
