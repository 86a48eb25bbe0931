//! By how much a number changed between two sweeps, judged by the scatter between seeds.

use crate::report::text::{UNKNOWN, percent_rough, rough};
use crate::sweep::answer::{BatchSummary, Fate, SeedRun};
use batchwise_estimate::fieller::student_t_quantile;
use serde::Serialize;

/// By how much a number changed from the first sweep to the second.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// The ratio of the two, with its interval (Welch, of the logarithms).
    Ratio {
        /// Second over first.
        ratio: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// The difference of the two, with its interval (Welch).
    Difference {
        /// Second less first.
        value: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// There is no error to judge it by.
    CannotTell {
        /// Why.
        why: String,
    },
    /// Nothing of the kind was measured.
    NotMeasured,
}

impl Change {
    /// Whether it is beyond the noise; `None` where that cannot be told.
    #[must_use]
    pub fn is_beyond_noise(&self) -> Option<bool> {
        match self {
            Self::Ratio { low, high, .. } => Some(1.0 < *low || *high < 1.0),
            Self::Difference { low, high, .. } => Some(0.0 < *low || *high < 0.0),
            Self::CannotTell { .. } | Self::NotMeasured => None,
        }
    }

    /// In words, with the interval.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Ratio { ratio, low, high } => {
                format!("{} ({} to {})", signed(*ratio), signed(*low), signed(*high))
            }
            Self::Difference { value, low, high } => {
                format!("{} ({} to {})", plus(*value), plus(*low), plus(*high))
            }
            Self::CannotTell { why } => format!("cannot tell: {why}"),
            Self::NotMeasured => UNKNOWN.to_owned(),
        }
    }
}

/// A ratio as a change in per cent.
fn signed(ratio: f64) -> String {
    let change = ratio - 1.0;
    if change < 0.0 {
        format!("−{}", percent_rough(-change))
    } else {
        format!("+{}", percent_rough(change))
    }
}

fn plus(v: f64) -> String {
    if v < 0.0 { rough(v) } else { format!("+{}", rough(v)) }
}

/// The ratio of a number that runs have when they reach the target.
pub(super) fn ratio(
    a: &BatchSummary,
    b: &BatchSummary,
    of: fn(&SeedRun) -> Option<f64>,
    confidence: f64,
) -> Change {
    let logs = |batch: &BatchSummary| -> Result<Vec<f64>, &'static str> {
        if batch.runs.iter().any(|run| run.fate != Fate::Reached) {
            return Err("some runs never reached the target");
        }
        Ok(batch.runs.iter().filter_map(of).filter(|v| 0.0 < *v).map(f64::ln).collect())
    };
    match (logs(a), logs(b)) {
        (Ok(a), Ok(b)) if a.is_empty() || b.is_empty() => Change::NotMeasured,
        (Ok(logs_a), Ok(logs_b)) => match welch(&logs_a, &logs_b, seen(a) + seen(b), confidence) {
            Some((d, low, high)) => Change::Ratio { ratio: d.exp(), low: low.exp(), high: high.exp() },
            None => one_seed(),
        },
        (Err(why), _) | (_, Err(why)) => Change::CannotTell { why: why.to_owned() },
    }
}

/// What evaluations that are apart add to the variance of the mean logarithm: a time somewhere between two is known to
/// their distance over √12.
fn seen(batch: &BatchSummary) -> f64 {
    let n = batch.runs.len() as f64;
    let runs = batch.runs.iter().filter(|run| 0.0 < run.steps);
    runs.map(|run| (run.period / run.steps).powi(2) / 12.0).sum::<f64>() / (n * n)
}

/// The difference of the judged values at the end.
pub(super) fn value(a: &BatchSummary, b: &BatchSummary, confidence: f64) -> Change {
    let ends = |batch: &BatchSummary| batch.runs.iter().filter_map(|run| run.value).collect::<Vec<_>>();
    let (a, b) = (ends(a), ends(b));
    if a.is_empty() || b.is_empty() {
        return Change::NotMeasured;
    }
    match welch(&a, &b, 0.0, confidence) {
        Some((value, low, high)) => Change::Difference { value, low, high },
        None => one_seed(),
    }
}

fn one_seed() -> Change {
    Change::CannotTell { why: "two seeds or more are needed in both, which differ".to_owned() }
}

/// The difference of two means with its interval (Welch 1947), `more` of whose variance is known beforehand; `None` without
/// an error.
fn welch(a: &[f64], b: &[f64], more: f64, confidence: f64) -> Option<(f64, f64, f64)> {
    let moments = |all: &[f64]| {
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        (n, mean, all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n)
    };
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let ((na, ma, va), (nb, mb, vb)) = (moments(a), moments(b));
    let scatter = va + vb;
    let variance = scatter + more;
    // Runs that agree to the last bit have no scatter to judge by.
    if variance <= 0.0 || !variance.is_finite() {
        return None;
    }
    let df = match va * va / (na - 1.0) + vb * vb / (nb - 1.0) {
        0.0 => na + nb - 2.0,
        of_each => scatter * scatter / of_each,
    };
    let reach = student_t_quantile(0.5 + confidence / 2.0, df) * variance.sqrt();
    let d = mb - ma;
    (d.is_finite() && reach.is_finite()).then_some((d, d - reach, d + reach))
}
