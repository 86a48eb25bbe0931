//! Convolution of one example by unfolding its patches (im2col) and a matrix product.

use super::element::{relu as relu_of, relu_gradient, with_scratch};
use super::gemm::{Matrix, gemm};
use super::norm;
use super::{Element, bf16, threads, vectorized};
use crate::precision::Precision;
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

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
    /// Where they are asked for.
    pub(crate) examples: Option<Examples<T>>,
}

/// What is wanted beside the gradients of weight and bias.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// The input's gradient.
    pub(crate) input: bool,
    /// What single examples have of the gradients.
    pub(crate) examples: bool,
}

/// What single examples have of the gradients.
pub(crate) struct Examples<T> {
    /// The squared norm of each one's gradient of the weight.
    pub(crate) weight_norms2: Vec<f64>,
    /// Each one's gradient of the bias, a row after the other.
    pub(crate) bias_rows: Vec<T>,
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

    /// Pixels along an axis with the padding.
    pub(crate) fn padded(&self, axis: usize) -> usize {
        self.input[axis] + 2 * self.padding[axis]
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
    pub(crate) fn group_out(&self) -> usize {
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

/// An operand in a precision.
fn operand<T: Element>(precision: Precision, x: &[T]) -> Cow<'_, [T]> {
    match precision {
        Precision::F32 => x.into(),
        Precision::Bf16 => bf16::rounded(x).into(),
    }
}

/// `relu?(conv(input, weight) + bias)`, NCHW.
pub(crate) fn forward<T: Element>(
    g: &Geometry,
    input: &[T],
    weight: &[T],
    bias: &[T],
    relu: bool,
    precision: Precision,
) -> Vec<T> {
    if g.n * g.out_len() == 0 {
        return Vec::new();
    }
    let (input, weight) = (&operand(precision, input)[..], &operand(precision, weight)[..]);
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
    threads::build(g.n * g.out_len(), g.out_len(), |i, out| {
        one(out.filled(T::ZERO), &input[i * g.in_len()..][..g.in_len()]);
    })
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

/// What is summed over the examples of one piece.
struct Piece<'a, T> {
    /// The gradients of weight and bias.
    sums: &'a mut [T],
    input_grad: Option<&'a mut [T]>,
    /// The norms of the weight's gradients, and the bias's gradients.
    examples: Option<(&'a mut [f64], &'a mut [T])>,
}

/// The gradients given the output (for the ReLU's mask) and the output's gradient.
#[expect(clippy::too_many_arguments, reason = "what the convolution was applied to, and how")]
pub(crate) fn backward<T: Element>(
    g: &Geometry,
    input: &[T],
    weight: &[T],
    output: &[T],
    grad: &[T],
    relu: bool,
    precision: Precision,
    wanted: Wanted,
) -> ConvGradients<T> {
    let (input, weight) = (&operand(precision, input)[..], &operand(precision, weight)[..]);
    let Wanted { input: want_input, examples: want_examples } = wanted;
    let mut input_grad = vec![T::ZERO; if want_input { g.n * g.in_len() } else { 0 }];
    let piece = g.n.div_ceil(MAX_PIECES).max(1);
    let n_pieces = g.n.div_ceil(piece);
    let own_len = weight.len() + g.out_channels;
    let columns_len = g.patch() * g.pixels();
    let mut sums = vec![T::ZERO; n_pieces * own_len];
    // Rows of nothing where nothing is asked for.
    let n_examples = if want_examples { g.n } else { 0 };
    let mut weight_norms2 = vec![0.0; n_examples];
    let mut bias_rows = vec![T::ZERO; n_examples * g.out_channels];

    let work = |i: usize, piece_of: Piece<'_, T>| {
        let Piece { sums, mut input_grad, mut examples } = piece_of;
        // The columns, later their gradient, the masked gradient and one example's own gradients share one buffer.
        with_scratch(columns_len + g.out_len() + own_len, |scratch: &mut [T]| {
            let (columns, rest) = scratch.split_at_mut(columns_len);
            let (masked, own) = rest.split_at_mut(g.out_len());
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
                let (own_weight, own_bias) = own.split_at_mut(weight.len());
                own_bias.fill(T::ZERO);
                vectorized(
                    #[inline(always)]
                    || add_sums(own_bias, grad, g.pixels()),
                );
                // The bias's gradient is a sum and no product.
                let grad = &operand(precision, grad)[..];
                let input = &input[example * g.in_len()..][..g.in_len()];
                let len = g.group_out() * g.patch();
                for (group, own_weight) in own_weight.chunks_mut(len.max(1)).enumerate() {
                    let grad = g.group_grad(group, grad);
                    g.unfold(g.group_of(group, input), columns);
                    gemm(own_weight, false, grad, Matrix::row_major(columns, g.patch(), g.pixels()).t());
                    if let Some(input_grad) = &mut input_grad {
                        gemm(columns, false, g.kernel(group, weight).t(), grad);
                        let len = g.group_in() * g.plane();
                        g.fold_add(columns, &mut input_grad[j * g.in_len() + group * len..][..len]);
                    }
                }
                if let Some((norms2, rows)) = &mut examples {
                    norms2[j] = norm::sum_of_squares_alone(own_weight);
                    rows[j * g.out_channels..][..g.out_channels].copy_from_slice(own_bias);
                }
                // An example's own gradient is whole before it is added, so that its norm costs no second product.
                vectorized(
                    #[inline(always)]
                    || sums.iter_mut().zip(own.iter()).for_each(|(sum, own)| *sum += *own),
                );
            }
        });
    };
    let mut pieces: Vec<Piece<'_, T>> = sums
        .chunks_mut(own_len.max(1))
        .map(|sums| Piece { sums, input_grad: None, examples: None })
        .collect();
    if want_input && g.in_len() != 0 {
        let parts = input_grad.chunks_mut(piece * g.in_len());
        pieces.iter_mut().zip(parts).for_each(|(piece, part)| piece.input_grad = Some(part));
    }
    if want_examples {
        let parts =
            weight_norms2.chunks_mut(piece).zip(bias_rows.chunks_mut((piece * g.out_channels).max(1)));
        pieces.iter_mut().zip(parts).for_each(|(piece, part)| piece.examples = Some(part));
    }
    let pieces: Vec<Mutex<Option<Piece<'_, T>>>> =
        pieces.into_iter().map(|piece| Mutex::new(Some(piece))).collect();
    threads::for_each(pieces.len(), |i| {
        let piece = pieces[i].lock().unwrap_or_else(PoisonError::into_inner).take();
        piece.into_iter().for_each(|piece| work(i, piece));
    });
    drop(pieces);

    // Pieces are added in their order, so the sum does not depend on which thread came first.
    let mut pieces = sums.chunks(own_len.max(1));
    let mut total = pieces.next().map_or_else(|| vec![T::ZERO; own_len], <[T]>::to_vec);
    for piece in pieces {
        total.iter_mut().zip(piece).for_each(|(t, p)| *t += *p);
    }
    let bias = total.split_off(weight.len());
    let examples = want_examples.then_some(Examples { weight_norms2, bias_rows });
    ConvGradients { input: want_input.then_some(input_grad), weight: total, bias, examples }
}
