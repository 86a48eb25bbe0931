//! Blocks of convolutions with batch norm as one op each: what lies between the layers of a block is never written, and
//! the norms' passes over memory become part of the convolutions'.

use super::conv::geometry;
use super::images::{images, readable, seen_channels_first, to_channels_last};
use super::linear::cpu;
use super::{Activation, ConvConfig, plain};
use crate::kernels::element::contiguous;
use crate::kernels::image::normed::{self, Affine, Output, Partial, Statistics, Sums};
use crate::kernels::image::{Images, InputGradient, Plan, batch};
use crate::kernels::threads::{self, Rows};
use crate::{precision, sink, tape};
use candle_core::{CpuStorage, DType, Result, Tensor, bail};

/// A convolution without a bias and the batch norm behind it.
pub(crate) struct ConvNorm<'a> {
    pub(crate) kernel: &'a Tensor,
    pub(crate) config: ConvConfig,
    /// The norm's weight γ.
    pub(crate) scale: &'a Tensor,
    /// The norm's bias β.
    pub(crate) shift: &'a Tensor,
    pub(crate) epsilon: f64,
}

impl ConvNorm<'_> {
    fn parameters(&self) -> [&Tensor; 3] {
        [self.kernel, self.scale, self.shift]
    }
}

/// Whether these ops can be used on `x` here: f32 on the CPU, and not in candle's graph, which holds three arguments to an
/// op at most.
pub(crate) fn can_fuse(x: &Tensor, layers: &[&ConvNorm<'_>]) -> bool {
    let is_usual = |layer: &&ConvNorm<'_>| {
        layer.config.activation == Activation::Identity
            && layer.parameters().iter().all(|p| p.dtype() == DType::F32)
    };
    !plain::is_asked_for(x)
        && x.dtype() == DType::F32
        && x.rank() == 4
        && x.elem_count() != 0
        && !tape::is_graph(&[x, layers[0].kernel])
        && layers.iter().all(is_usual)
}

/// One layer while it is at work.
struct Layer {
    plan: Plan,
    output: Output,
    epsilon: f64,
}

impl Layer {
    fn forward(
        x_shape: [usize; 4],
        layer: &ConvNorm<'_>,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) -> Result<Self> {
        let g = geometry(x_shape, layer.kernel, layer.scale, layer.config)?;
        let plan = Plan::new(g, precision::current());
        let output = with_values(layer.kernel, |kernel| Ok(normed::convolve(&plan, kernel, fill)))?;
        Ok(Self { plan, output, epsilon: layer.epsilon })
    }

    fn row_len(&self) -> usize {
        self.plan.geometry().out(1) * self.plan.geometry().out_channels
    }

    fn rows(&self) -> usize {
        self.plan.geometry().out(0)
    }

    fn shape(&self) -> [usize; 4] {
        let g = self.plan.geometry();
        [g.n, g.out_channels, g.out(0), g.out(1)]
    }

    /// Row `y` of what the convolution gave for an example.
    fn z(&self, example: usize, y: usize) -> &[f32] {
        row(&self.output.z, self.rows(), self.row_len(), example, y)
    }

    fn affine(&self, scale: &Tensor, shift: &Tensor) -> Result<Affine> {
        let width = self.plan.geometry().out(1);
        with_values(scale, |scale| {
            with_values(shift, |shift| Ok(self.output.statistics.affine(scale, shift, self.epsilon, width)))
        })
    }

