//! The measured time of a step as a curve through its points.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::time::{TimeError, TimePoint, distinct};

/// Steepest slope ln t/ln B that is carried beyond the last point: noise can make a last pair look far steeper.
const STEEPEST: f64 = 2.0;

/// The measured curve: log-log interpolation through the points, for devices that no model describes.
///
/// Below the first point the slope of the first pair goes on, held to [0, 1]; beyond the last that of the last pair,
/// held to [1, 2], so that t never falls and examples/s never grow beyond the last point's.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TimeCurve {
    /// (ln batch, ln seconds), strictly ascending in the batch; at least two.
    knots: Vec<(f64, f64)>,
}

impl TimeCurve {
    /// A curve through `points`; those at one batch are joined by their median.
    ///
    /// # Errors
    /// A point that is no measurement; fewer than 2 distinct batch sizes.
    pub fn new(points: &[TimePoint]) -> Result<Self, TimeError> {
        let knots = distinct(points, 2)?.iter().map(|p| (p.batch.ln(), p.seconds.ln())).collect();
        Ok(Self { knots })
    }

    /// Seconds of a step at `batch` examples; 0 at 0 or below where the first slope is positive.
    #[must_use]
    pub fn seconds(&self, batch: f64) -> f64 {
        let x = batch.max(0.0).ln();
        let n = self.knots.len();
        let (Some(&first), Some(&last)) = (self.knots.first(), self.knots.last()) else {
            return 0.0;
        };
        if n < 2 {
            return first.1.exp();
        }
        let slope =
            |i: usize| (self.knots[i + 1].1 - self.knots[i].1) / (self.knots[i + 1].0 - self.knots[i].0);
        let y = if x <= first.0 {
            match slope(0).clamp(0.0, 1.0) {
                0.0 => first.1,
                rise => first.1 + rise * (x - first.0),
            }
        } else if x >= last.0 {
            last.1 + slope(n - 2).clamp(1.0, STEEPEST) * (x - last.0)
        } else {
            let above = self.knots.partition_point(|k| k.0 <= x).clamp(1, n - 1);
            self.knots[above - 1].1 + slope(above - 1) * (x - self.knots[above - 1].0)
        };
        // exp(709.7) is the last that is a number.
        y.min(709.7).exp()
    }

    /// The smallest measured batch whose examples/s reach the share `efficiency` of the most that were measured.
    ///
    /// The knee where no model describes the times. The first batch for a share of 0 or less or NaN; +∞ above 1.
    ///
    /// ```
    /// use batchwise_estimate::time::{TimeCurve, TimePoint};
    /// let timed = [(8.0, 2e-3), (16.0, 2e-3), (32.0, 3.4e-3), (64.0, 6.4e-3)]; // 4000, 8000, 9412, 10000 examples/s
    /// let points = timed.map(|(batch, seconds)| TimePoint { batch, seconds, spread: 0.0 });
    /// let curve = TimeCurve::new(&points).unwrap();
    /// assert_eq!((curve.measured_knee(0.8), curve.measured_knee(0.9)), (16.0, 32.0));
    /// ```
    #[must_use]
    pub fn measured_knee(&self, efficiency: f64) -> f64 {
        let best = self.knots.iter().map(|k| k.0 - k.1).fold(f64::NEG_INFINITY, f64::max);
        // The logarithms cost a few last digits, which must not cost the best batch its own share.
        let wanted = best + efficiency.max(0.0).ln() - 1e-12;
        let found = self.knots.iter().find(|k| k.0 - k.1 >= wanted);
        found.map_or(f64::INFINITY, |k| {
            let batch = k.0.exp();
            if (batch - batch.round()).abs() <= 1e-9 * batch { batch.round() } else { batch }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::TimeCurve;
    use crate::time::TimePoint;
    use proptest::prelude::*;

    fn curve(points: &[(f64, f64)]) -> TimeCurve {
        let points: Vec<_> =
            points.iter().map(|&(batch, seconds)| TimePoint { batch, seconds, spread: 0.0 }).collect();
        TimeCurve::new(&points).unwrap()
    }

    #[test]
    fn passes_through_its_points_and_holds_its_ends() {
        let c = curve(&[(8.0, 2.0), (2.0, 1.0), (32.0, 3.0)]);
        for (batch, seconds) in
            [(2.0, 1.0), (8.0, 2.0), (32.0, 3.0), (4.0, 2f64.sqrt()), (64.0, 6.0), (0.5, 0.5)]
        {
            assert!((c.seconds(batch) - seconds).abs() < 1e-12, "{batch}: {}", c.seconds(batch));
        }
        // A falling start is noise: it is not carried on.
        assert_eq!(curve(&[(2.0, 3.0), (4.0, 2.0)]).seconds(1.0), 3.0000000000000004);
    }

    proptest! {
        #[test]
        fn examples_per_second_never_grow_beyond_the_last(
            times in prop::collection::vec(1e-6f64..1e3, 2..8), factor in 1.0f64..1e4
        ) {
            let points: Vec<_> = times.iter().enumerate().map(|(i, t)| (2f64.powi(i as i32), *t)).collect();
            let (c, last) = (curve(&points), 2f64.powi(times.len() as i32 - 1));
            let (rate, limit) = (last * factor / c.seconds(last * factor), last / c.seconds(last));
            prop_assert!(rate <= limit * (1.0 + 1e-9));
            prop_assert!(c.seconds(0.5 / factor) <= times[0] * (1.0 + 1e-9));
        }
    }
}
