//! Clipping of gradients, in place.

use super::config::above_zero;
use crate::Gradients;
use crate::update::{Measure, Real, Update, measure, sum_by, update};
use candle_core::{DType, Result, Tensor};

/// Why gradients were not clipped; they are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// A gradient has NaN or infinite elements, or squares beyond its type's range: scaled by its norm it would spread
    /// to every parameter.
    #[error("gradient {index} in name order is not finite, or so large that its norm is not")]
    NotFinite {
        /// Which gradient, in name order.
        index: usize,
    },
    /// A limit out of range, or a device error.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Added to the norm below the line, as in PyTorch.
const EPSILON: f64 = 1e-6;

/// Scales all gradients by min(1, limit/(‖g‖ + 1e-6)), as `torch.nn.utils.clip_grad_norm_`, where ‖g‖ is the norm of
/// all gradients together. Returns that norm before. (Pascanu et al. 2013, algorithm 1.)
///
/// # Errors
/// A limit that is not a finite number above 0, a norm that is not finite, a device error.
pub fn clip_norm(gradients: &mut Gradients, limit: f64) -> std::result::Result<f64, ClipError> {
    above_zero("the limit of the gradient's norm", limit)?;
    let norms2 = gradients.norms2()?;
    if let Some(index) = norms2.iter().position(|norm2| !norm2.is_finite()) {
        return Err(ClipError::NotFinite { index });
    }
    let norm = norms2.iter().sum::<f64>().sqrt();
    clip_known_norm(gradients, norm, limit)?;
    Ok(norm)
}

/// The same for gradients whose norm is known already; returns whether they were too large.
///
/// # Errors
/// A limit or a norm that is not a finite number (the limit above 0), a device error.
pub fn clip_known_norm(gradients: &mut Gradients, norm: f64, limit: f64) -> Result<bool> {
    above_zero("the limit of the gradient's norm", limit)?;
    if !norm.is_finite() {
        candle_core::bail!("the gradient's norm is {norm}, which is not finite");
    }
    let factor = limit / (norm + EPSILON);
    if factor < 1.0 {
        gradients.scale(factor)?;
    }
    Ok(factor < 1.0)
}

/// Brings every element of the gradients into [−limit, limit], as `torch.nn.utils.clip_grad_value_`. Returns how many
/// were outside.
///
/// # Errors
/// A limit that is not a finite number above 0, an element that is not finite (PyTorch would turn an infinite one into
/// the limit), a device error.
pub fn clip_value(gradients: &mut Gradients, limit: f64) -> std::result::Result<u64, ClipError> {
    above_zero("the limit of the gradient's elements", limit)?;
    let mut n_outside = Vec::with_capacity(gradients.tensors().len());
    for (index, g) in gradients.tensors().iter().enumerate() {
        if measure([g], &Outside { limit: f64::MAX })? != 0.0 {
            return Err(ClipError::NotFinite { index });
        }
        n_outside.push(measure([g], &Outside { limit })? as u64);
    }
    for (g, n_outside) in gradients.tensors_mut().iter_mut().zip(&n_outside) {
        if *n_outside != 0 {
            update(g, [], &Clamp { limit })?;
        }
    }
    Ok(n_outside.iter().sum())
}

/// How many elements are not in [−limit, limit]; NaN is not.
struct Outside {
    limit: f64,
}

impl Measure<1> for Outside {
    const NAME: &'static str = "count_outside";

    #[inline(always)]
    fn piece<T: Real>(&self, [g]: [&[T]; 1]) -> f64 {
        let limit = self.limit;
        g.len() as f64 - sum_by(g.len(), |i| f64::from(u8::from(g[i].widen().abs() <= limit)))
    }

    fn plain(&self, [g]: [&Tensor; 1]) -> Result<f64> {
        let inside = g.to_dtype(DType::F64)?.abs()?.le(self.limit)?;
        Ok(inside.elem_count() as f64 - inside.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?)
    }
}

/// Brings elements into [−limit, limit]; NaN stays.
struct Clamp {
    limit: f64,
}

impl Update<0> for Clamp {
    const NAME: &'static str = "clamp";

    #[inline(always)]
    fn piece<T: Real>(&self, g: &mut [T], []: [&[T]; 0]) {
        let (low, high) = (T::from_f64(-self.limit), T::from_f64(self.limit));
        for g in g {
            *g = if *g < low {
                low
            } else if high < *g {
                high
            } else {
                *g
            };
        }
    }

    fn plain(&self, g: &Tensor, []: [&Tensor; 0]) -> Result<Tensor> {
        g.clamp(-self.limit, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::{equals_its_twin, measure_equals_its_twin};
    use candle_core::Device;

    #[test]
    fn the_kernels_equal_their_twins() {
        equals_its_twin(&Clamp { limit: 0.7 }, []);
        measure_equals_its_twin(&Outside { limit: 0.7 }, [false]);
    }

    #[test]
    fn what_is_not_finite_is_outside_every_limit() {
        let g = [1.0f64, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX];
        let g = Tensor::new(&g, &Device::Cpu).unwrap();
        let outside = Outside { limit: f64::MAX };
        assert_eq!(measure([&g], &outside).unwrap(), 3.0);
        assert_eq!(outside.plain([&g]).unwrap(), 3.0);
    }
}
