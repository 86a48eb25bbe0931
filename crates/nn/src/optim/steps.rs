//! The updates that several optimizers are made of.

use crate::update::{Real, Step, Update, update};
use candle_core::{Result, Tensor, Var};

/// x ← keep·x + take·u or keep·x + take·u², where u = g + decay·w.
pub(super) struct Accumulate {
    pub(super) keep: f64,
    pub(super) take: f64,
    pub(super) decay: f64,
    pub(super) square: bool,
}

impl Accumulate {
    /// Updates x; reads the weights only where they matter.
    pub(super) fn apply(&self, x: &mut Tensor, g: &Tensor, w: &Var) -> Result<()> {
        if self.decay == 0.0 { update(x, [g], self) } else { update(x, [g, w.as_tensor()], self) }
    }

    #[inline(always)]
    fn each<T: Real>(&self, x: &mut [T], u: impl Iterator<Item = T>) {
        let (keep, take) = (T::from_f64(self.keep), T::from_f64(self.take));
        if self.square {
            x.iter_mut().zip(u).for_each(|(x, u)| *x = keep * *x + take * (u * u));
        } else {
            x.iter_mut().zip(u).for_each(|(x, u)| *x = keep * *x + take * u);
        }
    }

    fn plain_sum(&self, x: &Tensor, u: &Tensor) -> Result<Tensor> {
        let u = if self.square { &u.sqr()? } else { u };
        (x * self.keep)? + (u * self.take)?
    }
}

impl Update<1> for Accumulate {
    const NAME: &'static str = "accumulate";

    #[inline(always)]
    fn piece<T: Real>(&self, x: &mut [T], [g]: [&[T]; 1]) {
        self.each(x, g.iter().copied());
    }

    fn plain(&self, x: &Tensor, [g]: [&Tensor; 1]) -> Result<Tensor> {
        self.plain_sum(x, g)
    }
}

impl Update<2> for Accumulate {
    const NAME: &'static str = "accumulate";

    #[inline(always)]
    fn piece<T: Real>(&self, x: &mut [T], [g, w]: [&[T]; 2]) {
        let decay = T::from_f64(self.decay);
        self.each(x, g.iter().zip(w).map(|(g, w)| *g + decay * *w));
    }

    fn plain(&self, x: &Tensor, [g, w]: [&Tensor; 2]) -> Result<Tensor> {
        self.plain_sum(x, &(g + (w * self.decay)?)?)
    }
}

/// w ← w − rate·(u + decay·w).
pub(super) struct Descend {
    pub(super) rate: f64,
    pub(super) decay: f64,
}

impl Update<1> for Descend {
    const NAME: &'static str = "descend";

    #[inline(always)]
    fn piece<T: Real>(&self, w: &mut [T], [u]: [&[T]; 1]) {
        let (rate, decay) = (T::from_f64(self.rate), T::from_f64(self.decay));
        w.iter_mut().zip(u).for_each(|(w, u)| *w -= rate * (*u + decay * *w));
    }

    fn plain(&self, w: &Tensor, [u]: [&Tensor; 1]) -> Result<Tensor> {
        w - ((u + (w * self.decay)?)? * self.rate)?
    }
}

impl Step<1> for Descend {
    const NAME: &'static str = "descend";

    #[inline(always)]
    fn piece<T: Real>(&self, [w]: [&mut [T]; 1], g: &[T]) {
        Update::piece(self, w, [g]);
    }
}

/// w ← w − (decay·w + rate·m/(√v + ε)) from m and v. The decay is subtracted rather than multiplied in, because
/// 1 − decay loses most of a small decay's digits in f32.
pub(super) struct AdamStep {
    pub(super) rate: f64,
    pub(super) epsilon: f64,
    pub(super) decay: f64,
}

impl Update<2> for AdamStep {
    const NAME: &'static str = "adam_step";

