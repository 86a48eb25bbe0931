//! Gradients summed over micro-batches, with the squared norm of each contribution.

pub use crate::weighed::PreconditionedNorms;

use crate::Parameters;
use crate::examples;
use crate::kernels::element::{contiguous, contiguous_mut, dispatch};
use crate::kernels::norm;
use crate::ops::{cpu, plain_device};
use crate::parameters::no_gradient;
use crate::sink::{self, Sink};
use crate::tape::Recorded;
use crate::update::{Scale, update};
use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The gradients of all parameters in name order.
///
/// The first micro-batch's gradients become the sum itself and later ones are added in place. A clone shares its
/// tensors' memory, which adding, scaling and clipping change.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    tensors: Vec<Tensor>,
}

/// The squared norm of each example's gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct ExampleNorms {
    /// For each parameter in name order, one number per example in f64; `None` where an op of candle's own uses the
    /// parameter, which gives no norms.
    pub groups: Vec<Option<Vec<f64>>>,
}

impl ExampleNorms {
    /// The squared norm over all parameters for each example, if every parameter has them.
    pub fn total(&self) -> Option<Vec<f64>> {
        let groups: Vec<&Vec<f64>> = self.groups.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let n = groups.first()?.len();
        Some((0..n).map(|i| groups.iter().map(|norms| norms[i]).sum()).collect())
    }
}

/// Whether [`Gradients::backward`] should measure what it adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// Only add.
    Off,
    /// Also return the squared norm of each parameter's contribution.
    Norms,
}

impl Gradients {
    /// Nothing summed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the backward pass of one micro-batch's `loss`, a tensor or fast one that is [`Recorded`], and adds its
    /// gradients. With [`Tap::Norms`] returns the
    /// squared norm of the contribution of each parameter, in name order, summed in f64 in the same pass over
    /// memory; else nothing.
    ///
    /// The ops of this crate hand the gradients of parameters over one by one, so that a second set of them never
    /// exists (with [`Tap::Norms`] it does until the pass is over); those of other ops arrive through candle's store.
    ///
    /// # Errors
    /// A parameter without a gradient, by name: a layer that cuts it would otherwise stay untrained in silence; a
    /// device error. The sum is lost then.
    pub fn backward(
        &mut self,
        parameters: &Parameters,
        loss: impl Into<Recorded>,
        tap: Tap,
    ) -> Result<Vec<f64>> {
        self.backward_with(parameters, loss.into(), tap, add_and_measure)
    }

    /// The same with another `measure` of what each parameter got, which is to add it to the sum.
    pub(crate) fn backward_with<N>(
        &mut self,
        parameters: &Parameters,
        loss: Recorded,
        tap: Tap,
        measure: impl FnMut(usize, &mut Option<Tensor>, Tensor) -> Result<N>,
    ) -> Result<Vec<N>> {
        let sink = Sink::new(&parameters.named(), std::mem::take(&mut self.tensors), tap);
        let (sink, store) = sink::collect(sink, || loss.backward());
        self.finish(parameters, sink, &mut store?, measure)
    }

    /// The same for a `loss` that is a sum over `n_examples`, with the squared norm of each example's own gradient as a
    /// by-product, exact also where a parameter is used several times or an example has several rows (theory.md §2).
    ///
    /// Each example's rows must lie one after the other in the first dimension of every layer's input, and no layer may
    /// couple examples: batch norm refuses. Costs about a weight gradient more per example where it has several rows.
    ///
    /// # Errors
    /// As [`Gradients::backward`]; a layer whose rows are no multiple of `n_examples`.
    pub fn backward_examples(
        &mut self,
        parameters: &Parameters,
        loss: impl Into<Recorded>,
        n_examples: usize,
    ) -> Result<ExampleNorms> {
        let (sums, loss) = (std::mem::take(&mut self.tensors), loss.into());
        let sink = Sink::new(&parameters.named(), sums, Tap::Off).with_examples();
        let (mut sink, store) = sink::collect(sink, || loss.backward());
        let (uses, mut store) = (sink.uses.take().unwrap_or_default(), store?);
        let groups = parameters
            .named()
            .iter()
            .zip(uses)
            .map(|((_, var), uses)| match store.get(var.as_tensor()) {
                // Some of its gradient came from an op that knows nothing of this.
                None if !uses.is_empty() => examples::norms2(&uses, var.elem_count(), n_examples).map(Some),
                _ => Ok(None),
            })
            .collect::<Result<_>>()?;
        self.finish(parameters, sink, &mut store, add_and_measure)?;
        Ok(ExampleNorms { groups })
    }

    /// The same from a store that candle's own `backward` has filled.
    ///
    /// # Errors
    /// As [`Gradients::backward`].
    pub fn add(&mut self, parameters: &Parameters, store: &mut GradStore, tap: Tap) -> Result<Vec<f64>> {
        let sink = Sink::new(&parameters.named(), std::mem::take(&mut self.tensors), tap);
        self.finish(parameters, sink, store, add_and_measure)
    }