    /// The convolution's gradients from those of the norm's output, whose rows `grad` writes.
    fn backward(
        &self,
        [kernel, scale]: [&Tensor; 2],
        sums: &Sums,
        input: &InputGradient,
        fill: impl Fn(usize, usize, &mut [f32]) + Sync,
        grad: impl Fn(usize, usize, &mut [f32]) + Sync,
        after: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<(Option<Vec<f32>>, Vec<f32>)> {
        let width = self.plan.geometry().out(1);
        let through = with_values(scale, |scale| {
            Ok(self.output.statistics.gradient(scale, sums, self.epsilon, width))
        })?;
        let fill_grad = |example: usize, y: usize, row: &mut [f32]| {
            grad(example, y, row);
            through.apply(self.z(example, y), row);
        };
        let gradients = with_values(kernel, |kernel| {
            Ok(batch::backward(&self.plan, kernel, input, false, fill, fill_grad, after))
        })?;
        Ok((gradients.input, gradients.weight))
    }
}

fn row(values: &[f32], rows: usize, row_len: usize, example: usize, y: usize) -> &[f32] {
    &values[(example * rows + y) * row_len..][..row_len]
}

fn with_values<R>(x: &Tensor, work: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    work(contiguous("residual", cpu(&storage)?, layout)?)
}

fn dims(x: &Tensor) -> Result<[usize; 4]> {
    x.dims4().map(|(n, c, h, w)| [n, c, h, w])
}

fn channels_last([n, c, h, w]: [usize; 4]) -> (usize, usize, usize, usize) {
    (n, h, w, c)
}

/// The gradient where the output is above 0.
fn masked(out: &[f32], grad: &[f32], row: &mut [f32]) {
    crate::kernels::vectorized(
        #[inline(always)]
        || {
            for ((row, out), grad) in row.iter_mut().zip(out).zip(grad) {
                *row = if *out <= 0.0 { 0.0 } else { *grad };
            }
        },
    );
}

fn refuse_examples() -> Result<()> {
    if sink::wants_examples() {
        bail!(
            "batch norm couples the examples of a batch, so their gradients have no norms of their own: use group norm"
        );
    }
    Ok(())
}

/// Hands over the gradients of a layer's parameters.
fn give(layer: &[Tensor], kernel: Vec<f32>, sums: &Sums) -> Result<[Option<Tensor>; 3]> {
    let vector = |like: &Tensor, values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        sink::give(like, Tensor::from_vec(values, like.shape(), like.device())?)
    };
    Ok([
        sink::give(&layer[0], Tensor::from_vec(kernel, layer[0].shape(), layer[0].device())?)?,
        vector(&layer[1], &sums.products)?,
        vector(&layer[2], &sums.grads)?,
    ])
}

/// relu(norm(conv(x))), where [`can_fuse`]; also what the running statistics need.
pub(crate) fn conv_norm_relu(x: &Tensor, layer: &ConvNorm<'_>) -> Result<(Tensor, Statistics)> {
    let x = readable(x)?;
    let size = dims(&x)?;
    let done = {
        let (storage, layout) = x.storage_and_layout();
        let images = images(cpu(&storage)?, layout)?;
        let [_, c, h, w] = size;
        Layer::forward(size, layer, |example, y, row| images.row([c, h, w], example, y, row))?
    };
    let affine = done.affine(layer.scale, layer.shift)?;
    let (rows, row_len) = (done.rows(), done.row_len());
    let z = &done.output.z;
    let y = threads::build(z.len(), rows * row_len, |example, piece| {
        (0..rows).for_each(|y| affine.rectified(done.z(example, y), piece.next(row_len, 0.0)));
    });
    let statistics = done.output.statistics.clone();
    let result = (CpuStorage::F32(y), channels_last(done.shape()).into());
    let args = [&x, layer.kernel, layer.scale, layer.shift];
    let out = tape::record(result, tape::Memory::ChannelsLast, &args, move |args, out, grad| {
        backward_of_conv_norm_relu(&done, args, out, grad)
    })?;
    Ok((out, statistics))
}

fn backward_of_conv_norm_relu(
    done: &Layer,
    args: &[Tensor],
    out: &Tensor,
    grad: &Tensor,
) -> Result<Vec<Option<Tensor>>> {
    refuse_examples()?;
    let (x, layer) = (&args[0], &args[1..]);
    let (out, grad) = (to_channels_last(out)?, to_channels_last(grad)?);
    let affine = done.affine(&layer[1], &layer[2])?;
    let (rows, row_len) = (done.rows(), done.row_len());
    let size = dims(x)?;
    with_values(&out, |out| {
        with_values(&grad, |grad| {
            let of = |values, example, y| row(values, rows, row_len, example, y);
            let masked_row = |example: usize, y: usize, row: &mut [f32]| {
                masked(of(out, example, y), of(grad, example, y), row);
            };
            let partial = Partial { channels: layer[1].elem_count(), row_len, means: vec![&affine] };
            let mut parts = vec![0.0; size[0] * partial.len()];
            {
                let parts = Rows::new(&mut parts, partial.len());
                threads::for_each(size[0], |example| {
                    let z = |_, y| done.z(example, y);
                    parts.with(example, |part| {
                        partial.add_up(rows, |y, row| masked_row(example, y, row), z, part);
                    });
                });
            }
            let sums = &partial.total(&parts, &[&done.output.statistics], done.epsilon)[0];
            let (storage, layout) = x.storage_and_layout();
            let images = images(cpu(&storage)?, layout)?;
            let [_, c, h, w] = size;
            let wanted = if x.track_op() { InputGradient::ChannelsLast } else { InputGradient::Unwanted };
            let (dx, dw) = done.backward(
                [&layer[0], &layer[1]],
                sums,
                &wanted,
                |example, y, row| images.row([c, h, w], example, y, row),
                masked_row,
                |_, _| {},
            )?;
            let mut all = vec![dx.map(|dx| seen_channels_first(dx, size)).transpose()?];
            all.extend(give(layer, dw, sums)?);
            Ok(all)
        })
    })
}

