//! The shapes a learning rate follows: their value at a place, and their mean over a stretch.
//!
//! Places are examples since the segment's beginning, as f64. A mean is exact up to rounding: it is what makes a run of
//! few large steps follow the same curve as one of many small ones.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// One shape, in learning rates and examples.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "curve", rename_all = "snake_case"))]
pub(super) enum Curve {
    /// The same throughout.
    Constant { value: f64 },
    /// A straight line that arrives at `to` after `length`.
    Linear { from: f64, to: f64, length: f64 },
    /// Half a cosine.
    Cosine { from: f64, to: f64, length: f64 },
    /// to + (from − to)·(1 − u)^power.
    Polynomial { from: f64, to: f64, length: f64, power: f64 },
    /// to + (from − to)·(1 − √u).
    OneMinusSqrt { from: f64, to: f64, length: f64 },
    /// from·e^(−decay·s), not below `floor`.
    Exponential { from: f64, floor: f64, decay: f64 },
    /// from·√(timescale/(timescale + s)).
    InverseSqrt { from: f64, timescale: f64 },
    /// from·factor^⌊s/every⌋.
    Stairs { from: f64, every: f64, factor: f64 },
    /// Half cosines from `from` to `to`, the k-th of length first·growth^k.
    Restarts { from: f64, to: f64, first: f64, growth: f64 },
    /// Triangles from `low` to `high` and back, the height times factor^(cycle), cycles counted in whole ones
    /// (`stepwise`) or continuously.
    Cyclic { low: f64, high: f64, every: f64, up: f64, factor: f64, stepwise: bool },
}

/// Pieces of a periodic shape that are summed one by one; whole pieces beyond these are summed in closed form.
const PIECES: f64 = 32.0;

impl Curve {
    /// The value `s` examples after the beginning, and beyond the end what it ends at.
    pub(super) fn at(&self, s: f64) -> f64 {
        let share = |length: f64| if length > 0.0 { (s / length).clamp(0.0, 1.0) } else { 1.0 };
        match *self {
            Self::Constant { value } => value,
            Self::Linear { from, to, length } => mix(from, to, share(length)),
            Self::Cosine { from, to, length } => mix(from, to, 0.5 * (1.0 - (PI * share(length)).cos())),
            Self::Polynomial { from, to, length, power } => {
                to + (from - to) * (1.0 - share(length)).powf(power)
            }
            Self::OneMinusSqrt { from, to, length } => mix(from, to, share(length).sqrt()),
            Self::Exponential { from, floor, decay } => (from * (-decay * s).exp()).max(floor),
            Self::InverseSqrt { from, timescale } => from * (timescale / (timescale + s)).sqrt(),
            Self::Stairs { from, every, factor } => from * factor.powf((s / every).floor()),
            Self::Restarts { from, to, first, growth } => {
                let (start, length) = period(s, first, growth);
                Self::Cosine { from, to, length }.at(s - start)
            }
            Self::Cyclic { every, .. } => self.in_cycle((s / every).floor(), s),
        }
    }

    /// How long the shape takes to arrive; `None` for those that never do.
    pub(super) fn length(&self) -> Option<f64> {
        match *self {
            Self::Linear { length, .. }
            | Self::Cosine { length, .. }
            | Self::Polynomial { length, .. }
            | Self::OneMinusSqrt { length, .. } => Some(length),
            _ => None,
        }
    }

    /// Whether the value stays from the end of the segment on by itself.
    pub(super) fn stays(&self) -> bool {
        matches!(self, Self::Constant { .. }) || self.length().is_some()
    }

    /// The value on arriving at `s`: where a restart begins there, the end of the period before it.
    pub(super) fn arrive(&self, s: f64) -> f64 {
        match *self {
            Self::Restarts { to, first, growth, .. } if 0.0 < s => {
                let (start, length) = period(s, first, growth);
                if s - start < 1e-9 * length { to } else { self.at(s) }
            }
            _ => self.at(s),
        }
    }

