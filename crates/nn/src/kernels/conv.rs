//! Convolution of one example by unfolding its patches (im2col) and a matrix product.

use super::element::{relu as relu_of, relu_gradient, with_scratch};
use super::gemm::{Matrix, gemm};
use super::{Element, vectorized};
use rayon::prelude::*;

/// Sizes of a 2-D convolution; pairs are (rows, columns). A 1-D one has a single row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) n: usize,
    pub(crate) in_channels: usize,
    pub(crate) input: [usize; 2],
    pub(crate) out_channels: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Divides both numbers of channels.
    pub(crate) groups: usize,
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
    /// Pixels that a kernel reaches over, from its first to its last.
    pub(crate) fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    pub(crate) fn out(&self, axis: usize) -> usize {
        (self.input[axis] + 2 * self.padding[axis] - self.reach(axis)) / self.stride[axis] + 1
    }

    fn plane(&self) -> usize {
        self.input[0] * self.input[1]
    }

    pub(crate) fn in_len(&self) -> usize {
        self.in_channels * self.plane()
    }

    fn pixels(&self) -> usize {
        self.out(0) * self.out(1)
    }

    pub(crate) fn out_len(&self) -> usize {
        self.out_channels * self.pixels()
    }

    /// Input channels of one group.
    pub(crate) fn group_in(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Output channels of one group.
    fn group_out(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Numbers in one patch: the length of a kernel.
    fn patch(&self) -> usize {
        self.group_in() * self.kernel[0] * self.kernel[1]
    }

    /// Calls `run(column row, output range, input range)` for each run of unfolded pixels at stride 1,
    /// or pixel by pixel at other strides; padding is left out. Within one group of channels.
    fn for_each_run(&self, mut run: impl FnMut(usize, usize, usize, usize)) {
        let ([height, width], [kernel_height, kernel_width]) = (self.input, self.kernel);
        let (out_height, out_width) = (self.out(0), self.out(1));
        for row in 0..self.patch() {
            let channel = row / (kernel_height * kernel_width);
            let ky = row / kernel_width % kernel_height * self.dilation[0];
            let kx = row % kernel_width * self.dilation[1];
            let plane = channel * height * width;
            // The output columns whose input column, x·stride + kx − padding, is inside.
            let first = self.padding[1].saturating_sub(kx).div_ceil(self.stride[1]);
            let last = match (width + self.padding[1]).checked_sub(kx + 1) {
                Some(room) => (room / self.stride[1] + 1).min(out_width),
                None => 0,
            };
            if last <= first {
                continue;
            }
            for y in 0..out_height {
                let Some(in_y) = (y * self.stride[0] + ky).checked_sub(self.padding[0]) else { continue };
                if height <= in_y {
                    continue;
                }
                let in_x = first * self.stride[1] + kx - self.padding[1];
                let column = row * out_height * out_width + y * out_width + first;
                run(column, plane + in_y * width + in_x, last - first, self.stride[1]);
            }
        }
    }

    /// The input channels of a group in one example.
    fn group_of<'a, T>(&self, group: usize, input: &'a [T]) -> &'a [T] {
        let len = self.group_in() * self.plane();
        &input[group * len..][..len]
    }

    /// The kernels of a group, one in each row.
    fn kernel<'a, T>(&self, group: usize, weight: &'a [T]) -> Matrix<'a, T> {
        let len = self.group_out() * self.patch();
        Matrix::row_major(&weight[group * len..][..len], self.group_out(), self.patch())
    }

    /// The gradient of a group's output channels in one example.
    fn group_grad<'a, T>(&self, group: usize, grad: &'a [T]) -> Matrix<'a, T> {
        let len = self.group_out() * self.pixels();
        Matrix::row_major(&grad[group * len..][..len], self.group_out(), self.pixels())
    }

    fn unfold<T: Element>(&self, input: &[T], columns: &mut [T]) {
        if self.padding != [0, 0] {
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
    if output.is_empty() {
        return output;
    }
    let one = |out: &mut [T], input: &[T]| {
        with_scratch(g.patch() * g.pixels(), |columns: &mut [T]| {
            for (i, out) in out.chunks_mut(g.group_out() * g.pixels()).enumerate() {
                g.unfold(g.group_of(i, input), columns);
                gemm(out, false, g.kernel(i, weight), Matrix::row_major(columns, g.patch(), g.pixels()));
            }
        });
        vectorized(
            #[inline(always)]
            || add_bias(out, bias, g.pixels(), relu),
        );
    };
    if g.in_len() == 0 {
        output.par_chunks_mut(g.out_len()).for_each(|out| one(out, &[]));
    } else {
        output
            .par_chunks_mut(g.out_len())
            .zip(input.par_chunks(g.in_len()))
            .for_each(|(out, input)| one(out, input));
    }
    output
}

#[inline(always)]
fn add_bias<T: Element>(out: &mut [T], bias: &[T], pixels: usize, relu: bool) {
    for (out, bias) in out.chunks_mut(pixels).zip(bias) {
        if relu {
            out.iter_mut().for_each(|v| {
                *v += *bias;
                *v = relu_of(*v);
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
        *masked = relu_gradient(*dy, *y);
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

/// Adds the weight gradient of one example, given its input and the gradient of its output before the activation.
pub(crate) fn add_weight_gradient<T: Element>(g: &Geometry, input: &[T], grad: &[T], weight_grad: &mut [T]) {
    let len = g.group_out() * g.patch();
    with_scratch(g.patch() * g.pixels(), |columns: &mut [T]| {
        for (group, weight_grad) in weight_grad.chunks_mut(len.max(1)).enumerate() {
            g.unfold(g.group_of(group, input), columns);
            let columns = Matrix::row_major(columns, g.patch(), g.pixels());
            gemm(weight_grad, true, g.group_grad(group, grad), columns.t());
        }
    });
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
                let input = &input[example * g.in_len()..][..g.in_len()];
                let len = g.group_out() * g.patch();
                for (group, weight_sum) in weight_sum.chunks_mut(len.max(1)).enumerate() {
                    let grad = g.group_grad(group, grad);
                    g.unfold(g.group_of(group, input), columns);
                    gemm(weight_sum, true, grad, Matrix::row_major(columns, g.patch(), g.pixels()).t());
                    if let Some(input_grad) = &mut input_grad {
                        gemm(columns, false, g.kernel(group, weight).t(), grad);
                        let len = g.group_in() * g.plane();
                        g.fold_add(columns, &mut input_grad[j * g.in_len() + group * len..][..len]);
                    }
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
