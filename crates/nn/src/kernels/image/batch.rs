//! A convolution of a whole batch, example by example over the threads.
#![expect(unsafe_code, reason = "threads write the parts of their own examples")]

use super::plan::Plan;
use crate::kernels::conv::{ConvGradients, Examples};
use crate::kernels::element::with_scratch;
use crate::kernels::threads::{self, Shared, Unwritten};
use crate::kernels::{norm, vectorized};
use std::ops::Range;

/// The weight gradient is summed in this many pieces at most, whatever the number of threads.
const MAX_PIECES: usize = 16;
/// Pieces of work in a forward pass, at least, where examples are few: each then takes some rows of one.
const LEAST_PIECES: usize = 8;

/// Images in memory, n of them.
#[derive(Clone, Copy)]
pub(crate) enum Images<'a> {
    /// (n, h, w, c).
    ChannelsLast(&'a [f32]),
    /// (n, c, h, w).
    ChannelsFirst(&'a [f32]),
}

impl Images<'_> {
    /// Copies row `y` of an example, of `size` (c, h, w), as (w, c).
    pub(crate) fn row(self, size: [usize; 3], example: usize, y: usize, row: &mut [f32]) {
        self.for_row(size, example, y, row, |to, from| *to = from);
    }

    /// Sets row `y` of a gradient, (w, c), to 0 where these images are not above 0.
    pub(crate) fn mask_row(self, size: [usize; 3], example: usize, y: usize, row: &mut [f32]) {
        self.for_row(size, example, y, row, |grad, out| {
            if out <= 0.0 {
                *grad = 0.0;
            }
        });
    }

    /// Calls `work` for the numbers of a row (w, c) with those of row `y` of an example.
    #[inline(always)]
    fn for_row(
        self,
        [channels, height, width]: [usize; 3],
        example: usize,
        y: usize,
        row: &mut [f32],
        work: impl Fn(&mut f32, f32),
    ) {
        match self {
            Images::ChannelsLast(x) => {
                let x = &x[(example * height + y) * width * channels..][..width * channels];
                row.iter_mut().zip(x).for_each(|(to, from)| work(to, *from));
            }
            Images::ChannelsFirst(x) => {
                let x = &x[example * channels * height * width + y * width..];
                for channel in 0..channels {
                    let from = &x[channel * height * width..][..width];
                    let to = row[channel..].iter_mut().step_by(channels);
                    to.zip(from).for_each(|(to, from)| work(to, *from));
                }
            }
        }
    }
}

