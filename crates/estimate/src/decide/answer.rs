//! The decision and what it rests on.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::information::Worth;
use crate::grade::Grade;

/// What keeps the batch from being larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Binding {
    /// A larger batch, or micro-batch, does not fit in memory.
    Memory,
    /// A larger batch would hardly process more examples per second.
    Knee,
    /// A larger batch would waste examples: the critical batch.
    NoiseScale,
    /// A larger batch was not tested for generalisation.
    Generalisation,
    /// A larger batch would be too large a part of the data set.
    Data,
    /// Larger batches are not among the candidates.
    Tried,
}

/// A quantity over the draws.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Band {
    /// Median.
    pub median: f64,
    /// 5 % quantile.
    pub low: f64,
    /// 95 % quantile.
    pub high: f64,
}

/// Time to target of one candidate relative to the least median over the candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TimeBand {
    /// Batch size.
    pub batch: u64,
    /// Median over the draws, at least 1.
    pub median: f64,
    /// 5 % quantile.
    pub low: f64,
    /// 95 % quantile.
    pub high: f64,
}

/// How one pair of batch and devices stands.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Standing {
    /// Batch size in examples.
    pub batch: u64,
    /// Devices that share it.
    pub devices: u64,
    /// Expected regret: the share by which the objective exceeds its least value, averaged over the draws.
    pub expected_regret: f64,
    /// Quantile of the regret: that of [`Rule::Minimax`](super::Rule), else 95 %.
    pub quantile_regret: f64,
    /// Share of the draws in which no setting is better.
    pub probability_best: f64,
    /// Time to target: seconds where S_min is known, else relative to the least median among the standings.
    pub time: Band,
    /// Examples to target: examples where S_min is known, else in units of E_min (1 + B/B_c).
    pub examples: Band,
}

/// The chosen batch size, why, and how much worse the others are.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Decision {
    /// The recommended batch size.
    pub batch_size: u64,
    /// Devices that share it.
    pub devices: u64,
    /// Examples held at once on one device.
    pub micro_batch: u64,
    /// Micro-batches per step on each device.
    pub accumulation_steps: u64,
    /// Smallest and largest batch size within [`EQUIVALENT`](super::EQUIVALENT) of the least regret.
    pub equivalent: (u64, u64),
    /// Every batch size within [`EQUIVALENT`](super::EQUIVALENT) of the least regret, ascending.
    pub equivalent_batch_sizes: Vec<u64>,
    /// Expected regret of the recommended batch size.
    pub expected_regret: f64,
    /// (batch, expected regret E[T/min T]−1) on the recommended number of devices, ascending in the batch.
    pub regrets: Vec<(u64, f64)>,
    /// (batch, share of the draws in which it is best), on that number of devices, ascending in the batch.
    pub probability_best: Vec<(u64, f64)>,
    /// The time-optimal end: the candidate with the least time to target at the median of every belief. Above it both
    /// time and examples grow, so nothing above it is recommended to reach a target.
    pub time_optimal: u64,
    /// The example-optimal end: the smallest candidate. Between the two ends lies the Pareto curve,
    /// [`example_curve`](Self::example_curve).
    pub example_optimal: u64,
    /// Whether `standings` are in seconds and examples; else they are relative.
    pub absolute: bool,
    /// Every setting that was allowed, ascending in the devices and then in the batch.
    pub standings: Vec<Standing>,
    /// What keeps the batch from being larger.
    pub binding: Binding,
    /// The same as a sentence with its numbers.
    pub binding_reason: String,
    /// How far the answer may be trusted: the weakest part of its evidence.
    pub grade: Grade,
    /// The parts of the evidence that are weak, one sentence each, weakest first; empty where all was measured.
    pub grade_reasons: Vec<String>,
    /// Whether no test says how the recommended batch generalises.
    pub generalisation_untested: bool,
    /// Expected regret that would go if everything were known: what any measurement can gain at the most.
    pub perfect_information: f64,
    /// What each possible measurement is worth, best first.
    pub worth: Vec<Worth>,
    /// The measurement to make next; `None` where none gains
    /// [`WORTHWHILE`](super::WORTHWHILE) or more.
    pub next_measurement: Option<Worth>,
}

impl Decision {
    /// The recommended setting among the standings.
    #[must_use]
    pub fn chosen(&self) -> Option<&Standing> {
        self.standings.iter().find(|s| s.batch == self.batch_size && s.devices == self.devices)
    }

    /// The Pareto curve of time and examples on the recommended number of devices, from the example-optimal to the
    /// time-optimal end: each larger batch costs more examples and less time (theory §8.1), by the medians.
    #[must_use]
    pub fn example_curve(&self) -> Vec<&Standing> {
        let mut fastest = f64::INFINITY;
        self.standings
            .iter()
            .filter(|s| s.devices == self.devices && s.batch <= self.time_optimal)
            .filter(|s| {
                let faster = s.time.median < fastest;
                fastest = fastest.min(s.time.median);
                faster
            })
            .collect()
    }

    /// The Pareto curve of time and device time k·T over batches and devices: fastest last. A point off this curve
    /// is no faster than one that costs less.
    #[must_use]
    pub fn device_curve(&self) -> Vec<&Standing> {
        let cost = |s: &Standing| s.devices as f64 * s.time.median;
        let mut all: Vec<&Standing> = self.standings.iter().collect();
        all.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.time.median.total_cmp(&b.time.median)));
        let mut fastest = f64::INFINITY;
        all.retain(|s| {
            let faster = s.time.median < fastest;
            fastest = fastest.min(s.time.median);
            faster
        });
        all
    }
}

/// A number of examples, or a percentage, in a sentence.
pub(super) fn in_words(number: f64) -> String {
    match number {
        1.0..1e7 => format!("{number:.0}"),
        1e-3..1.0 => format!("{number:.3}"),
        0.0 => "0".to_owned(),
        _ => format!("{number:.1e}"),
    }
}
