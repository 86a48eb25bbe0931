//! Learning-rate schedules as pure functions of progress in examples.
//!
//! A [`Schedule`] is a row of segments (a warmup, a decay, …), each a [`Shape`] over a number of examples. It is written
//! as a text or built as an [`LrSpec`], in examples, tokens, epochs or parts of the run, and resolved once for a run.
//!
//! ```
//! use batchwise_schedule::{Examples, LearningRate, LrSpec, RunLength};
//!
//! let spec: LrSpec = "0.1 warmup 5% then cosine to 0".parse()?;
//! let schedule = spec.resolve(&RunLength::of(Examples(20_000)), None)?;
//! assert_eq!(schedule.at(Examples(500)), LearningRate(0.05));
//! assert_eq!(schedule.at(Examples(1000)), LearningRate(0.1));
//! assert_eq!(schedule.at(Examples(20_000)), LearningRate(0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a step uses is the mean of the curve over the examples of the step ([`Schedule::over`]). The sum of learning rate
//! times examples is therefore the same for every sequence of batch sizes, and a step of any size that crosses a jump gets
//! its share of both sides. Schedulers that count steps take the value at the step's beginning instead: with batches that are
//! small against the curve the two agree.

mod curve;
mod grammar;
mod spec;

pub use spec::{Decay, Level, LrError, LrSpec, Segment, Shape};

use crate::progress::{Examples, LearningRate};
use curve::Curve;
#[cfg(feature = "serde")]
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
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Schedule {
    peak: LearningRate,
    /// (beginning in examples, curve), ascending; the first begins at 0.
    segments: Vec<(u64, Curve)>,
}

impl Schedule {
    /// The same learning rate throughout.
    #[must_use]
    pub fn constant(peak: LearningRate) -> Self {
        Self { peak, segments: vec![(0, Curve::Constant { value: peak.0 })] }
    }

    /// Linear from 0 to `peak` over `warmup`, then half a cosine down to 0 at `total`, where it stays
    /// (Loshchilov & Hutter 2017, with one period). A warmup as long as the run or longer ends the run at the peak, or below.
    #[must_use]
    pub fn warmup_cosine(peak: LearningRate, warmup: Examples, total: Examples) -> Self {
        let mut segments = Vec::new();
        if 0 < warmup.0 {
            segments.push((0, Curve::Linear { from: 0.0, to: peak.0, length: warmup.0 as f64 }));
        }
        if warmup < total {
            let length = (total.0 - warmup.0) as f64;
            segments.push((warmup.0, Curve::Cosine { from: peak.0, to: 0.0, length }));
        }
        if segments.is_empty() {
            segments.push((0, Curve::Constant { value: peak.0 }));
        }
        Self { peak, segments }
    }

    /// The learning rate after `progress` examples. At a jump it is the new one; after the last segment it stays.
    #[must_use]
    pub fn at(&self, progress: Examples) -> LearningRate {
        let i = self.segments.partition_point(|(start, _)| *start <= progress.0).saturating_sub(1);
        let value = self.segments.get(i).map_or(0.0, |(start, curve)| curve.at((progress.0 - start) as f64));
        LearningRate(value)
    }

    /// The learning rate of the step that takes progress from `start` to `end`: the mean of the curve over its
    /// examples. Where `end` is not above `start`, the value there.
    #[must_use]
    pub fn over(&self, start: Examples, end: Examples) -> LearningRate {
        if end <= start {
            return self.at(start);
        }
        let width = (end.0 - start.0) as f64;
        let first = self.segments.partition_point(|(s, _)| *s <= start.0).saturating_sub(1);
        let mut sum = 0.0;
        for (i, (begin, curve)) in self.segments.iter().enumerate().skip(first) {
            let stop = self.segments.get(i + 1).map_or(u64::MAX, |next| next.0);
            let (a, b) = (start.0.max(*begin), end.0.min(stop));
            if b <= a {
                break;
            }
            let mean = self.mean(*begin, curve, a, b);
            if b - a == end.0 - start.0 {
                return LearningRate(mean);
            }
            sum += mean * ((b - a) as f64 / width);
        }
        LearningRate(sum)
    }

    /// The mean of one segment over [a, b), which may go on beyond its end.
    fn mean(&self, begin: u64, curve: &Curve, a: u64, b: u64) -> f64 {
        let (s0, s1) = ((a - begin) as f64, (b - begin) as f64);
        let length = curve.length().unwrap_or(f64::INFINITY);
        if length <= s0 {
            return curve.at(length);
        }
        if s1 <= length {
            return curve.mean(s0, s1);
        }
        let part = (length - s0) / (s1 - s0);
        curve.mean(s0, length) * part + curve.at(length) * (1.0 - part)
    }

    /// The highest learning rate.
    #[must_use]
    pub fn peak(&self) -> LearningRate {
        self.peak
    }

    /// The same curve with its learning rates multiplied, so that its peak is `peak`. A schedule whose peak is 0 becomes
    /// constant.
    #[must_use]
    pub fn with_peak(&self, peak: LearningRate) -> Self {
        if self.peak.0 == 0.0 {
            return Self::constant(peak);
        }
        let by = peak.0 / self.peak.0;
        Self {
            peak,
            segments: self.segments.iter().map(|(start, curve)| (*start, curve.scaled(by))).collect(),
        }
    }

    /// Where segments begin, but for the first: kinks and jumps of the curve.
    #[must_use]
    pub fn boundaries(&self) -> Vec<Examples> {
        self.segments.iter().skip(1).map(|(start, _)| Examples(*start)).collect()
    }
}
