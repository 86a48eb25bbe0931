//! How far the decision may be trusted: the weakest part of its evidence (theory §8.3).

use super::limits::Setting;
use super::problem::{Problem, TimeBelief};
use crate::critical::CriticalSource;
use crate::fieller::student_t_quantile;
use crate::grade::Grade;

/// A bounded interval is a measurement where its ends differ by this factor at the most.
const MEASURED_WITHIN: f64 = 10.0;

/// Above this ln standard error nothing is known about B_c: ln 10.
const UNKNOWN_ABOVE: f64 = std::f64::consts::LN_10;

/// A step time known no better than this is an order of size.
const BLUNT: f64 = 0.25;

/// Recommending beyond this many times what was tried is extrapolation.
const BEYOND: u64 = 2;

/// The weakest grade of the parts, and a sentence on each part that is weak, weakest first.
pub(super) fn grade(problem: &Problem, chosen: Setting) -> (Grade, Vec<String>) {
    let mut parts: Vec<(Grade, String)> = Vec::new();
    parts.extend(critical(problem));
    if let TimeBelief::Measured { candidates } = &problem.time
        && let Some(c) = candidates.iter().find(|c| c.batch == chosen.batch)
        && c.relative_error > BLUNT
    {
        let error = 100.0 * c.relative_error;
        parts.push((
            Grade::Approximate,
            format!("The time of a step at batch {} is known to {error:.0} % only.", c.batch),
        ));
    }
    if let Some(tried) = problem.tried.filter(|t| chosen.batch > t.saturating_mul(BEYOND)) {
        parts.push((
            Grade::Extrapolated,
            format!("Batch {} is more than twice the largest that was run, {tried}.", chosen.batch),
        ));
    }
    parts.sort_by_key(|(grade, _)| weakness(*grade));
    let weakest = parts.first().map_or(Grade::Measured, |(grade, _)| *grade);
    (weakest, parts.into_iter().map(|(_, why)| why).collect())
}

fn critical(problem: &Problem) -> Vec<(Grade, String)> {
    let belief = &problem.critical;
    let mut parts = Vec::new();
    if let Some(grade) = problem.critical_grade.filter(|g| *g != Grade::Measured) {
        parts.push((grade, format!("The critical batch: {}.", grade.wording())));
    }
    if belief.lower_bound_only {
        let why = "The critical batch is bounded from below only; the choice is for that bound, and larger batches \
                   may be better.";
        parts.push((Grade::LowerBound, why.to_owned()));
    }
    if let CriticalSource::NoiseScale { .. } = belief.source {
        let why = "The critical batch follows from the noise scale by a prior learnt from published runs, not by \
                   training to a target.";
        parts.push((Grade::Approximate, why.to_owned()));
    }
    let half = student_t_quantile(0.95, belief.source.degrees_of_freedom()) * belief.ln_sd;
    if belief.ln_sd > UNKNOWN_ABOVE {
        let why = "The critical batch is not known to a factor of ten.";
        parts.push((Grade::NotIdentified, why.to_owned()));
    } else if 2.0 * half > MEASURED_WITHIN.ln() && !belief.lower_bound_only {
        let factor = half.exp();
        parts.push((
            Grade::Approximate,
            format!("The critical batch is known within a factor of {factor:.1} either way (90 %)."),
        ));
    }
    parts
}

/// 0 for the weakest.
fn weakness(grade: Grade) -> u8 {
    match grade {
        Grade::NotIdentified => 0,
        Grade::Contradiction => 1,
        Grade::ModelMisfit => 2,
        Grade::Untuned => 3,
        Grade::Extrapolated => 4,
        Grade::LowerBound => 5,
        Grade::UpperBound => 6,
        Grade::Approximate => 7,
        Grade::Measured => 8,
    }
}
