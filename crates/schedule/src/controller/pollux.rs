//! Goodput: examples per second, discounted by how much less each example of a larger batch is worth (Qiao et al. 2021, Pollux, OSDI;
//! formulas as in its implementation adaptdl; theory.md §6).

use crate::batch::Bounds;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// The time of an optimizer step on K replicas.
///
/// T_grad = `compute_seconds` + `compute_per_example`·m for a micro-batch of m on each replica;
/// T_sync = 0 for one replica, else `sync_seconds` + `sync_per_replica`·max(K − 2, 0);
/// T_iter = (T_grad^γ + T_sync^γ)^(1/γ) + s·T_grad with s further micro-batches before the one that synchronises.
/// The batch is K·m·(s + 1).
///
/// ```
/// use batchwise_schedule::controller::pollux::Iteration;
///
/// let step = Iteration {
///     compute_seconds: 0.03, compute_per_example: 0.0001, sync_seconds: 0.04, sync_per_replica: 0.0, gamma: 2.0,
/// };
/// // T_grad = 0.04 s; √(0.04² + 0.04²) + 0.04 s.
/// assert!((step.seconds(100.0, 2, 1) - (0.04 * 2f64.sqrt() + 0.04)).abs() < 1e-15);
/// assert!((step.seconds(100.0, 1, 0) - 0.04).abs() < 1e-15);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Iteration {
    /// α_c, seconds.
    pub compute_seconds: f64,
    /// β_c, seconds per example.
    pub compute_per_example: f64,
    /// α_r within a machine or α_n between machines, seconds.
    pub sync_seconds: f64,
    /// β_r or β_n, seconds per replica beyond the second.
    pub sync_per_replica: f64,
    /// γ, 1 (one after the other) to 10 (overlapped).
    pub gamma: f64,
}

impl Iteration {
    /// Seconds of a step with `micro_batch` examples on each of `replicas`, after `accumulation` further micro-batches.
    #[must_use]
    pub fn seconds(&self, micro_batch: f64, replicas: u64, accumulation: u64) -> f64 {
        let gradient = self.compute_seconds + self.compute_per_example * micro_batch;
        let sync = match replicas {
            0 | 1 => 0.0,
            k => self.sync_seconds + self.sync_per_replica * k.saturating_sub(2) as f64,
        };
        let (large, small) = (gradient.max(sync), gradient.min(sync));
        // The larger part is taken out, so that a power of 10 of milliseconds stays a number.
        let joined = if large > 0.0 {
            large * (1.0 + (small / large).powf(self.gamma)).powf(1.0 / self.gamma)
        } else {
            0.0
        };
        joined + accumulation as f64 * gradient
    }
}

/// What an example of a batch of `batch` is worth against one of a batch of `base`: (φ + B₀)/(φ + B). 1 at `base`, falling.
#[must_use]
pub fn efficiency(batch: f64, phi: f64, base: f64) -> f64 {
    (phi + base) / (phi + batch)
}

/// Examples of batches of `base` that are processed per second, in what they are worth: B/T·efficiency.
#[must_use]
pub fn goodput(batch: f64, seconds: f64, phi: f64, base: f64) -> f64 {
    batch / seconds * efficiency(batch, phi, base)
}

/// Sizes that are tried between the bounds, at equal factors.
const TRIED: u32 = 50;

/// The batch size of the largest goodput among 50 at equal factors between the bounds; the smallest of equals. NaN where
/// no goodput is a positive number.
#[must_use]
pub fn best_batch(phi: f64, base: u64, bounds: &Bounds, seconds: &dyn Fn(f64) -> f64) -> f64 {
    let (min, max) = (bounds.min.max(1) as f64, bounds.max.max(1) as f64);
    let mut best = (f64::NAN, 0.0);
    for i in 0..TRIED {
        let batch = min * (max / min).powf(f64::from(i) / f64::from(TRIED - 1));
        let found = goodput(batch, seconds(batch), phi, base as f64);
        if found.is_finite() && best.1 < found {
            best = (batch, found);
        }
    }
    best.0
}
