//! Methods for independent pairs, on the means of blocks.

use super::Blocks;
use crate::fieller::{Ratio, fieller, measured, student_t_quantile};

/// Fieller interval of mean(`numerator`)/mean(`denominator`) from the means of blocks of `length` pairs.
///
/// m blocks give Student's t with m−1 degrees of freedom. The default along a trajectory: with a length of
/// [`block_length`](super::block_length) it covers 0.93 to 0.97 for nominal 0.95, for a weak signal too. `length` 1 is
/// [`fieller`](fn@crate::fieller::fieller).
#[must_use]
pub fn block_fieller(numerator: &[f64], denominator: &[f64], length: usize, confidence: f64) -> Ratio {
    // Sums serve for means: the blocks are of one length within one pair, and the scale cancels.
    match Blocks::cut(numerator, denominator, length) {
        Ok(blocks) => fieller(&blocks.x, &blocks.y, confidence),
        Err(why) => Ratio::NotIdentified { why },
    }
}

/// Jackknife interval of the ratio, leaving out one block of `length` pairs at a time (Quenouille 1956, Tukey 1958).
///
/// Pseudo-values m·φ̂−(m−1)·φ̂_(i); their mean, ± Student's t with m−1 degrees of freedom times their standard error. Holds
/// where the relative standard error of the denominator is 0.15 or less; with a weak signal it covers far less than it
/// says (0.78 for φ = 2000, B = 128, K = 30 and blocks of 1, theory §1.5; 0.76 in the tests of this crate), so decide with [`block_fieller`]. Always
/// bounded, or not identified where a mean of the denominator is not positive. The value is the plain ratio.
#[must_use]
pub fn block_jackknife(numerator: &[f64], denominator: &[f64], length: usize, confidence: f64) -> Ratio {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Ratio::not_identified(format!("the confidence must lie between 0 and 1, not {confidence}"));
    }
    let Blocks { x, y } = match Blocks::cut(numerator, denominator, length) {
        Ok(blocks) => blocks,
        Err(why) => return Ratio::NotIdentified { why },
    };
    let m = x.len() as f64;
    let (all_x, all_y) = (x.iter().sum::<f64>(), y.iter().sum::<f64>());
    if all_y <= 0.0 || y.iter().any(|y| all_y - y <= 0.0) {
        return Ratio::not_identified(
            "the mean of the denominator is not positive, or one block makes it so",
        );
    }
    let value = all_x / all_y;
    let pseudo: Vec<f64> =
        x.iter().zip(&y).map(|(x, y)| m * value - (m - 1.0) * ((all_x - x) / (all_y - y))).collect();
    let mean = pseudo.iter().map(|p| p / m).sum::<f64>();
    let squares: f64 = pseudo.iter().map(|p| (p - mean) * (p - mean)).sum();
    let half = student_t_quantile(0.5 + confidence / 2.0, m - 1.0) * (squares / (m * (m - 1.0))).sqrt();
    measured(value, mean - half, mean + half)
}
