//! Squared norms of gradients in the metric of a diagonal preconditioner.

use crate::Parameters;
use crate::gradients::{Gradients, Tap, add_to, norm2};
use crate::kernels::element::{contiguous, contiguous_mut, dispatch};
use crate::kernels::weigh;
use crate::ops::{cpu, plain_device};
use crate::tape::Recorded;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, InplaceOp3, Layout, Result, Tensor, bail};
use std::array;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The squared norm of one parameter's gradient g as it is, and in both metrics of a preconditioner P = diag(p)
/// (theory.md §1.1), in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreconditionedNorms {
    /// gᵀg = Σ g².
    pub plain: f64,
    /// gᵀPg = Σ p·g².
    pub by_p: f64,
    /// gᵀP²g = Σ (p·g)².
    pub by_p2: f64,
}

impl From<[f64; 3]> for PreconditionedNorms {
    fn from([plain, by_p, by_p2]: [f64; 3]) -> Self {
        Self { plain, by_p, by_p2 }
    }
}

impl Gradients {
    /// [`Gradients::backward`] with [`Tap::Norms`], which also measures each parameter's contribution in the metrics of
    /// the preconditioner `p` ([`Optimizer::preconditioner`](crate::optim::Optimizer::preconditioner)), in the same pass over memory. The sum and the plain
    /// norms have the same bits. On a GPU each norm is one sum in the gradient's type.
    ///
    /// `p` must not have seen the examples of this loss: else it correlates with their gradients, and what is estimated
    /// from the norms is biased.
    ///
    /// # Errors
    /// As [`Gradients::backward`]; a `p` of other shapes or types than the parameters, before anything is computed.
    pub fn backward_preconditioned(
        &mut self,
        parameters: &Parameters,
        loss: impl Into<Recorded>,
        p: &[Tensor],
    ) -> Result<Vec<PreconditionedNorms>> {
        let named = parameters.named();
        check(named.iter().map(|(_, var)| var.as_tensor()), p)?;
        self.backward_with(parameters, loss.into(), Tap::Norms, |i, sum, fresh| match sum {
            Some(sum) => add_and_weigh(sum, &fresh, &p[i]),
            empty => {
                let norms = norms_of(&fresh, &p[i])?;
                *empty = Some(fresh);
                Ok(norms)
            }
        })
    }

    /// The squared norms of each parameter's gradient in the metrics of the preconditioner `p`, in name order.
    ///
    /// # Errors
    /// A `p` of other shapes or types than the gradients; a device error.
    pub fn preconditioned_norms2(&self, p: &[Tensor]) -> Result<Vec<PreconditionedNorms>> {
        check(self.tensors().iter(), p)?;
        self.tensors().iter().zip(p).map(|(g, p)| norms_of(g, p)).collect()
    }
}

/// Refuses a preconditioner of other tensors than these.
fn check<'a>(of: impl ExactSizeIterator<Item = &'a Tensor>, p: &[Tensor]) -> Result<()> {
    if of.len() != p.len() {
        bail!("a preconditioner of {} tensors for {} parameters", p.len(), of.len());
    }
    for (i, (g, p)) in of.zip(p).enumerate() {
        if g.shape() != p.shape() || g.dtype() != p.dtype() {
            bail!(
                "parameter {i} is {:?} {:?}, its preconditioner {:?} {:?}",
                g.dtype(),
                g.shape(),
                p.dtype(),
                p.shape()
            );
        }
    }
    Ok(())
}

fn norms_of(g: &Tensor, p: &Tensor) -> Result<PreconditionedNorms> {
    if plain_device(g) {
        return plain_norms(g, p);
    }
    let (g, p) = (g.contiguous()?, p.contiguous()?);
    let (g, p) = (g.storage_and_layout(), p.storage_and_layout());
    let (g, of_g, p, of_p) = (cpu(&g.0)?, g.1, cpu(&p.0)?, p.1);
    let name = "preconditioned_norms";
    dispatch!(name, g.dtype(), T => {
        Ok(weigh::weigh::<T>(contiguous(name, g, of_g)?, contiguous(name, p, of_p)?).into())
    })
}

