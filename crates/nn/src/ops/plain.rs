//! The plain twins: the same operations from candle's own, where those have right gradients.
//!
//! They run on every device candle knows and are the oracle of the fused kernels.

use super::{Activation, Conv2dConfig};
use candle_core::{D, Result, Tensor};

/// Twin of [`linear`](super::linear()).
///
/// # Errors
/// As there.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    activate(x.broadcast_matmul(&weight.t()?)?.broadcast_add(bias)?, activation)
}

/// Twin of [`conv2d`](super::conv2d()).
///
/// # Errors
/// As there.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: &Tensor, config: Conv2dConfig) -> Result<Tensor> {
    let y = x.conv2d(weight, config.padding, config.stride, 1, 1)?;
    activate(y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?, config.activation)
}

/// Twin of [`max_pool2d`](super::max_pool2d()): the windows side by side, and a gather at each one's argmax.
///
/// # Errors
/// As there.
pub fn max_pool2d(x: &Tensor, k: usize) -> Result<Tensor> {
    let (n, c, height, width) = x.dims4()?;
    let (out_height, out_width) = (height / k, width / k);
    let windows = x
        .narrow(2, 0, out_height * k)?
        .narrow(3, 0, out_width * k)?
        .reshape((n * c * out_height, k, out_width, k))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((n * c * out_height * out_width, k * k))?;
    // candle's reduce-max gives its gradient to every tie; a gather gives it to one element.
    let largest = windows.detach().argmax_keepdim(D::Minus1)?;
    windows.gather(&largest, D::Minus1)?.reshape((n, c, out_height, out_width))
}

/// Twin of [`cross_entropy_sum`](super::cross_entropy_sum()).
///
/// # Errors
/// As there.
pub fn cross_entropy_sum(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let log_p = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    log_p.gather(&targets.unsqueeze(1)?, 1)?.sum_all()?.neg()
}

fn activate(x: Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(x),
        Activation::Relu => x.relu(),
    }
}