    /// The mean over [`s0`, `s1`], s0 < s1, within the segment.
    pub(super) fn mean(&self, s0: f64, s1: f64) -> f64 {
        match *self {
            Self::Constant { value } => value,
            Self::Linear { .. } => self.at(0.5 * (s0 + s1)),
            Self::Cosine { from, to, length } => {
                let (a, b) = (PI * s0 / length, PI * s1 / length);
                let half = 0.5 * (b - a);
                // (sin b − sin a)/(b − a), without cancellation.
                let cosine = (0.5 * (a + b)).cos() * if half > 1e-9 { half.sin() / half } else { 1.0 };
                mix(from, to, 0.5 * (1.0 - cosine))
            }
            Self::Polynomial { from, to, length, power } => {
                let (left0, left1) = (1.0 - s0 / length, (1.0 - s1 / length).max(0.0));
                let mean = if left1 < 0.5 * left0 {
                    (left0.powf(power + 1.0) - left1.powf(power + 1.0)) / ((power + 1.0) * (left0 - left1))
                } else {
                    gauss(left1, left0, |x| x.powf(power))
                };
                to + (from - to) * mean
            }
            Self::OneMinusSqrt { from, to, length } => {
                let (a, b) = ((s0 / length).sqrt(), (s1 / length).min(1.0).sqrt());
                mix(from, to, if a + b > 0.0 { 2.0 / 3.0 * (a * a + a * b + b * b) / (a + b) } else { 0.0 })
            }
            Self::Exponential { from, floor, decay } => {
                let meets =
                    if decay > 0.0 && floor > 0.0 { (from / floor).ln() / decay } else { f64::INFINITY };
                let end = s1.min(meets);
                if end <= s0 {
                    return floor;
                }
                let x = decay * (end - s0);
                let above = from * (-decay * s0).exp() * if x > 1e-9 { -(-x).exp_m1() / x } else { 1.0 };
                let part = (end - s0) / (s1 - s0);
                above * part + floor * (1.0 - part)
            }
            Self::InverseSqrt { from, timescale } => {
                from * 2.0 * timescale.sqrt() / ((timescale + s0).sqrt() + (timescale + s1).sqrt())
            }
            Self::Stairs { from, every, factor } => {
                let piece = |k: f64| (k * every, (k + 1.0) * every);
                let whole = |k0: f64, k1: f64| from * every * factor.powf(k0) * geometric(factor, k1 - k0);
                let within = |k: f64, a: f64, b: f64| from * factor.powf(k) * (b - a);
                pieces(s0, s1, (s0 / every).floor(), (s1 / every).floor(), piece, whole, within)
            }
            Self::Restarts { from, to, first, growth } => {
                let start = |k: f64| first * geometric(growth, k);
                let piece = |k: f64| (start(k), start(k + 1.0));
                let whole = |k0: f64, k1: f64| 0.5 * (from + to) * (start(k1) - start(k0));
                let within = |k: f64, a: f64, b: f64| {
                    let (start, end) = piece(k);
                    let cosine = Self::Cosine { from, to, length: end - start };
                    cosine.mean((a - start).max(0.0), b - start) * (b - a)
                };
                let index = |s: f64| index(s, first, growth);
                pieces(s0, s1, index(s0), index(s1), piece, whole, within)
            }
            Self::Cyclic { low, every, up, factor, .. } => {
                // Both flanks of a cycle are smooth, so a quadrature is exact to rounding on each.
                let piece = |k: f64| (k * every, (k + 1.0) * every);
                let within = |k: f64, a: f64, b: f64| {
                    let top = (k + up) * every;
                    let flank = |a: f64, b: f64| {
                        if a < b { gauss(a, b, |s| self.in_cycle(k, s)) * (b - a) } else { 0.0 }
                    };
                    flank(a, b.min(top)) + flank(a.max(top), b)
                };
                let first = within(0.0, 0.0, every) - low * every;
                let whole = |k0: f64, k1: f64| {
                    first * factor.powf(k0) * geometric(factor, k1 - k0) + low * every * (k1 - k0)
                };
                pieces(s0, s1, (s0 / every).floor(), (s1 / every).floor(), piece, whole, within)
            }
        }
    }

    /// A cyclic shape within its `k`-th cycle, ends included, so that rounding cannot fall into the next.
    fn in_cycle(&self, k: f64, s: f64) -> f64 {
        let Self::Cyclic { low, high, every, up, factor, stepwise } = *self else { return self.at(s) };
        let phase = (s / every - k).clamp(0.0, 1.0);
        let height = if phase < up { phase / up } else { (1.0 - phase) / (1.0 - up) };
        let age = if stepwise { k } else { k + phase };
        low + (high - low) * height * factor.powf(age)
    }