/// A residual block while it is at work.
struct Block {
    first: Layer,
    second: Layer,
    shortcut: Option<Layer>,
}

/// relu(norm(conv(relu(norm(conv(x))))) + x), or with norm(conv(x)) in the place of the last x (He et al. 2016, fig. 2),
/// where [`can_fuse`]; also what the running statistics need, in the order of the layers.
pub(crate) fn residual(
    x: &Tensor,
    first: &ConvNorm<'_>,
    second: &ConvNorm<'_>,
    shortcut: Option<&ConvNorm<'_>>,
) -> Result<(Tensor, Vec<Statistics>)> {
    let x = readable(x)?;
    let size = dims(&x)?;
    let mut args = vec![&x];
    args.extend([Some(first), Some(second), shortcut].into_iter().flatten().flat_map(ConvNorm::parameters));
    let (block, y) = {
        let (storage, layout) = x.storage_and_layout();
        let images = images(cpu(&storage)?, layout)?;
        let [_, c, h, w] = size;
        let fill = |example: usize, y: usize, row: &mut [f32]| images.row([c, h, w], example, y, row);
        let one = Layer::forward(size, first, fill)?;
        let inner = one.affine(first.scale, first.shift)?;
        let two =
            Layer::forward(one.shape(), second, |example, y, row| inner.rectified(one.z(example, y), row))?;
        let three = shortcut.map(|layer| Layer::forward(size, layer, fill)).transpose()?;
        let past = three.as_ref().map_or(size, Layer::shape);
        if past != two.shape() {
            bail!("residual: a shortcut of {past:?} does not fit an output of {:?}", two.shape());
        }
        let outer = two.affine(second.scale, second.shift)?;
        let side = match (&three, shortcut) {
            (Some(three), Some(layer)) => Some((three, three.affine(layer.scale, layer.shift)?)),
            _ => None,
        };
        let (rows, row_len) = (two.rows(), two.row_len());
        let y = threads::build(two.output.z.len(), rows * row_len, |example, piece| {
            let mut other = vec![0.0; row_len];
            for y in 0..rows {
                let out = piece.next(row_len, 0.0);
                match &side {
                    Some((three, affine)) => affine.apply(three.z(example, y), &mut other),
                    None => fill(example, y, &mut other),
                }
                outer.add_rectified(two.z(example, y), &other, out);
            }
        });
        (Block { first: one, second: two, shortcut: three }, y)
    };
    let layers = [Some(&block.first), Some(&block.second), block.shortcut.as_ref()];
    let statistics = layers.into_iter().flatten().map(|layer| layer.output.statistics.clone()).collect();
    let result = (CpuStorage::F32(y), channels_last(block.second.shape()).into());
    let out = tape::record(result, tape::Memory::ChannelsLast, &args, move |args, out, grad| {
        block.backward(args, out, grad)
    })?;
    Ok((out, statistics))
}

impl Block {
    fn backward(&self, args: &[Tensor], out: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        refuse_examples()?;
        let (x, layers) = (&args[0], &args[1..]);
        let (first, second, third) = (&layers[..3], &layers[3..6], &layers[6..]);
        let (out, grad) = (to_channels_last(out)?, to_channels_last(grad)?);
        let size = dims(x)?;
        let (storage, layout) = x.storage_and_layout();
        let images = images(cpu(&storage)?, layout)?;
        with_values(&out, |out| {
            with_values(&grad, |grad| self.backward_from(x, images, size, [first, second, third], out, grad))
        })
    }