/// Pixels by channels to channels by pixels, in blocks that stay in the cache.
pub(crate) fn to_channels_first(x: &[f32], channels: usize, out: &mut [f32], pitch: usize) {
    for channel in 0..channels {
        let from = x[channel..].iter().step_by(channels);
        out[channel * pitch..].iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// Output rows that one piece of a forward pass takes: all, or a divisor of them where examples are few.
pub(crate) fn rows_at_once(n: usize, rows: usize) -> usize {
    let parts = LEAST_PIECES.div_ceil(n.max(1)).min(rows.max(1));
    let parts = (1..=parts).rev().find(|parts| rows.is_multiple_of(*parts)).unwrap_or(1);
    rows / parts
}

/// Computes all output rows, `rows` of an example at a time, a divisor of its number of rows ([`rows_at_once`]);
/// `finish(example, rows, values)` gets these, (rows, w', out).
pub(crate) fn forward(
    plan: &Plan,
    rows: usize,
    weight: &[f32],
    bias: &[f32],
    relu: bool,
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    finish: impl Fn(usize, Range<usize>, &[f32]) + Sync,
) {
    let g = plan.geometry();
    let (packed, start) = (plan.pack(weight), plan.start(Some(bias)));
    let parts = g.out(0) / rows;
    let (input_len, out_len) = (plan.input_len(rows), rows * g.out(1) * g.out_channels);
    threads::for_each(g.n * parts, |i| {
        let (example, part) = (i / parts, i % parts);
        let rows = part * rows..(part + 1) * rows;
        with_scratch(input_len + out_len, |scratch: &mut [f32]| {
            let (input, out) = scratch.split_at_mut(input_len);
            plan.pad(&rows, |y, row| fill(example, y, row), input);
            plan.forward(input, &packed, &start, relu, out);
            finish(example, rows, out);
        });
    });
}

/// The same into (n, out, h', w').
pub(crate) fn forward_channels_first(
    plan: &Plan,
    weight: &[f32],
    bias: &[f32],
    relu: bool,
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let g = plan.geometry();
    let (plane, width) = (g.out(0) * g.out(1), g.out(1));
    let mut out = Vec::with_capacity(g.n * g.out_len());
    {
        let memory = Shared::new(&mut out.spare_capacity_mut()[..g.n * g.out_len()]);
        forward(plan, rows_at_once(g.n, g.out(0)), weight, bias, relu, fill, |example, rows, values| {
            for channel in 0..g.out_channels {
                let from = example * g.out_len() + channel * plane + rows.start * width;
                // SAFETY: each row of an example is computed once.
                let part = unsafe { memory.part(from, rows.len() * width) };
                Unwritten::new(part).extend(values[channel..].iter().step_by(g.out_channels).copied());
            }
        });
    }
    // SAFETY: all rows of all channels of all examples have been written.
    unsafe { out.set_len(g.n * g.out_len()) };
    out
}

/// The same without bias and activation, straight into (n, h', w', out); `after(example, values)` sees what has just been
/// written.
pub(crate) fn forward_into(
    plan: &Plan,
    weight: &[f32],
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    after: impl Fn(usize, &[f32]) + Sync,
) -> Vec<f32> {
    let g = plan.geometry();
    let (packed, start) = (plan.pack(weight), plan.start(None));
    let (rows, row_len) = (g.out(0), g.out(1) * g.out_channels);
    let input_len = plan.input_len(rows);
    threads::build(g.n * g.out_len(), g.out_len(), |example, piece| {
        with_scratch(input_len, |input: &mut [f32]| {
            plan.pad(&(0..rows), |y, row| fill(example, y, row), input);
            for y in 0..rows {
                plan.forward_row(input, y, &packed, &start, false, piece.next(row_len, 0.0));
            }
            after(example, piece.written());
        });
    })
}

/// Where an example's gradient of the input goes.
pub(crate) enum InputGradient {
    /// Nobody asks for it.
    Unwanted,
    /// (n, c, h, w).
    ChannelsFirst,
    /// (n, h, w, c).
    ChannelsLast,
}

/// The gradients, given what fills the bordered input and the gradient of the output before any activation, row by row;
/// `after(example, values)` may change an example's gradient of the input (h, w, c) before it is kept.
pub(crate) fn backward(
    plan: &Plan,
    weight: &[f32],
    input: &InputGradient,
    wants_examples: bool,
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
    fill_grad: impl Fn(usize, usize, &mut [f32]) + Sync,
    after: impl Fn(usize, &mut [f32]) + Sync,
) -> ConvGradients<f32> {
    let g = plan.geometry();
    let wants_input = !matches!(input, InputGradient::Unwanted);
    let back = wants_input.then(|| plan.pack_back(weight));
    let (in_len, weight_len, channels) = (g.in_len(), plan.weight_len(), g.out_channels);
    let (own_len, row_len) = (weight_len + channels, g.out(1) * channels);
    let n_pieces = g.n.clamp(1, MAX_PIECES);
    let n_examples = if wants_examples { g.n } else { 0 };
    let mut norms2 = vec![0.0; n_examples];
    let mut bias_rows = vec![0.0; n_examples * channels];
    let input_len = if wants_input { g.n * in_len } else { 0 };
    let mut input_grad = Vec::with_capacity(input_len);
    let is_first = matches!(input, InputGradient::ChannelsFirst) && 1 < g.in_channels;
    let sums = {
        let input_memory = &mut input_grad.spare_capacity_mut()[..input_len];
        let (input_memory, norms2, bias_rows) =
            (Shared::new(input_memory), Shared::new(&mut norms2), Shared::new(&mut bias_rows));
        threads::build(n_pieces * own_len, own_len, |piece, sums| {
            let sums = sums.filled(0.0);
            let (weight_sum, bias_sum) = sums.split_at_mut(weight_len);
            let examples = piece * g.n / n_pieces..(piece + 1) * g.n / n_pieces;
            let own = if wants_examples { weight_len } else { 0 };
            let turned = if is_first { in_len } else { 0 };
            for example in examples {
                plan.with_buffers(own + channels + turned + row_len, |input, grad, rest| {
                    let (own_weight, rest) = rest.split_at_mut(own);
                    let (own_bias, rest) = rest.split_at_mut(channels);
                    let (turned, row_sum) = rest.split_at_mut(turned);
                    row_sum.fill(0.0);
                    plan.pad(&(0..g.out(0)), |y, row| fill(example, y, row), input);
                    plan.pad_grad(
                        |y, row| {
                            fill_grad(example, y, row);
                            add(row_sum, row);
                        },
                        grad,
                    );
                    own_bias.fill(0.0);
                    fold_row(row_sum, own_bias);
                    add(bias_sum, own_bias);
                    if wants_examples {
                        plan.weight_gradient(input, grad, false, own_weight);
                        // SAFETY: each example is taken once.
                        let (norm2, bias_row) = unsafe {
                            (norms2.part(example, 1), bias_rows.part(example * channels, channels))
                        };
                        norm2[0] = norm::sum_of_squares_alone(own_weight);
                        bias_row.copy_from_slice(own_bias);
                        add(weight_sum, own_weight);
                    } else {
                        // The same sums: an example's own are whole before they are added.
                        plan.weight_gradient(input, grad, true, weight_sum);
                    }
                    let Some(back) = &back else { return };
                    // SAFETY: each example is taken once.
                    let out = unsafe { input_memory.part(example * in_len, in_len) };
                    let mut out = Unwritten::new(out);
                    if is_first {
                        plan.input_gradient(grad, back, turned);
                        after(example, turned);
                        to_channels_first(turned, g.in_channels, out.filled(0.0), in_len / g.in_channels);
                    } else {
                        plan.input_gradient_into(grad, back, &mut out);
                        after(example, out.written());
                    }
                });
            }
        })
    };
    // SAFETY: every example has written its part, where there is any.
    unsafe { input_grad.set_len(input_len) };
    let total = sum_of_pieces(&sums, own_len);
    let examples = wants_examples.then_some(Examples { weight_norms2: norms2, bias_rows });
    ConvGradients {
        input: wants_input.then_some(input_grad),
        weight: plan.unpack(&total[..weight_len]),
        bias: total[weight_len..].to_vec(),
        examples,
    }
}

/// The sum of pieces of one length, in their order.
pub(crate) fn sum_of_pieces(pieces: &[f32], len: usize) -> Vec<f32> {
    const CHUNK: usize = 1 << 12;
    threads::build(len, CHUNK, |i, sum| {
        let n = sum.left();
        let sum = sum.filled(0.0);
        for piece in pieces.chunks(len) {
            add(sum, &piece[i * CHUNK..][..n]);
        }
    })
}

/// sum += x.
pub(crate) fn add(sum: &mut [f32], x: &[f32]) {
    vectorized(
        #[inline(always)]
        || sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += *x),
    );
}

/// Sums by channel of rows of pixels: rows are added whole, and folded at the end.
pub(crate) fn fold_row(row: &[f32], sums: &mut [f32]) {
    let n = sums.len();
    for pixel in row.chunks_exact(n) {
        sums.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += *x);
    }
}