    /// The same curve with every learning rate multiplied.
    pub(super) fn scaled(mut self, by: f64) -> Self {
        match &mut self {
            Self::Constant { value } => *value *= by,
            Self::Linear { from, to, .. }
            | Self::Cosine { from, to, .. }
            | Self::Polynomial { from, to, .. }
            | Self::OneMinusSqrt { from, to, .. }
            | Self::Restarts { from, to, .. } => (*from, *to) = (*from * by, *to * by),
            Self::Exponential { from, floor, .. } => (*from, *floor) = (*from * by, *floor * by),
            Self::InverseSqrt { from, .. } | Self::Stairs { from, .. } => *from *= by,
            Self::Cyclic { low, high, .. } => (*low, *high) = (*low * by, *high * by),
        }
        self
    }
}

/// `a` at 0, `b` at 1; exact at both ends.
fn mix(a: f64, b: f64, share: f64) -> f64 {
    a * (1.0 - share) + b * share
}

/// 1 + ratio + … + ratio^(n−1).
fn geometric(ratio: f64, n: f64) -> f64 {
    if ratio == 1.0 { n } else { (1.0 - ratio.powf(n)) / (1.0 - ratio) }
}

/// Which restart `s` lies in, counted from 0.
fn index(s: f64, first: f64, growth: f64) -> f64 {
    if growth == 1.0 {
        (s / first).floor()
    } else {
        ((s / first * (growth - 1.0) + 1.0).ln() / growth.ln() + 1e-12).floor()
    }
}

/// Beginning and length of the restart that `s` lies in.
fn period(s: f64, first: f64, growth: f64) -> (f64, f64) {
    let k = index(s, first, growth);
    let length = first * growth.powf(k);
    ((first * geometric(growth, k)).min(s), length)
}

/// The mean over [`s0`, `s1`] of a shape made of pieces `k0` to `k1`: `within` integrates a part of one piece, `whole` all of the
/// pieces in [k0, k1).
fn pieces(
    s0: f64,
    s1: f64,
    k0: f64,
    k1: f64,
    piece: impl Fn(f64) -> (f64, f64),
    whole: impl Fn(f64, f64) -> f64,
    within: impl Fn(f64, f64, f64) -> f64,
) -> f64 {
    let width = s1 - s0;
    if k0 >= k1 {
        return within(k0, s0, s1) / width;
    }
    let (first_end, last_start) = (piece(k0).1.clamp(s0, s1), piece(k1).0.clamp(s0, s1));
    let mut sum = if s0 < first_end { within(k0, s0, first_end) } else { 0.0 };
    if k1 - k0 <= PIECES {
        let mut k = k0 + 1.0;
        while k < k1 {
            let (a, b) = piece(k);
            sum += within(k, a, b);
            k += 1.0;
        }
    } else {
        sum += whole(k0 + 1.0, k1);
    }
    if last_start < s1 {
        sum += within(k1, last_start, s1);
    }
    sum / width
}

