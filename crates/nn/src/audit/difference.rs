//! The slope of a loss along a line, with a bound on its error.

use super::variable::{Direction, Moved, Variable};
use crate::random;
use candle_core::{DType, Result};

/// The arithmetic that the loss is computed in, and the numbers that follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// All variables and the loss are f64.
    F64,
    /// Some are f32.
    F32,
}

impl Precision {
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::F64 => DType::F64,
            Self::F32 => DType::F32,
        }
    }

    /// Distance from 1 to the next number.
    pub(super) fn rounding(self) -> f64 {
        match self {
            Self::F64 => f64::EPSILON,
            Self::F32 => f64::from(f32::EPSILON),
        }
    }

    /// By how much a right gradient may differ from the slope, relatively, beside the slope's own error.
    pub(super) fn tolerance(self) -> f64 {
        match self {
            Self::F64 => 1e-5,
            Self::F32 => 2e-3,
        }
    }

    /// Largest error of a slope, relative to it, with which a gradient counts as checked. No defect of candle is
    /// smaller. Where kinks and rounding meet, f32 does no better.
    pub(super) fn decisive(self) -> f64 {
        match self {
            Self::F64 => 0.01,
            Self::F32 => 0.05,
        }
    }

    /// Share of the largest slope among all variables below which a slope counts as 0.
    pub(super) fn floor(self) -> f64 {
        match self {
            Self::F64 => 1e-7,
            Self::F32 => 1e-3,
        }
    }

    /// Error of a slope, relative to it, below which a step tells of a wrong claim, whatever other steps can do.
    fn telling(self) -> f64 {
        match self {
            Self::F64 => 1e-5,
            Self::F32 => 0.01,
        }
    }

    /// Bounds that a claim must miss a slope by to be wrong. In f32 kinks are too close for the bound to be more than
    /// an estimate: in 60 small networks with max-pools one slope in a thousand was off by two bounds, none by three.
    fn doubt(self) -> f64 {
        match self {
            Self::F64 => 1.0,
            Self::F32 => 2.0,
        }
    }

    /// Steps that the error of the last one is judged by: those of f32 lie close together.
    fn memory(self) -> usize {
        match self {
            Self::F64 => 2,
            Self::F32 => 4,
        }
    }

    /// The steps to try, in units of the variable; each is the former divided by the ratio.
    fn steps(self) -> (&'static [f64], f64) {
        match self {
            Self::F64 => (&[1e-3, 1e-4, 1e-5, 1e-6, 1e-7], 10.0),
            Self::F32 => {
                (&[0.2, 0.1, 0.05, 0.025, 0.0125, 6.25e-3, 3.125e-3, 1.5625e-3, 7.8125e-4, 3.90625e-4], 2.0)
            }
        }
    }
}

/// A slope and what limits it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slope {
    pub(super) value: f64,
    /// Bound on the error.
    pub(super) bound: f64,
    /// The part of it that comes from kinks.
    pub(super) kinks: f64,
}

/// How much larger the error may be than the largest of its samples.
const SAFETY: f64 = 1.5;

/// What is seen at one step.
#[derive(Debug, Clone, Copy)]
struct Level {
    h: f64,
    /// (f(h) − f(−h))/2h.
    central: f64,
    /// (f(h) − 2f(0) + f(−h))/h, the right slope less the left one.
    asymmetry: f64,
    /// By how much `central` differs from that of the step before.
    change: f64,
}

/// The slope at t = 0 of `at`, whose value there is `center` and whose values scatter by `noise`, and by how much the
/// claimed slope misses it: the least excess of their difference over its bound among the steps that tell.
///
/// The steps shrink until a claim agrees with a slope that looks exact. A claim that does not agree is tried on all
/// steps, against a bound that holds in a loss with many kinks, too.
pub(super) fn slope(
    (center, noise): (f64, f64),
    precision: Precision,
    claimed: f64,
    scale: impl Fn(f64) -> f64,
    mut at: impl FnMut(f64) -> Result<f64>,
) -> Result<(Slope, f64)> {
    let (steps, ratio) = precision.steps();
    let mut levels: Vec<Level> = Vec::new();
    let mut found: Vec<Slope> = Vec::new();
    for h in steps.iter().copied() {
        let (up, down) = (at(h)?, at(-h)?);
        let central = (up - down) / (2.0 * h);
        let former = levels.last().copied();
        let change = former.map_or(0.0, |former| (central - former.central).abs());
        let level = Level { h, central, asymmetry: (up - 2.0 * center + down) / h, change };
        levels.push(level);
        let Some(former) = former else { continue };

        let square = ratio * ratio;
        let value = (square * central - former.central) / (square - 1.0);
        let rounding = 6.0 * noise / h;
        // In a smooth loss the asymmetry is proportional to h, so that this is 0 but for the fourth order.
        let jump = ((ratio * level.asymmetry - former.asymmetry) / (ratio - 1.0)).abs();
        let tolerance = precision.tolerance() * scale(value);
        let smooth = change + jump + rounding;
        if smooth <= tolerance && (claimed - value).abs() <= tolerance {
            return Ok((Slope { value, bound: smooth, kinks: jump }, 0.0));
        }
        let (kinks, truncation) = recent(&levels, precision.memory());
        found.push(Slope { value, bound: SAFETY * (kinks + truncation) + rounding, kinks: SAFETY * kinks });
    }
    let Some(best) = found.iter().min_by(|a, b| a.bound.total_cmp(&b.bound)).copied() else {
        candle_core::bail!("audit: no step");
    };
    let tells =
        |slope: &&Slope| slope.bound <= (2.0 * best.bound).max(precision.telling() * scale(slope.value));
    let excess = |slope: &Slope| (claimed - slope.value).abs() - precision.doubt() * slope.bound;
    Ok((best, found.iter().filter(tells).map(excess).fold(f64::INFINITY, f64::min)))
}

