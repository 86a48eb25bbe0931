//! What batch size a policy wants, given what was observed (theory.md §1.8, §6).

use super::ControllerError;
use super::pollux;
use crate::batch::Bounds;
use crate::progress::{Examples, LearningRate};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// Which batch size is wanted. φ = tr Σ/‖G‖² is the noise scale in examples, B the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "policy", rename_all = "snake_case"))]
pub enum Policy {
    /// B = factor·φ. At factor 1 a step makes half the progress of the full gradient (McCandlish et al. 2018, eq. 2.6).
    NoiseScale {
        /// k, above 0.
        factor: f64,
    },
    /// B = √(r·φ): the schedule that spends a given sum of examples and steps best, where `rate` r = S_min-examples per step is what
    /// a step is worth in examples (McCandlish et al. 2018, appendix D: B(s) = √(r·B_noise(s))).
    RootNoiseScale {
        /// r, in examples, above 0.
        rate: f64,
    },
    /// B = η·tr Σ/L: coupled adaptive batch size (CABS; Balles, Romero & Hennig 2017, eq. 22). For plain SGD on a loss whose
    /// infimum is about 0; the learning rate must not follow the batch.
    Cabs,
    /// The norm test (Byrd et al. 2012; De et al. 2016) with the unbiased ‖G‖²: B = φ/θ². The published test takes ‖ḡ‖² for ‖G‖² and passes from
    /// B = φ(1−θ²)/θ² on; for θ ≥ 1 it always passes (theory.md §6).
    NormTest {
        /// θ, above 0.
        theta: f64,
    },
    /// The augmented inner-product test (Bollapragada, Byrd & Nocedal 2018): the largest of Var(gᵢᵀḡ)/(θ²‖G‖⁴) and
    /// E‖gᵢ − (gᵢᵀḡ/‖ḡ‖²)ḡ‖²/(ν²‖G‖²).
    InnerProduct {
        /// θ, above 0.
        theta: f64,
        /// ν, above 0; +∞ cannot be written, so leave the second test out by a large number.
        nu: f64,
    },
    /// Gradient diversity (Yin et al. 2018; DiveBatch 2025): B = δ·N·Σ‖gᵢ‖²/‖Σgᵢ‖², which for N examples of a population is
    /// δ·N(1 + φ)/(N + φ) (theory.md §6).
    Diversity {
        /// δ, above 0.
        delta: f64,
    },
    /// Pollux (Qiao et al. 2021): the batch of the largest goodput, examples per second times (φ + B₀)/(φ + B), B₀ the first batch.
    /// Needs the time of a step. Batches below B₀ are considered too, which adaptdl refuses.
    Goodput,
}

/// What is known of the noise scale φ, in examples.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "grade", rename_all = "snake_case"))]
pub enum Phi {
    /// Bounded from both sides.
    Measured {
        /// The estimate.
        value: f64,
    },
    /// Bounded from below.
    LowerBound {
        /// The bound.
        low: f64,
    },
    /// Neither.
    NotIdentified,
}

/// Moments of single examples' gradients gᵢ about the batch's mean gradient ḡ.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct InnerProducts {
    /// Variance over examples of gᵢᵀḡ, divisor B − 1.
    pub along: f64,
    /// Mean over examples, divisor B − 1, of ‖gᵢ − (gᵢᵀḡ/‖ḡ‖²)ḡ‖².
    pub across: f64,
}

/// What a run has measured; whatever is not known is `None`.
#[derive(Clone, Copy)]
pub struct Observation<'a> {
    /// Examples processed so far.
    pub progress: Examples,
    /// The noise scale, smoothed.
    pub phi: Phi,
    /// Unbiased ‖G‖², smoothed.
    pub g2: Option<f64>,
    /// Unbiased tr Σ of single examples, smoothed.
    pub tr_sigma: Option<f64>,
    /// Training loss, smoothed.
    pub loss: Option<f64>,
    /// The learning rate in use.
    pub learning_rate: Option<LearningRate>,
    /// For the inner-product test.
    pub inner: Option<InnerProducts>,
    /// N, examples of the training set.
    pub dataset_size: Option<u64>,
    /// Seconds of a step by batch size.
    pub seconds: Option<&'a dyn Fn(f64) -> f64>,
}

