//! Two shapes beside the joined ones: stairs, where work is done in whole quanta, and two slopes.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::fit::Judge;
use super::linear::{self, Row};
use super::points::TimePoint;
use crate::search::golden;

/// t(B) = a + c·q·⌈B/q⌉: examples are worked on in whole quanta (vector lanes, tiles, threads), so that a batch pays
/// for the next multiple of q (theory §7).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Stairs {
    /// q: examples of a quantum, at least 2.
    pub quantum: u32,
    /// a: seconds that do not depend on the batch, at least 0.
    pub overhead_seconds: f64,
    /// c: seconds per example of a full quantum, at least 0.
    pub seconds_per_example: f64,
}

/// t(B) = a + c₁·min(B, b) + c₂·max(B−b, 0): the cost of an example changes at b, as when the activations leave a
/// cache (theory §7). a, c₁, c₂ ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TwoSlopes {
    /// a: seconds that do not depend on the batch, at least 0.
    pub overhead_seconds: f64,
    /// c₁: seconds per example up to the bend, at least 0.
    pub seconds_per_example: f64,
    /// b: the batch at which the slope changes.
    pub bend: f64,
    /// c₂: seconds per example beyond the bend, at least 0.
    pub seconds_per_example_beyond: f64,
}

impl Stairs {
    /// Seconds of a step at `batch` examples, at most [`f64::MAX`]; a negative batch counts as 0.
    #[must_use]
    pub fn seconds(&self, batch: f64) -> f64 {
        (self.overhead_seconds + self.seconds_per_example * rounded_up(batch, self.quantum)).min(f64::MAX)
    }

    /// The smallest whole number of quanta whose examples/s reach the share `efficiency` of the limit 1/c.
    ///
    /// q·⌈(a/c)·η/((1−η)·q)⌉: at a multiple of q the stairs touch the line a + cB. At least one quantum. +∞ where no
    /// batch reaches it.
    #[must_use]
    pub fn knee(&self, efficiency: f64) -> f64 {
        let share = if efficiency.is_nan() { 0.0 } else { efficiency.max(0.0) };
        if share >= 1.0 && self.overhead_seconds > 0.0 {
            return f64::INFINITY;
        }
        let line = self.overhead_seconds / self.seconds_per_example * share / (1.0 - share);
        if line.is_nan() { 0.0 } else { rounded_up(line, self.quantum).max(f64::from(self.quantum)) }
    }
}

impl TwoSlopes {
    /// Seconds of a step at `batch` examples, at most [`f64::MAX`]; a negative batch counts as 0.
    #[must_use]
    pub fn seconds(&self, batch: f64) -> f64 {
        let batch = if batch.is_nan() { 0.0 } else { batch.clamp(0.0, f64::MAX) };
        let (below, beyond) = (batch.min(self.bend), (batch - self.bend).max(0.0));
        let work = self.seconds_per_example * below + self.seconds_per_example_beyond * beyond;
        (self.overhead_seconds + work).min(f64::MAX)
    }

    /// The smallest batch whose examples/s reach the share `efficiency` of the most that any batch reaches.
    ///
    /// That most is 1/c₂, or the throughput at the bend where c₂ is the dearer slope. +∞ where no batch reaches it.
    #[must_use]
    pub fn knee(&self, efficiency: f64) -> f64 {
        let share = if efficiency.is_nan() { 0.0 } else { efficiency.max(0.0) };
        let at_bend = self.bend / self.seconds(self.bend);
        let wanted = share * at_bend.max(1.0 / self.seconds_per_example_beyond);
        if share == 0.0 || self.overhead_seconds <= 0.0 && self.seconds_per_example <= 0.0 {
            return 0.0;
        }
        // X = B/(a + cB) reaches x at ax/(1−cx).
        let below = self.overhead_seconds * wanted / (1.0 - self.seconds_per_example * wanted);
        if below >= 0.0 && below <= self.bend {
            return below;
        }
        let intercept = self.seconds(self.bend) - self.seconds_per_example_beyond * self.bend;
        let beyond = intercept * wanted / (1.0 - self.seconds_per_example_beyond * wanted);
        if beyond >= self.bend { beyond } else { f64::INFINITY }
    }
}