/// The same from candle's operations.
fn plain_norms(g: &Tensor, p: &Tensor) -> Result<PreconditionedNorms> {
    let step = (g * p)?;
    let by_p = (&step * g)?.sum_all()?.to_dtype(DType::F64)?.to_scalar()?;
    Ok(PreconditionedNorms { plain: norm2(g)?, by_p, by_p2: norm2(&step)? })
}

/// `sum += fresh`, in place on the CPU; returns the norms of `fresh` from the same pass.
fn add_and_weigh(sum: &mut Tensor, fresh: &Tensor, p: &Tensor) -> Result<PreconditionedNorms> {
    if plain_device(sum) || sum.elem_count() == 0 {
        add_to(sum, fresh)?;
        return norms_of(fresh, p);
    }
    let op = AddAndWeigh(array::from_fn(|_| AtomicU64::new(0)));
    sum.inplace_op3(&fresh.contiguous()?, &p.contiguous()?, &op)?;
    Ok(op.0.map(|norm| f64::from_bits(norm.into_inner())).into())
}

/// The bits of the norms, as candle's operations return nothing.
struct AddAndWeigh([AtomicU64; 3]);

impl InplaceOp3 for AddAndWeigh {
    fn name(&self) -> &'static str {
        "add_and_weigh_gradient"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        fresh: &CpuStorage,
        layout: &Layout,
        p: &CpuStorage,
        p_layout: &Layout,
    ) -> Result<()> {
        dispatch!(self.name(), sum.dtype(), T => {
            let sum: &mut [T] = contiguous_mut(self.name(), sum, sum_layout)?;
            let fresh: &[T] = contiguous(self.name(), fresh, layout)?;
            let norms = weigh::add_and_weigh(sum, fresh, contiguous(self.name(), p, p_layout)?);
            self.0.iter().zip(norms).for_each(|(slot, norm)| slot.store(norm.to_bits(), Relaxed));
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, linear};
    use crate::random::normal;
    use candle_core::Device;
    use candle_nn::Init;
    use proptest::prelude::*;

    fn tensor(name: &str, shape: &[usize], dtype: DType) -> Tensor {
        let values = normal(7, name, shape.iter().product(), 0.0, 1.0);
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    }

    /// Above 0.
    fn weights(name: &str, shape: &[usize], dtype: DType) -> Tensor {
        (tensor(name, shape, dtype).sqr().unwrap() + 0.01).unwrap()
    }

    fn close(got: PreconditionedNorms, want: PreconditionedNorms, tolerance: f64) {
        let pairs = [(got.plain, want.plain), (got.by_p, want.by_p), (got.by_p2, want.by_p2)];
        for (got, want) in pairs {
            assert!((got - want).abs() <= tolerance * want, "{got} is not {want}");
        }
    }

    proptest! {
        #[test]
        fn the_kernel_equals_its_twin(
            shape in prop::collection::vec(0usize..40, 0..4),
            double: bool,
            transposed: bool,
        ) {
            let (dtype, tolerance) = if double { (DType::F64, 1e-13) } else { (DType::F32, 1e-4) };
            let (mut g, p) = (tensor("g", &shape, dtype), weights("p", &shape, dtype));
            if transposed && shape.len() == 2 {
                // Of the same shape, but strided.
                g = tensor("g", &[shape[1], shape[0]], dtype).t().unwrap();
            }
            // candle adds up in the tensor's type, the kernel in f64.
            let want = plain_norms(&g, &p).unwrap();
            close(norms_of(&g, &p).unwrap(), want, tolerance);
            let start = tensor("start", &shape, dtype);
            let mut sum = start.copy().unwrap();
            close(add_and_weigh(&mut sum, &g, &p).unwrap(), want, tolerance);
            prop_assert_eq!(norm2(&(sum - (start + g).unwrap()).unwrap()).unwrap(), 0.0);
        }
    }

    #[test]
    fn large_tensors_equal_their_twins_too() {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-4)] {
            let (g, p) = (tensor("g", &[700, 900], dtype), weights("p", &[700, 900], dtype));
            close(norms_of(&g, &p).unwrap(), plain_norms(&g, &p).unwrap(), tolerance);
        }
    }

    /// A weight and a bias, and the loss of a few rows.
    fn model() -> (Parameters, impl Fn(&Parameters, usize) -> Tensor) {
        let parameters = Parameters::new();
        let vb = parameters.builder(3, DType::F64, &Device::Cpu);
        for (name, shape) in [("weight", vec![5, 4]), ("bias", vec![5])] {
            vb.get_with_hints(shape, name, Init::Randn { mean: 0.0, stdev: 0.5 }).unwrap();
        }
        let x = tensor("x", &[9, 4], DType::F64);
        let loss = move |parameters: &Parameters, from: usize| {
            let get = |name| parameters.get(name).unwrap().as_tensor().clone();
            let x = x.narrow(0, from, 3).unwrap();
            let y = linear(&x, &get("weight"), &get("bias"), Activation::Relu).unwrap();
            y.sqr().unwrap().sum_all().unwrap()
        };
        (parameters, loss)
    }

    #[test]
    fn contributions_have_their_norms_and_the_sum_keeps_its_bits() {
        let (parameters, loss) = model();
        let p = [weights("bias", &[5], DType::F64), weights("weight", &[5, 4], DType::F64)];
        let (mut weighed, mut plain) = (Gradients::new(), Gradients::new());
        for from in [0, 3, 6] {
            let norms = weighed.backward_preconditioned(&parameters, &loss(&parameters, from), &p).unwrap();
            let want = plain.backward(&parameters, &loss(&parameters, from), Tap::Norms).unwrap();
            assert_eq!(norms.iter().map(|norms| norms.plain).collect::<Vec<_>>(), want);
            let mut alone = Gradients::new();
            alone.backward(&parameters, &loss(&parameters, from), Tap::Off).unwrap();
            for ((norms, g), p) in norms.iter().zip(alone.tensors()).zip(&p) {
                close(*norms, plain_norms(g, p).unwrap(), 1e-13);
            }
        }
        for (a, b) in weighed.tensors().iter().zip(plain.tensors()) {
            assert_eq!(norm2(&(a - b).unwrap()).unwrap(), 0.0);
        }
        let whole = weighed.preconditioned_norms2(&p).unwrap();
        for ((norms, g), p) in whole.iter().zip(plain.tensors()).zip(&p) {
            close(*norms, plain_norms(g, p).unwrap(), 1e-13);
        }
    }

    #[test]
    fn a_preconditioner_of_other_parameters_is_refused_before_the_sum_is_touched() {
        let (parameters, loss) = model();
        let mut gradients = Gradients::new();
        gradients.backward(&parameters, &loss(&parameters, 0), Tap::Off).unwrap();
        let (bias, weight) = (weights("b", &[5], DType::F64), weights("w", &[5, 4], DType::F64));
        for (p, text) in [
            (vec![bias.clone()], "1 tensors for 2 parameters"),
            (vec![weight.clone(), bias.clone()], "parameter 0 is F64 [5], its preconditioner F64 [5, 4]"),
            (vec![bias.to_dtype(DType::F32).unwrap(), weight], "its preconditioner F32"),
        ] {
            let mut errors = vec![gradients.preconditioned_norms2(&p).unwrap_err()];
            let loss = loss(&parameters, 3);
            errors.push(gradients.backward_preconditioned(&parameters, &loss, &p).unwrap_err());
            for error in errors {
                assert!(error.to_string().contains(text), "{error}");
            }
            assert_eq!(gradients.tensors().len(), 2);
        }
    }
}