    /// Adds what is left in the store to what the sink took, and measures what it kept apart.
    fn finish<N>(
        &mut self,
        parameters: &Parameters,
        mut sink: Sink,
        store: &mut GradStore,
        mut measure: impl FnMut(usize, &mut Option<Tensor>, Tensor) -> Result<N>,
    ) -> Result<Vec<N>> {
        let mut norms = Vec::new();
        for (i, (name, var)) in parameters.named().into_iter().enumerate() {
            if let Some(gradient) = store.remove(var.as_tensor()) {
                // A gradient may be a strided view of another tensor: the sum must own its memory.
                sink.take_in(i, gradient.contiguous()?)?;
            }
            if !sink.is_fed[i] {
                return Err(no_gradient(&name));
            }
            if let Some(fresh) = sink.fresh[i].take() {
                norms.push(measure(i, &mut sink.sums[i], fresh)?);
            }
        }
        debug_assert!(norms.is_empty() || norms.len() == sink.sums.len());
        self.tensors = sink.sums.into_iter().flatten().collect();
        Ok(norms)
    }

    /// Multiplies all gradients by a number, in place on the CPU.
    ///
    /// # Errors
    /// A device error.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        self.tensors.iter_mut().try_for_each(|g| update(g, [], &Scale { factor }))
    }

    /// The gradients in name order, writable.
    pub(crate) fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// The squared norm of each parameter's gradient, in name order, in f64.
    ///
    /// # Errors
    /// A device error.
    pub fn norms2(&self) -> Result<Vec<f64>> {
        self.tensors.iter().map(norm2).collect()
    }

    /// The gradients in name order; empty before the first [`Gradients::add`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Forgets the sum and frees its memory.
    pub fn clear(&mut self) {
        self.tensors.clear();
    }
}

