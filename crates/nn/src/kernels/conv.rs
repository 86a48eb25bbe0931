//! Convolution of one example by unfolding its patches (im2col) and a matrix product.

use super::element::with_scratch;
use super::gemm::{Matrix, gemm};
use super::{Element, vectorized};
use rayon::prelude::*;

/// Sizes of a 2-D convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) n: usize,
    pub(crate) in_channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) out_channels: usize,
    pub(crate) kernel_height: usize,
    pub(crate) kernel_width: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

/// Gradients of one convolution; the input's only when it was asked for.
pub(crate) struct ConvGradients<T> {
    pub(crate) input: Option<Vec<T>>,
    pub(crate) weight: Vec<T>,
    pub(crate) bias: Vec<T>,
}

/// The weight gradient is summed in this many pieces at most, whatever the number of threads.
const MAX_PIECES: usize = 8;

impl Geometry {
    pub(crate) fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel_height) / self.stride + 1
    }

    pub(crate) fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel_width) / self.stride + 1
    }

    fn in_len(&self) -> usize {
        self.in_channels * self.height * self.width
    }

    fn pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    fn out_len(&self) -> usize {
        self.out_channels * self.pixels()
    }

    /// Numbers in one patch: the length of a kernel.
    fn patch(&self) -> usize {
        self.in_channels * self.kernel_height * self.kernel_width
    }

    /// Calls `copy(column row, output range, input range)` for each run of unfolded pixels at stride 1,
    /// or pixel by pixel at other strides; padding is left out.
    fn for_each_run(&self, mut run: impl FnMut(usize, usize, usize, usize)) {
        let (out_height, out_width) = (self.out_height(), self.out_width());
        for row in 0..self.patch() {
            let channel = row / (self.kernel_height * self.kernel_width);
            let ky = row / self.kernel_width % self.kernel_height;
            let kx = row % self.kernel_width;
            let plane = channel * self.height * self.width;
            // The output columns whose input column, x·stride + kx − padding, is inside.
            let first = self.padding.saturating_sub(kx).div_ceil(self.stride);
            let last = match (self.width + self.padding).checked_sub(kx + 1) {
                Some(room) => (room / self.stride + 1).min(out_width),
                None => 0,
            };
            if last <= first {
                continue;
            }
            for y in 0..out_height {
                let Some(in_y) = (y * self.stride + ky).checked_sub(self.padding) else { continue };
                if self.height <= in_y {
                    continue;
                }
                let in_x = first * self.stride + kx - self.padding;
                let column = row * out_height * out_width + y * out_width + first;
                run(column, plane + in_y * self.width + in_x, last - first, self.stride);
            }
        }
    }

    fn unfold<T: Element>(&self, input: &[T], columns: &mut [T]) {
        if self.padding != 0 {
            columns.fill(T::ZERO);
        }
        self.for_each_run(|column, from, len, stride| {
            let target = &mut columns[column..column + len];
            if stride == 1 {
                target.copy_from_slice(&input[from..from + len]);
            } else {
                target.iter_mut().enumerate().for_each(|(i, t)| *t = input[from + i * stride]);
            }
        });
    }

    fn fold_add<T: Element>(&self, columns: &[T], input: &mut [T]) {
        self.for_each_run(|column, from, len, stride| {
            let source = &columns[column..column + len];
            if stride == 1 {
                input[from..from + len].iter_mut().zip(source).for_each(|(i, s)| *i += *s);
            } else {
                source.iter().enumerate().for_each(|(i, s)| input[from + i * stride] += *s);
            }
        });
    }
}

/// `relu?(conv(input, weight) + bias)`, NCHW.
pub(crate) fn forward<T: Element>(g: &Geometry, input: &[T], weight: &[T], bias: &[T], relu: bool) -> Vec<T> {
    let mut output = vec![T::ZERO; g.n * g.out_len()];
    let kernel = Matrix::row_major(weight, g.out_channels, g.patch());
    if output.is_empty() {
        return output;
    }
    output.par_chunks_mut(g.out_len()).zip(input.par_chunks(g.in_len())).for_each(|(out, input)| {
        with_scratch(g.patch() * g.pixels(), |columns: &mut [T]| {
            g.unfold(input, columns);
            gemm(out, false, kernel, Matrix::row_major(columns, g.patch(), g.pixels()));
        });
        vectorized(
            #[inline(always)]
            || add_bias(out, bias, g.pixels(), relu),
        );
    });
    output
}

