//! How long a series remembers, and the length of a block that follows.

use statrs::distribution::{ContinuousCDF, Normal};

use super::{ENOUGH_BLOCKS, FEWEST_BLOCKS, TIMES_PER_BLOCK};
use crate::noise::effective_measurements;
use crate::outcome::Outcome;

/// Integrated autocorrelation time τ = 1+2Σρ(t) of a series, in its steps, with an interval.
///
/// The sum ends at the first lag W ≥ 5·τ(W)/2 (the self-consistent window of Sokal 1997, "Monte Carlo Methods in Statistical
/// Mechanics", §3; his τ is half of this one). The relative standard error is √((4W+2−2τ)/K) (Wolff 2004, Comput. Phys.
/// Commun. 156:143, eq. 42), and the interval is taken on the log scale; it covers 0.94 to
/// 0.98 for nominal 0.95 in the tests of this crate (autoregressions, 400 τ and longer). 1 for independent values, (1+ρ)/(1−ρ) for a
/// first-order autoregression; below 1 where neighbours differ on purpose.
///
/// - `LowerBound`: no window up to a fifth of the series is long enough, so the series forgets too slowly to be measured.
/// - `NotIdentified`: fewer than 8 values, one that is not finite, all equal, or a confidence outside (0, 1).
///
/// ```
/// let alternating: Vec<f64> = (0..100).map(|t| f64::from(t % 2)).collect();
/// assert!(batchwise_estimate::blocks::autocorrelation_time(&alternating, 0.95).value().is_some_and(|t| t < 1.0));
/// let drift: Vec<f64> = (0..100).map(f64::from).collect();
/// assert_eq!(batchwise_estimate::blocks::autocorrelation_time(&drift, 0.95).grade(), "lower_bound");
/// ```
#[must_use]
pub fn autocorrelation_time(series: &[f64], confidence: f64) -> Outcome {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Outcome::not_identified(format!("the confidence must lie between 0 and 1, not {confidence}"));
    }
    if series.len() < FEWEST_VALUES {
        return Outcome::not_identified(format!(
            "{} values, at least {FEWEST_VALUES} are needed",
            series.len()
        ));
    }
    if !series.iter().all(|v| v.is_finite()) {
        return Outcome::not_identified("a value is not finite");
    }
    // Sums of neighbours keep the variance of the mean, so that τ follows from the shorter series.
    let mut values = centred(series);
    let whole = variance(&values);
    if whole <= 0.0 {
        return Outcome::not_identified("all values are equal");
    }
    let mut merged = 1.0;
    while values.len() > LONGEST {
        values = values.chunks_exact(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
        merged *= 2.0;
    }
    let here = variance(&values);
    if here <= 0.0 {
        return Outcome::not_identified("neighbouring values cancel");
    }
    let to_steps = merged * here / whole;
    let k = values.len();
    let (mut time, mut settled) = (1.0, None);
    for lag in 1..=k / 5 {
        let products: f64 = values.iter().zip(&values[lag..]).map(|(a, b)| a * b).sum();
        time += 2.0 * products / (k as f64 * here);
        if lag as f64 >= WINDOW * time {
            settled = Some(lag);
            break;
        }
    }
    // A sum of estimated correlations may stray to 0 and below.
    let time = time.max(1.0 / k as f64);
    let z = Normal::standard().inverse_cdf(0.5 + confidence / 2.0);
    let relative = |window: usize| z * ((4.0 * window as f64 + 2.0 - 2.0 * time).max(0.0) / k as f64).sqrt();
    let value = time * to_steps;
    match settled {
        Some(window) => {
            let factor = relative(window).exp();
            Outcome::Measured { value, low: value / factor, high: value * factor }
        }
        None => Outcome::LowerBound { low: value / relative(k / 5).exp() },
    }
}

/// Length of a block for a trajectory of pairs: eight autocorrelation times of the slower part, or as long as leaves 20
/// blocks, whichever is longer.
///
/// `None` where 8 such blocks do not fit, so that the trajectory is too short to tell its own error (fewer than about 64
/// autocorrelation times), or has no autocorrelation time. A part that does not vary counts as independent.
#[must_use]
pub fn block_length(numerator: &[f64], denominator: &[f64]) -> Option<usize> {
    let k = numerator.len();
    if k != denominator.len() || k < FEWEST_VALUES {
        return None;
    }
    let mut slower = 1.0_f64;
    for series in [numerator, denominator] {
        if series.iter().all(|v| *v == series[0]) {
            continue;
        }
        slower = slower.max(autocorrelation_time(series, 0.95).value()?);
    }
    of_time(slower)
        .map(|length| length.max(k.div_ceil(ENOUGH_BLOCKS)))
        .filter(|length| k / length >= FEWEST_BLOCKS)
}

/// Length of a block for pairs that are exponential moving averages of independent ones, with smoothing factor β: eight
/// times (1+β)/(1−β), which is their autocorrelation time (theory §1.4, §1.5).
///
/// `None` unless β lies in [0, 1).
#[must_use]
pub fn ema_block_length(beta: f64) -> Option<usize> {
    if !(0.0..1.0).contains(&beta) {
        return None;
    }
    of_time(effective_measurements(beta))
}

fn of_time(time: f64) -> Option<usize> {
    // A whole number that rounding has pushed up by its last digit stays itself.
    let length = (TIMES_PER_BLOCK * time * (1.0 - 1e-12)).ceil();
    (length <= 1e15).then_some(length as usize)
}

/// Values less their mean, divided by the largest absolute value so that squares neither overflow nor vanish.
fn centred(series: &[f64]) -> Vec<f64> {
    let k = series.len() as f64;
    let mean = series.iter().map(|v| v / k).sum::<f64>();
    let largest = series.iter().fold(0.0_f64, |m, v| m.max((v / 2.0 - mean / 2.0).abs()));
    if largest == 0.0 {
        return vec![0.0; series.len()];
    }
    series.iter().map(|v| (v / 2.0 - mean / 2.0) / largest).collect()
}

fn variance(centred: &[f64]) -> f64 {
    centred.iter().map(|v| v * v).sum::<f64>() / centred.len() as f64
}

/// Fewest values that have a correlation.
const FEWEST_VALUES: usize = 8;

/// Neighbours are merged until the series is this short, which bounds the work: a series that never forgets takes a fifth
/// of its square.
const LONGEST: usize = 1 << 14;

/// Sokal's window factor 5 for a time that counts both sides.
const WINDOW: f64 = 2.5;
