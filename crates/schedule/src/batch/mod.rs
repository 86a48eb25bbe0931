//! Batch sizes over a run, as pure functions of progress in examples.
//!
//! Noise matters little early and much late, so the batch that suits a run grows over it (McCandlish et al. 2018, §2.3; Smith
//! et al. 2018; Merrill et al. 2025). A [`BatchSchedule`] says the batch size at any progress; it keeps no state, so a run
//! that was interrupted goes on with the right batch, and a different micro-batch or number of workers changes nothing.
//!
//! A batch size seldom changes alone: [`Pair`] holds it together with the learning rate, which follows by a
//! [`Scaling`](crate::Scaling) rule from the batch size that its schedule was tuned for.
//!
//! ```
//! use batchwise_schedule::{BatchSpec, Examples, LrSpec, RunLength};
//!
//! let run = RunLength::of(Examples(100_000));
//! let lr = "0.1 step x0.2 at 30%,60%,80%".parse::<LrSpec>()?.resolve(&run, None)?;
//! // Smith et al. 2018: where the schedule would divide the learning rate by 5, multiply the batch by 5.
//! let pair = "128 increase max 5120".parse::<BatchSpec>()?.resolve(&run, lr)?;
//! assert_eq!(pair.batch(Examples(29_999)), 128);
//! assert_eq!(pair.batch(Examples(30_000)), 640);
//! assert!((pair.learning_rate(Examples(30_000), Examples(30_640)).0 - 0.1).abs() < 1e-12);
//! // At the largest batch the learning rate falls after all.
//! assert_eq!(pair.batch(Examples(80_000)), 5120);
//! assert!((pair.learning_rate(Examples(80_000), Examples(85_120)).0 - 0.1 * 0.008 * 40.0).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod grammar;
mod pair;
mod spec;

pub use pair::{Pair, Step, Walk};
pub use spec::{BatchError, BatchShape, BatchSpec, Bounds};

use crate::lr::Schedule;
use crate::progress::Examples;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// The batch size over a run.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct BatchSchedule {
    size: Size,
    bounds: Bounds,
    /// The batch size at the beginning: doublings are counted from it.
    base: u64,
}

/// The size before bounds and rounding.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "size", rename_all = "snake_case"))]
enum Size {
    /// (from this progress on, size), ascending; the first is at 0.
    Steps { steps: Vec<(u64, u64)> },
    /// From `from` at `start` to `to` after `length` more.
    Ramp { from: f64, to: f64, start: u64, length: u64, geometric: bool },
    /// base·peak/η: as much larger as the learning rate has fallen.
    AsLrFalls { lr: Schedule },
}

impl BatchSchedule {
    /// The same batch size throughout. A size of 0 is kept as [`base`](Self::base), for whoever runs it to refuse; steps have at
    /// least 1 example.
    #[must_use]
    pub fn constant(size: u64) -> Self {
        let bounds = Bounds { max: size.max(1), ..Bounds::default() };
        Self { size: Size::Steps { steps: vec![(0, size)] }, bounds, base: size }
    }

    /// The batch size of a step that begins after `progress` examples; at least 1, within its bounds.
    #[must_use]
    pub fn at(&self, progress: Examples) -> u64 {
        let size = match &self.size {
            Size::Steps { steps } => {
                let i = steps.partition_point(|(start, _)| *start <= progress.0).saturating_sub(1);
                return self.bounds.apply(steps.get(i).map_or(1.0, |s| s.1 as f64), self.base);
            }
            Size::Ramp { from, to, start, length, geometric } => {
                let done = progress.0.saturating_sub(*start).min(*length);
                let share = if *length == 0 { 1.0 } else { done as f64 / *length as f64 };
                if *geometric { from * (to / from).powf(share) } else { from + (to - from) * share }
            }
            Size::AsLrFalls { lr } => {
                let begun = Examples(progress.0.max(self.peak_at(lr)));
                // Just after a warmup the curve may still be a rounding below its peak.
                if progress.0 < begun.0 {
                    self.base as f64
                } else {
                    self.base as f64 * lr.peak().0 / lr.at(begun).0
                }
            }
        };
        self.bounds.apply(size, self.base)
    }

    /// The progress up to which the size stays as it is at `progress`, as far as that is known: at least `progress` + 1,
    /// `u64::MAX` where it never changes again.
    #[must_use]
    pub fn constant_until(&self, progress: Examples) -> Examples {
        match &self.size {
            Size::Steps { steps } => {
                let i = steps.partition_point(|(start, _)| *start <= progress.0);
                Examples(steps.get(i).map_or(u64::MAX, |s| s.0))
            }
            Size::Ramp { start, length, .. } if start.saturating_add(*length) <= progress.0 => {
                Examples(u64::MAX)
            }
            Size::Ramp { start, length, .. } => {
                // Monotone, so the place of the next change can be searched for.
                let now = self.at(progress);
                let (mut low, mut high) = (progress.0, start.saturating_add(*length));
                if self.at(Examples(high)) == now {
                    return Examples(u64::MAX);
                }
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if self.at(Examples(middle)) == now { low = middle } else { high = middle }
                }
                Examples(high)
            }
            Size::AsLrFalls { .. } => Examples(progress.0.saturating_add(1)),
        }
    }

    /// The batch size at the beginning of the run.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Where the learning rate first reaches its peak: before, in the warmup, the batch stays.
    fn peak_at(&self, lr: &Schedule) -> u64 {
        let reaches = |at: u64| lr.peak().0 * (1.0 - 1e-9) <= lr.at(Examples(at)).0;
        if reaches(0) {
            return 0;
        }
        lr.boundaries().into_iter().map(|e| e.0).find(|at| reaches(*at)).unwrap_or(0)
    }
}