#[inline(always)]
fn add_bias<T: Element>(out: &mut [T], bias: &[T], pixels: usize, relu: bool) {
    for (out, bias) in out.chunks_mut(pixels).zip(bias) {
        if relu {
            out.iter_mut().for_each(|v| {
                *v += *bias;
                *v = if *v > T::ZERO { *v } else { T::ZERO };
            });
        } else {
            out.iter_mut().for_each(|v| *v += *bias);
        }
    }
}

/// The gradient where the ReLU let its input through.
#[inline(always)]
fn mask<T: Element>(masked: &mut [T], output: &[T], grad: &[T]) {
    for ((masked, y), dy) in masked.iter_mut().zip(output).zip(grad) {
        *masked = if *y > T::ZERO { *dy } else { T::ZERO };
    }
}

/// Adds the sum of each channel's pixels, in sixteen running sums.
#[inline(always)]
fn add_sums<T: Element>(sums: &mut [T], grad: &[T], pixels: usize) {
    for (sum, grad) in sums.iter_mut().zip(grad.chunks(pixels)) {
        let mut lanes = [T::ZERO; 16];
        let (blocks, rest) = grad.as_chunks::<16>();
        for block in blocks {
            lanes.iter_mut().zip(block).for_each(|(lane, v)| *lane += *v);
        }
        lanes.iter().chain(rest).for_each(|v| *sum += *v);
    }
}

/// The gradients given the output (for the ReLU's mask) and the output's gradient.
pub(crate) fn backward<T: Element>(
    g: &Geometry,
    input: &[T],
    weight: &[T],
    output: &[T],
    grad: &[T],
    relu: bool,
    want_input: bool,
) -> ConvGradients<T> {
    let kernel = Matrix::row_major(weight, g.out_channels, g.patch());
    let mut input_grad = vec![T::ZERO; if want_input { g.n * g.in_len() } else { 0 }];
    let piece = g.n.div_ceil(MAX_PIECES).max(1);
    let n_pieces = g.n.div_ceil(piece);
    let sizes = (weight.len() + g.out_channels, g.patch() * g.pixels());
    let mut sums = vec![T::ZERO; n_pieces * sizes.0];

    let work = |i: usize, sums: &mut [T], mut input_grad: Option<&mut [T]>| {
        let (weight_sum, bias_sum) = sums.split_at_mut(weight.len());
        // The columns, later their gradient, and the masked gradient share one buffer.
        with_scratch(sizes.1 + g.out_len(), |scratch: &mut [T]| {
            let (columns, masked) = scratch.split_at_mut(sizes.1);
            for (j, example) in (i * piece..((i + 1) * piece).min(g.n)).enumerate() {
                let output = &output[example * g.out_len()..][..g.out_len()];
                let grad = &grad[example * g.out_len()..][..g.out_len()];
                let grad = if relu {
                    vectorized(
                        #[inline(always)]
                        || mask(masked, output, grad),
                    );
                    &*masked
                } else {
                    grad
                };
                vectorized(
                    #[inline(always)]
                    || add_sums(bias_sum, grad, g.pixels()),
                );
                let grad = Matrix::row_major(grad, g.out_channels, g.pixels());
                g.unfold(&input[example * g.in_len()..][..g.in_len()], columns);
                gemm(weight_sum, true, grad, Matrix::row_major(columns, g.patch(), g.pixels()).t());
                if let Some(input_grad) = &mut input_grad {
                    gemm(columns, false, kernel.t(), grad);
                    g.fold_add(columns, &mut input_grad[j * g.in_len()..][..g.in_len()]);
                }
            }
        });
    };
    if want_input && g.in_len() != 0 {
        sums.par_chunks_mut(sizes.0)
            .zip(input_grad.par_chunks_mut(piece * g.in_len()))
            .enumerate()
            .for_each(|(i, (sums, input_grad))| work(i, sums, Some(input_grad)));
    } else {
        sums.par_chunks_mut(sizes.0).enumerate().for_each(|(i, sums)| work(i, sums, None));
    }

    // Pieces are added in their order, so the sum does not depend on which thread came first.
    let mut pieces = sums.chunks(sizes.0);
    let mut total = pieces.next().map_or_else(|| vec![T::ZERO; sizes.0], <[T]>::to_vec);
    for piece in pieces {
        total.iter_mut().zip(piece).for_each(|(t, p)| *t += *p);
    }
    let bias = total.split_off(weight.len());
    ConvGradients { input: want_input.then_some(input_grad), weight: total, bias }
}
