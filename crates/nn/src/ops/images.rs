//! Images in memory: channels first as their shape says, or channels last as the fused ops leave them.

use super::cpu;
use crate::kernels::image::{Images, batch};
use crate::kernels::threads;
use candle_core::{CpuStorage, Layout, Result, Tensor};

/// The tensor itself where [`images`] can read it, else a copy.
pub(super) fn readable(x: &Tensor) -> Result<Tensor> {
    if x.is_contiguous() || is_channels_last(x.layout()) { Ok(x.clone()) } else { x.contiguous() }
}

fn is_channels_last(layout: &Layout) -> bool {
    layout.permute(&[0, 2, 3, 1]).is_ok_and(|turned| turned.is_contiguous())
}

/// The f32 images of a [`readable`] tensor (n, c, h, w) on the CPU.
pub(super) fn images<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Images<'a>> {
    let values = storage.as_slice::<f32>()?;
    if let Some((from, to)) = layout.contiguous_offsets() {
        return Ok(Images::ChannelsFirst(&values[from..to]));
    }
    if !is_channels_last(layout) {
        candle_core::bail!("images of strides {:?} lie neither channels first nor last", layout.stride());
    }
    let from = layout.start_offset();
    Ok(Images::ChannelsLast(&values[from..from + layout.shape().elem_count()]))
}

/// Images (n, c, h, w) as they would lie channels last, (n, h, w, c).
pub(super) fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let (n, channels, height, width) = x.dims4()?;
    let turned = x.permute((0, 2, 3, 1))?;
    if turned.is_contiguous() {
        return Ok(turned);
    }
    let x = readable(x)?;
    let (storage, layout) = x.storage_and_layout();
    let images = images(cpu(&storage)?, layout)?;
    let row_len = width * channels;
    let values = threads::build(n * height * row_len, height * row_len, |example, piece| {
        let rows = piece.filled(0.0).chunks_exact_mut(row_len.max(1)).enumerate();
        rows.for_each(|(y, row)| images.row([channels, height, width], example, y, row));
    });
    Tensor::from_vec(values, (n, height, width, channels), x.device())
}

/// The gradient of an input as a kernel left it, (n, h, w, c), seen as (n, c, h, w).
pub(super) fn seen_channels_first(values: Vec<f32>, [n, c, h, w]: [usize; 4]) -> Result<Tensor> {
    Tensor::from_vec(values, (n, h, w, c), &candle_core::Device::Cpu)?.permute((0, 3, 1, 2))
}

/// Images that lie channels last, (n, h, w, c), as their shape (n, c, h, w) says.
pub(super) fn to_channels_first(values: &[f32], [n, channels, height, width]: [usize; 4]) -> Vec<f32> {
    let len = channels * height * width;
    threads::build(n * len, len, |example, piece| {
        let from = &values[example * len..][..len];
        batch::to_channels_first(from, channels, piece.filled(0.0), height * width);
    })
}
