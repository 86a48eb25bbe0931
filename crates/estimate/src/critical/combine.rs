//! One belief from several (theory.md §8.2, step 3).

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{CriticalBatch, CriticalSource, normal_belief};
use crate::fieller::student_t_quantile;
use crate::grade::Grade;

/// What the beliefs come to together.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Combined {
    /// The belief to decide with; `None` where there was none to combine.
    pub belief: Option<CriticalBatch>,
    /// Measured with a direct source; approximate where φ and the prior are all there is; a lower bound; a contradiction;
    /// or not identified.
    pub grade: Grade,
    /// Every pair that disagrees; both sides are to be shown.
    pub disagreements: Vec<Disagreement>,
}

/// A belief that was left out because a more direct one says otherwise.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Disagreement {
    /// The belief that is used.
    pub used: CriticalBatch,
    /// The belief that was left out.
    pub left_out: CriticalBatch,
    /// How many times larger one median is than the other, at least 1 (from a bound: than the bound).
    pub factor: f64,
}

/// Medians further apart than this contradict each other (theory.md §8.3).
const CONTRADICTION: f64 = 10.0;

/// Combines beliefs by inverse variance of ln B_c, the most direct first: sweep, branched, stated, φ.
///
/// A belief that differs from what the more direct ones came to by more than 1.96 joint standard deviations, or more
/// than tenfold, is left out and reported. The variance is that of the t distribution, ν/(ν−2) times the squared scale; the
/// combination has normal tails. A belief about a lower bound is used alone where there is no other (the most direct
/// one); else it must not lie above the upper end of the combination's 95 %. Beliefs that are no numbers are ignored.
#[must_use]
pub fn combine(beliefs: &[CriticalBatch]) -> Combined {
    let sound = |b: &&CriticalBatch| {
        b.median.is_finite() && b.median > 0.0 && b.ln_sd.is_finite() && b.ln_sd >= 0.0 && b.low.is_finite()
    };
    let mut order: Vec<&CriticalBatch> = beliefs.iter().filter(sound).collect();
    order.sort_by_key(|b| directness(b.source));
    let mut disagreements = Vec::new();
    let mut used: Option<CriticalBatch> = None;
    for &belief in order.iter().filter(|b| !b.lower_bound_only) {
        let Some(so_far) = &used else {
            used = Some(belief.clone());
            continue;
        };
        let (mine, theirs) = (variance(so_far), variance(belief));
        let apart = (belief.median.ln() - so_far.median.ln()).abs();
        if apart > z() * (mine + theirs).sqrt() || apart > CONTRADICTION.ln() {
            disagreements.push(disagreement(so_far, belief, apart));
        } else if let Some(both) = weigh(so_far, belief) {
            used = Some(both);
        }
    }
    for &bound in order.iter().filter(|b| b.lower_bound_only) {
        match &used {
            None => used = Some(bound.clone()),
            Some(so_far) if so_far.lower_bound_only => {}
            Some(so_far) => {
                let apart = bound.low.ln() - so_far.median.ln();
                if apart > z() * variance(so_far).sqrt() {
                    disagreements.push(disagreement(so_far, bound, apart));
                }
            }
        }
    }
    let contradicted = disagreements.iter().any(|d| d.factor > CONTRADICTION);
    let grade = match &used {
        None => Grade::NotIdentified,
        Some(_) if contradicted => Grade::Contradiction,
        Some(belief) if belief.lower_bound_only => Grade::LowerBound,
        Some(CriticalBatch { source: CriticalSource::NoiseScale { .. }, .. }) => Grade::Approximate,
        Some(_) => Grade::Measured,
    };
    Combined { belief: used, grade, disagreements }
}

fn directness(source: CriticalSource) -> u8 {
    match source {
        CriticalSource::Sweep => 0,
        CriticalSource::Combined => 1,
        CriticalSource::Branched => 2,
        CriticalSource::Stated => 3,
        CriticalSource::NoiseScale { .. } => 4,
    }
}

/// 95 %, two-sided.
fn z() -> f64 {
    student_t_quantile(0.975, f64::INFINITY)
}

/// Variance of ln B_c.
fn variance(belief: &CriticalBatch) -> f64 {
    let df = belief.source.degrees_of_freedom();
    let tails = if df.is_finite() { df / (df - 2.0).max(0.1) } else { 1.0 };
    // A variance of 0 would take all the weight and leave no room for rounding.
    (belief.ln_sd * belief.ln_sd * tails).max(1e-12)
}

fn weigh(one: &CriticalBatch, other: &CriticalBatch) -> Option<CriticalBatch> {
    let (p, q) = (1.0 / variance(one), 1.0 / variance(other));
    let mean = one.median.ln() + q / (p + q) * (other.median.ln() - one.median.ln());
    normal_belief(mean.exp(), 1.0 / (p + q).sqrt(), CriticalSource::Combined)
}

fn disagreement(used: &CriticalBatch, left_out: &CriticalBatch, apart: f64) -> Disagreement {
    Disagreement { used: used.clone(), left_out: left_out.clone(), factor: apart.min(700.0).exp() }
}