    #[inline(always)]
    fn piece<T: Real>(&self, w: &mut [T], [m, v]: [&[T]; 2]) {
        let (rate, epsilon, decay) =
            (T::from_f64(self.rate), T::from_f64(self.epsilon), T::from_f64(self.decay));
        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
            *w -= decay * *w + rate * *m / (v.root() + epsilon);
        }
    }

    fn plain(&self, w: &Tensor, [m, v]: [&Tensor; 2]) -> Result<Tensor> {
        let step = ((m * self.rate)? / (v.sqrt()? + self.epsilon)?)?;
        w - ((w * self.decay)? + step)?
    }
}

/// The scalars into which the bias corrections of Adam's moments go after `n_steps`:
/// m̂/(√v̂ + ε) = rate·m/(√v + epsilon).
pub(super) struct Corrected {
    pub(super) rate: f64,
    pub(super) epsilon: f64,
}

impl Corrected {
    pub(super) fn new(beta1: f64, beta2: f64, epsilon: f64, n_steps: u64) -> Self {
        let (c1, c2) = (1.0 - beta1.powf(n_steps as f64), root_correction(beta2, n_steps));
        Self { rate: c2 / c1, epsilon: epsilon * c2 }
    }
}

/// √(1 − β2ᵗ) after `n_steps` t: √v̂ is √v divided by it.
pub(super) fn root_correction(beta2: f64, n_steps: u64) -> f64 {
    (1.0 - beta2.powf(n_steps as f64)).sqrt()
}

/// p ← factor/(√v + ε) from v: what a gradient is multiplied by.
pub(super) struct InverseRoot {
    pub(super) factor: f64,
    pub(super) epsilon: f64,
}

impl Update<1> for InverseRoot {
    const NAME: &'static str = "inverse_root";

    #[inline(always)]
    fn piece<T: Real>(&self, p: &mut [T], [v]: [&[T]; 1]) {
        let (factor, epsilon) = (T::from_f64(self.factor), T::from_f64(self.epsilon));
        p.iter_mut().zip(v).for_each(|(p, v)| *p = factor / (v.root() + epsilon));
    }

    fn plain(&self, _: &Tensor, [v]: [&Tensor; 1]) -> Result<Tensor> {
        (v.sqrt()? + self.epsilon)?.recip()? * self.factor
    }
}

/// a/b, or 1 where a norm is 0, so that a tensor of zeros can leave 0. NaN stays NaN.
pub(super) fn trust_ratio(weights: f64, update: f64, ratio: f64) -> f64 {
    if weights == 0.0 || update == 0.0 { 1.0 } else { ratio }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::equals_its_twin;
    use candle_core::{DType, Device};

    #[test]
    fn the_kernels_equal_their_twins() {
        for square in [false, true] {
            let rule = Accumulate { keep: 0.9, take: 0.2, decay: 0.3, square };
            equals_its_twin::<1>(&rule, [false]);
            equals_its_twin::<2>(&rule, [false; 2]);
        }
        equals_its_twin(&Descend { rate: 0.1, decay: 0.3 }, [false]);
        equals_its_twin(&InverseRoot { factor: 0.7, epsilon: 1e-3 }, [true]);
        equals_its_twin(&AdamStep { rate: 0.1, epsilon: 1e-3, decay: 0.3 }, [false, true]);
    }

    #[test]
    fn tensors_that_do_not_fit_are_refused() {
        let rule = Descend { rate: 1.0, decay: 0.0 };
        let ones = |n, dtype| Tensor::ones(n, dtype, &Device::Cpu).unwrap();
        let mut x = ones(3, DType::F64);
        let error = update(&mut x, [&ones(4, DType::F64)], &rule).unwrap_err().to_string();
        assert!(error.contains("descend on tensors of 3 and 4 elements"), "{error}");
        assert!(update(&mut x, [&ones(3, DType::F32)], &rule).is_err());
        assert!(update(&mut ones(3, DType::BF16), [&ones(3, DType::BF16)], &rule).is_err());
        assert_eq!(x.to_vec1::<f64>().unwrap(), [1.0; 3]);
    }
}
