//! One noise scale for a whole training run, from measurements at several points of it.
//!
//! φ grows over training, often a hundredfold, so no single checkpoint speaks for the run. At a fixed batch size the
//! run-level critical batch is the average of the local noise scale over progress (McCandlish et al. 2018, appendix D;
//! theory §1.1): [`average_phi`]. It holds where each point was measured at frozen θ with draws of its own; it fails
//! where the points are so few that φ between them is a guess.
//!
//! ```
//! use batchwise_estimate::fieller::Ratio;
//! use batchwise_estimate::trajectory::average_phi;
//! let at = |seen: f64, phi: f64| (seen, Ratio::Measured { value: phi, low: 0.8 * phi, high: 1.3 * phi });
//! // φ grows from 50 to 250 in a straight line: 150 on average.
//! let phi = average_phi(&[at(0.0, 50.0), at(50_000.0, 150.0), at(100_000.0, 250.0)]);
//! assert_eq!(phi.value(), Some(150.0));
//! assert!(phi.low().is_some_and(|low| low > 120.0));
//! ```

use crate::fieller::Ratio;
use crate::unit::{InUnit, Unit, UnitMismatch};

/// Progress-averaged φ: the trapezoid mean of φ over the examples seen, with its interval.
///
/// At a fixed batch size the run-level critical batch is the progress average of the local noise scale
/// (McCandlish et al. 2018, appendix D; theory §1.1). `points` are (examples seen, φ there) in any order; each was
/// measured on its own draws. The average runs from the first to the last usable point, and gives equal weights
/// where these coincide.
///
/// - Measured points: the distances of each interval's ends from its value are independent errors, and the ends of
///   the average follow by the variance estimates recovery of Zou & Donner 2008 (Statist. Med. 27:1693), which
///   keeps the asymmetry of Fieller intervals.
/// - Any usable point with a lower bound only: a lower bound, the same average over all the lower ends.
/// - Points without a bound are left out. One usable point is returned as it is; none is `NotIdentified`.
#[must_use]
pub fn average_phi(points: &[(f64, Ratio)]) -> Ratio {
    let mut usable: Vec<(f64, &Ratio)> = points
        .iter()
        .filter(|(at, phi)| at.is_finite() && is_usable(phi))
        .map(|(at, phi)| (*at, phi))
        .collect();
    usable.sort_by(|a, b| a.0.total_cmp(&b.0));
    if usable.is_empty() {
        return Ratio::not_identified(format!(
            "none of the {} points of the run bounds the noise scale",
            points.len()
        ));
    }
    if let [(_, only)] = usable.as_slice() {
        return (*only).clone();
    }
    let weights = trapezoid_weights(&usable.iter().map(|p| p.0).collect::<Vec<_>>());
    let (mut value, mut low, mut below2, mut above2) = (0.0, 0.0, 0.0, 0.0);
    let mut bounded = true;
    for (weight, (_, phi)) in weights.iter().zip(&usable) {
        match phi {
            Ratio::Measured { value: v, low: l, high: h } => {
                value += weight * v;
                low += weight * l;
                below2 += (weight * (v - l)).powi(2);
                above2 += (weight * (h - v)).powi(2);
            }
            Ratio::LowerBound { low: l } => {
                low += weight * l;
                bounded = false;
            }
            Ratio::WholeLine | Ratio::NotIdentified { .. } => {}
        }
    }
    if !bounded {
        return if low > 0.0 && low.is_finite() { Ratio::LowerBound { low } } else { Ratio::WholeLine };
    }
    let (low, high) = ((value - below2.sqrt()).max(0.0), value + above2.sqrt());
    if high.is_finite() {
        Ratio::Measured { value, low, high }
    } else {
        Ratio::not_identified("the average is beyond the range of floating point numbers")
    }
}

