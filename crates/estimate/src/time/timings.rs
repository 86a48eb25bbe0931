//! Raw timings: grouped by batch size, stalls set aside, medians with their errors, and resamples of those medians.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::points::{ERROR_FLOOR, MEDIAN_TO_MEAN, TimeError, TimePoint, in_range};
use crate::random::Draws;
use crate::robust::{MAD_TO_SD, mad, median, quantile_of_sorted};

/// One timed step.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Timing {
    /// Batch size in examples, from 1e-12 to 1e20.
    pub batch: f64,
    /// Seconds of the step, from 1e-18 to 1e18.
    pub seconds: f64,
}

/// The timings of one batch size, summed up.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct BatchTimes {
    /// Batch size in examples.
    pub batch: f64,
    /// How many timings there were.
    pub timings: usize,
    /// How many of them were more than five robust standard deviations off and were set aside: stalls.
    pub stalls: usize,
    /// Median seconds of the others.
    pub seconds: f64,
    /// Standard error of that median in seconds; 0: not known.
    pub spread: f64,
}

/// Distinct batch sizes beyond which resampled fits would take minutes.
pub(super) const MOST_BATCHES: usize = 512;

/// Timings further off than this many robust standard deviations are stalls of the machine, not the time of a step.
const STALL: f64 = 5.0;

/// Fewest timings of one batch whose spread says something.
const SPREAD_FROM: usize = 4;

/// Fewest timings of one batch that are resampled; fewer are drawn from a normal distribution.
const RESAMPLE_FROM: usize = 8;

/// Timings at which a batch's own spread counts as much as that of all batches.
const SHRINKAGE: f64 = 20.0;

/// The timings of one batch size that are kept, ascending.
pub(super) struct Group {
    pub(super) times: BatchTimes,
    kept: Vec<f64>,
}

/// Groups timings by batch size, ascending.
pub(super) fn group(timings: &[Timing]) -> Result<Vec<Group>, TimeError> {
    if let Some(index) = timings.iter().position(|t| !in_range(t.batch, t.seconds)) {
        let Timing { batch, seconds } = timings[index];
        return Err(TimeError::BadTiming { index, batch, seconds });
    }
    let mut sorted = timings.to_vec();
    sorted.sort_by(|a, b| a.batch.total_cmp(&b.batch).then(a.seconds.total_cmp(&b.seconds)));
    let groups: Vec<(f64, Vec<f64>)> = sorted
        .chunk_by(|a, b| a.batch == b.batch)
        .map(|same| (same[0].batch, same.iter().map(|t| t.seconds).collect()))
        .collect();
    if groups.len() > MOST_BATCHES {
        return Err(TimeError::TooManyBatches { found: groups.len(), allowed: MOST_BATCHES });
    }
    // Relative standard deviation of one timing, which batches share more or less.
    let own: Vec<Option<f64>> = groups.iter().map(|g| relative_sd(&g.1)).collect();
    let pooled = median(&own.iter().filter_map(|s| *s).collect::<Vec<_>>());
    Ok(groups
        .into_iter()
        .zip(own)
        .map(|((batch, seconds), own)| {
            let count = seconds.len();
            let centre = median(&seconds).unwrap_or(seconds[0]);
            let kept: Vec<f64> = match (own, pooled) {
                (Some(own), Some(pooled)) if count > SPREAD_FROM => {
                    let limit = STALL * own.max(pooled).max(ERROR_FLOOR) * centre;
                    seconds.into_iter().filter(|s| (s - centre).abs() <= limit).collect()
                }
                _ => seconds,
            };
            let centre = median(&kept).unwrap_or(centre);
            // A spread from few timings is itself a rough number: in part it is replaced by that of all batches.
            let share = count as f64 / (count as f64 + SHRINKAGE);
            let sd = match (relative_sd(&kept), pooled) {
                (Some(own), Some(pooled)) if own > 0.0 && pooled > 0.0 => {
                    (share * own.ln() + (1.0 - share) * pooled.ln()).exp()
                }
                (_, pooled) => pooled.unwrap_or(0.0),
            };
            let factor = if kept.len() < 3 { 1.0 } else { MEDIAN_TO_MEAN };
            let spread = sd * centre * factor / (kept.len() as f64).sqrt();
            let stalls = count - kept.len();
            Group { times: BatchTimes { batch, timings: count, stalls, seconds: centre, spread }, kept }
        })
        .collect())
}

/// 1.4826·MAD over the median.
fn relative_sd(seconds: &[f64]) -> Option<f64> {
    if seconds.len() < SPREAD_FROM {
        return None;
    }
    let centre = median(seconds)?;
    Some(MAD_TO_SD * mad(seconds, centre)? / centre)
}

impl Group {
    pub(super) fn point(&self) -> TimePoint {
        TimePoint { batch: self.times.batch, seconds: self.times.seconds, spread: self.times.spread }
    }

    /// Relative error of the median; 0: not known.
    pub(super) fn error(&self) -> f64 {
        self.times.spread / self.times.seconds
    }

    /// The median of as many timings drawn anew, with replacement, from those kept.
    pub(super) fn resampled(&self, draws: &mut Draws) -> f64 {
        let n = self.kept.len();
        if n < RESAMPLE_FROM {
            return self.times.seconds * (self.error() * draws.normal()).exp();
        }
        if n > 64 {
            // The rank of a resampled median has mean n/2 and variance (n²/4)/(n+2), and is close to normal.
            let share = 0.5 + draws.normal() / (2.0 * (n as f64 + 2.0).sqrt());
            return quantile_of_sorted(&self.kept, share).unwrap_or(self.times.seconds);
        }
        let mut drawn: Vec<f64> =
            (0..n).map(|_| self.kept[((draws.uniform() * n as f64) as usize).min(n - 1)]).collect();
        drawn.sort_by(f64::total_cmp);
        quantile_of_sorted(&drawn, 0.5).unwrap_or(self.times.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::{Timing, group};
    use crate::random::Draws;

    #[test]
    fn a_resampled_median_spreads_as_medians_do() {
        // Both ways of resampling, and the normal draws of a small group, against the spread of true medians.
        for (n, allowed) in [(6, 0.35), (30, 0.15), (200, 0.1)] {
            let mut source = Draws::new(3, n as u64);
            let (mut true_square, mut resampled_square) = (0.0, 0.0);
            for _ in 0..400 {
                let timings: Vec<Timing> =
                    (0..n).map(|_| Timing { batch: 8.0, seconds: (0.03 * source.normal()).exp() }).collect();
                let groups = group(&timings).unwrap();
                true_square += groups[0].times.seconds.ln().powi(2);
                let again: Vec<f64> = (0..40).map(|_| groups[0].resampled(&mut source).ln()).collect();
                let mean = again.iter().sum::<f64>() / 40.0;
                resampled_square += again.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 39.0;
            }
            let ratio = (resampled_square / true_square).sqrt();
            assert!((ratio - 1.0).abs() < allowed, "{n} timings: {ratio}");
        }
    }

    #[test]
    fn stalls_are_set_aside_and_counted() {
        let mut timings: Vec<Timing> =
            (0..10).map(|i| Timing { batch: 8.0, seconds: 1.0 + 0.01 * f64::from(i) }).collect();
        timings.push(Timing { batch: 8.0, seconds: 3.0 });
        let groups = group(&timings).unwrap();
        assert_eq!((groups[0].times.timings, groups[0].times.stalls), (11, 1));
        assert!((groups[0].times.seconds - 1.045).abs() < 1e-12);
    }
}
