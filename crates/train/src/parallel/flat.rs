//! Gradients and parameters as one row of numbers, and back.

use super::ParallelError;
use batchwise_nn::{Gradients, Parameters};
use candle_core::backprop::GradStore;
use candle_core::{DType, Storage, Tensor};

/// Refuses parameters that are not f32, and buffers, which would differ between ranks.
pub(super) fn check(parameters: &Parameters) -> Result<(), ParallelError> {
    if let Some((buffer, _)) = parameters.buffers().into_iter().next() {
        return Err(ParallelError::Buffer { buffer });
    }
    match parameters.named().into_iter().find(|(_, var)| var.dtype() != DType::F32) {
        Some((parameter, var)) => Err(ParallelError::Dtype { parameter, dtype: var.dtype() }),
        None => Ok(()),
    }
}

/// Copies the tensors into `flat`, one after the other; what is behind them becomes 0.
pub(super) fn flatten<'a>(
    tensors: impl IntoIterator<Item = &'a Tensor>,
    flat: &mut [f32],
) -> candle_core::Result<()> {
    let mut rest = flat;
    for tensor in tensors {
        let n = tensor.elem_count();
        let n_left = rest.len();
        let Some((part, behind)) = rest.split_at_mut_checked(n) else {
            candle_core::bail!("{n} numbers where {n_left} are left");
        };
        copy(tensor, part)?;
        rest = behind;
    }
    rest.fill(0.0);
    Ok(())
}

fn copy(tensor: &Tensor, part: &mut [f32]) -> candle_core::Result<()> {
    {
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(storage), Some((from, to))) = (&*storage, layout.contiguous_offsets()) {
            part.copy_from_slice(&storage.as_slice::<f32>()?[from..to]);
            return Ok(());
        }
    }
    part.copy_from_slice(&tensor.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}

/// One tensor for each parameter, of its shape and on its device.
pub(super) fn unflatten(parameters: &Parameters, flat: &[f32]) -> candle_core::Result<Vec<Tensor>> {
    let mut rest = flat;
    let mut tensors = Vec::new();
    for (name, var) in parameters.named() {
        let Some((part, behind)) = rest.split_at_checked(var.elem_count()) else {
            candle_core::bail!(
                "parameter `{name}` has {} numbers where {} are left",
                var.elem_count(),
                rest.len()
            );
        };
        tensors.push(Tensor::from_slice(part, var.shape(), var.device())?);
        rest = behind;
    }
    Ok(tensors)
}

/// The flat gradients as an optimizer takes them.
pub(super) fn to_gradients(parameters: &Parameters, flat: &[f32]) -> candle_core::Result<Gradients> {
    let mut store = GradStore::default();
    for ((_, var), tensor) in parameters.named().iter().zip(unflatten(parameters, flat)?) {
        store.insert(var.as_tensor(), tensor);
    }
    let mut gradients = Gradients::new();
    gradients.add(parameters, &mut store, batchwise_nn::gradients::Tap::Off)?;
    Ok(gradients)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn there_and_back_changes_no_bit() {
        let parameters = Parameters::new();
        let vb = parameters.builder(1, DType::F32, &Device::Cpu);
        let init = candle_nn::Init::Randn { mean: 0.0, stdev: 1.0 };
        for (name, shape) in [("a", vec![2, 3]), ("b", vec![5]), ("c", vec![])] {
            vb.get_with_hints(shape, name, init).unwrap();
        }
        let tensors: Vec<Tensor> =
            parameters.named().into_iter().map(|(_, var)| var.as_tensor().clone()).collect();
        let mut flat = vec![7.0; 14];
        flatten(&tensors, &mut flat).unwrap();
        assert_eq!(flat[12..], [0.0; 2]);
        let mut again = vec![7.0; 14];
        flatten(to_gradients(&parameters, &flat).unwrap().tensors(), &mut again).unwrap();
        assert_eq!(flat, again);
        // A view with strides is read in its own order.
        flatten([&tensors[0].t().unwrap()], &mut again[..6]).unwrap();
        assert_eq!(again[..6], [flat[0], flat[3], flat[1], flat[4], flat[2], flat[5]]);
        assert!(flatten(&tensors, &mut flat[..11]).is_err());
        assert!(unflatten(&parameters, &flat[..11]).is_err());
    }
}
