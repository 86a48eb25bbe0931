//! The plain twins: the same operations from candle's own, where those have right gradients.
//!
//! They run on every device candle knows and are the oracle of the fused kernels.

use super::{Activation, ConvConfig, CrossEntropyConfig, Over, PoolConfig};
use crate::kernels::pool::Windows;
use candle_core::{D, Result, Tensor};
use std::cell::Cell;

thread_local!(static ONLY: Cell<bool> = const { Cell::new(false) });

/// Runs `work` with the plain twins in the place of the kernels of this crate's ops, on the CPU too: to see whether a result
/// depends on a kernel. It may take ten times as long.
pub fn only<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ONLY.set(self.0);
        }
    }
    let _restore = Restore(ONLY.replace(true));
    work()
}

/// Whether an op on this tensor is to be its plain twin.
pub(super) fn is_asked_for(x: &Tensor) -> bool {
    super::plain_device(x) || ONLY.get()
}

/// Twin of [`linear`](super::linear()).
///
/// # Errors
/// As there.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    // candle 0.11 reads a left side that is not contiguous as if it were where the right one is shared (PR #3758).
    self::activation(&x.contiguous()?.broadcast_matmul(&weight.t()?)?.broadcast_add(bias)?, activation)
}

/// Twin of [`conv2d`](super::conv2d()). What the last windows leave over is cut off first: candle's backward pass fails
/// where that differs between rows and columns.
///
/// # Errors
/// As there.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, config: ConvConfig) -> Result<Tensor> {
    let ConvConfig { stride, padding, dilation, groups, activation } = config;
    let rest = |axis: usize| -> Result<(usize, usize)> {
        let len = x.dim(axis)? + 2 * padding;
        let rest = (len - dilation * (weight.dim(axis)? - 1) - 1) % stride;
        Ok((len - rest, rest))
    };
    let ((height, rest_height), (width, rest_width)) = (rest(2)?, rest(3)?);
    let y = if rest_height == rest_width {
        x.conv2d(weight, padding, stride, dilation, groups)?
    } else {
        let padded = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
        let used = padded.narrow(2, 0, height)?.narrow(3, 0, width)?.contiguous()?;
        used.conv2d(weight, 0, stride, dilation, groups)?
    };
    self::activation(&y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?, activation)
}

/// Twin of [`conv1d`](super::conv1d()): patches gathered by index and one matrix product for each group, because
/// candle's own gets its weight gradient wrong.
///
/// # Errors
/// As there.
pub fn conv1d(x: &Tensor, weight: &Tensor, bias: &Tensor, config: ConvConfig) -> Result<Tensor> {
    let ConvConfig { stride, padding, dilation, groups, activation } = config;
    let ((n, channels, _), (out, _, kernel)) = (x.dims3()?, weight.dims3()?);
    let x = x.pad_with_zeros(2, padding, padding)?;
    let out_length = (x.dim(2)? - dilation * (kernel - 1) - 1) / stride + 1;
    let at: Vec<u32> =
        (0..out_length * kernel).map(|i| (i / kernel * stride + i % kernel * dilation) as u32).collect();
    let patches = x.contiguous()?.index_select(&Tensor::from_vec(at, out_length * kernel, x.device())?, 2)?;
    let patches = patches.reshape((n, channels, out_length, kernel))?.transpose(1, 2)?.contiguous()?;
    let (group_in, group_out) = (channels / groups, out / groups);
    let of_group = |group: usize| {
        let columns = patches.narrow(2, group * group_in, group_in)?.contiguous()?;
        let columns = columns.reshape((n * out_length, group_in * kernel))?;
        let kernels = weight.narrow(0, group * group_out, group_out)?.contiguous()?;
        columns.matmul(&kernels.reshape((group_out, group_in * kernel))?.t()?.contiguous()?)
    };
    let y = Tensor::cat(&(0..groups).map(of_group).collect::<Result<Vec<_>>>()?, 1)?;
    let y = y.broadcast_add(bias)?.reshape((n, out_length, out))?.transpose(1, 2)?.contiguous()?;
    self::activation(&y, activation)
}

