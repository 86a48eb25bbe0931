//! How a hyper-parameter follows a change of batch size from B to κB (theory.md §4.1).
//!
//! Which rule holds is disputed, so each says where it comes from ([`Scaling::source`]), where it holds and what is doubtful
//! ([`Scaling::caveat`]). [`change`](crate::change) picks rules and applies them to all hyper-parameters at once.
//!
//! All rules here are ratios of a function of the batch, f(κB)/f(B). They therefore compose exactly (B₁ → B₂ → B₃ is B₁ → B₃), and
//! going back undoes them. The first-order form of a decay, [`decays::first_order`], does neither.

pub mod decays;

use crate::progress::LearningRate;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use std::fmt;

/// A rule that carries a learning rate from one batch size to another. κ is the ratio of the batches.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "rule", rename_all = "snake_case"))]
pub enum Scaling {
    /// η → κη. SGD with batches far below the noise scale (Goyal et al. 2017).
    Linear,
    /// η → √κ·η. Adam and its kin while noise dominates (Malladi et al. 2022; Krizhevsky 2014).
    SquareRoot,
    /// η → κ^p·η with p fitted to runs (`ridge` of the estimates gives p with its interval).
    Power {
        /// p, −1 to 2.
        exponent: f64,
    },
    /// η → r·η with r = κ(φ + B)/(φ + κB): linear far below the noise scale φ, flat far above it
    /// (McCandlish et al. 2018 eq. 2.6; the gain of AdaScale, Johnson et al. 2020).
    NoiseScale {
        /// φ in examples, positive.
        phi: f64,
    },
    /// η → √r·η with the same r: the square root far below φ, flat far above it. The form (1 + φ/B)^(−α) of McCandlish et al. 2018 for Adam with
    /// its smallest α, ½ (the AdamScale of adaptdl).
    RootNoiseScale {
        /// φ in examples, positive.
        phi: f64,
    },
    /// η ∝ 2/(√(Bₙ/B) + √(B/Bₙ)): the square root far below Bₙ, highest at Bₙ, falling beyond (Li et al. 2024, Surge, for optimizers
    /// that use the sign of the gradient, Adam among them).
    Surge {
        /// Bₙ in examples, positive.
        peak_batch: f64,
    },
    /// η → η.
    Keep,
}

impl Scaling {
    /// The paper or papers a rule comes from.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Linear => "Goyal et al. 2017, arXiv 1706.02677",
            Self::SquareRoot => "Malladi et al. 2022, arXiv 2205.10287; Krizhevsky 2014, arXiv 1404.5997",
            Self::Power { .. } => "fitted to runs",
            Self::NoiseScale { .. } => {
                "McCandlish et al. 2018, arXiv 1812.06162, eq. 2.6; Johnson et al. 2020, arXiv 2007.05105"
            }
            Self::RootNoiseScale { .. } => {
                "McCandlish et al. 2018, arXiv 1812.06162, §2.2 and appendix E, with α = ½; Qiao et al. 2021 (adaptdl)"
            }
            Self::Surge { .. } => "Li et al. 2024, arXiv 2405.14578",
            Self::Keep => "no change",
        }
    }

    /// Where a rule fails.
    #[must_use]
    pub const fn caveat(self) -> &'static str {
        match self {
            Self::Linear => "only far below the noise scale; overshoots near and above it",
            Self::SquareRoot => {
                "only while noise dominates; for language models the best learning rate grew slower (Marek et al. 2025)"
            }
            Self::Power { .. } => "only within the batch sizes it was fitted on",
            Self::NoiseScale { .. } => {
                "φ stands for B_noise, from which it can differ by a factor of 2 or more; φ moves over training"
            }
            Self::RootNoiseScale { .. } => {
                "for Adam published exponents lie between ½ and 1; for language models φ can be far from the critical batch (Merrill et al. 2025)"
            }
            Self::Surge { .. } => "a model of sign descent; where its peak lies must be measured",
            Self::Keep => "the best learning rate may move",
        }
    }
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
    /// An exponent that no fit should give.
    #[error("the exponent is {found}, but must be between -1 and 2")]
    Exponent {
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
        Scaling::NoiseScale { phi } => gain(phi, kappa, from, to)?,
        Scaling::RootNoiseScale { phi } => gain(phi, kappa, from, to)?.sqrt(),
        Scaling::Power { exponent } => {
            if !(-1.0..=2.0).contains(&exponent) {
                return Err(RuleError::Exponent { found: exponent });
            }
            kappa.powf(exponent)
        }
        Scaling::Surge { peak_batch } => {
            positive("the batch size of the peak", peak_batch)?;
            // √B/(Bₙ + B), but for a factor that divides out.
            kappa.sqrt() * (peak_batch + from as f64) / (peak_batch + to as f64)
        }
    };
    Ok(LearningRate(rate.0 * factor))
}

/// r = κ(φ + B)/(φ + κB).
fn gain(phi: f64, kappa: f64, from: u64, to: u64) -> Result<f64, RuleError> {
    positive("noise scale", phi)?;
    Ok(kappa * (phi + from as f64) / (phi + to as f64))
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
            Self::RootNoiseScale { phi } => write!(f, "root of the noise scale (φ = {phi:.0} examples)"),
            Self::Power { exponent } => write!(f, "power {exponent}"),
            Self::Surge { peak_batch } => write!(f, "surge (peak at {peak_batch:.0} examples)"),
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
    fn surge_rises_as_the_square_root_and_falls_beyond_its_peak() {
        // theory.md §4.1: η = η_peak·2/(√(Bₙ/B) + √(B/Bₙ)).
        let curve = |b: f64| 2.0 / ((800.0 / b).sqrt() + (b / 800.0).sqrt());
        for (from, to) in [(1, 2), (64, 800), (800, 1600), (100, 6400)] {
            let got = scale(Scaling::Surge { peak_batch: 800.0 }, LearningRate(1.0), from, to).unwrap().0;
            let want = curve(to as f64) / curve(from as f64);
            assert!((got / want - 1.0).abs() < 1e-9, "{from} {to}: {got} {want}");
        }
        let small = scale(Scaling::Surge { peak_batch: 1e9 }, LearningRate(1.0), 16, 64).unwrap().0;
        assert!((small - 2.0).abs() < 1e-6);
        assert!(scale(Scaling::Surge { peak_batch: 800.0 }, LearningRate(1.0), 800, 8000).unwrap().0 < 1.0);
        assert!(scale(Scaling::Power { exponent: 3.0 }, LearningRate(1.0), 1, 2).is_err());
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
            for rule in [
                Scaling::Linear, Scaling::SquareRoot, Scaling::Keep, Scaling::NoiseScale { phi },
                Scaling::Power { exponent: 0.7 }, Scaling::RootNoiseScale { phi }, Scaling::Surge { peak_batch: phi },
            ] {
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
