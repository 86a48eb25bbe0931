//! One batch as tensors, gathered on the calling thread.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::{DataError, Dataset, Order};

/// The examples of one request.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Normalised inputs `[n, input_shape..]`, f32.
    pub inputs: Tensor,
    /// Class numbers `[n]`, u32.
    pub targets: Tensor,
    /// The positions of training that these examples stand at; its length is n.
    pub positions: Range<u64>,
}

/// Gathers the examples at `positions` on the calling thread: the plain twin of [`crate::Loader`].
///
/// On the CPU the gathered buffers become the tensors without a copy.
///
/// # Errors
///
/// [`DataError::OrderLength`], [`DataError::EmptyRequest`], [`DataError::CrossesEpoch`], what
/// [`Dataset::gather`] returns, and [`DataError::Tensor`].
pub fn gather_batch(
    dataset: &dyn Dataset,
    order: &Order,
    positions: Range<u64>,
    device: &Device,
) -> Result<Batch, DataError> {
    check_order(dataset, order)?;
    check_positions(order, &positions)?;
    let mut indices = Vec::new();
    order.fill(positions.clone(), &mut indices);

    let schema = dataset.schema();
    let mut inputs = vec![0.0f32; indices.len() * schema.input_len()];
    let mut targets = vec![0u32; indices.len()];
    dataset.gather(&indices, &mut inputs, &mut targets)?;

    let n_rows = indices.len();
    let mut shape = vec![n_rows];
    shape.extend(&schema.input_shape);
    let inputs = Tensor::from_vec(inputs, shape, device)?;
    let targets = Tensor::from_vec(targets, n_rows, device)?;
    Ok(Batch { inputs, targets, positions })
}

/// Checks that `order` was made for `dataset`.
pub(crate) fn check_order(dataset: &dyn Dataset, order: &Order) -> Result<(), DataError> {
    if order.len() == dataset.len() {
        return Ok(());
    }
    let name = dataset.schema().name.clone();
    Err(DataError::OrderLength { order: order.len(), name, dataset: dataset.len() })
}

/// Checks that `positions` hold an example and stay within one epoch.
pub(crate) fn check_positions(order: &Order, positions: &Range<u64>) -> Result<(), DataError> {
    let Range { start, end } = *positions;
    if end <= start {
        return Err(DataError::EmptyRequest { start, end });
    }
    let remaining = order.remaining_in_epoch(start);
    if remaining < end - start {
        return Err(DataError::CrossesEpoch { start, end, epoch_end: start + remaining });
    }
    Ok(())
}
