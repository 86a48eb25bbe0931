//! What is fitted: one median per batch size, checked and joined.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::robust::{MAD_TO_SD, mad, median};

/// The measured time of a step at one batch size.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TimePoint {
    /// Batch size in examples, from 1e-12 to 1e20.
    pub batch: f64,
    /// Median seconds of a step, from 1e-18 to 1e18.
    pub seconds: f64,
    /// Standard error of that median, in seconds, at least 0 (0: not known).
    pub spread: f64,
}

/// Why the time of a step could not be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TimeError {
    /// Too few distinct batch sizes.
    #[error("{found} distinct batch sizes were timed, at least {needed} are needed")]
    TooFewBatches {
        /// How many there were.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// More distinct batch sizes than a fit can be resampled over.
    #[error("{found} distinct batch sizes were timed, at most {allowed} are allowed")]
    TooManyBatches {
        /// How many there were.
        found: usize,
        /// How many are allowed.
        allowed: usize,
    },
    /// A point that is no measurement.
    #[error(
        "time point {index} has batch {batch}, {seconds} s and spread {spread} s; the batch must lie between 1e-12 \
         and 1e20, the seconds between 1e-18 and 1e18, and the spread must be a number of at least 0"
    )]
    BadPoint {
        /// Position in the slice.
        index: usize,
        /// The batch found.
        batch: f64,
        /// The seconds found.
        seconds: f64,
        /// The spread found.
        spread: f64,
    },
    /// A timing that is no measurement.
    #[error(
        "timing {index} has batch {batch} and {seconds} s; the batch must lie between 1e-12 and 1e20, the seconds \
         between 1e-18 and 1e18"
    )]
    BadTiming {
        /// Position in the slice.
        index: usize,
        /// The batch found.
        batch: f64,
        /// The seconds found.
        seconds: f64,
    },
    /// An option out of range.
    #[error("{name} is {found}; it must lie {allowed}")]
    BadOption {
        /// Which option.
        name: &'static str,
        /// The value found.
        found: f64,
        /// The range allowed, in words.
        allowed: &'static str,
    },
}

/// Relative errors below this are timer resolution, not information.
pub(super) const ERROR_FLOOR: f64 = 0.005;

/// Standard error of a median over that of a mean, for normal data: √(π/2).
pub(super) const MEDIAN_TO_MEAN: f64 = 1.2533;

/// Whether batch and seconds are in the range in which no formula of this module leaves that of f64.
pub(super) fn in_range(batch: f64, seconds: f64) -> bool {
    (1e-12..=1e20).contains(&batch) && (1e-18..=1e18).contains(&seconds)
}

/// Median and its standard error from repeated timings: 1.4826·MAD·1.2533/√n (theory §7).
///
/// Values that are not finite are left out; `None` if none is left. One value has the standard error 0, which says
/// "not known".
#[must_use]
pub fn robust_median(samples: &[f64]) -> Option<(f64, f64)> {
    let kept: Vec<f64> = samples.iter().copied().filter(|s| s.is_finite()).collect();
    let centre = median(&kept)?;
    let spread = MAD_TO_SD * mad(&kept, centre)? * MEDIAN_TO_MEAN / (kept.len() as f64).sqrt();
    Some((centre, spread))
}

/// Checked points, one per batch size, ascending.
pub(crate) fn distinct(points: &[TimePoint], needed: usize) -> Result<Vec<TimePoint>, TimeError> {
    for (index, &TimePoint { batch, seconds, spread }) in points.iter().enumerate() {
        if !(in_range(batch, seconds) && spread.is_finite() && spread >= 0.0) {
            return Err(TimeError::BadPoint { index, batch, seconds, spread });
        }
    }
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.batch.total_cmp(&b.batch).then(a.seconds.total_cmp(&b.seconds)));
    let joined: Vec<TimePoint> = sorted
        .chunk_by(|a, b| a.batch == b.batch)
        .map(|same| {
            let of = |f: fn(&TimePoint) -> f64| {
                median(&same.iter().map(f).collect::<Vec<_>>()).unwrap_or(f(&same[0]))
            };
            TimePoint { batch: same[0].batch, seconds: of(|p| p.seconds), spread: of(|p| p.spread) }
        })
        .collect();
    if joined.len() < needed {
        return Err(TimeError::TooFewBatches { found: joined.len(), needed });
    }
    Ok(joined)
}

/// Relative error of a point's median.
pub(super) fn relative(point: &TimePoint) -> f64 {
    (point.spread / point.seconds).clamp(ERROR_FLOOR, 1.0)
}