    fn backward_from(
        &self,
        x: &Tensor,
        images: Images<'_>,
        size: [usize; 4],
        [first, second, third]: [&[Tensor]; 3],
        out: &[f32],
        grad: &[f32],
    ) -> Result<Vec<Option<Tensor>>> {
        let Self { first: one, second: two, shortcut } = self;
        let [n, c, h, w] = size;
        let fill = |example: usize, y: usize, row: &mut [f32]| images.row([c, h, w], example, y, row);
        let (rows, row_len) = (two.rows(), two.row_len());
        let masked_row = |example: usize, y: usize, target: &mut [f32]| {
            let of = |values| row(values, rows, row_len, example, y);
            masked(of(out), of(grad), target);
        };
        // What the two norms that end here need.
        let outer = two.affine(&second[1], &second[2])?;
        let side = shortcut.as_ref().map(|layer| layer.affine(&third[1], &third[2])).transpose()?;
        let means = [Some(&outer), side.as_ref()].into_iter().flatten().collect();
        let partial = Partial { channels: second[1].elem_count(), row_len, means };
        let ends = [Some(two), shortcut.as_ref()].into_iter().flatten().collect::<Vec<_>>();
        let mut parts = vec![0.0; n * partial.len()];
        {
            let parts = Rows::new(&mut parts, partial.len());
            threads::for_each(n, |example| {
                let z = |i: usize, y| ends[i].z(example, y);
                parts.with(example, |part| {
                    partial.add_up(rows, |y, row| masked_row(example, y, row), z, part);
                });
            });
        }
        let statistics: Vec<&Statistics> = ends.iter().map(|layer| &layer.output.statistics).collect();
        let sums = partial.total(&parts, &statistics, two.epsilon);

        // Through the second convolution; its input's gradient is masked and added up while it is at hand.
        let inner = one.affine(&first[1], &first[2])?;
        let (inner_rows, inner_len) = (one.rows(), one.row_len());
        let inner_partial =
            Partial { channels: first[1].elem_count(), row_len: inner_len, means: vec![&inner] };
        let mut inner_parts = vec![0.0; n * inner_partial.len()];
        let (dy, dw_second) = {
            let parts = Rows::new(&mut inner_parts, inner_partial.len());
            two.backward(
                [&second[0], &second[1]],
                &sums[0],
                &InputGradient::ChannelsLast,
                |example, y, row| inner.rectified(one.z(example, y), row),
                masked_row,
                |example, dy| {
                    for (y, row) in dy.chunks_exact_mut(inner_len).enumerate() {
                        inner.mask(one.z(example, y), row);
                    }
                    let grad =
                        |y: usize, row: &mut [f32]| row.copy_from_slice(&dy[y * inner_len..][..inner_len]);
                    parts.with(example, |part| {
                        inner_partial.add_up(inner_rows, grad, |_, y| one.z(example, y), part);
                    });
                },
            )?
        };
        let inner_sums = &inner_partial.total(&inner_parts, &[&one.output.statistics], one.epsilon)[0];
        let dy = dy.unwrap_or_default();

        // Past the block.
        let wants_input = x.track_op();
        let wanted = if wants_input { InputGradient::ChannelsLast } else { InputGradient::Unwanted };
        let (past, dw_third) = match shortcut {
            None => (None, None),
            Some(layer) => {
                let (dx, dw) =
                    layer.backward([&third[0], &third[1]], &sums[1], &wanted, fill, masked_row, |_, _| {})?;
                (dx, Some(dw))
            }
        };
        let (dx, dw_first) = one.backward(
            [&first[0], &first[1]],
            inner_sums,
            &wanted,
            fill,
            |example, y, target| target.copy_from_slice(row(&dy, inner_rows, inner_len, example, y)),
            |example, dx| match &past {
                Some(past) => batch::add(dx, &past[example * dx.len()..][..dx.len()]),
                None => {
                    let mut other = vec![0.0; row_len];
                    for (y, dx) in dx.chunks_exact_mut(row_len).enumerate() {
                        masked_row(example, y, &mut other);
                        batch::add(dx, &other);
                    }
                }
            },
        )?;
        let mut all = vec![dx.map(|dx| seen_channels_first(dx, size)).transpose()?];
        all.extend(give(first, dw_first, inner_sums)?);
        all.extend(give(second, dw_second, &sums[0])?);
        if let Some(dw) = dw_third {
            all.extend(give(third, dw, &sums[1])?);
        }
        Ok(all)
    }
}
