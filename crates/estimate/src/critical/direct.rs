//! Beliefs from direct measurements of B_c: a sweep, or branched training.

use super::{CriticalBatch, CriticalSource, ln_sd_of_interval, normal_belief};
use crate::grade::Grade;
use crate::outcome::Outcome;
use crate::tradeoff::branched::Branched;
use crate::tradeoff::{MODEL_ERROR, TradeoffFit, ln_standard_error};

/// The belief that a sweep leaves.
///
/// Its ln sd is that of the profile interval (the wider side, 95 % taken as ±1.96), and at least what the model error of
/// the hyperbola does to ln B_c in this design: [`MODEL_ERROR`]/√Σ(w−w̄)² (theory.md §3.2, §3.3). A lower bound
/// gives a belief about the bound. An interval wider than tenfold is too wide to be shown as a number, but is a belief
/// all the same as long as its standard error is at most ln 10. `None` for an upper bound (a belief cannot hold it), a
/// misfit, untuned learning rates, or nothing identified.
#[must_use]
pub fn critical_batch_from_tradeoff(fit: &TradeoffFit) -> Option<CriticalBatch> {
    if let Outcome::LowerBound { .. } = fit.b_crit {
        return critical_batch_from_outcome(&fit.b_crit, CriticalSource::Sweep);
    }
    let wide = fit.grade == Grade::NotIdentified && fit.s_min.value().is_some();
    if fit.grade != Grade::Measured && !wide {
        return None;
    }
    let (curve, (Some(low), Some(high))) = (fit.curve?, fit.interval) else {
        return None;
    };
    let sampling = ln_sd_of_interval(curve.b_crit, low, high)?;
    let batches: Vec<f64> = fit.batches.iter().filter(|b| b.steps.is_some()).map(|b| b.batch).collect();
    let model = ln_standard_error(curve.b_crit, &batches, MODEL_ERROR)?;
    let ln_sd = sampling.max(model);
    if ln_sd > std::f64::consts::LN_10 {
        return None;
    }
    normal_belief(curve.b_crit, ln_sd, CriticalSource::Sweep)
}

/// The belief that a published B_c leaves, of which only the interval (taken as 95 %) is known.
///
/// Its ln sd is that of the interval's wider side, and at least [`MODEL_ERROR`]. A lower bound gives a belief about the
/// bound; `None` for an upper bound and where nothing was identified. With the fit itself at hand,
/// [`critical_batch_from_tradeoff`] knows more.
///
/// ```
/// use batchwise_estimate::critical::{CriticalSource, critical_batch_from_outcome};
/// use batchwise_estimate::outcome::Outcome;
/// let known = Outcome::Measured { value: 1000.0, low: 800.0, high: 1300.0 };
/// let belief = critical_batch_from_outcome(&known, CriticalSource::Sweep).unwrap();
/// assert!((belief.ln_sd - 1.3f64.ln() / 1.96).abs() < 1e-4 && !belief.lower_bound_only);
/// ```
#[must_use]
pub fn critical_batch_from_outcome(b_crit: &Outcome, source: CriticalSource) -> Option<CriticalBatch> {
    match *b_crit {
        Outcome::Measured { value, low, high } => {
            normal_belief(value, ln_sd_of_interval(value, low, high)?.max(MODEL_ERROR), source)
        }
        Outcome::LowerBound { low } => {
            let belief = normal_belief(low, MODEL_ERROR, source)?;
            Some(CriticalBatch { low, lower_bound_only: true, ..belief })
        }
        Outcome::UpperBound { .. } | Outcome::NotIdentified { .. } => None,
    }
}

/// The belief that branched training leaves: median at the geometric mean of its interval, ln sd half its ln width.
///
/// Half the width, as a normal holds 68 % within it: where the loss becomes worse depends on the tolerance. Where no
/// multiplier was too large it is a belief about the bound; `None` where even the smallest step up was.
#[must_use]
pub fn critical_batch_from_branched(branched: &Branched) -> Option<CriticalBatch> {
    match branched.batch {
        Outcome::Measured { value, low, high } => {
            normal_belief(value, (high / low).ln() / 2.0, CriticalSource::Branched)
        }
        Outcome::LowerBound { low } => {
            let belief = normal_belief(low, MODEL_ERROR, CriticalSource::Branched)?;
            Some(CriticalBatch { low, lower_bound_only: true, ..belief })
        }
        Outcome::UpperBound { .. } | Outcome::NotIdentified { .. } => None,
    }
}
