//! Learning-rate schedules as pure functions of progress in examples.

use crate::progress::{Examples, LearningRate};
use serde::{Deserialize, Serialize};

/// A learning rate over the course of a run.
///
/// ```
/// use batchwise_schedule::{Examples, LearningRate, Schedule};
///
/// let schedule = Schedule::warmup_cosine(LearningRate(0.1), Examples(100), Examples(1100));
/// assert_eq!(schedule.at(Examples(50)).0, 0.05);
/// assert_eq!(schedule.at(Examples(100)).0, 0.1);
/// assert!((schedule.at(Examples(600)).0 - 0.05).abs() < 1e-12);
/// assert_eq!(schedule.at(Examples(1100)).0, 0.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// The same throughout.
    Constant {
        /// The learning rate.
        peak: LearningRate,
    },
    /// Linear from 0 to `peak` over `warmup`, then half a cosine down to 0 at `total`
    /// (Loshchilov & Hutter 2017, with one period).
    WarmupCosine {
        /// The highest learning rate.
        peak: LearningRate,
        /// Where the peak is reached.
        warmup: Examples,
        /// Where the learning rate reaches 0; it stays there.
        total: Examples,
    },
}

impl Schedule {
    /// The same learning rate throughout.
    pub fn constant(peak: LearningRate) -> Self {
        Self::Constant { peak }
    }

    /// Linear warmup, then half a cosine to 0.
    pub fn warmup_cosine(peak: LearningRate, warmup: Examples, total: Examples) -> Self {
        Self::WarmupCosine { peak, warmup, total }
    }

    /// The learning rate after `progress` examples.
    pub fn at(&self, progress: Examples) -> LearningRate {
        match *self {
            Self::Constant { peak } => peak,
            Self::WarmupCosine { peak, warmup, total } => {
                LearningRate(peak.0 * warmup_cosine(progress.0 as f64, warmup.0 as f64, total.0 as f64))
            }
        }
    }

    /// The learning rate of the step that takes progress from `start` to `end`: the schedule at the
    /// middle of the step, so that a run of few large steps follows the same curve as one of many small
    /// ones, and the first step's is not 0.
    pub fn over(&self, start: Examples, end: Examples) -> LearningRate {
        match *self {
            Self::Constant { peak } => peak,
            Self::WarmupCosine { peak, warmup, total } => {
                let middle = (start.0 as f64 + end.0 as f64) / 2.0;
                LearningRate(peak.0 * warmup_cosine(middle, warmup.0 as f64, total.0 as f64))
            }
        }
    }

    /// The highest learning rate.
    pub fn peak(&self) -> LearningRate {
        match *self {
            Self::Constant { peak } | Self::WarmupCosine { peak, .. } => peak,
        }
    }

    /// The same curve with its learning rates multiplied.
    pub fn with_peak(&self, peak: LearningRate) -> Self {
        match *self {
            Self::Constant { .. } => Self::Constant { peak },
            Self::WarmupCosine { warmup, total, .. } => Self::WarmupCosine { peak, warmup, total },
        }
    }
}

fn warmup_cosine(progress: f64, warmup: f64, total: f64) -> f64 {
    if progress < warmup {
        return progress / warmup;
    }
    if total <= progress {
        return if total <= warmup && progress <= warmup { 1.0 } else { 0.0 };
    }
    let share = (progress - warmup) / (total - warmup);
    0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_reference_values() {
        // 0.5·(1 + cos(π·i/8))·0.2 after a warmup of 4 of 12 examples; the cosine part is PyTorch's
        // CosineAnnealingLR(T_max = 8), whose closed form is the same.
        let schedule = Schedule::warmup_cosine(LearningRate(0.2), Examples(4), Examples(12));
        let want = [
            0.0,
            0.05,
            0.1,
            0.15,
            0.2,
            0.192387953251128,
            0.170710678118654,
            0.138268343236508,
            0.1,
            0.061731656763491,
            0.029289321881345,
            0.007612046748871,
            0.0,
            0.0,
        ];
        for (i, want) in want.into_iter().enumerate() {
            let got = schedule.at(Examples(i as u64)).0;
            assert!((got - want).abs() < 1e-14, "{i}: {got} is not {want}");
        }
    }

    #[test]
    fn degenerate_lengths_stay_finite() {
        for (warmup, total) in [(0, 0), (0, 10), (10, 10), (10, 5)] {
            let schedule = Schedule::warmup_cosine(LearningRate(1.0), Examples(warmup), Examples(total));
            for progress in 0..20 {
                let lr = schedule.at(Examples(progress)).0;
                assert!((0.0..=1.0).contains(&lr), "{warmup} {total} {progress}: {lr}");
            }
        }
    }

    proptest! {
        /// What a step of any size sees is the curve itself: the mean over many small steps equals the
        /// curve's integral, whatever the batch size.
        #[test]
        fn the_area_does_not_depend_on_the_batch(batch in 1u64..200, warmup in 0u64..500) {
            let total = 20_000;
            let schedule = Schedule::warmup_cosine(LearningRate(1.0), Examples(warmup), Examples(total));
            let mut area = 0.0;
            let mut seen = 0;
            while seen < total {
                let size = batch.min(total - seen);
                area += schedule.over(Examples(seen), Examples(seen + size)).0 * size as f64;
                seen += size;
            }
            let want = warmup as f64 / 2.0 + (total - warmup) as f64 / 2.0;
            // The curve is smooth but for the end of the warmup, which one step may straddle.
            prop_assert!((area - want).abs() < batch as f64 + 1e-3 * want, "{} {}", area, want);
        }

        #[test]
        fn serialises(peak in 1e-6f64..10.0, warmup in 0u64..100, total in 0u64..1000) {
            let schedule = Schedule::warmup_cosine(LearningRate(peak), Examples(warmup), Examples(total));
            prop_assert!(schedule.peak().0 == peak);
            prop_assert_eq!(schedule.with_peak(LearningRate(2.0)).with_peak(LearningRate(peak)), schedule);
        }
    }
}