/// Twin of [`max_pool2d`](super::max_pool2d()): the windows side by side, and a gather at each one's argmax.
///
/// # Errors
/// As there.
pub fn max_pool2d(x: &Tensor, config: impl Into<PoolConfig>) -> Result<Tensor> {
    let (n, c, windows, pixels) = in_windows(x, config.into(), false)?;
    // candle's reduce-max gives its gradient to every tie; a gather gives it to one element.
    let largest = pixels.detach().argmax_keepdim(D::Minus1)?;
    pixels.gather(&largest, D::Minus1)?.reshape((n, c, windows.out_height(), windows.out_width()))
}

/// Twin of [`avg_pool2d`](super::avg_pool2d()).
///
/// # Errors
/// As there.
pub fn avg_pool2d(x: &Tensor, config: impl Into<PoolConfig>) -> Result<Tensor> {
    let (n, c, windows, pixels) = in_windows(x, config.into(), true)?;
    let area = (windows.kernel * windows.kernel) as f64;
    (pixels.sum(D::Minus1)? * (1.0 / area))?.reshape((n, c, windows.out_height(), windows.out_width()))
}

/// The pixels of each window in a row. Where one reaches beyond the image there is its first pixel again, or 0.
fn in_windows(x: &Tensor, config: PoolConfig, zeros: bool) -> Result<(usize, usize, Windows, Tensor)> {
    let (n, c, height, width) = x.dims4()?;
    let PoolConfig { kernel, stride, padding } = config;
    let windows = Windows { kernel, stride, padding, height, width };
    let (mut at, mut counts) = (Vec::new(), Vec::new());
    for window in 0..windows.out_plane() {
        let (rows, columns) = windows.inside(window);
        let first = rows.start * width + columns.start;
        let inside: Vec<u32> =
            rows.flat_map(|row| columns.clone().map(move |column| (row * width + column) as u32)).collect();
        counts.extend((0..kernel * kernel).map(|i| if i < inside.len() || !zeros { 1f32 } else { 0.0 }));
        let missing = kernel * kernel - inside.len();
        at.extend(inside.into_iter().chain(std::iter::repeat_n(first as u32, missing)));
    }
    let len = at.len();
    let planes = x.contiguous()?.reshape((n * c, height * width))?;
    let pixels = planes.index_select(&Tensor::from_vec(at, len, x.device())?, 1)?;
    let counts = Tensor::from_vec(counts, len, x.device())?.to_dtype(x.dtype())?;
    let pixels = pixels.broadcast_mul(&counts)?.reshape((n * c * windows.out_plane(), kernel * kernel))?;
    Ok((n, c, windows, pixels))
}

/// Twin of [`normalize`](super::normalize()) and [`normalize_by_rms`](super::normalize_by_rms()).
///
/// # Errors
/// As there.
pub fn normalize(x: &Tensor, over: Over, center: bool, epsilon: f64) -> Result<Tensor> {
    let dims = x.dims();
    // Rows of what belongs together.
    let rows = match (over, dims) {
        (Over::Last, [.., last]) => x.reshape(((), *last))?,
        (Over::Groups(groups), [n, ..]) => x.reshape((n * groups, ()))?,
        (Over::Batch, [_, channels, ..]) => x.transpose(0, 1)?.contiguous()?.reshape((*channels, ()))?,
        _ => candle_core::bail!("normalize: shape {:?} cannot be normalised over {over:?}", x.shape()),
    };
    let rows = if center { rows.broadcast_sub(&rows.mean_keepdim(1)?)? } else { rows };
    let y = rows.broadcast_div(&(rows.sqr()?.mean_keepdim(1)? + epsilon)?.sqrt()?)?;
    match (over, dims) {
        (Over::Batch, [n, channels, rest @ ..]) => {
            let mut swapped = vec![*channels, *n];
            swapped.extend(rest);
            y.reshape(swapped)?.transpose(0, 1)?.contiguous()
        }
        _ => y.reshape(x.shape()),
    }
}

