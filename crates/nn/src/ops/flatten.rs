//! Images as rows of numbers, and their means.

use super::images::{images, readable, seen_channels_first, to_channels_first, to_channels_last};
use super::linear::cpu;
use super::plain;
use crate::kernels::element::contiguous;
use crate::kernels::image::Images;
use crate::kernels::{threads, vectorized};
use crate::tape;
use candle_core::{CpuStorage, DType, Result, Tensor};

/// Whether the fused form serves: f32 images that lie channels last, outside of candle's graph.
fn is_ours(x: &Tensor) -> bool {
    x.rank() == 4
        && !plain::is_asked_for(x)
        && x.dtype() == DType::F32
        && x.elem_count() != 0
        && !tape::is_graph(&[x])
}

/// All dimensions but the first as one, in the order of the shape: (n, c, h, w) to (n, c·h·w).
///
/// # Errors
/// A scalar.
pub fn flatten(x: &Tensor) -> Result<Tensor> {
    if !is_ours(x) || x.is_contiguous() {
        return x.flatten_from(1);
    }
    let x = readable(x)?;
    let (n, c, h, w) = x.dims4()?;
    let values = {
        let (storage, layout) = x.storage_and_layout();
        match images(cpu(&storage)?, layout)? {
            Images::ChannelsLast(x) => to_channels_first(x, [n, c, h, w]),
            Images::ChannelsFirst(x) => x.to_vec(),
        }
    };
    let result = (CpuStorage::F32(values), (n, c * h * w).into());
    tape::record(result, tape::Memory::Contiguous, &[&x], move |_, _, grad| {
        let grad = to_channels_last(&grad.contiguous()?.reshape((n, c, h, w))?)?;
        Ok(vec![Some(grad.permute((0, 3, 1, 2))?)])
    })
}

/// The mean over all pixels: (n, c, h, w) to (n, c).
///
/// # Errors
/// An input that is not 4-D.
pub fn global_avg_pool2d(x: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    if !is_ours(x) {
        return x.flatten_from(2)?.mean(2);
    }
    let x = readable(x)?;
    let turned = to_channels_last(&x)?;
    let share = 1.0 / (h * w) as f32;
    let means = {
        let (storage, layout) = turned.storage_and_layout();
        let values: &[f32] = contiguous("global_avg_pool2d", cpu(&storage)?, layout)?;
        threads::build(n * c, PIECE * c, |piece, means| {
            let rows = means.left() / c;
            for (i, mean) in means.filled(0.0).chunks_exact_mut(c).enumerate().take(rows) {
                let image = &values[(piece * PIECE + i) * h * w * c..][..h * w * c];
                vectorized(
                    #[inline(always)]
                    || {
                        for pixel in image.chunks_exact(c) {
                            mean.iter_mut().zip(pixel).for_each(|(mean, x)| *mean += *x);
                        }
                        mean.iter_mut().for_each(|mean| *mean *= share);
                    },
                );
            }
        })
    };
    let result = (CpuStorage::F32(means), (n, c).into());
    tape::record(result, tape::Memory::Contiguous, &[&x], move |_, _, grad| {
        let grad = grad.contiguous()?;
        let (storage, layout) = grad.storage_and_layout();
        let grad: &[f32] = contiguous("global_avg_pool2d", cpu(&storage)?, layout)?;
        let values = threads::build(n * h * w * c, h * w * c, |example, piece| {
            let grad = &grad[example * c..][..c];
            for _ in 0..h * w {
                piece.extend(grad.iter().map(|grad| *grad * share));
            }
        });
        Ok(vec![Some(seen_channels_first(values, [n, c, h, w])?)])
    })
}

/// Examples of one piece of work.
const PIECE: usize = 8;
