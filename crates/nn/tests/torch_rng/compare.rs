//! One step of a model of this crate, held against PyTorch's.

use super::{Examples, check_logits, check_loss, check_tensor, inputs, weights};
use batchwise_nn::{Parameters, loss};
use candle_core::{DType, Device, Result, Tensor, bail};

/// Sets every parameter to PyTorch's initial value. `rename` gives the name here of a parameter of PyTorch.
///
/// # Errors
/// A parameter of PyTorch's that does not exist here or has another shape, or one here that it does not set.
pub(crate) fn load(parameters: &Parameters, model: &str, rename: impl Fn(&str) -> String) -> Result<()> {
    let weights = weights(model);
    if weights.len() != parameters.named().len() {
        bail!("{model}: PyTorch has {} parameters, here are {}", weights.len(), parameters.named().len());
    }
    for (name, (shape, values)) in weights {
        let ours = rename(&name);
        let Some(var) = parameters.get(&ours) else { bail!("{model}: no parameter `{ours}` for `{name}`") };
        if var.dims() != shape {
            bail!("{model}: `{ours}` has shape {:?}, `{name}` of PyTorch {shape:?}", var.dims());
        }
        var.set(&Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(var.dtype())?)?;
    }
    Ok(())
}

/// The batch as tensors: images in `dtype` or tokens in u32, and targets in u32.
pub(crate) fn input_tensors(model: &str, batch: usize, dtype: DType) -> Result<(Tensor, Tensor)> {
    let inputs = inputs(model, batch);
    let x = match inputs.x {
        Examples::Numbers(x) => Tensor::from_vec(x, inputs.shape, &Device::Cpu)?.to_dtype(dtype)?,
        Examples::Tokens(x) => Tensor::from_vec(x, inputs.shape, &Device::Cpu)?,
    };
    let n = inputs.y.len();
    Ok((x, Tensor::from_vec(inputs.y, n, &Device::Cpu)?))
}

/// Applies `forward` (inputs to logits (rows, classes), in training mode) to PyTorch's batch, differentiates the mean
/// cross-entropy, and returns what differs from PyTorch: loss, logits, or any parameter's gradient. Nothing differs
/// if it returns nothing.
///
/// # Errors
/// As the model's and the backward pass's; a parameter without a gradient.
pub(crate) fn compare(
    model: &str,
    batch: usize,
    parameters: &Parameters,
    rename: impl Fn(&str) -> String,
    forward: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Vec<String>> {
    let named = parameters.named();
    let Some(dtype) = named.first().map(|(_, var)| var.dtype()) else { bail!("{model}: no parameters") };
    let (x, y) = input_tensors(model, batch, dtype)?;
    let logits = forward(&x)?;
    let loss = loss::cross_entropy(&logits, &y)?;
    let mean = (loss.sum / loss.weight)?;
    let gradients = parameters.take_gradients(&mut mean.backward()?)?;
    let values = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();

    let mut results = vec![
        check_loss(model, batch, values(&mean)?[0], dtype),
        check_logits(model, batch, &values(&logits)?, dtype),
    ];
    for name in weights(model).keys() {
        let ours = rename(name);
        let Some(i) = named.iter().position(|(n, _)| *n == ours) else {
            bail!("{model}: no parameter `{ours}`")
        };
        results.push(check_tensor(model, batch, name, &values(&gradients[i])?, dtype));
    }
    Ok(results.into_iter().filter_map(std::result::Result::err).collect())
}
