//! How the decay of a running average (β₁, β₂, momentum, an average of the weights) follows the batch.
//!
//! An average with decay β per step forgets half of the past in ln ½/ln β steps, that is B·ln ½/ln β examples. Keeping that many
//! examples gives β → β^κ ([`half_life`]), exactly, for every κ. The published first-order form β → 1 − κ(1 − β) ([`first_order`])
//! agrees where κ(1 − β) is small and has no meaning from κ(1 − β) = 1 on.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// A decay cannot follow.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub enum DecayError {
    /// Not a decay.
    #[error("the decay is {found}, allowed is 0 or more and below 1")]
    OutOfRange {
        /// What was found.
        found: f64,
    },
    /// Not a ratio of batches.
    #[error("the ratio of the batch sizes is {found}, allowed is a finite number above 0")]
    Ratio {
        /// What was found.
        found: f64,
    },
    /// The first-order form has left its domain.
    #[error("κ(1 − β) is {product:.3}, and 1 − κ(1 − β) is a decay below 1 only: use β^κ")]
    Domain {
        /// κ(1 − β).
        product: f64,
    },
}

/// β^κ: as many examples to forget half (Marek et al. 2025, arXiv 2507.07101, for β₂; Busbridge et al. 2023, arXiv 2307.13813, for averages of
/// weights).
///
/// ```
/// use batchwise_schedule::rules::decays::half_life;
///
/// // Marek et al. 2025: 0.95 at a batch of 512 is 0.9999 at a batch of 1.
/// assert!((half_life(0.95, 1.0 / 512.0)? - 0.9999).abs() < 1e-6);
/// # Ok::<(), batchwise_schedule::rules::decays::DecayError>(())
/// ```
///
/// # Errors
/// A decay outside [0, 1), a ratio that is not positive.
pub fn half_life(beta: f64, kappa: f64) -> Result<f64, DecayError> {
    check(beta, kappa)?;
    // Rounding must not make an average that never forgets.
    Ok(beta.powf(kappa).min(1.0 - f64::EPSILON / 2.0))
}

/// 1 − κ(1 − β): the first order of β^κ (Malladi et al. 2022, arXiv 2205.10287, for Adam and RMSprop).
///
/// # Errors
/// A decay outside [0, 1), a ratio that is not positive, or κ(1 − β) ≥ 1.
pub fn first_order(beta: f64, kappa: f64) -> Result<f64, DecayError> {
    check(beta, kappa)?;
    let product = kappa * (1.0 - beta);
    // 10·(1 − 0.9) is a rounding below 1.
    if 1.0 - 1e-12 <= product { Err(DecayError::Domain { product }) } else { Ok(1.0 - product) }
}

/// ln ½/ln β · `batch`: after how many examples half of the past is forgotten. 0 for β = 0.
#[must_use]
pub fn half_life_in_examples(beta: f64, batch: f64) -> f64 {
    if beta <= 0.0 { 0.0 } else { batch * 0.5f64.ln() / beta.ln() }
}

fn check(beta: f64, kappa: f64) -> Result<(), DecayError> {
    if !(0.0..1.0).contains(&beta) {
        return Err(DecayError::OutOfRange { found: beta });
    }
    if kappa.is_finite() && 0.0 < kappa { Ok(()) } else { Err(DecayError::Ratio { found: kappa }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_two_forms_have_their_published_values() {
        // theory.md §4.1: κ = 8, β₁ = 0.9: 0.2 against 0.43; κ ≥ 10 is undefined.
        assert!((first_order(0.9, 8.0).unwrap() - 0.2).abs() < 1e-12);
        assert!((half_life(0.9, 8.0).unwrap() - 0.43).abs() < 0.001);
        assert!(matches!(first_order(0.9, 10.0), Err(DecayError::Domain { .. })));
        assert_eq!(half_life(0.0, 3.0), Ok(0.0));
        for (beta, kappa) in [(1.0, 1.0), (-0.1, 1.0), (f64::NAN, 1.0), (0.5, 0.0), (0.5, f64::INFINITY)] {
            assert!(half_life(beta, kappa).is_err() && first_order(beta, kappa).is_err(), "{beta} {kappa}");
        }
    }

    proptest! {
        #[test]
        fn half_lives_compose_and_go_back(beta in 0.5f64..0.99999, a in 0.05f64..20.0, b in 0.05f64..20.0) {
            let both = half_life(half_life(beta, a).unwrap(), b).unwrap();
            prop_assert!((both - half_life(beta, a * b).unwrap()).abs() < 1e-12);
            let back = half_life(half_life(beta, a).unwrap(), 1.0 / a).unwrap();
            prop_assert!((back - beta).abs() < 1e-9, "{} {}", back, beta);
            let (old, new) = (half_life_in_examples(beta, 64.0), half_life_in_examples(half_life(beta, a).unwrap(), 64.0 * a));
            prop_assert!((old / new - 1.0).abs() < 1e-9);
        }

        #[test]
        fn the_forms_agree_to_first_order(distance in 1e-6f64..1e-3, kappa in 0.1f64..4.0) {
            let (exact, first) = (half_life(1.0 - distance, kappa).unwrap(), first_order(1.0 - distance, kappa).unwrap());
            prop_assert!((exact - first).abs() <= kappa * kappa.max(1.0) * distance * distance);
        }
    }
}
