//! How the learning rate follows a change of batch size.

use crate::progress::LearningRate;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A rule that carries a learning rate from one batch size to another. κ is the ratio of the batches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Scaling {
    /// η → κη. SGD with batches far below the noise scale (Goyal et al. 2017).
    Linear,
    /// η → √κ·η. Adam and its kin while noise dominates (Malladi et al. 2022; Krizhevsky 2014).
    SquareRoot,
    /// η → r·η with r = κ(φ + B)/(φ + κB): linear far below the noise scale φ, flat far above it
    /// (McCandlish et al. 2018 eq. 2.6; the gain of AdaScale, Johnson et al. 2020).
    NoiseScale {
        /// φ in examples, positive.
        phi: f64,
    },
    /// η → η.
    Keep,
}

/// A rule cannot be applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// A batch size of zero.
    #[error("batch size 0 has no learning rate: both sizes must be at least 1 (from {from}, to {to})")]
    ZeroBatch {
        /// The batch size the learning rate was tuned at.
        from: u64,
        /// The batch size asked for.
        to: u64,
    },
    /// A learning rate or noise scale outside its range.
    #[error("{name} is {found}, but must be positive and finite")]
    OutOfRange {
        /// Which figure.
        name: &'static str,
        /// Its value.
        found: f64,
    },
}

/// The learning rate for batch size `to`, given one that suits batch size `from`.
///
/// # Errors
/// A batch size of 0; a learning rate or φ that is not positive and finite.
///
/// ```
/// use batchwise_schedule::{LearningRate, Scaling, scale};
///
/// assert_eq!(scale(Scaling::SquareRoot, LearningRate(0.1), 64, 256)?.0, 0.2);
/// // Far above the noise scale a larger batch earns no larger learning rate.
/// let rate = scale(Scaling::NoiseScale { phi: 1.0 }, LearningRate(0.1), 1000, 4000)?;
/// assert!((rate.0 - 0.1).abs() < 1e-4);
/// # Ok::<(), batchwise_schedule::rules::RuleError>(())
/// ```
pub fn scale(rule: Scaling, rate: LearningRate, from: u64, to: u64) -> Result<LearningRate, RuleError> {
    if from == 0 || to == 0 {
        return Err(RuleError::ZeroBatch { from, to });
    }
    positive("learning rate", rate.0)?;
    let kappa = to as f64 / from as f64;
    let factor = match rule {
        Scaling::Linear => kappa,
        Scaling::SquareRoot => kappa.sqrt(),
        Scaling::Keep => 1.0,
        Scaling::NoiseScale { phi } => {
            positive("noise scale", phi)?;
            kappa * (phi + from as f64) / (phi + to as f64)
        }
    };
    Ok(LearningRate(rate.0 * factor))
}

fn positive(name: &'static str, found: f64) -> Result<(), RuleError> {
    if found.is_finite() && 0.0 < found { Ok(()) } else { Err(RuleError::OutOfRange { name, found }) }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear => f.write_str("linear"),
            Self::SquareRoot => f.write_str("square root"),
            Self::NoiseScale { phi } => write!(f, "noise scale (φ = {phi:.0} examples)"),
            Self::Keep => f.write_str("unchanged"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_gain_has_its_golden_value() {
        // theory.md §4.3: σ² = 40/3, μ² = 5/3 per base batch of 1, S = 4 gives r = 3.
        let rate = scale(Scaling::NoiseScale { phi: 8.0 }, LearningRate(1.0), 1, 4).unwrap();
        assert!((rate.0 - 3.0).abs() < 1e-15, "{rate}");
    }

    #[test]
    fn bad_input_is_an_error() {
        let bad =
            [(0.1, 0, 4), (0.1, 4, 0), (0.0, 1, 2), (f64::NAN, 1, 2), (-1.0, 1, 2), (f64::INFINITY, 1, 2)];
        for (rate, from, to) in bad {
            assert!(scale(Scaling::Linear, LearningRate(rate), from, to).is_err());
        }
        assert!(scale(Scaling::NoiseScale { phi: 0.0 }, LearningRate(1.0), 1, 2).is_err());
    }

    proptest! {
        /// Going on by two steps or by one gives the same learning rate; going back undoes it.
        #[test]
        fn rules_compose(a in 1u64..5000, b in 1u64..5000, c in 1u64..5000, phi in 0.1f64..1e5) {
            for rule in [Scaling::Linear, Scaling::SquareRoot, Scaling::Keep, Scaling::NoiseScale { phi }] {
                let rate = LearningRate(0.3);
                let via = scale(rule, scale(rule, rate, a, b).unwrap(), b, c).unwrap().0;
                let direct = scale(rule, rate, a, c).unwrap().0;
                prop_assert!((via / direct - 1.0).abs() < 1e-12);
            }
        }

        /// The gain lies between no change and linear.
        #[test]
        fn the_gain_is_bounded(from in 1u64..1000, factor in 1u64..100, phi in 0.1f64..1e5) {
            let gain = scale(Scaling::NoiseScale { phi }, LearningRate(1.0), from, from * factor).unwrap().0;
            prop_assert!(1.0 - 1e-12 <= gain && gain <= factor as f64 * (1.0 + 1e-12));
        }
    }
}