/// Σ x² of a tensor, summed in f64 on the CPU (in f32 on a GPU, one sum per tensor).
///
/// # Errors
/// A device error.
pub fn norm2(tensor: &Tensor) -> Result<f64> {
    if plain_device(tensor) {
        return tensor.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar();
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let storage = cpu(&storage)?;
    dispatch!("norm2", storage.dtype(), T => Ok(norm::sum_of_squares::<T>(contiguous("norm2", storage, layout)?)))
}

/// `sum += fresh`, in place on the CPU.
pub(crate) fn add_to(sum: &mut Tensor, fresh: &Tensor) -> Result<()> {
    if plain_device(sum) || sum.elem_count() == 0 {
        *sum = sum.add(fresh)?;
        return Ok(());
    }
    sum.inplace_op2(&fresh.contiguous()?, &AddOp { tap: Tap::Off, norm2: AtomicU64::new(0) })
}

/// a + b in new memory; images that lie channels last in both stay so.
pub(crate) fn sum_of(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if plain_device(a) || a.elem_count() == 0 || a.shape() != b.shape() {
        return a.add(b);
    }
    if let (Some(a), Some(b)) = (channels_last(a)?, channels_last(b)?) {
        return sum_of(&a, &b)?.permute((0, 3, 1, 2));
    }
    let (a, b) = (a.contiguous()?, b.contiguous()?);
    let ((of_a, a_layout), (of_b, b_layout)) = (a.storage_and_layout(), b.storage_and_layout());
    dispatch!("sum", a.dtype(), T => {
        let x: &[T] = contiguous("sum", cpu(&of_a)?, a_layout)?;
        let y: &[T] = contiguous("sum", cpu(&of_b)?, b_layout)?;
        let sum = norm::sum(x, y);
        Tensor::from_vec(sum, a.shape(), a.device())
    })
}

/// Images (n, c, h, w) that lie as (n, h, w, c), in that shape; nothing for what lies as its dimensions say.
fn channels_last(x: &Tensor) -> Result<Option<Tensor>> {
    if x.rank() != 4 || x.is_contiguous() {
        return Ok(None);
    }
    let x = x.permute((0, 2, 3, 1))?;
    Ok(x.is_contiguous().then_some(x))
}

/// Adds what parameter `i` got to its sum, which it becomes where there is none; returns its squared norm.
fn add_and_measure(_i: usize, sum: &mut Option<Tensor>, fresh: Tensor) -> Result<f64> {
    match sum {
        Some(sum) => add_and_norm2(sum, &fresh),
        empty => {
            let norm2 = norm2(&fresh)?;
            *empty = Some(fresh);
            Ok(norm2)
        }
    }
}

/// `sum += fresh`; returns the squared norm of `fresh` from the same pass.
fn add_and_norm2(sum: &mut Tensor, fresh: &Tensor) -> Result<f64> {
    if plain_device(sum) || sum.elem_count() == 0 {
        add_to(sum, fresh)?;
        return norm2(fresh);
    }
    let op = AddOp { tap: Tap::Norms, norm2: AtomicU64::new(0) };
    sum.inplace_op2(&fresh.contiguous()?, &op)?;
    Ok(f64::from_bits(op.norm2.load(Relaxed)))
}

struct AddOp {
    tap: Tap,
    norm2: AtomicU64,
}

impl InplaceOp2 for AddOp {
    fn name(&self) -> &'static str {
        "add_gradient"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        fresh: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        dispatch!(self.name(), sum.dtype(), T => {
            let sum: &mut [T] = contiguous_mut(self.name(), sum, sum_layout)?;
            let fresh: &[T] = contiguous(self.name(), fresh, layout)?;
            match self.tap {
                Tap::Off => norm::add(sum, fresh),
                Tap::Norms => self.norm2.store(norm::add_and_square(sum, fresh).to_bits(), Relaxed),
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Activation, linear};
    use candle_core::Device;

    /// A weight used twice by our op and once by candle's, another by our op alone, and a bias by candle alone.
    fn shared(parameters: &Parameters, x: &Tensor) -> Tensor {
        let vb = parameters.builder(3, DType::F64, &Device::Cpu);
        let init = candle_nn::Init::Randn { mean: 0.0, stdev: 0.5 };
        let tied = vb.get_with_hints((4, 4), "tied", init).unwrap();
        let own = vb.get_with_hints((4, 4), "own", init).unwrap();
        let shift = vb.get_with_hints(4, "shift", init).unwrap();
        let zero = Tensor::zeros(4, DType::F64, &Device::Cpu).unwrap();
        let x = linear(x, &tied, &zero, Activation::Relu).unwrap();
        let x = linear(&x, &own, &zero, Activation::Identity).unwrap();
        let x = linear(&x, &tied, &zero, Activation::Relu).unwrap();
        let x = x.matmul(&tied).unwrap().broadcast_add(&shift).unwrap();
        x.sqr().unwrap().sum_all().unwrap()
    }

    #[test]
    fn a_pass_with_the_sink_equals_one_through_the_store() {
        let parameters = Parameters::new();
        let x = Tensor::from_vec(crate::random::normal(1, "x", 24, 0.0, 1.0), (6, 4), &Device::Cpu).unwrap();
        for tap in [Tap::Off, Tap::Norms] {
            let (mut sunk, mut stored) = (Gradients::new(), Gradients::new());
            for from in [0, 2, 4] {
                let loss = shared(&parameters, &x.narrow(0, from, 2).unwrap());
                let norms = sunk.backward(&parameters, &loss, tap).unwrap();
                let want = stored.add(&parameters, &mut loss.backward().unwrap(), tap).unwrap();
                assert_eq!(norms.len(), want.len());
                for (norm, want) in norms.iter().zip(&want) {
                    assert!((norm - want).abs() <= 1e-12 * want, "{norm} {want}");
                }
            }
            for (a, b) in sunk.tensors().iter().zip(stored.tensors()) {
                let difference = norm2(&(a - b).unwrap()).unwrap();
                assert!(difference <= 1e-24 * norm2(b).unwrap(), "{tap:?}: {difference}");
            }
        }
    }

    #[test]
    fn a_parameter_that_gets_nothing_is_named_and_the_sink_is_gone_after_an_error() {
        let parameters = Parameters::new();
        let x = Tensor::ones((2, 4), DType::F64, &Device::Cpu).unwrap();
        let loss = shared(&parameters, &x);
        parameters.builder(3, DType::F64, &Device::Cpu).get(3, "forgotten").unwrap();
        let error = Gradients::new().backward(&parameters, &loss, Tap::Off).unwrap_err().to_string();
        assert!(error.contains("`forgotten` got no gradient"), "{error}");
        // candle's own backward sees all gradients again.
        let store = shared(&parameters, &x).backward().unwrap();
        assert!(store.get(parameters.get("own").unwrap().as_tensor()).is_some());
    }

    #[test]
    fn contributions_add_up_and_their_norms_are_right() {
        let parameters = Parameters::new();
        let vb = parameters.builder(3, DType::F64, &Device::Cpu);
        let init = candle_nn::Init::Randn { mean: 0.0, stdev: 1.0 };
        let w = vb.get_with_hints((5, 4), "w", init).unwrap();
        let b = vb.get_with_hints(5, "b", init).unwrap();
        let x = Tensor::from_vec(crate::random::normal(1, "x", 28, 0.0, 1.0), (7, 4), &Device::Cpu).unwrap();
        let grads = |from: usize, n: usize| {
            let x = x.narrow(0, from, n).unwrap();
            let y = linear(&x, &w, &b, Activation::Relu).unwrap();
            y.sqr().unwrap().sum_all().unwrap().backward().unwrap()
        };
        let mut whole = Gradients::new();
        whole.add(&parameters, &mut grads(0, 7), Tap::Off).unwrap();
        let mut parts = Gradients::new();
        for (from, n) in [(0, 3), (3, 3), (6, 1)] {
            let norms = parts.add(&parameters, &mut grads(from, n), Tap::Norms).unwrap();
            let mut alone = Gradients::new();
            alone.add(&parameters, &mut grads(from, n), Tap::Off).unwrap();
            assert_eq!(norms, alone.norms2().unwrap());
        }
        for (a, b) in whole.tensors().iter().zip(parts.tensors()) {
            let difference = norm2(&(a - b).unwrap()).unwrap();
            assert!(difference < 1e-24 * norm2(a).unwrap(), "{difference}");
        }
    }
}
