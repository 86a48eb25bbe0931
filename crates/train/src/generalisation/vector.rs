//! Parameters and gradients as one vector of f64, in name order.

use batchwise_nn::{Parameters, random};
use candle_core::{DType, Device, Result, Tensor, Var, bail};

/// The numbers of some tensors, one tensor after another.
pub(super) fn flat<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<Vec<f64>> {
    let mut numbers = Vec::new();
    for tensor in tensors {
        numbers
            .extend(tensor.flatten_all()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
    }
    Ok(numbers)
}

/// The weights as they are now.
pub(super) fn weights(parameters: &Parameters) -> Result<Vec<f64>> {
    let named = parameters.named();
    flat(named.iter().map(|(_, var)| var.as_tensor()))
}

/// Sets the weights, each rounded to its variable's type.
pub(super) fn set_weights(parameters: &Parameters, numbers: &[f64]) -> Result<()> {
    let mut rest = numbers;
    for (_, var) in parameters.named() {
        let Some((own, others)) = rest.split_at_checked(var.elem_count()) else {
            bail!("{} numbers for {} in the parameters", numbers.len(), parameters.n_elements());
        };
        set(&var, own)?;
        rest = others;
    }
    Ok(())
}

fn set(var: &Var, numbers: &[f64]) -> Result<()> {
    let tensor = Tensor::from_slice(numbers, var.shape(), &Device::Cpu)?;
    var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)
}

/// A direction of length 1, the same for the same seed.
pub(super) fn direction(seed: u64, len: usize) -> Vec<f64> {
    let mut v = random::normal(seed, "the direction of a probe", len, 0.0, 1.0);
    let norm = norm(&v);
    v.iter_mut().for_each(|x| *x /= norm);
    v
}

/// Σ aᵢ·bᵢ.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// ‖a‖.
pub(super) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// a + s·b.
pub(super) fn plus(a: &[f64], s: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + s * b).collect()
}