impl Observation<'_> {
    /// Nothing but the progress.
    #[must_use]
    pub fn at(progress: Examples) -> Self {
        Self {
            progress,
            phi: Phi::NotIdentified,
            g2: None,
            tr_sigma: None,
            loss: None,
            learning_rate: None,
            inner: None,
            dataset_size: None,
            seconds: None,
        }
    }
}

/// What a policy answers.
pub(super) enum Wanted {
    Size(f64),
    AtLeast { size: f64, low: f64 },
    NotIdentified,
    Missing,
}

impl Policy {
    pub(super) fn usual_band(self) -> f64 {
        if matches!(self, Self::Goodput) { 1.05 } else { 1.2 }
    }

    pub(super) fn check(self) -> Result<(), ControllerError> {
        let positive = |name, found: f64| {
            let allowed = "a finite number above 0";
            if found.is_finite() && 0.0 < found {
                Ok(())
            } else {
                Err(ControllerError::OutOfRange { name, found, allowed })
            }
        };
        match self {
            Self::NoiseScale { factor } => positive("the factor of the noise scale", factor),
            Self::RootNoiseScale { rate } => positive("the rate", rate),
            Self::NormTest { theta } => positive("θ", theta),
            Self::InnerProduct { theta, nu } => positive("θ", theta).and_then(|()| positive("ν", nu)),
            Self::Diversity { delta } => positive("δ", delta),
            Self::Cabs | Self::Goodput => Ok(()),
        }
    }

    pub(super) fn wanted(self, seen: &Observation<'_>, now: u64, base: u64, bounds: &Bounds) -> Wanted {
        let of_phi = |size: &dyn Fn(f64) -> f64| match seen.phi {
            Phi::Measured { value } if value.is_finite() && 0.0 <= value => Wanted::Size(size(value)),
            // A bound supports growth up to what it wants itself, and says nothing of shrinking.
            Phi::LowerBound { low } if low.is_finite() && 0.0 < low => {
                Wanted::AtLeast { size: size(low).max(now as f64), low }
            }
            _ => Wanted::NotIdentified,
        };
        let known = |value: Option<f64>| value.filter(|v| v.is_finite());
        match self {
            Self::NoiseScale { factor } => of_phi(&|phi| factor * phi),
            Self::RootNoiseScale { rate } => of_phi(&|phi| (rate * phi).sqrt()),
            Self::NormTest { theta } => of_phi(&|phi| phi / (theta * theta)),
            Self::Diversity { delta } => match seen.dataset_size {
                Some(n) => of_phi(&|phi| delta * n as f64 * (1.0 + phi) / (n as f64 + phi)),
                None => Wanted::Missing,
            },
            Self::Cabs => match (known(seen.tr_sigma), known(seen.loss), seen.learning_rate) {
                (Some(tr_sigma), Some(loss), Some(LearningRate(rate))) if rate.is_finite() => {
                    if 0.0 < tr_sigma && 0.0 < loss {
                        Wanted::Size(rate * tr_sigma / loss)
                    } else {
                        Wanted::NotIdentified
                    }
                }
                _ => Wanted::Missing,
            },
            Self::InnerProduct { theta, nu } => match (known(seen.g2), seen.inner) {
                (Some(g2), Some(InnerProducts { along, across })) => {
                    let size = (along / (theta * theta * g2 * g2)).max(across / (nu * nu * g2));
                    let sound =
                        0.0 < g2 && along.is_finite() && across.is_finite() && 0.0 <= along && 0.0 <= across;
                    if sound && size.is_finite() { Wanted::Size(size) } else { Wanted::NotIdentified }
                }
                _ => Wanted::Missing,
            },
            Self::Goodput => match seen.seconds {
                Some(seconds) => of_phi(&|phi| pollux::best_batch(phi, base, bounds, seconds)),
                None => Wanted::Missing,
            },
        }
    }

    /// Whether goodput at `wanted` exceeds that at `now` by the factor `least`.
    pub(super) fn gains(self, seen: &Observation<'_>, now: u64, wanted: f64, base: u64, least: f64) -> bool {
        let (Some(seconds), Phi::Measured { value: phi } | Phi::LowerBound { low: phi }) =
            (seen.seconds, seen.phi)
        else {
            return false;
        };
        let goodput = |batch: f64| pollux::goodput(batch, seconds(batch), phi, base as f64);
        goodput(wanted) >= least * goodput(now as f64)
    }
}
