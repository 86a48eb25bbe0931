//! A step on k data-parallel devices.
//!
//! **The question.** k devices share a batch. Each computes B/k examples; then they agree on the gradient. How long is
//! a step, and is the time gained worth the devices?
//!
//! **The formula** (Qiao et al. 2021, Pollux; theory §6 and §8.1). With n micro-batches of T_grad seconds per device,
//!
//! ```text
//! t(B, k) = (n−1)·T_grad + (T_grad^γ + T_sync^γ)^(1/γ),   T_sync(1) = 0,  T_sync(k) = α + β·(k−2):
//! ```
//!
//! only the last micro-batch can hide the communication, and γ in [1, 10] says how much of it.
//!
//! **When it fails.** One α and β hold within one node, or between nodes, not across both. Devices of unequal speed
//! wait for the slowest; measure the candidates on the devices themselves then.
//!
//! ```
//! use batchwise_estimate::decide::Devices;
//!
//! let devices = Devices {
//!     counts: vec![1, 2, 4],
//!     sync_fixed_seconds: 0.3,
//!     sync_seconds_per_device: 0.05,
//!     sync_relative_error: 0.0,
//!     gamma: 2.0,
//! };
//! // One micro-batch of 0.4 s per device and 0.3 s to agree: √(0.4² + 0.3²).
//! assert!((devices.step_seconds(0.4, 1, 2) - 0.5).abs() < 1e-12);
//! // Four micro-batches, 0.1 s each: three of them cannot hide anything.
//! assert!((devices.step_seconds(0.4, 4, 2) - (0.3 + 0.1f64.hypot(0.3))).abs() < 1e-12);
//! assert_eq!(devices.step_seconds(0.4, 1, 1), 0.4);
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::error::DecideError;
use crate::time::TimeModel;

/// The numbers of devices to choose from, and how long they take to agree on a gradient.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Devices {
    /// Numbers of devices k, distinct and above 0.
    pub counts: Vec<u64>,
    /// α: seconds in which two devices agree, at least 0.
    pub sync_fixed_seconds: f64,
    /// β: further seconds for each device beyond two, at least 0.
    pub sync_seconds_per_device: f64,
    /// Relative standard error of these seconds, in [0, 1].
    pub sync_relative_error: f64,
    /// γ in [1, 10]: 1 hides nothing of the communication behind the work, 10 nearly all.
    pub gamma: f64,
}

impl Devices {
    /// T_sync in seconds for `devices` k: 0 for one, α + β·(k−2) for more.
    #[must_use]
    pub fn sync_seconds(&self, devices: u64) -> f64 {
        if devices <= 1 {
            return 0.0;
        }
        self.sync_fixed_seconds + self.sync_seconds_per_device * (devices - 2) as f64
    }

    /// Seconds of a step whose own work is `local_seconds` on each device, in `micro_batches` equal parts.
    #[must_use]
    pub fn step_seconds(&self, local_seconds: f64, micro_batches: u64, devices: u64) -> f64 {
        join(local_seconds, micro_batches, self.sync_seconds(devices), self.gamma)
    }

    pub(super) fn check(&self) -> Result<(), DecideError> {
        let mut counts = self.counts.clone();
        counts.sort_unstable();
        counts.dedup();
        let seconds = |s: f64| s.is_finite() && (0.0..=1e300).contains(&s);
        let largest = self.sync_seconds(counts.last().copied().unwrap_or(1));
        let good = !counts.is_empty()
            && counts.len() == self.counts.len()
            && counts[0] > 0
            && [self.sync_fixed_seconds, self.sync_seconds_per_device, largest].into_iter().all(seconds)
            && (0.0..=1.0).contains(&self.sync_relative_error)
            && (1.0..=10.0).contains(&self.gamma);
        if good { Ok(()) } else { Err(DecideError::BadDevices { found: format!("{self:?}") }) }
    }
}

/// (n−1)/n of the local work, and the last part of it joined with the communication.
pub(super) fn join(local: f64, micro_batches: u64, sync: f64, gamma: f64) -> f64 {
    if sync <= 0.0 {
        return local;
    }
    let n = micro_batches.max(1) as f64;
    let part = local / n;
    (n - 1.0) * part + TimeModel::Overlap { gamma }.join(part, sync)
}