/// The largest of the latest asymmetries and changes, brought to the last step.
///
/// A kink within the step adds half of its part of the asymmetry to the slope, with the sign of its side. So the
/// asymmetry is a sample of (twice) the error of the slope: its terms are the same but for random signs. As the number
/// of kinks grows with the step, the error grows with its root, and each step gives a sample for the last one.
fn recent(levels: &[Level], memory: usize) -> (f64, f64) {
    let last = levels.last().map_or(0.0, |level| level.h);
    let of = |part: fn(&Level) -> f64| {
        let recent = levels.iter().rev().take(memory);
        recent.map(|level| part(level).abs() * (last / level.h).sqrt()).fold(0.0, f64::max)
    };
    (of(|level| level.asymmetry), of(|level| level.change))
}

/// Values that the noise is estimated from.
const N_NOISE: usize = 9;
/// Order of the differences, and (4!)²/8!: what the square of one is divided by for independent noise.
const GAMMA: f64 = 1.0 / 70.0;

/// The standard deviation of the rounding noise of the loss, from fourth differences along a short line through
/// all variables; at least half a unit in the last place.
pub(super) fn noise(
    variables: &[Variable],
    moved: &Moved<'_>,
    center: f64,
    precision: Precision,
    seed: u64,
    value: &mut dyn FnMut() -> Result<f64>,
) -> Result<f64> {
    // Long enough to round differently, short enough for the loss to have neither curvature nor kinks.
    let spacing = precision.rounding().powf(0.75);
    let lines: Vec<Direction> = variables
        .iter()
        .map(|v| Direction::Dense(signs(seed, &format!("audit.noise.{}", v.name), v.start.len(), v.unit)))
        .collect();
    let mut row = Vec::with_capacity(N_NOISE);
    for k in 0..N_NOISE {
        for (i, line) in lines.iter().enumerate() {
            moved.displace(i, k as f64 * spacing, line)?;
        }
        row.push(value()?);
    }
    moved.center()?;
    for _ in 0..4 {
        row = row.windows(2).map(|pair| pair[1] - pair[0]).collect();
    }
    let square = row.iter().map(|d| d * d).sum::<f64>() / row.len() as f64;
    Ok((GAMMA * square).sqrt().max(0.5 * precision.rounding() * center.abs()))
}

/// Random signs times `unit`.
pub(super) fn signs(seed: u64, stream: &str, len: usize, unit: f64) -> Vec<f64> {
    random::uniform(seed, stream, len, -1.0, 1.0).into_iter().map(|u| unit.copysign(u)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope_of(f: impl Fn(f64) -> f64, precision: Precision) -> Slope {
        let center = (f(0.0), precision.rounding() * f(0.0).abs());
        slope(center, precision, f64::INFINITY, f64::abs, |t| Ok(f(t))).unwrap().0
    }

    #[test]
    fn a_smooth_slope_lies_within_its_bound() {
        for (f, exact) in [
            ((|t| (1.0 + t).exp()) as fn(f64) -> f64, 1f64.exp()),
            (|t| (2.0 + t).sin(), 2f64.cos()),
            (|t| (1.0 + 3.0 * t).powi(5), 15.0),
        ] {
            let found = slope_of(f, Precision::F64);
            assert!((found.value - exact).abs() <= found.bound, "{found:?} {exact}");
            assert!(found.bound < 1e-5 * exact.abs(), "{found:?}");
            let single = slope_of(|t| f64::from(f(t) as f32), Precision::F32);
            assert!((single.value - exact).abs() <= single.bound, "{single:?} {exact}");
            assert!(single.bound < Precision::F32.decisive() * exact.abs(), "{single:?}");
        }
    }

    #[test]
    fn half_of_a_jump_is_not_taken_for_a_slope() {
        let claim =
            |claimed| slope((0.0, 0.0), Precision::F64, claimed, f64::abs, |t| Ok(t.max(0.0))).unwrap();
        for claimed in [0.0, 0.5, 1.0] {
            let (found, excess) = claim(claimed);
            assert!(0.5 <= found.bound && excess <= 0.0, "{claimed}: {found:?} {excess}");
        }
        assert!(0.0 < claim(4.0).1);
    }

    #[test]
    fn what_rounding_hides_is_within_the_bound() {
        let (slope_of_it, noise) = (1e-9, 5e-7);
        let coarse = |t: f64| Ok(((1.0 + slope_of_it * t) * 1e6).round() / 1e6);
        let (found, excess) = slope((1.0, noise), Precision::F64, slope_of_it, f64::abs, coarse).unwrap();
        assert_eq!(found.value, 0.0);
        assert!(slope_of_it < found.bound && excess < 0.0, "{found:?} {excess}");
    }

    #[test]
    fn a_kink_shows_as_a_jump() {
        let found = slope_of(|t: f64| 1.0 + t.max(0.0), Precision::F64);
        assert!((found.kinks - SAFETY).abs() < 1e-6, "{found:?}");
        // A kink nearby is seen from the steps that do not reach it.
        let near = slope_of(|t: f64| 1.0 + (t - 3e-5).max(0.0) + t, Precision::F64);
        assert!((near.value - 1.0).abs() <= near.bound && near.bound < 1e-6, "{near:?}");
    }
}
