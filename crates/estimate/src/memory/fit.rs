//! The top segment, the measured peaks below it, and the band above both.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// One measured peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct MemoryPoint {
    /// Examples held at once (the micro-batch), above 0.
    pub batch: u64,
    /// Peak bytes of a step.
    pub peak_bytes: u64,
}

/// A fitted peak of memory. Verify the answer by a run at that batch: theory §7.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct MemoryFit {
    /// Intercept of the top segment; may be negative where a later phase overtakes.
    pub fixed_bytes: f64,
    /// Slope of the top segment, at least 0.
    pub bytes_per_example: f64,
    /// Smallest batch of the top segment.
    pub segment_from: u64,
    /// Every measured batch, ascending, with the largest peak seen there.
    pub points: Vec<MemoryPoint>,
    /// Largest |relative residual| of the top segment.
    pub misfit: f64,
    /// Relative part of the upper band, inside the measured range.
    pub band: f64,
    /// Bytes that rounding by the allocator, or scatter, may hide at any point.
    pub grain_bytes: f64,
    /// Slope of the upper band beyond the measured range.
    pub upper_bytes_per_example: f64,
}

/// What [`MemoryFit::upper`] adds to the expected peak, for a report.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct UpperBand {
    /// Relative part inside the measured range; beyond, it doubles with each doubling of the batch.
    pub relative: f64,
    /// Bytes that rounding by the allocator, or scatter, may hide at any point.
    pub grain_bytes: f64,
    /// Bytes per example beyond the largest measured batch, the steepest that the points allow.
    pub bytes_per_example: f64,
}

/// Why memory could not be fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MemoryError {
    /// A line needs two batches.
    #[error("memory was measured at {found} distinct batch sizes, at least 2 are needed")]
    TooFewBatches {
        /// How many there were.
        found: usize,
    },
    /// More distinct batches than a fit can take in reasonable time.
    #[error(
        "memory was measured at {found} distinct batch sizes, at most {allowed} are taken: keep every so many"
    )]
    TooManyBatches {
        /// How many there were.
        found: usize,
        /// How many are taken.
        allowed: usize,
    },
    /// A batch of no examples.
    #[error("memory point {index} has batch 0")]
    ZeroBatch {
        /// Position in the slice.
        index: usize,
    },
    /// A confidence out of range.
    #[error("the confidence is {found}; it must lie between 0.5 and 0.999")]
    BadConfidence {
        /// The value found.
        found: f64,
    },
    /// The largest batch needed no more than a smaller one, so nothing bounds larger ones.
    #[error("the peak does not grow up to batch {largest}; measure larger batches")]
    NoGrowth {
        /// Largest batch measured.
        largest: u64,
    },
}

/// Distinct batches that are taken: the search for the top segment costs their square.
const MOST_BATCHES: usize = 4096;

/// Points within this relative distance of a line lie on it.
pub const TOLERANCE: f64 = 0.005;

/// Relative band inside the measured range: what a rerun differs by.
const LEAST_BAND: f64 = 0.01;

/// Allocators round to at most this much; a larger common divisor of the peaks is chance.
const LARGEST_GRAIN: u64 = 2 << 20;

/// No batch above this is ever recommended.
const LARGEST_BATCH: u64 = 1 << 40;

/// Fits the top segment: the longest run of the largest batches (at least 2) that lies on one line within
/// [`TOLERANCE`] of the peak. Repeats at one batch count by their largest peak.
///
/// # Errors
/// A batch of 0, fewer than 2 distinct batches, or a peak that does not grow.
pub fn fit_memory(points: &[MemoryPoint]) -> Result<MemoryFit, MemoryError> {
    let sorted = ascending(points)?;
    let n = sorted.len();
    let mut from = n - 2;
    let mut line = Line::through(&sorted[from..]);
    while from > 0 {
        let longer = Line::through(&sorted[from - 1..]);
        if longer.misfit > TOLERANCE {
            break;
        }
        (from, line) = (from - 1, longer);
    }
    let last = sorted[n - 1];
    if line.slope <= 0.0 {
        return Err(MemoryError::NoGrowth { largest: last.batch });
    }
    let grain = grain(&sorted).max(2.0 * line.misfit_bytes);
    let span = (last.batch - sorted[from].batch) as f64;
    Ok(MemoryFit {
        fixed_bytes: line.intercept,
        bytes_per_example: line.slope,
        segment_from: sorted[from].batch,
        misfit: line.misfit,
        band: LEAST_BAND.max(3.0 * line.misfit),
        grain_bytes: grain,
        // Each end of the segment may hide a grain, and a least-squares slope moves by at most 1.5 grains per span.
        // The last chord is steeper where a phase overtakes by less than the tolerance.
        upper_bytes_per_example: (line.slope + 1.5 * grain / span).max(Line::through(&sorted[n - 2..]).slope),
        points: sorted,
    })
}

impl MemoryFit {
    /// Expected peak bytes: exact at measured batches, the chord between them, the line beyond the largest.
    ///
    /// Chords of a convex function lie above it, so they err on the safe side. Below the smallest measured batch its
    /// peak is returned.
    #[must_use]
    pub fn predict(&self, batch: u64) -> f64 {
        self.beyond(batch, self.bytes_per_example)
    }