/// The mean of a smooth function over [`a`, `b`]: Gauss and Legendre's rule with 8 nodes.
fn gauss(a: f64, b: f64, f: impl Fn(f64) -> f64) -> f64 {
    const NODES: [(f64, f64); 4] = [
        (0.183_434_642_495_649_8, 0.362_683_783_378_362),
        (0.525_532_409_916_329, 0.313_706_645_877_887_27),
        (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
        (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
    ];
    let (centre, half) = (0.5 * (a + b), 0.5 * (b - a));
    NODES.iter().map(|(x, w)| 0.5 * w * (f(centre - half * x) + f(centre + half * x))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curves() -> impl Strategy<Value = Curve> {
        let lr = || 1e-5f64..1.0;
        let length = || 1.0f64..5000.0;
        prop_oneof![
            lr().prop_map(|value| Curve::Constant { value }),
            (lr(), lr(), length()).prop_map(|(from, to, length)| Curve::Linear { from, to, length }),
            (lr(), lr(), length()).prop_map(|(from, to, length)| Curve::Cosine { from, to, length }),
            (lr(), lr(), length(), 0.3f64..4.0).prop_map(|(from, to, length, power)| Curve::Polynomial {
                from,
                to,
                length,
                power
            }),
            (lr(), lr(), length()).prop_map(|(from, to, length)| Curve::OneMinusSqrt { from, to, length }),
            (lr(), 0.0f64..0.01, 0.0f64..0.01).prop_map(|(from, floor, decay)| Curve::Exponential {
                from,
                floor: floor.min(from),
                decay
            }),
            (lr(), length()).prop_map(|(from, timescale)| Curve::InverseSqrt { from, timescale }),
            (lr(), 1.0f64..800.0, 0.1f64..1.0).prop_map(|(from, every, factor)| Curve::Stairs {
                from,
                every,
                factor
            }),
            (lr(), lr(), 1.0f64..800.0, prop_oneof![Just(1.0), 1.1f64..3.0])
                .prop_map(|(from, to, first, growth)| Curve::Restarts { from, to, first, growth }),
            (
                0.0f64..0.1,
                lr(),
                1.0f64..800.0,
                0.05f64..0.95,
                prop_oneof![Just(1.0), 0.3f64..1.0],
                any::<bool>()
            )
                .prop_map(|(low, high, every, up, factor, stepwise)| Curve::Cyclic {
                    low,
                    high: low + high,
                    every,
                    up,
                    factor,
                    stepwise
                }),
        ]
    }

    fn length(curve: &Curve) -> f64 {
        match *curve {
            Curve::Linear { length, .. }
            | Curve::Cosine { length, .. }
            | Curve::Polynomial { length, .. }
            | Curve::OneMinusSqrt { length, .. } => length,
            _ => 4000.0,
        }
    }

    proptest! {
        /// The closed forms against many small midpoints.
        #[test]
        fn a_mean_is_the_mean(curve in curves(), a in 0.0f64..1.0, b in 0.0f64..1.0) {
            let (s0, s1) = (a.min(b) * length(&curve), a.max(b) * length(&curve));
            prop_assume!(s1 - s0 > 1e-6);
            let n = 40_000;
            let brute = (0..n).map(|i| curve.at(s0 + (s1 - s0) * (f64::from(i) + 0.5) / f64::from(n))).sum::<f64>() / f64::from(n);
            let mean = curve.mean(s0, s1);
            // A jump within one of the midpoints' cells costs its share of the height.
            prop_assert!((mean - brute).abs() < 2e-3 * brute.abs().max(1e-3), "{:?} {} {}: {} {}", curve, s0, s1, mean, brute);
        }

        #[test]
        fn means_add_up(curve in curves(), cuts in prop::collection::vec(0.0f64..1.0, 1..6)) {
            let end = length(&curve);
            let mut places: Vec<f64> = cuts.iter().map(|c| c * end).chain([0.0, end]).collect();
            places.sort_by(f64::total_cmp);
            places.dedup();
            let parts: f64 = places.windows(2).map(|w| curve.mean(w[0], w[1]) * (w[1] - w[0])).sum();
            let whole = curve.mean(0.0, end) * end;
            prop_assert!((parts - whole).abs() <= 1e-9 * whole.abs(), "{:?}: {} {}", curve, parts, whole);
        }

        #[test]
        fn a_mean_over_a_point_is_the_value(curve in curves(), a in 0.0f64..0.999) {
            let s = a * length(&curve);
            let mean = curve.mean(s, s + 1e-7);
            let (v, w) = (curve.at(s), curve.at(s + 1e-7));
            prop_assert!(mean >= v.min(w) - 1e-5 * v.abs() && mean <= v.max(w) + 1e-5 * v.abs(), "{:?} {}: {} {}", curve, s, mean, v);
        }

        #[test]
        fn many_pieces_are_summed_as_few(every in 0.5f64..3.0, factor in prop_oneof![Just(1.0), 0.9f64..1.0], up in 0.1f64..0.9, stepwise in any::<bool>()) {
            for curve in [
                Curve::Stairs { from: 1.0, every, factor },
                Curve::Restarts { from: 1.0, to: 0.2, first: every, growth: 1.0 },
                Curve::Cyclic { low: 0.1, high: 1.0, every, up, factor, stepwise },
            ] {
                let at_once = curve.mean(0.3, 500.0) * 499.7;
                let mut apart = 0.0;
                let mut s = 0.3;
                while s < 500.0 {
                    let next = (s + 7.0f64).min(500.0);
                    apart += curve.mean(s, next) * (next - s);
                    s = next;
                }
                prop_assert!((at_once / apart - 1.0).abs() < 1e-9, "{:?} {} {}", curve, at_once, apart);
            }
        }
    }
}
