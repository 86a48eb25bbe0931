//! Intervals of a ratio from correlated pairs: block methods (theory §1.5).
//!
//! Along a training trajectory the pairs (𝒮_t, 𝒢_t) follow each other: θ moves slowly, ‖G‖² falls, and smoothed pairs
//! share their past. The mean of K such pairs is as uncertain as that of K/τ independent ones, where
//! τ = 1+2Σρ(t) is the integrated autocorrelation time ([`autocorrelation_time`]). A formula for independent pairs
//! does not see τ, and its interval is too short by √τ. Cut the trajectory into blocks of L ≫ τ: the means of blocks are
//! nearly independent, and methods for independent pairs hold for them.
//!
//! - [`block_fieller`]: [`fieller`](mod@crate::fieller) on the block means. The default: nominal for weak signals too.
//! - [`block_bootstrap`]: resample blocks; a resample with ȳ* ≤ 0 counts as +∞. Beside Fieller, for any strength.
//! - [`moving_block_bootstrap`]: the same with overlapping blocks (Künsch 1989, Ann. Statist. 17:1217).
//! - [`block_jackknife`]: pseudo-values. Fails with a weak signal as the delta method does; for comparison.
//!
//! Coverage for nominal 0.95 in the tests of this crate (1000 trajectories each; first-order autoregressions with
//! coefficient ρ, relative standard deviation of one 𝒢 as given, length from [`block_length`]):
//!
//! | trajectory | as if independent | Fieller | bootstrap | moving | jackknife |
//! |---|---|---|---|---|---|
//! | ρ = 0.8, K = 1500, 𝒢 ± 100 % | 0.50 | 0.948 | 0.944 | 0.949 | 0.955 |
//! | ρ = 0.8, K = 1500, 𝒢 ± 500 % (31 % open) | 0.51 | 0.939 | 0.936 | 0.936 | 0.880 |
//! | ρ = 0.5, K = 400, 𝒢 ± 300 % | 0.73 | 0.950 | 0.946 | 0.939 | 0.917 |
//! | ρ = 0, K = 60, 𝒢 ± 100 % | 0.95 | 0.951 | 0.933 | 0.946 | 0.943 |
//! | smoothed with β = 0.9, K = 1900, 𝒢 ± 200 %, 12 blocks | 0.34 (delta) | 0.946 | 0.935 | 0.928 | 0.938 |
//!
//! The trajectory must be stationary over the stretch: a drift of φ is not noise. [`block_length`] chooses L.
//!
//! ```
//! use batchwise_estimate::blocks::{block_fieller, block_length};
//! use batchwise_estimate::fieller::fieller;
//! // Planted: ratio 100, both parts swayed by one slow wave with a period of 40 steps, and by fast noise.
//! let wave = |t: usize| (t as f64 * std::f64::consts::TAU / 40.0).sin();
//! let noise = |t: usize, m: usize| (t * t % m) as f64 / m as f64 - 0.5;
//! let x: Vec<f64> = (0..1200).map(|t| 100.0 + 10.0 * wave(t) + 40.0 * noise(t, 97)).collect();
//! let y: Vec<f64> = (0..1200).map(|t| 1.0 - 0.3 * wave(t) + 0.8 * noise(t, 89)).collect();
//! let length = block_length(&x, &y).ok_or("too short")?;
//! let phi = block_fieller(&x, &y, length, 0.95);
//! assert!(phi.low().is_some_and(|low| low < 100.0) && phi.high().is_some_and(|high| 100.0 < high));
//! # Ok::<(), &str>(())
//! ```

mod autocorrelation;
mod bootstrap;
mod means;

pub use autocorrelation::{autocorrelation_time, block_length, ema_block_length};
pub use bootstrap::{Bootstrap, block_bootstrap, moving_block_bootstrap};
pub use means::{block_fieller, block_jackknife};

/// Fewest blocks that a spread between blocks is taken from by [`block_length`].
pub const FEWEST_BLOCKS: usize = 8;

/// Blocks that are enough: with more of them Student's quantile gains little, and longer blocks are the better use.
pub const ENOUGH_BLOCKS: usize = 20;

/// Least length of a block, in autocorrelation times.
///
/// The variance between means of blocks of length L is too small by τ/(2L), to first order: a sixteenth at 8τ, and the
/// interval a thirtieth too short. (Theory §1.5 asks for one τ at least: there the interval has three quarters of
/// its length, and covers 0.86 for nominal 0.95 in the tests of this crate.)
pub const TIMES_PER_BLOCK: f64 = 8.0;

/// Sums of both series over consecutive blocks.
struct Blocks {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Blocks {
    /// Cuts into as many blocks of at least `length` as fit, all within one pair of the same length, so that none is
    /// dropped.
    fn cut(x: &[f64], y: &[f64], length: usize) -> Result<Self, String> {
        check(x, y)?;
        let count = x.len().checked_div(length).unwrap_or(0);
        if count < 2 {
            return Err(format!("{} measurements hold no 2 blocks of {length}", x.len()));
        }
        let sums = |v: &[f64]| -> Vec<f64> {
            let edge = |i: usize| (i as u128 * v.len() as u128 / count as u128) as usize;
            (0..count).map(|i| v[edge(i)..edge(i + 1)].iter().sum()).collect()
        };
        let blocks = Self { x: sums(x), y: sums(y) };
        check(&blocks.x, &blocks.y)?;
        Ok(blocks)
    }
}

/// Both series as long as each other, and finite.
fn check(x: &[f64], y: &[f64]) -> Result<(), String> {
    if x.len() != y.len() {
        return Err(format!("{} numerators are paired with {} denominators", x.len(), y.len()));
    }
    match x.iter().chain(y).all(|v| v.is_finite()) {
        true => Ok(()),
        false => Err("a measurement, or a sum of them, is not finite".to_owned()),
    }
}