    /// Upper prediction band of the peak, in bytes: for the question whether a batch fits.
    ///
    /// Wider by the grain and the band everywhere; beyond the largest measured batch the steepest slope that the
    /// points allow is used, and the band doubles with each doubling of the batch. It does not know of a phase that
    /// overtakes beyond what was measured.
    #[must_use]
    pub fn upper(&self, batch: u64) -> f64 {
        let largest = self.largest().batch.max(1);
        let band = self.band * (batch as f64 / largest as f64).max(1.0);
        self.beyond(batch, self.upper_bytes_per_example) * (1.0 + band) + self.grain_bytes
    }

    /// What the upper band adds, in numbers.
    #[must_use]
    pub fn upper_band(&self) -> UpperBand {
        UpperBand {
            relative: self.band,
            grain_bytes: self.grain_bytes,
            bytes_per_example: self.upper_bytes_per_example,
        }
    }

    /// Largest batch whose [upper band](Self::upper) is within `limit_bytes`; `None` if not even the smallest
    /// measured batch fits.
    ///
    /// Take a margin of 5 to 10 % off the limit first (theory §7): other programs, fragmentation.
    #[must_use]
    pub fn largest_batch(&self, limit_bytes: u64) -> Option<u64> {
        let fits = |batch: u64| self.upper(batch) <= limit_bytes as f64;
        let largest = self.largest().batch;
        if fits(largest) {
            return Some(last_that_fits(largest, LARGEST_BATCH.max(largest), fits));
        }
        // Between neighbours the band is a line, so within a pair at most one change from "fits" to "does not".
        let pairs = self.points.windows(2).rev().map(|pair| (pair[0].batch, pair[1].batch));
        for (low, high) in pairs {
            if fits(high) {
                return Some(high);
            }
            if fits(low) {
                return Some(last_that_fits(low, high, fits));
            }
        }
        None
    }

    /// Whether `batch` lies outside the measured range.
    #[must_use]
    pub fn is_extrapolated(&self, batch: u64) -> bool {
        batch > self.largest().batch || self.points.first().is_some_and(|p| batch < p.batch)
    }

    fn largest(&self) -> MemoryPoint {
        self.points.last().copied().unwrap_or(MemoryPoint { batch: 0, peak_bytes: 0 })
    }

    fn beyond(&self, batch: u64, slope: f64) -> f64 {
        let last = self.largest();
        if batch >= last.batch {
            // Anchored at the last point, so that nothing jumps where measurement ends.
            return last.peak_bytes as f64 + slope * (batch - last.batch) as f64;
        }
        let above = self.points.partition_point(|p| p.batch < batch);
        let high = self.points[above];
        if high.batch == batch || above == 0 {
            return high.peak_bytes as f64;
        }
        let low = self.points[above - 1];
        let share = (batch - low.batch) as f64 / (high.batch - low.batch) as f64;
        low.peak_bytes as f64 + share * (high.peak_bytes as f64 - low.peak_bytes as f64)
    }
}

/// Checked points, ascending, the largest peak of each batch; at least two.
pub(super) fn ascending(points: &[MemoryPoint]) -> Result<Vec<MemoryPoint>, MemoryError> {
    if let Some(index) = points.iter().position(|p| p.batch == 0) {
        return Err(MemoryError::ZeroBatch { index });
    }
    let mut sorted = points.to_vec();
    sorted.sort_by_key(|p| (p.batch, std::cmp::Reverse(p.peak_bytes)));
    sorted.dedup_by_key(|p| p.batch);
    if sorted.len() < 2 {
        return Err(MemoryError::TooFewBatches { found: sorted.len() });
    }
    if MOST_BATCHES < sorted.len() {
        return Err(MemoryError::TooManyBatches { found: sorted.len(), allowed: MOST_BATCHES });
    }
    Ok(sorted)
}

struct Line {
    intercept: f64,
    slope: f64,
    misfit: f64,
    misfit_bytes: f64,
}

impl Line {
    /// Least squares; the misfits are the largest over the points.
    fn through(points: &[MemoryPoint]) -> Self {
        let n = points.len() as f64;
        let at: Vec<(f64, f64)> = points.iter().map(|p| (p.batch as f64, p.peak_bytes as f64)).collect();
        let (mx, my) = (at.iter().map(|p| p.0).sum::<f64>() / n, at.iter().map(|p| p.1).sum::<f64>() / n);
        let sxx: f64 = at.iter().map(|p| (p.0 - mx).powi(2)).sum();
        let sxy: f64 = at.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
        let slope = if sxx > 0.0 { sxy / sxx } else { 0.0 };
        let residual = |p: &(f64, f64)| (p.1 - my - slope * (p.0 - mx)).abs();
        Self {
            intercept: my - slope * mx,
            slope,
            misfit: at.iter().fold(0.0, |m, p| (residual(p) / p.1.max(1.0)).max(m)),
            misfit_bytes: at.iter().fold(0.0, |m, p| residual(p).max(m)),
        }
    }
}

/// The power of two that all peaks are multiples of: how coarsely the allocator, or the meter, rounds.
pub(super) fn grain(points: &[MemoryPoint]) -> f64 {
    let all = points.iter().fold(0, |bits, p| bits | p.peak_bytes);
    (1u64 << all.trailing_zeros().min(LARGEST_GRAIN.trailing_zeros())) as f64
}

/// Largest batch in [`low`, `high`] that fits, given that `low` does and that fitting stops once.
fn last_that_fits(mut low: u64, mut high: u64, fits: impl Fn(u64) -> bool) -> u64 {
    if fits(high) {
        return high;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}
