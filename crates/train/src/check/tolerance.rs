//! How much of a difference rounding explains.
//!
//! Two splits of a batch add the same terms x_j in another order, and compute each term with products of other sizes.
//!
//! **The sum.** In any order of n terms the computed sum differs from the exact one by at most γ_{n−1} Σ|x_j|, with
//! γ_n = nu/(1 − nu) and u the unit roundoff (2⁻²⁴ in f32, 2⁻⁵³ in f64): Higham, Accuracy and Stability of Numerical
//! Algorithms, 2nd edition 2002, §4.2. That bound is attained only if all roundings conspire; the rule of thumb is √n·u
//! in place of n·u (Higham 2002, §2.8), and λ√n·u fails with a probability below 2·exp(−λ²/2) (Higham & Mary 2019,
//! theorem 2.4). Relative to the result this is √n·u·κ, with κ = Σ‖x_j‖/‖Σx_j‖ the condition number of the sum
//! (Higham 2002, §4.1), which each split measures from the norms of its contributions.
//!
//! **The terms.** The error of one evaluation grows with depth and fan-in (γ_n for inner products of length n, §3.1; for
//! matrix products, §3.5), and with the conditioning of the model, which nobody knows beforehand. So it is measured: the
//! f32 gradient of the whole batch against the f64 one gives e for each parameter, and for all together (the larger
//! counts, since a small parameter may be close by luck). To first order an error is proportional to u (§3.4), so in f64 it is
//! e·2⁻²⁹. The measurement per parameter matters: a gradient that is exactly 0 in theory, as that of the bias of keys in
//! attention, is all rounding in practice, and its e says so.
//!
//! **Allowed** is [`SAFETY`]·max(e, κ√n·u), and in f64 at least [`LEAST_F64`]. A fault of substance is far above: one
//! example of n = 1000 with the wrong weight changes the gradient by about 10⁻³.

use super::measure::{Measured, differences, double, relative};
use batchwise_nn::gradients::norm2;
use candle_core::{DType, Result};

/// λ of the rule of thumb: 2·exp(−8²/2) is 3·10⁻¹⁴ for each sum.
pub const SAFETY: f64 = 8.0;

/// No difference up to this is a fault in f64: 4500 units roundoff, which leaves room for elementary functions that are
/// computed in other ways for other sizes.
pub const LEAST_F64: f64 = 1e-12;

/// The gradient of a model in f64 is within this of the one in f32, relative to the norm over all parameters, or else it
/// is another function: 1.7·10⁴ units roundoff of f32.
pub const SAME_MODEL: f64 = 1e-3;

/// u, half the distance from 1 to the next number: 2⁻²⁴ in f32, 2⁻⁵³ in f64.
pub fn unit_roundoff(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::EPSILON / 2.0 } else { f64::from(f32::EPSILON) / 2.0 }
}

/// The relative error of the f32 evaluation of the whole batch.
pub(super) struct Rounding {
    loss: f64,
    /// By parameter in name order.
    gradients: Vec<f64>,
}

impl Rounding {
    /// From the same in f64.
    pub(super) fn measured(single: &Measured, double: &Measured) -> Result<Self> {
        let in_all = distance_in_all(single, double)?;
        let pairs = single.gradients.tensors().iter().zip(double.gradients.tensors());
        let gradients = pairs.map(|(a, b)| Ok(differences(a, b)?.0.max(in_all))).collect::<Result<_>>()?;
        Ok(Self { loss: relative(single.loss, double.loss), gradients })
    }

    /// Without f64: √n·u of the longest inner product that there can be, of a parameter's whole gradient.
    pub(super) fn guessed(single: &Measured) -> Self {
        let longest =
            single.gradients.tensors().iter().map(|gradient| gradient.elem_count()).max().unwrap_or(1);
        let error = (longest as f64).sqrt() * unit_roundoff(DType::F32);
        Self { loss: error, gradients: vec![error; single.names.len()] }
    }

    /// For the gradient of parameter `i`, from contributions of this condition number.
    pub(super) fn allowed(&self, dtype: DType, i: usize, condition: f64, n: u64) -> f64 {
        allowed(dtype, self.gradients[i], condition, n)
    }

    /// For the loss, whose terms have one sign.
    pub(super) fn allowed_of_loss(&self, dtype: DType, n: u64) -> f64 {
        allowed(dtype, self.loss, 1.0, n)
    }
}

fn allowed(dtype: DType, error_in_f32: f64, condition: f64, n: u64) -> f64 {
    let u = unit_roundoff(dtype);
    let of_terms = error_in_f32 * (u / unit_roundoff(DType::F32));
    let of_sum = condition * (n as f64).sqrt() * u;
    let least = if dtype == DType::F64 { LEAST_F64 } else { 0.0 };
    (SAFETY * of_terms.max(of_sum)).max(least)
}

/// ‖a − b‖/‖b‖ over all parameters; infinite where their shapes differ.
pub(super) fn distance_in_all(a: &Measured, b: &Measured) -> Result<f64> {
    let (mut difference2, mut all2) = (0.0, 0.0);
    if a.names != b.names {
        return Ok(f64::INFINITY);
    }
    for (a, b) in a.gradients.tensors().iter().zip(b.gradients.tensors()) {
        if a.dims() != b.dims() {
            return Ok(f64::INFINITY);
        }
        let (a, b) = (double(a)?, double(b)?);
        difference2 += norm2(&(&a - &b)?)?;
        all2 += norm2(&b)?;
    }
    Ok(if difference2 == 0.0 { 0.0 } else { (difference2 / all2).sqrt() })
}