/// `batch` rounded up to a whole number of quanta.
fn rounded_up(batch: f64, quantum: u32) -> f64 {
    let quantum = f64::from(quantum.max(1));
    let batch = if batch.is_nan() { 0.0 } else { batch.clamp(0.0, f64::MAX) };
    // A batch that is a multiple but for rounding is that multiple.
    (batch / quantum * (1.0 - 1e-12)).ceil() * quantum
}

/// The quanta tried where none is given: all up to 8, then 8 to 16 times powers of two by twos, up to 256.
const QUANTA: [u32; 27] = [
    2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256,
];

/// The quanta that the points can tell from none and from a constant: some batch is no multiple, the largest is above.
pub(super) fn quanta(points: &[TimePoint]) -> Vec<u32> {
    let seen = |q: &u32| {
        let q = f64::from(*q);
        points.iter().any(|p| p.batch % q != 0.0) && points.iter().filter(|p| p.batch > q).count() >= 2
    };
    QUANTA.into_iter().filter(seen).collect()
}

/// The stairs of one quantum, and their cost.
pub(super) fn stairs(points: &[TimePoint], quantum: u32, judge: &Judge) -> Option<(Stairs, f64)> {
    let rows: Vec<Row> = points.iter().map(|p| [1.0, rounded_up(p.batch, quantum), 0.0]).collect();
    let found = linear::fit(&rows, &seconds(points), &judge.sd)?;
    let [overhead_seconds, seconds_per_example, _] = found.coefficients;
    Some((Stairs { quantum, overhead_seconds, seconds_per_example }, found.cost))
}

/// Batch sizes from which two slopes are tried: two on either side of the bend, and what the small-sample penalty needs.
pub(super) const TWO_SLOPES_FROM: usize = 7;

/// Places of the bend that are tried first, on a logarithmic axis.
const BENDS: usize = 32;

/// The best two slopes with two batches or more on either side of the bend, and their cost: one batch alone that takes
/// long is no slope.
pub(super) fn two_slopes(points: &[TimePoint], judge: &Judge) -> Option<(TwoSlopes, f64)> {
    let n = points.len();
    if n < TWO_SLOPES_FROM {
        return None;
    }
    let seconds = seconds(points);
    let at = |bend: f64| -> Option<(TwoSlopes, f64)> {
        let rows: Vec<Row> =
            points.iter().map(|p| [1.0, p.batch.min(bend), (p.batch - bend).max(0.0)]).collect();
        let found = linear::fit(&rows, &seconds, &judge.sd)?;
        let [overhead_seconds, seconds_per_example, seconds_per_example_beyond] = found.coefficients;
        Some((
            TwoSlopes { overhead_seconds, seconds_per_example, bend, seconds_per_example_beyond },
            found.cost,
        ))
    };
    let cost = |ln_bend: f64| at(ln_bend.exp()).map_or(f64::INFINITY, |fit| fit.1);
    let (low, high) = (points[2].batch.ln(), points[n - 3].batch.ln());
    let place = |i: usize| low + (high - low) * i as f64 / BENDS as f64;
    let best = (0..=BENDS).min_by(|&i, &j| cost(place(i)).total_cmp(&cost(place(j)))).unwrap_or(0);
    let fine = golden(place(best.saturating_sub(1)), place((best + 1).min(BENDS)), 16, cost);
    let (fine, coarse) = (at(fine.exp()), at(place(best).exp()));
    [fine, coarse].into_iter().flatten().min_by(|a, b| a.1.total_cmp(&b.1))
}

fn seconds(points: &[TimePoint]) -> Vec<f64> {
    points.iter().map(|p| p.seconds).collect()
}
