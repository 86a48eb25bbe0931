//! What may be chosen at all: memory, the size of the data set, what was tested.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::answer::Binding;
use super::error::DecideError;
use super::problem::{Problem, TimeBelief};

/// Batches above this part of the data set are not recommended: sampling without replacement changes the noise
/// (theory §1.6).
pub const LARGEST_PART: u64 = 10;

/// Memory at one micro-batch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct MemoryBand {
    /// Examples held at once on one device, above 0.
    pub micro_batch: u64,
    /// Expected peak bytes.
    pub expected_bytes: f64,
    /// Upper prediction band of the peak, at least the expected one: what "fits" is judged by.
    pub upper_bytes: f64,
}

/// The largest micro-batch that a device holds.
///
/// Memory never changes the mathematics: with accumulation it bounds the micro-batch, not the batch. Without
/// accumulation, B/k must fit on each of k devices.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "kind", rename_all = "snake_case"))]
pub enum Memory {
    /// Every candidate fits.
    #[default]
    Unlimited,
    /// The largest micro-batch, found elsewhere.
    Largest {
        /// The largest micro-batch that fits, above 0.
        micro_batch: u64,
        /// Why larger ones do not fit, as a clause.
        reason: String,
    },
    /// A predicted peak at several micro-batches against a limit.
    Band {
        /// The predictions, in any order.
        points: Vec<MemoryBand>,
        /// Bytes that may be used, the margin already taken off.
        limit_bytes: u64,
    },
}

impl Memory {
    /// Largest micro-batch whose upper band is within the limit; 0 where none is, `None` where nothing limits it.
    #[must_use]
    pub fn largest_micro_batch(&self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Largest { micro_batch, .. } => Some(*micro_batch),
            Self::Band { points, limit_bytes } => {
                let fits = points.iter().filter(|p| p.upper_bytes <= *limit_bytes as f64);
                Some(fits.map(|p| p.micro_batch).max().unwrap_or(0))
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), DecideError> {
        let Self::Band { points, .. } = self else {
            return Ok(());
        };
        for (index, &MemoryBand { micro_batch, expected_bytes, upper_bytes }) in points.iter().enumerate() {
            let ordered = 0.0 <= expected_bytes && expected_bytes <= upper_bytes && upper_bytes.is_finite();
            if micro_batch == 0 || !ordered {
                return Err(DecideError::BadMemory { index, micro_batch, expected_bytes, upper_bytes });
            }
        }
        Ok(())
    }

    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Unlimited => "no limit of memory was given".to_owned(),
            Self::Largest { micro_batch, reason } => {
                format!("a micro-batch of {micro_batch} is the largest that fits in memory: {reason}")
            }
            Self::Band { limit_bytes, .. } => match self.largest_micro_batch() {
                Some(0) | None => format!("no micro-batch surely fits in {limit_bytes} bytes of memory"),
                Some(b) => {
                    format!("a micro-batch of {b} is the largest that surely fits in {limit_bytes} bytes")
                }
            },
        }
    }
}

/// A batch on some devices, and how it is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Setting {
    /// Batch size in examples.
    pub batch: u64,
    /// Data-parallel devices that share it.
    pub devices: u64,
    /// Examples held at once on one device (the last micro-batch may be smaller).
    pub micro_batch: u64,
    /// Micro-batches per step on each device.
    pub accumulation_steps: u64,
}

/// A limit of the batch size.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Limit {
    pub(super) binding: Binding,
    pub(super) largest: u64,
    pub(super) reason: String,
}

/// The limits of the batch size on `devices` devices, in the order in which they are named.
pub(super) fn limits(problem: &Problem, devices: u64) -> Vec<Limit> {
    let mut all = Vec::new();
    if let Some(micro) = problem.memory.largest_micro_batch().filter(|m| !problem.accumulation || *m == 0) {
        let largest = micro.saturating_mul(devices);
        all.push(Limit { binding: Binding::Memory, largest, reason: problem.memory.in_words() });
    }
    if let Some(largest) = problem.generalisation_tested {
        let reason = format!("generalisation was tested up to batch {largest} only");
        all.push(Limit { binding: Binding::Generalisation, largest, reason });
    }
    if let Some(n) = problem.dataset_examples {
        let largest = (n / LARGEST_PART).max(1);
        let reason = format!("a tenth of the {n} training examples is {largest}");
        all.push(Limit { binding: Binding::Data, largest, reason });
    }
    all
}

/// Every pair of a candidate and a number of devices, ascending in the devices and then in the batch.
pub(super) fn settings(problem: &Problem) -> Vec<Setting> {
    let mut batches: Vec<u64> = match &problem.time {
        TimeBelief::Measured { candidates } => candidates.iter().map(|c| c.batch).collect(),
        TimeBelief::Model { batches, .. } => batches.clone(),
    };
    batches.sort_unstable();
    let mut counts = problem.devices.as_ref().map_or_else(|| vec![1], |d| d.counts.clone());
    counts.sort_unstable();
    let most = problem.memory.largest_micro_batch().filter(|m| problem.accumulation && *m > 0);
    let setting = |devices: u64, batch: u64| {
        let local = batch.div_ceil(devices);
        let accumulation_steps = most.map_or(1, |m| local.div_ceil(m));
        Setting { batch, devices, micro_batch: local.div_ceil(accumulation_steps), accumulation_steps }
    };
    let pairs = counts.iter().flat_map(|k| batches.iter().map(move |b| (*k, *b)));
    pairs.filter(|(k, b)| k <= b).map(|(k, b)| setting(k, b)).collect()
}
