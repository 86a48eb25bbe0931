//! The one-sided t test of "worse by at least the margin".

use std::collections::BTreeMap;

use super::{CompareError, Comparison, Design, Direction, Options, Pair, Verdict, Warning, seeds_needed};
use crate::fieller::{student_t_quantile, student_t_tail};

/// Below this many seeds the shape of the distribution cannot be seen.
const FEW: u64 = 5;

/// Joins the results of both sides by seed.
///
/// # Errors
/// A seed that only one side has, or that one side has twice.
pub fn pair_by_seed(candidate: &[(u64, f64)], reference: &[(u64, f64)]) -> Result<Vec<Pair>, CompareError> {
    let by_seed = |side, results: &[(u64, f64)]| {
        let mut map = BTreeMap::new();
        for &(seed, value) in results {
            if map.insert(seed, value).is_some() {
                return Err(CompareError::Twice { seed, side });
            }
        }
        Ok(map)
    };
    let (ours, theirs) = (by_seed("candidate", candidate)?, by_seed("reference", reference)?);
    if let Some(&seed) = theirs.keys().find(|seed| !ours.contains_key(seed)) {
        return Err(CompareError::Unpaired { seed, side: "candidate" });
    }
    ours.into_iter()
        .map(|(seed, candidate)| match theirs.get(&seed) {
            Some(&reference) => Ok(Pair { candidate, reference }),
            None => Err(CompareError::Unpaired { seed, side: "reference" }),
        })
        .collect()
}

/// Non-inferiority of the candidate by pairs that share a seed (theory.md §5.5).
///
/// `margin` is δ, the largest harm that does not matter, in the unit of the results, above 0. Fewer than 2 pairs, or
/// differences without any spread, give [`Verdict::NotIdentified`].
///
/// # Errors
/// A result that is not finite, a margin or an option out of its range.
pub fn non_inferiority(pairs: &[Pair], margin: f64, options: &Options) -> Result<Comparison, CompareError> {
    options.check(margin)?;
    finite("candidate", pairs.iter().map(|p| p.candidate))?;
    finite("reference", pairs.iter().map(|p| p.reference))?;
    let harm: Vec<f64> =
        pairs.iter().map(|p| oriented(p.candidate - p.reference, options.direction)).collect();
    let n = pairs.len() as u64;
    let sample = Sample::of(&harm);
    let error =
        sample.variance.map(|v| Error { se: v.sqrt() / (n as f64).sqrt(), df: n as f64 - 1.0, sd: v.sqrt() });
    Ok(conclude(Design::Paired, (n, n), sample.mean, error, margin, options))
}

/// Non-inferiority of the candidate by two independent groups, each with its own spread (Welch 1947).
///
/// For results that share no seed. Needs more runs than [`non_inferiority`] wherever a seed moves both sides alike.
///
/// # Errors
/// As for [`non_inferiority`].
pub fn non_inferiority_unpaired(
    candidate: &[f64],
    reference: &[f64],
    margin: f64,
    options: &Options,
) -> Result<Comparison, CompareError> {
    options.check(margin)?;
    finite("candidate", candidate.iter().copied())?;
    finite("reference", reference.iter().copied())?;
    let (ours, theirs) = (Sample::of(candidate), Sample::of(reference));
    let counts = (candidate.len() as u64, reference.len() as u64);
    let mean = ours.mean.zip(theirs.mean).map(|(a, b)| oriented(a - b, options.direction));
    let error =
        ours.variance.zip(theirs.variance).map(|(v, w)| welch((v, w), (counts.0 as f64, counts.1 as f64)));
    Ok(conclude(Design::Unpaired, counts, mean, error, margin, options))
}

fn finite(side: &'static str, results: impl Iterator<Item = f64>) -> Result<(), CompareError> {
    match results.enumerate().find(|(_, v)| !v.is_finite()) {
        Some((index, value)) => Err(CompareError::Result { side, index, value }),
        None => Ok(()),
    }
}

fn oriented(difference: f64, direction: Direction) -> f64 {
    match direction {
        Direction::LowerIsBetter => difference,
        Direction::HigherIsBetter => -difference,
    }
}

/// Mean, and the unbiased variance where there are 2 or more.
struct Sample {
    mean: Option<f64>,
    variance: Option<f64>,
}

impl Sample {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        if values.is_empty() {
            return Self { mean: None, variance: None };
        }
        let mean = values.iter().map(|v| v / n).sum::<f64>();
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Self { mean: Some(mean), variance: (n >= 2.0).then_some(squares / (n - 1.0)) }
    }
}

/// Standard error of the harm, its degrees of freedom, and the standard deviation that [`seeds_needed`] takes.
struct Error {
    se: f64,
    df: f64,
    sd: f64,
}

fn welch((v, w): (f64, f64), (n, m): (f64, f64)) -> Error {
    let (a, b) = (v / n, w / m);
    // Divided by the larger part, so that the squares stay in range.
    let largest = a.max(b);
    let (p, q) = (a / largest, b / largest);
    let df = (p + q).powi(2) / (p * p / (n - 1.0) + q * q / (m - 1.0));
    Error { se: (a + b).sqrt(), df, sd: (v / 2.0 + w / 2.0).sqrt() }
}

fn conclude(
    design: Design,
    (n, n_reference): (u64, u64),
    difference: Option<f64>,
    error: Option<Error>,
    margin: f64,
    options: &Options,
) -> Comparison {
    let seeds = |sd| seeds_needed(design, sd, margin, 0.0, options.alpha, options.power);
    let mut comparison = Comparison {
        design,
        n,
        n_reference,
        difference: difference.filter(|d| d.is_finite()),
        se: None,
        degrees_of_freedom: None,
        low: None,
        high: None,
        margin,
        p_value: None,
        p_adjusted: None,
        verdict: Verdict::Inconclusive { seeds_needed: None },
        budget: options.budget,
        warnings: Vec::new(),
    };
    let silent = |why: &str| Verdict::NotIdentified {
        why: why.to_owned(),
        seeds_needed: options.planned_sd.and_then(seeds),
    };
    let (Some(mean), Some(error)) = (difference, error) else {
        comparison.verdict = silent("one seed, or none, says nothing of the spread: at least 2 are needed");
        return comparison;
    };
    if error.se == 0.0 {
        comparison.verdict = silent("all results are the same to the last digit, so their spread is unknown");
        return comparison;
    }
    let reach = student_t_quantile(1.0 - options.alpha, error.df) * error.se;
    let (low, high) = (mean - reach, mean + reach);
    if !(low.is_finite() && high.is_finite() && error.df.is_finite()) {
        comparison.verdict = silent("the results are beyond the range of floating point numbers");
        return comparison;
    }
    comparison.se = Some(error.se);
    comparison.degrees_of_freedom = Some(error.df);
    (comparison.low, comparison.high) = (Some(low), Some(high));
    comparison.p_value = Some(student_t_tail((margin - mean) / error.se, error.df));
    comparison.verdict = if high < margin {
        Verdict::NonInferior
    } else if low > margin {
        Verdict::Inferior
    } else {
        Verdict::Inconclusive { seeds_needed: seeds(error.sd).map(|s| s.max(n.min(n_reference) + 1)) }
    };
    if n.min(n_reference) < FEW {
        comparison.warnings.push(Warning::FewSeeds);
    }
    if comparison.verdict == Verdict::NonInferior && low > 0.0 {
        comparison.warnings.push(Warning::WorseWithinMargin);
    }
    comparison
}
