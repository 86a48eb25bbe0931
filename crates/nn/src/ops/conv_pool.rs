//! relu(conv(x, w) + b) and the maximum over 2×2 windows, as one op.

use super::conv::{conv2d, geometry, give, note, wanted_gradient};
use super::images::{images, readable, seen_channels_first, to_channels_last};
use super::linear::cpu;
use super::pool::max_pool2d;
use super::{Activation, ConvConfig, plain};
use crate::kernels::element::contiguous;
use crate::kernels::image::pooled::{self, Winner};
use crate::kernels::image::{Plan, batch};
use crate::{precision, sink, tape};
use candle_core::{CpuStorage, DType, Result, Tensor};
use std::sync::Arc;

/// [`conv2d`] followed by [`max_pool2d`] with windows of 2×2 that do not overlap: the same, in one pass where the
/// activation is a ReLU, on the CPU in f32 and outside of candle's own graph ([`crate::tape`]). The convolution's output,
/// four times the size of the result, is then never written to memory, nor read back.
///
/// # Errors
/// As these two.
pub fn conv2d_max_pool2d(x: &Tensor, weight: &Tensor, bias: &Tensor, config: ConvConfig) -> Result<Tensor> {
    let is_f32 = [x, weight, bias].iter().all(|x| x.dtype() == DType::F32);
    let args = [x, weight, bias];
    if !is_f32
        || plain::is_asked_for(x)
        || config.activation != Activation::Relu
        || tape::is_graph(&args)
        || x.elem_count() == 0
    {
        return max_pool2d(&conv2d(x, weight, bias, config)?, 2);
    }
    let (n, c, h, w) = x.dims4()?;
    let g = geometry([n, c, h, w], weight, bias, config)?;
    if g.out(0) < 2 || g.out(1) < 2 {
        return max_pool2d(&conv2d(x, weight, bias, config)?, 2);
    }
    let (x, weight, bias) = (readable(x)?, weight.contiguous()?, bias.contiguous()?);
    let plan = Plan::new(g, precision::current());
    let (y, winners) = {
        let (x_storage, x_layout) = x.storage_and_layout();
        let ((w_storage, w_layout), (b_storage, b_layout)) =
            (weight.storage_and_layout(), bias.storage_and_layout());
        let images = images(cpu(&x_storage)?, x_layout)?;
        pooled::forward(
            &plan,
            contiguous(NAME, cpu(&w_storage)?, w_layout)?,
            contiguous(NAME, cpu(&b_storage)?, b_layout)?,
            |example, y, row| images.row([c, h, w], example, y, row),
        )
    };
    let shape = (n, g.out(0) / 2, g.out(1) / 2, g.out_channels);
    let result = (CpuStorage::F32(y), shape.into());
    tape::record(result, tape::Memory::ChannelsLast, &[&x, &weight, &bias], move |args, _, grad| {
        backward(&Arc::new(plan), winners.into(), args, grad)
    })
}

const NAME: &str = "conv2d_max_pool2d";

fn backward(
    plan: &Arc<Plan>,
    winners: Arc<[Winner]>,
    args: &[Tensor],
    grad: &Tensor,
) -> Result<Vec<Option<Tensor>>> {
    let (x, w, b) = (&args[0], &args[1], &args[2]);
    let g = *plan.geometry();
    let size = [g.in_channels, g.input[0], g.input[1]];
    let grad = to_channels_last(grad)?;
    let mut gradients = {
        let (x_storage, x_layout) = x.storage_and_layout();
        let ((w_storage, w_layout), (dy_storage, dy_layout)) =
            (w.storage_and_layout(), grad.storage_and_layout());
        let x_images = images(cpu(&x_storage)?, x_layout)?;
        let dy: &[f32] = contiguous(NAME, cpu(&dy_storage)?, dy_layout)?;
        batch::backward(
            plan,
            contiguous(NAME, cpu(&w_storage)?, w_layout)?,
            &wanted_gradient(x, x_images),
            sink::wants_examples(),
            |example, y, row| x_images.row(size, example, y, row),
            |example, y, row| pooled::unpool_row(plan, dy, &winners, example, y, row),
            |_, _| {},
        )
    };
    if let Some(examples) = gradients.examples.take() {
        let plan = Arc::clone(plan);
        let precision = plan.precision();
        note(g, precision, [x, w, b], examples, move || unpooled(&plan, &winners, &grad))?;
    }
    let (dx, dw, db) = give(&g, [x, w, b], gradients)?;
    Ok(vec![dx, dw, db])
}

/// The gradient of the convolution's output before the activation, (n, c, h, w).
fn unpooled(plan: &Plan, winners: &[Winner], grad: &Tensor) -> Result<Tensor> {
    let g = plan.geometry();
    let (storage, layout) = grad.storage_and_layout();
    let grad: &[f32] = contiguous(NAME, cpu(&storage)?, layout)?;
    let row_len = g.out(1) * g.out_channels;
    let mut all = vec![0.0; g.n * g.out_len()];
    for (i, row) in all.chunks_mut(row_len).enumerate() {
        pooled::unpool_row(plan, grad, winners, i / g.out(0), i % g.out(0), row);
    }
    seen_channels_first(all, [g.n, g.out_channels, g.out(0), g.out(1)])?.contiguous()
}
