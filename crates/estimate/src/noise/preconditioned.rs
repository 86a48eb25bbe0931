//! The noise scale of a preconditioned step, θ − εPĝ, as Adam takes it (theory §1.1).
//!
//! E ΔL = ε GᵀPG − ½ε²(GᵀPHPG + tr(PHPΣ)/B), so B_noise^P = tr(PHPΣ)/(GᵀPHPG). Without H two forms are in use, and
//! they are different numbers:
//!
//! - [`InverseCurvature`]: H is a multiple of P⁻¹, what a good preconditioner aims at. φ_P = tr(PΣ)/(GᵀPG).
//! - [`IdentityCurvature`]: H is a multiple of the identity. φ_P = tr(P²Σ)/(GᵀP²G). Pollux's adaptdl uses this one
//!   (it squares gradient times P).
//!
//! The form is part of the type, so that the two cannot be averaged, and part of the stored estimate.
//!
//! P must be frozen before the measured batch is drawn (Adam: 1/(√v̂+ϵ) with v of the step before). A P that has seen
//! the batch correlates with its gradients, and neither part is unbiased.
//!
//! ```
//! use batchwise_estimate::noise::{IdentityCurvature, InverseCurvature, Preconditioned};
//! let p = [0.5, 2.0];
//! let gradients = [[1.0, 0.5], [3.0, -0.5]];
//! let inverse = Preconditioned::<InverseCurvature>::from_slices(&[1.0, 1.0], &gradients, &p)?;
//! let identity = Preconditioned::<IdentityCurvature>::from_slices(&[1.0, 1.0], &gradients, &p)?;
//! // g₁·g₂ is 3 in the first coordinate and −1/4 in the second: weights P, then P².
//! assert!((inverse.parts().g2 - (0.5 * 3.0 - 2.0 * 0.25)).abs() < 1e-12);
//! assert!((identity.parts().g2 - (0.25 * 3.0 - 4.0 * 0.25)).abs() < 1e-12);
//! # Ok::<(), batchwise_estimate::noise::NoiseError>(())
//! ```

use std::marker::PhantomData;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{Measurement, MicroNorm, NoiseError, NoiseEstimate, VectorStream, estimate, measure};

/// Which of the two forms a number has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum FormName {
    /// tr(PΣ)/(GᵀPG).
    InverseCurvature,
    /// tr(P²Σ)/(GᵀP²G).
    IdentityCurvature,
}

impl FormName {
    /// The formula, for a report.
    #[must_use]
    pub const fn formula(self) -> &'static str {
        match self {
            Self::InverseCurvature => "tr(PΣ)/(GᵀPG)",
            Self::IdentityCurvature => "tr(P²Σ)/(GᵀP²G)",
        }
    }
}

/// A form as a type: [`InverseCurvature`] or [`IdentityCurvature`], and no other.
pub trait Form: sealed::Sealed {
    /// Its name.
    const NAME: FormName;
}

/// H is a multiple of P⁻¹: squared norms are Σ p_k g_k².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InverseCurvature;

/// H is a multiple of the identity: squared norms are Σ (p_k g_k)².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityCurvature;

impl Form for InverseCurvature {
    const NAME: FormName = FormName::InverseCurvature;
}

impl Form for IdentityCurvature {
    const NAME: FormName = FormName::IdentityCurvature;
}

mod sealed {
    /// Keeps the forms two.
    pub trait Sealed {}
    impl Sealed for super::InverseCurvature {}
    impl Sealed for super::IdentityCurvature {}
}

/// One measurement in the metric of the form `F`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preconditioned<F> {
    parts: Measurement,
    form: PhantomData<F>,
}

/// The noise scale in the metric of a named form.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct PreconditionedEstimate {
    /// Which form it is.
    pub form: FormName,
    /// The parts, here GᵀPG and tr(PΣ) or GᵀP²G and tr(P²Σ), and their quotient.
    pub estimate: NoiseEstimate,
}

impl<F: Form> Preconditioned<F> {
    /// From squared norms that the caller took in this form's metric, of the micro-batches and of the whole batch.
    ///
    /// # Errors
    /// Those of [`measure`].
    pub fn from_norms(micro: &[MicroNorm], batch_norm2: f64) -> Result<Self, NoiseError> {
        Ok(Self { parts: measure(micro, batch_norm2)?, form: PhantomData })
    }

    /// From the mean gradients of the micro-batches and the diagonal of P, frozen before the batch was drawn.
    ///
    /// # Errors
    /// An entry of P that is not finite and above 0; fewer than two gradients, or as many weights as there are not; a
    /// length other than P's; a weight or entry out of range; overflow.
    pub fn from_slices<G: AsRef<[f64]>>(
        weights: &[f64],
        gradients: &[G],
        p: &[f64],
    ) -> Result<Self, NoiseError> {
        if let Some(entry) = p.iter().position(|p| !(p.is_finite() && *p > 0.0)) {
            return Err(NoiseError::BadPreconditioner { entry, value: p[entry] });
        }
        if weights.len() != gradients.len() {
            return Err(NoiseError::WrongWeightCount { found: weights.len(), expected: gradients.len() });
        }
        let scale: Vec<f64> = match F::NAME {
            FormName::InverseCurvature => p.iter().map(|p| p.sqrt()).collect(),
            FormName::IdentityCurvature => p.to_vec(),
        };
        let mut stream = VectorStream::new();
        for (index, (weight, gradient)) in weights.iter().zip(gradients).enumerate() {
            let gradient = gradient.as_ref();
            if gradient.len() != p.len() {
                return Err(NoiseError::BadLength { index, found: gradient.len(), expected: p.len() });
            }
            let scaled: Vec<f64> = gradient.iter().zip(&scale).map(|(g, scale)| g * scale).collect();
            stream.push(*weight, &scaled)?;
        }
        Ok(Self { parts: stream.measurement()?, form: PhantomData })
    }

    /// The two parts, which no longer know their form.
    #[must_use]
    pub const fn parts(&self) -> Measurement {
        self.parts
    }

    /// The noise scale in this metric over K independent measurements with one P at one θ.
    ///
    /// # Errors
    /// Those of [`estimate`].
    pub fn estimate(measurements: &[Self], confidence: f64) -> Result<PreconditionedEstimate, NoiseError> {
        let parts: Vec<Measurement> = measurements.iter().map(|m| m.parts).collect();
        Ok(PreconditionedEstimate { form: F::NAME, estimate: estimate(&parts, confidence)? })
    }
}