/// Twin of [`scale_shift`](super::scale_shift()).
///
/// # Errors
/// As there.
pub fn scale_shift(x: &Tensor, scale: &Tensor, shift: &Tensor, channel: usize) -> Result<Tensor> {
    let mut dims = vec![1; x.rank()];
    dims[channel] = scale.elem_count();
    x.broadcast_mul(&scale.reshape(dims.as_slice())?)?.broadcast_add(&shift.reshape(dims)?)
}

/// Twin of [`layer_norm`](super::layer_norm()).
///
/// # Errors
/// As there.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    scale_shift(&rows_normalized(x, true, epsilon)?, weight, bias, x.rank() - 1)
}

/// Twin of [`rms_norm`](super::rms_norm()).
///
/// # Errors
/// As there.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let zero = weight.zeros_like()?.detach();
    scale_shift(&rows_normalized(x, false, epsilon)?, weight, &zero, x.rank() - 1)
}

fn rows_normalized(x: &Tensor, center: bool, epsilon: f64) -> Result<Tensor> {
    if x.elem_count() == 0 { Ok(x.clone()) } else { normalize(x, Over::Last, center, epsilon) }
}

/// Twin of [`causal_self_attention`](super::causal_self_attention()).
///
/// # Errors
/// As there.
pub fn causal_self_attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (n, positions, width) = qkv.dims3()?;
    let width = width / 3;
    let part = |i: usize| {
        let part = qkv.narrow(2, i * width, width)?.contiguous()?;
        part.reshape((n, positions, heads, width / heads))?.transpose(1, 2)?.contiguous()
    };
    let y = super::causal_attention(&part(0)?, &part(1)?, &part(2)?)?;
    y.transpose(1, 2)?.contiguous()?.reshape((n, positions, width))
}

/// Twin of [`embedding`](super::embedding()).
///
/// # Errors
/// As there.
pub fn embedding(ids: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut dims = ids.dims().to_vec();
    dims.push(weight.dim(1)?);
    weight.index_select(&ids.flatten_all()?, 0)?.reshape(dims)
}

/// Twin of [`cross_entropy_sum`](super::cross_entropy_sum()).
///
/// # Errors
/// As there.
pub fn cross_entropy_sum(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    cross_entropy(logits, targets, CrossEntropyConfig::default())
}

/// Twin of [`cross_entropy`](super::cross_entropy()).
///
/// # Errors
/// As there.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, config: CrossEntropyConfig) -> Result<Tensor> {
    let (logits, targets) = (logits.flatten_to(logits.rank() - 2)?, &targets.flatten_all()?);
    let log_p = candle_nn::ops::log_softmax(&logits, D::Minus1)?;
    let ignored = config.ignore_index.map(|index| targets.eq(index)).transpose()?;
    // An ignored row needs a class all the same; its share is 0.
    let classes = match &ignored {
        Some(ignored) => ignored.where_cond(&targets.zeros_like()?, targets)?,
        None => targets.clone(),
    };
    let hit = log_p.gather(&classes.unsqueeze(1)?, 1)?.squeeze(1)?;
    let smoothing = config.label_smoothing;
    let rows = ((hit * (1.0 - smoothing))? + (log_p.mean(1)? * smoothing)?)?;
    let rows = match ignored {
        Some(ignored) => ignored.where_cond(&rows.zeros_like()?, &rows)?,
        None => rows,
    };
    rows.sum_all()?.neg()
}

/// Twin of [`Activation::apply`].
///
/// # Errors
/// As there.
pub fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(x.clone()),
        // candle's own has derivative 1 at 0; a NaN stays one.
        Activation::Relu => x.le(0.0)?.where_cond(&x.zeros_like()?, x),
        // candle's own gradients of these two are right to six digits only.
        Activation::Gelu => {
            let inner = ((x + (x.sqr()?.mul(x)? * 0.044_715)?)? * (2.0 / std::f64::consts::PI).sqrt())?;
            (inner.tanh()? + 1.0)?.mul(&(x * 0.5)?)
        }
        Activation::GeluErf => ((x * std::f64::consts::FRAC_1_SQRT_2)?.erf()? + 1.0)?.mul(&(x * 0.5)?),
        Activation::Silu => x.silu(),
    }
}
