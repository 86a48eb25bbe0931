//! Percentile bootstrap over blocks.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use super::{Blocks, check};
use crate::fieller::{Ratio, measured, student_t_quantile};
use crate::random::Draws;
use crate::twofold::Twofold;

/// How to resample.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Bootstrap {
    /// Resamples, at least 200; 1000 or more for an interval that is shown.
    pub resamples: usize,
    /// Two-sided, in (0, 1).
    pub confidence: f64,
    /// The interval is a pure function of the data and of this.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 2000 resamples, confidence 0.95, seed 0.
    fn default() -> Self {
        Self { resamples: 2000, confidence: 0.95, seed: 0 }
    }
}

/// Fewest resamples that have a tail to speak of.
const FEWEST_RESAMPLES: usize = 200;

/// Percentile interval of mean(`numerator`)/mean(`denominator`) from resampled blocks of `length` pairs.
///
/// A resample whose mean denominator is not positive counts as +∞ (theory §1.5), so that a weak signal gives a lower
/// bound. The percentiles are the expanded ones of Hesterberg 2015 (Am. Statistician 69:371), Φ(∓√(m/(m−1))·t_{m−1}) for
/// m blocks: the plain ones of theory §1.5 are short when blocks are few (0.913 for nominal 0.95 at m = 10).
/// `length` 1 is the ordinary bootstrap of independent pairs.
#[must_use]
pub fn block_bootstrap(numerator: &[f64], denominator: &[f64], length: usize, how: &Bootstrap) -> Ratio {
    let Blocks { x, y } = match Blocks::cut(numerator, denominator, length) {
        Ok(blocks) => blocks,
        Err(why) => return Ratio::NotIdentified { why },
    };
    let m = x.len();
    let whole = (x.iter().sum(), y.iter().sum());
    interval(whole, &x, &y, m, m as f64, how)
}

/// [`block_bootstrap`] with overlapping blocks: every run of `length` pairs may be drawn (Künsch 1989).
///
/// K/`length` blocks, rounded up, make a resample. The choice of a block's start is free, so long blocks lose less; the
/// first and last pairs are drawn less often than the others.
#[must_use]
pub fn moving_block_bootstrap(
    numerator: &[f64],
    denominator: &[f64],
    length: usize,
    how: &Bootstrap,
) -> Ratio {
    let k = numerator.len();
    if let Err(why) = check(numerator, denominator) {
        return Ratio::NotIdentified { why };
    }
    if length == 0 || k / length < 2 {
        return Ratio::not_identified(format!("{k} measurements hold no 2 blocks of {length}"));
    }
    let whole =
        (numerator.iter().map(|v| v / k as f64).sum(), denominator.iter().map(|v| v / k as f64).sum());
    let per_resample = k.div_ceil(length);
    interval(
        whole,
        &means_of_runs(numerator, length),
        &means_of_runs(denominator, length),
        per_resample,
        k as f64 / length as f64,
        how,
    )
}

/// Mean of every run of `length` values, by one pass: the sums from the first value on, twofold so that their difference
/// is as good as a sum of its own.
fn means_of_runs(values: &[f64], length: usize) -> Vec<f64> {
    let step = |sum: &mut Twofold, value: &f64| {
        *sum = *sum + (value / length as f64).into();
        Some(*sum)
    };
    let sums: Vec<Twofold> =
        std::iter::once(Twofold::default()).chain(values.iter().scan(Twofold::default(), step)).collect();
    sums.iter().zip(&sums[length..]).map(|(before, after)| (*after - *before).value()).collect()
}

/// The interval from resamples of `per_resample` of the blocks (x, y), worth `independent` independent ones.
fn interval(
    (all_x, all_y): (f64, f64),
    x: &[f64],
    y: &[f64],
    per_resample: usize,
    independent: f64,
    how: &Bootstrap,
) -> Ratio {
    if !(how.confidence > 0.0 && how.confidence < 1.0) {
        return Ratio::not_identified(format!(
            "the confidence must lie between 0 and 1, not {}",
            how.confidence
        ));
    }
    if how.resamples < FEWEST_RESAMPLES {
        return Ratio::not_identified(format!(
            "{} resamples, at least {FEWEST_RESAMPLES} are needed",
            how.resamples
        ));
    }
    let mut draws = Draws::new(how.seed, STREAM);
    let mut ratios: Vec<f64> = (0..how.resamples)
        .filter_map(|_| {
            let (mut sum_x, mut sum_y) = (0.0, 0.0);
            for _ in 0..per_resample {
                let i = ((draws.uniform() * x.len() as f64) as usize).min(x.len() - 1);
                sum_x += x[i];
                sum_y += y[i];
            }
            let ratio = sum_x / sum_y;
            (sum_y > 0.0 && ratio.is_finite()).then_some(ratio)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let expanded = (independent / (independent - 1.0)).sqrt()
        * student_t_quantile(0.5 + how.confidence / 2.0, independent - 1.0);
    let tail = Normal::standard().cdf(-expanded);
    let last = (how.resamples - 1) as f64;
    // Positions at or beyond the finite ratios are +∞.
    let low = ratios.get((tail * last).floor() as usize);
    let high = ratios.get(((1.0 - tail) * last).ceil() as usize);
    match (low, high) {
        (Some(low), Some(high)) if all_y > 0.0 => measured(all_x / all_y, *low, *high),
        (Some(low), _) if *low > 0.0 => Ratio::LowerBound { low: *low },
        (Some(_), _) => Ratio::WholeLine,
        (None, _) => Ratio::not_identified("the mean of the denominator is not positive"),
    }
}

/// Stream of the resampling.
const STREAM: u64 = 0x626f_6f74;

#[cfg(test)]
mod tests {
    use super::means_of_runs;

    #[test]
    fn runs_by_one_pass_are_runs_by_themselves() {
        // A huge value that comes and goes leaves nothing behind.
        let values = [1.0, 1e15, 3.0, -4.0, 5.0, 6.0];
        assert_eq!(means_of_runs(&values, 2)[2..], [-0.5, 0.5, 5.5]);
        assert_eq!(means_of_runs(&values, 6).len(), 1);
    }
}