/// [`average_phi`] of points that carry their unit.
///
/// # Errors
/// A point that does not count `unit`.
pub fn average_phi_in(unit: &Unit, points: &[(f64, InUnit<Ratio>)]) -> Result<InUnit<Ratio>, UnitMismatch> {
    let same = points
        .iter()
        .map(|(at, phi)| Ok((*at, phi.clone().expect_unit(unit)?)))
        .collect::<Result<Vec<_>, UnitMismatch>>()?;
    Ok(InUnit::new(average_phi(&same), unit.clone()))
}

fn is_usable(phi: &Ratio) -> bool {
    match phi {
        Ratio::Measured { value, low, high } => value.is_finite() && low.is_finite() && high.is_finite(),
        Ratio::LowerBound { low } => low.is_finite(),
        Ratio::WholeLine | Ratio::NotIdentified { .. } => false,
    }
}

/// Weights, summing to 1, of the trapezoid rule over ascending places.
fn trapezoid_weights(at: &[f64]) -> Vec<f64> {
    let n = at.len();
    let (first, last) = (at[0], at[n - 1]);
    let span = last - first;
    if !(span.is_finite() && span > 0.0) {
        return vec![1.0 / n as f64; n];
    }
    (0..n).map(|i| (at[(i + 1).min(n - 1)] - at[i.saturating_sub(1)]) / (2.0 * span)).collect()
}

#[cfg(test)]
mod tests {
    use super::{average_phi, average_phi_in};
    use crate::fieller::Ratio;
    use crate::unit::{InUnit, Unit};

    fn measured(value: f64, low: f64, high: f64) -> Ratio {
        Ratio::Measured { value, low, high }
    }

    #[test]
    fn trapezoid_of_a_line_is_its_middle() {
        let exact = |at: f64| (at, measured(10.0 + at, 10.0 + at, 10.0 + at));
        let average = average_phi(&[exact(100.0), exact(0.0), exact(10.0), exact(35.0)]);
        assert!((average.value().unwrap() - 60.0).abs() < 1e-9);
        assert_eq!((average.low(), average.high()), (average.value(), average.value()));
    }

    #[test]
    fn independent_errors_shrink() {
        let point = |at: f64| (at, measured(100.0, 60.0, 200.0));
        let average = average_phi(&[point(0.0), point(1.0), point(2.0)]);
        // Weights 1/4, 1/2, 1/4: root of the sum of squares is 0.61237.
        assert!((average.low().unwrap() - (100.0 - 40.0 * 0.375_f64.sqrt())).abs() < 1e-9);
        assert!((average.high().unwrap() - (100.0 + 100.0 * 0.375_f64.sqrt())).abs() < 1e-9);
    }

    #[test]
    fn a_bound_makes_a_bound_and_blind_points_are_left_out() {
        let points = [
            (0.0, measured(10.0, 8.0, 12.0)),
            (1.0, Ratio::WholeLine),
            (2.0, Ratio::LowerBound { low: 50.0 }),
            (f64::NAN, measured(1e9, 1e9, 1e9)),
        ];
        assert_eq!(average_phi(&points), Ratio::LowerBound { low: 29.0 });
        assert_eq!(average_phi(&points[..2]), points[0].1);
        assert_eq!(average_phi(&points[1..2]).grade(), "not_identified");
        assert_eq!(average_phi(&[]).grade(), "not_identified");
    }

    #[test]
    fn points_of_another_unit_are_refused() {
        let point = |at: f64, unit: Unit| (at, InUnit::new(measured(10.0, 8.0, 12.0), unit));
        let mixed = [point(0.0, Unit::Token), point(1.0, Unit::Sequence)];
        let error = average_phi_in(&Unit::Token, &mixed).unwrap_err();
        assert_eq!((error.first, error.second), (Unit::Sequence, Unit::Token));
        let average = average_phi_in(&Unit::Token, &mixed[..1]).unwrap();
        assert_eq!((average.unit, average.value.value()), (Unit::Token, Some(10.0)));
    }

    #[test]
    fn points_at_one_place_are_averaged_plainly() {
        let points = [(5.0, measured(10.0, 10.0, 10.0)), (5.0, measured(30.0, 30.0, 30.0))];
        assert_eq!(average_phi(&points).value(), Some(20.0));
    }
}
