//! One convolution of one example, and its gradients.

use super::tile::{self, MAX_VECTORS, Row, Run, Taps};
use crate::kernels::bf16;
use crate::kernels::conv::Geometry;
use crate::kernels::element::with_scratch;
use crate::kernels::threads::Unwritten;
use crate::precision::Precision;
use std::ops::Range;

/// Below this many numbers in a window's row, windows are unfolded first: runs so short would be all overhead.
const SHORT_ROW: usize = 8;

/// Weights in the order in which the inner loops read them.
pub(crate) struct Packed {
    values: Vec<f32>,
    /// Numbers of one group of channels.
    group: usize,
}

/// Where the taps of one phase of the input's gradient are: the pixels whose row and column leave the same remainders at
/// division by the stride.
struct Phase {
    first: [usize; 2],
    pixels: [usize; 2],
    runs: Vec<Run>,
    /// Where its weights begin, in terms of all phases.
    taps_before: usize,
    n_taps: usize,
}

/// How a convolution is computed: all that follows from its sizes.
pub(crate) struct Plan {
    g: Geometry,
    /// Of weights, windows and gradients, which are rounded where they are packed and padded.
    precision: Precision,
    /// Whether windows are unfolded: a row of the buffer is then one window.
    unfolds: bool,
    runs: Vec<Run>,
    /// By number of a run: where a weight of the first channel lies.
    order: Vec<usize>,
    phases: Vec<Phase>,
    /// The same for the input's gradient.
    back_order: Vec<usize>,
    /// Pixels of zeros around the output's gradient: before and after, by axis.
    border: [[usize; 2]; 2],
    /// What the sums of an input's gradient start from.
    zeros: Vec<f32>,
}

fn merged(runs: impl IntoIterator<Item = Run>) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    for run in runs {
        match all.last_mut() {
            Some(last) if last.offset + last.len == run.offset => last.len += run.len,
            _ => all.push(run),
        }
    }
    all
}

impl Plan {
    pub(crate) fn new(g: Geometry, precision: Precision) -> Self {
        let [kernel_height, kernel_width] = g.kernel;
        let (inner, outer) = (g.group_in(), g.group_out());
        let taps = || (0..kernel_height).flat_map(move |ky| (0..kernel_width).map(move |kx| (ky, kx)));
        let unfolds = g.groups == 1 && g.dilation == [1, 1] && kernel_width * g.in_channels < SHORT_ROW;
        let pitch = g.padded(1) * g.in_channels;
        let runs = merged(taps().map(|(ky, kx)| Run {
            offset: ky * g.dilation[0] * pitch + kx * g.dilation[1] * g.in_channels,
            len: inner,
        }));
        let of_tap = kernel_height * kernel_width;
        let order = taps()
            .flat_map(|(ky, kx)| (0..inner).map(move |c| c * of_tap + ky * kernel_width + kx))
            .collect();
        let runs = if unfolds { vec![Run { offset: 0, len: inner * of_tap }] } else { runs };

        // An output row y reads input row y·stride + ky·dilation − padding, so input row i = first + stride·t has from
        // it the taps where i + padding − ky·dilation is a multiple of the stride: of output row t + that multiple.
        let reaches = |axis: usize, first: usize, k: usize| {
            let at = (first + g.padding[axis]) as isize - (k * g.dilation[axis]) as isize;
            (at.rem_euclid(g.stride[axis] as isize) == 0).then(|| at.div_euclid(g.stride[axis] as isize))
        };
        let pixels = |axis: usize, first: usize| g.input[axis].saturating_sub(first).div_ceil(g.stride[axis]);
        let mut border = [[0; 2]; 2];
        for (axis, border) in border.iter_mut().enumerate() {
            for first in 0..g.stride[axis] {
                let n = pixels(axis, first) as isize;
                for at in (0..g.kernel[axis]).filter_map(|k| reaches(axis, first, k)).filter(|_| 0 < n) {
                    border[0] = border[0].max((-at).max(0) as usize);
                    border[1] = border[1].max((at + n - g.out(axis) as isize).max(0) as usize);
                }
            }
        }
        let dz_pitch = (g.out(1) + border[1][0] + border[1][1]) * g.out_channels;
        let (mut phases, mut back_order, mut taps_before) = (Vec::new(), Vec::new(), 0);
        for first_row in 0..g.stride[0] {
            for first_column in 0..g.stride[1] {
                let mut at: Vec<(usize, usize, usize)> = taps()
                    .filter_map(|(ky, kx)| {
                        let row = reaches(0, first_row, ky)? + border[0][0] as isize;
                        let column = reaches(1, first_column, kx)? + border[1][0] as isize;
                        let offset = row as usize * dz_pitch + column as usize * g.out_channels;
                        Some((offset, ky, kx))
                    })
                    .collect();
                at.sort_unstable();
                back_order.extend(at.iter().flat_map(|(_, ky, kx)| {
                    let tap = ky * kernel_width + kx;
                    (0..outer).map(move |c| c * inner * of_tap + tap)
                }));
                let n_taps = at.len();
                let runs = merged(at.into_iter().map(|(offset, ..)| Run { offset, len: outer }));
                let first = [first_row, first_column];
                let pixels = [pixels(0, first_row), pixels(1, first_column)];
                phases.push(Phase { first, pixels, runs, taps_before, n_taps });
                taps_before += n_taps;
            }
        }
        let zeros = vec![0.0; inner.next_multiple_of(tile::n_lanes())];
        Self { g, precision, unfolds, runs, order, phases, back_order, border, zeros }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.g
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// Multiplications of one example's forward pass.
    #[cfg(test)]
    fn work(&self) -> usize {
        self.g.out_len() * self.order.len()
    }

    /// Numbers of the kernels' gradient in the order of [`Plan::weight_gradient`].
    pub(crate) fn weight_len(&self) -> usize {
        self.order.len() * self.g.out_channels
    }

    /// Weights (out, in/groups, kh, kw) for [`Plan::forward`].
    pub(crate) fn pack(&self, weight: &[f32]) -> Packed {
        let (n, outer) = (self.order.len(), self.g.group_out());
        let strides = [outer * n, n];
        let parts = &[(0, n)];
        let packing =
            Packing { weight, groups: self.g.groups, channels: outer, strides, parts, order: &self.order };
        self.rounded(packing.pack())
    }

    /// The same for [`Plan::input_gradient`].
    pub(crate) fn pack_back(&self, weight: &[f32]) -> Packed {
        let outer = self.g.group_out();
        let phases: Vec<_> = self.phases.iter().map(|p| (p.taps_before * outer, p.n_taps * outer)).collect();
        let strides = [outer * self.order.len(), self.g.kernel[0] * self.g.kernel[1]];
        let (groups, channels) = (self.g.groups, self.g.group_in());
        let packing = Packing { weight, groups, channels, strides, parts: &phases, order: &self.back_order };
        self.rounded(packing.pack())
    }

    fn rounded(&self, mut weights: Packed) -> Packed {
        self.round(&mut weights.values);
        weights
    }

    fn round(&self, values: &mut [f32]) {
        if self.precision == Precision::Bf16 {
            bf16::round_all(values);
        }
    }

    /// The weights' gradient in the weights' own order.
    pub(crate) fn unpack(&self, gradient: &[f32]) -> Vec<f32> {
        let (outer, n) = (self.g.group_out(), self.order.len());
        let mut weight = vec![0.0; gradient.len()];
        for (group, gradient) in gradient.chunks(n * outer).enumerate() {
            let weight = &mut weight[group * n * outer..][..n * outer];
            for (row, at) in gradient.chunks(outer).zip(&self.order) {
                row.iter().enumerate().for_each(|(c, value)| weight[at + c * n] = *value);
            }
        }
        weight
    }

    /// The bias, or zeros, filled up for [`Plan::forward`].
    pub(crate) fn start(&self, bias: Option<&[f32]>) -> Vec<f32> {
        let (outer, lanes) = (self.g.group_out(), tile::n_lanes());
        let padded = outer.next_multiple_of(lanes);
        let mut start = vec![0.0; self.g.groups * padded];
        for (start, bias) in
            start.chunks_mut(padded).zip(bias.into_iter().flat_map(|bias| bias.chunks(outer)))
        {
            start[..outer].copy_from_slice(bias);
        }
        start
    }

    /// Rows of the bordered input that output rows need.
    fn needed(&self, rows: &Range<usize>) -> Range<usize> {
        match rows.len() {
            0 => 0..0,
            _ => rows.start * self.g.stride[0]..(rows.end - 1) * self.g.stride[0] + self.g.reach(0),
        }
    }

    /// Numbers in the buffer for so many output rows.
    pub(crate) fn input_len(&self, rows: usize) -> usize {
        let window = self.order.len() * self.g.groups;
        match self.unfolds {
            true => rows * self.g.out(1) * window,
            false => self.needed(&(0..rows)).len() * self.g.padded(1) * self.g.in_channels,
        }
    }

    /// Fills the buffer for some output rows; `fill(y, row)` writes row y of the input, (w, c).
    pub(crate) fn pad(&self, rows: &Range<usize>, fill: impl Fn(usize, &mut [f32]), buffer: &mut [f32]) {
        let g = &self.g;
        let needed = self.needed(rows);
        let pitch = g.padded(1) * g.in_channels;
        let before = g.padding[1] * g.in_channels;
        let width = g.input[1] * g.in_channels;
        let bordered = |buffer: &mut [f32]| {
            for (row, y) in buffer.chunks_mut(pitch.max(1)).zip(needed.clone()) {
                let y = y.checked_sub(g.padding[0]).filter(|y| *y < g.input[0]);
                let Some(y) = y else {
                    row.fill(0.0);
                    continue;
                };
                row[..before].fill(0.0);
                fill(y, &mut row[before..before + width]);
                self.round(&mut row[before..before + width]);
                row[before + width..].fill(0.0);
            }
        };
        if !self.unfolds {
            return bordered(buffer);
        }
        let run = g.kernel[1] * g.in_channels;
        let window = g.kernel[0] * run;
        let mut rows_of_input = vec![0.0; needed.len() * pitch];
        bordered(&mut rows_of_input);
        for (i, target) in buffer.chunks_mut((g.out(1) * window).max(1)).enumerate() {
            for (x, target) in target.chunks_mut(window.max(1)).enumerate() {
                for (ky, target) in target.chunks_mut(run.max(1)).enumerate() {
                    let from = (i * g.stride[0] + ky) * pitch + x * g.stride[1] * g.in_channels;
                    target.copy_from_slice(&rows_of_input[from..from + run]);
                }
            }
        }
    }

    /// Steps through the input buffer from an output pixel's window to the next, along a row and from row to row.
    fn input_steps(&self) -> [usize; 2] {
        let g = &self.g;
        match self.unfolds {
            true => [self.order.len(), g.out(1) * self.order.len()],
            false => [g.stride[1] * g.in_channels, g.stride[0] * g.padded(1) * g.in_channels],
        }
    }

    /// Some output rows (h', w', out) from the buffer for them: relu?(start + conv).
    pub(crate) fn forward(
        &self,
        buffer: &[f32],
        weights: &Packed,
        start: &[f32],
        relu: bool,
        out: &mut [f32],
    ) {
        for (y, out) in out.chunks_mut(self.g.out(1) * self.g.out_channels).enumerate() {
            self.forward_row(buffer, y, weights, start, relu, out);
        }
    }

    /// The row of number `y` of these.
    pub(crate) fn forward_row(
        &self,
        buffer: &[f32],
        y: usize,
        weights: &Packed,
        start: &[f32],
        relu: bool,
        out: &mut [f32],
    ) {
        let g = &self.g;
        let [input_step, row_step] = self.input_steps();
        let (inner, outer) = (g.group_in(), g.group_out());
        let padded = start.len() / g.groups;
        for group in 0..g.groups {
            let row = Row {
                runs: &self.runs,
                input: &buffer[y * row_step + group * inner..],
                input_step,
                weights: &weights.values[group * weights.group..][..weights.group],
                start: &start[group * padded..][..padded],
                channels: outer,
                pixels: g.out(1),
                out_step: g.out_channels,
                relu,
            };
            tile::row(row, &mut out[group * outer..]);
        }
    }

    /// Numbers of the output's gradient with its border.
    pub(crate) fn grad_len(&self) -> usize {
        let [rows, columns] = self.grad_size();
        rows * columns * self.g.out_channels
    }

    fn grad_size(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.g.out(axis) + self.border[axis][0] + self.border[axis][1])
    }

    /// Fills the bordered gradient of the output; `fill(y, row)` writes row y, (w', out).
    pub(crate) fn pad_grad(&self, mut fill: impl FnMut(usize, &mut [f32]), buffer: &mut [f32]) {
        let g = &self.g;
        let [_, columns] = self.grad_size();
        let (pitch, width) = (columns * g.out_channels, g.out(1) * g.out_channels);
        let before = self.border[1][0] * g.out_channels;
        for (i, row) in buffer.chunks_mut(pitch.max(1)).enumerate() {
            match i.checked_sub(self.border[0][0]).filter(|y| *y < g.out(0)) {
                None => row.fill(0.0),
                Some(y) => {
                    row[..before].fill(0.0);
                    fill(y, &mut row[before..before + width]);
                    self.round(&mut row[before..before + width]);
                    row[before + width..].fill(0.0);
                }
            }
        }
    }

    /// The kernels' gradient from one example's buffers, in an order of its own ([`Plan::unpack`]).
    pub(crate) fn weight_gradient(&self, input: &[f32], grad: &[f32], accumulate: bool, out: &mut [f32]) {
        let g = &self.g;
        let [_, columns] = self.grad_size();
        let origin = (self.border[0][0] * columns + self.border[1][0]) * g.out_channels;
        let (inner, outer) = (g.group_in(), g.group_out());
        for (group, mut out) in out.chunks_mut(self.order.len() * outer).enumerate() {
            for run in &self.runs {
                let taps = Taps {
                    run: *run,
                    input: &input[group * inner..],
                    input_steps: self.input_steps(),
                    dz: &grad[origin + group * outer..],
                    dz_steps: [g.out_channels, columns * g.out_channels],
                    rows: g.out(0),
                    columns: g.out(1),
                    channels: outer,
                    accumulate,
                };
                tile::taps(taps, out);
                out = &mut out[run.len * outer..];
            }
        }
    }

    /// The input's gradient (h, w, in) of one example from the bordered gradient of its output.
    pub(crate) fn input_gradient(&self, grad: &[f32], weights: &Packed, out: &mut [f32]) {
        let g = &self.g;
        for phase in &self.phases {
            for t in 0..phase.pixels[0] {
                let y = phase.first[0] + t * g.stride[0];
                let at = (y * g.input[1] + phase.first[1]) * g.in_channels;
                if phase.pixels[1] != 0 {
                    self.input_gradient_row(phase, t, grad, weights, &mut out[at..]);
                }
            }
        }
    }

    /// The same into fresh memory.
    pub(crate) fn input_gradient_into(&self, grad: &[f32], weights: &Packed, out: &mut Unwritten<'_, f32>) {
        let g = &self.g;
        match &self.phases[..] {
            [phase] => {
                for y in 0..g.input[0] {
                    let row = out.next(g.input[1] * g.in_channels, 0.0);
                    self.input_gradient_row(phase, y, grad, weights, row);
                }
            }
            _ => self.input_gradient(grad, weights, out.filled(0.0)),
        }
    }

    /// Row `t` of a phase, from its first pixel.
    fn input_gradient_row(&self, phase: &Phase, t: usize, grad: &[f32], weights: &Packed, out: &mut [f32]) {
        let g = &self.g;
        let [_, columns] = self.grad_size();
        let (inner, outer) = (g.group_in(), g.group_out());
        let padded = self.zeros.len();
        for group in 0..g.groups {
            let before = phase.taps_before * outer * padded;
            let row = Row {
                runs: &phase.runs,
                input: &grad[t * columns * g.out_channels + group * outer..],
                input_step: g.out_channels,
                weights: &weights.values[group * weights.group + before..],
                start: &self.zeros,
                channels: inner,
                pixels: phase.pixels[1],
                out_step: g.stride[1] * g.in_channels,
                relu: false,
            };
            tile::row(row, &mut out[group * inner..]);
        }
    }

    /// Runs `work` with buffers for a whole example's input and output gradient, and one of `more` numbers.
    pub(crate) fn with_buffers<R>(
        &self,
        more: usize,
        work: impl FnOnce(&mut [f32], &mut [f32], &mut [f32]) -> R,
    ) -> R {
        let (input, grad) = (self.input_len(self.g.out(0)), self.grad_len());
        with_scratch(input + grad + more, |scratch: &mut [f32]| {
            let (input, rest) = scratch.split_at_mut(input);
            let (grad, more) = rest.split_at_mut(grad);
            work(input, grad, more)
        })
    }
}

/// How weights are taken for packing.
struct Packing<'a> {
    weight: &'a [f32],
    groups: usize,
    channels: usize,
    /// Between two groups' weights, and two channels'.
    strides: [usize; 2],
    /// What is read at a stretch: where it begins in the order, and its length.
    parts: &'a [(usize, usize)],
    order: &'a [usize],
}

impl Packing<'_> {
    /// By group of channels, part, and [`MAX_VECTORS`] registers of channels: for each number of the order a weight of each
    /// of these channels.
    fn pack(self) -> Packed {
        let Self { weight, groups, channels, strides, parts, order } = self;
        let lanes = tile::n_lanes();
        let padded = channels.next_multiple_of(lanes);
        let group_len = order.len() * padded;
        let mut values = vec![0.0; groups * group_len];
        for group in 0..groups {
            for (start, len) in parts {
                let mut at = group * group_len + start * padded;
                for first in (0..padded).step_by(MAX_VECTORS * lanes) {
                    let width = (padded - first).min(MAX_VECTORS * lanes);
                    let used = (channels - first).min(width);
                    let base = group * strides[0] + first * strides[1];
                    for from in &order[*start..][..*len] {
                        let row = &mut values[at..at + used];
                        row.iter_mut()
                            .enumerate()
                            .for_each(|(c, value)| *value = weight[base + from + c * strides[1]]);
                        at += width;
                    }
                }
            }
        }
        Packed { values, group: group_len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(name: &str, n: usize) -> Vec<f32> {
        // Small whole numbers, so that every order of summation gives the same.
        crate::random::uniform(3, name, n, -3.5, 3.5).into_iter().map(|x| x.round() as f32).collect()
    }

    /// One example of a convolution and its gradients by their definition, channels last.
    struct Naive {
        out: Vec<f32>,
        weight_grad: Vec<f32>,
        input_grad: Vec<f32>,
    }

    fn naive(g: &Geometry, x: &[f32], w: &[f32], bias: &[f32], dy: &[f32]) -> Naive {
        let (inner, outer) = (g.group_in(), g.group_out());
        let mut out = vec![0.0; g.out_len()];
        let (mut weight_grad, mut input_grad) = (vec![0.0; w.len()], vec![0.0; x.len()]);
        for y in 0..g.out(0) {
            for column in 0..g.out(1) {
                for (c, bias) in bias.iter().enumerate() {
                    let at = (y * g.out(1) + column) * g.out_channels + c;
                    out[at] = *bias;
                    for i in 0..inner {
                        for ky in 0..g.kernel[0] {
                            for kx in 0..g.kernel[1] {
                                let row = (y * g.stride[0] + ky * g.dilation[0]).checked_sub(g.padding[0]);
                                let col =
                                    (column * g.stride[1] + kx * g.dilation[1]).checked_sub(g.padding[1]);
                                let (Some(row), Some(col)) = (row, col) else { continue };
                                if g.input[0] <= row || g.input[1] <= col {
                                    continue;
                                }
                                let channel = c / outer * inner + i;
                                let from = (row * g.input[1] + col) * g.in_channels + channel;
                                let of = ((c * inner + i) * g.kernel[0] + ky) * g.kernel[1] + kx;
                                out[at] += w[of] * x[from];
                                weight_grad[of] += dy[at] * x[from];
                                input_grad[from] += dy[at] * w[of];
                            }
                        }
                    }
                }
            }
        }
        Naive { out, weight_grad, input_grad }
    }

    fn geometries() -> impl Strategy<Value = Geometry> {
        let sizes = ((1usize..3, 1usize..20, 1usize..20), [1usize..9, 1usize..9], [1usize..4, 1usize..4]);
        let steps = ([1usize..4, 1usize..4], [0usize..3, 0usize..3], [1usize..3, 1usize..3]);
        (sizes, steps).prop_filter_map("fits", |((channels, input, kernel), (stride, padding, dilation))| {
            let (groups, inner, outer) = channels;
            let g = Geometry {
                n: 1,
                in_channels: groups * inner,
                input,
                out_channels: groups * outer,
                kernel,
                stride,
                padding,
                dilation,
                groups,
            };
            let fits = |axis: usize| g.reach(axis) <= g.input[axis] + 2 * g.padding[axis];
            (fits(0) && fits(1)).then_some(g)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 300 }))]
        #[test]
        fn equals_the_definition(g in geometries()) {
            let x = numbers("x", g.in_len());
            let w = numbers("w", g.out_channels * g.group_in() * g.kernel[0] * g.kernel[1]);
            let (bias, dy) = (numbers("b", g.out_channels), numbers("dy", g.out_len()));
            let want = naive(&g, &x, &w, &bias, &dy);
            let plan = Plan::new(g, Precision::F32);
            let (packed, back, start) = (plan.pack(&w), plan.pack_back(&w), plan.start(Some(&bias)));
            let row = |x: &[f32], y: usize, row: &mut [f32]| row.copy_from_slice(&x[y * row.len()..][..row.len()]);
            // Row by row, as several threads may take them.
            let mut out = vec![f32::NAN; g.out_len()];
            for (y, out) in out.chunks_mut(g.out(1) * g.out_channels).enumerate() {
                let mut buffer = vec![f32::NAN; plan.input_len(1)];
                plan.pad(&(y..y + 1), |y, target| row(&x, y, target), &mut buffer);
                plan.forward(&buffer, &packed, &start, false, out);
            }
            prop_assert_eq!(&out, &want.out);
            let mut buffer = vec![f32::NAN; plan.input_len(g.out(0))];
            plan.pad(&(0..g.out(0)), |y, target| row(&x, y, target), &mut buffer);
            let mut rectified = vec![f32::NAN; g.out_len()];
            plan.forward(&buffer, &packed, &start, true, &mut rectified);
            prop_assert!(rectified.iter().zip(&out).all(|(a, b)| *a == b.max(0.0)));

            let mut grad = vec![f32::NAN; plan.grad_len()];
            plan.pad_grad(|y, target| row(&dy, y, target), &mut grad);
            let mut weight_grad = vec![f32::NAN; plan.weight_len()];
            plan.weight_gradient(&buffer, &grad, false, &mut weight_grad);
            prop_assert_eq!(plan.unpack(&weight_grad), want.weight_grad.clone());
            plan.weight_gradient(&buffer, &grad, true, &mut weight_grad);
            let twice: Vec<f32> = want.weight_grad.iter().map(|x| 2.0 * x).collect();
            prop_assert_eq!(plan.unpack(&weight_grad), twice);
            let mut input_grad = vec![f32::NAN; g.in_len()];
            plan.input_gradient(&grad, &back, &mut input_grad);
            prop_assert_eq!(input_grad, want.input_grad);
        }
    }

    /// Multiplications per second of one thread: `cargo test --release -p batchwise-nn --lib rates_of_convolutions -- --ignored --nocapture`.
    #[test]
    #[ignore = "measures"]
    fn rates_of_convolutions() {
        for (inner, side, outer, stride, kernel) in [
            (1, 28, 32, 1, 3),
            (32, 14, 64, 1, 3),
            (3, 32, 16, 1, 3),
            (16, 32, 16, 1, 3),
            (16, 32, 32, 2, 3),
            (32, 16, 32, 1, 3),
            (32, 16, 64, 2, 3),
            (64, 8, 64, 1, 3),
            (16, 32, 32, 2, 1),
        ] {
            let g = Geometry {
                n: 1,
                in_channels: inner,
                input: [side; 2],
                out_channels: outer,
                kernel: [kernel; 2],
                stride: [stride; 2],
                padding: [kernel / 2; 2],
                dilation: [1; 2],
                groups: 1,
            };
            let plan = Plan::new(g, Precision::F32);
            let (x, w) = (numbers("x", g.in_len()), numbers("w", plan.weight_len()));
            let dy = numbers("dy", g.out_len());
            let (packed, back, start) = (plan.pack(&w), plan.pack_back(&w), plan.start(None));
            let mut buffer = vec![0.0; plan.input_len(g.out(0))];
            let mut grad = vec![0.0; plan.grad_len()];
            let (mut out, mut dw, mut dx) = (vec![0.0; g.out_len()], vec![0.0; plan.weight_len()], x.clone());
            let rate = |work: &mut dyn FnMut()| {
                let mut best = f64::MAX;
                for _ in 0..20 {
                    let start = std::time::Instant::now();
                    (0..20).for_each(|_| work());
                    best = best.min(start.elapsed().as_secs_f64() / 20.0);
                }
                (best * 1e6, 2.0 * plan.work() as f64 / best / 1e9)
            };
            let row =
                |x: &[f32], y: usize, row: &mut [f32]| row.copy_from_slice(&x[y * row.len()..][..row.len()]);
            let pad = rate(&mut || plan.pad(&(0..g.out(0)), |y, target| row(&x, y, target), &mut buffer));
            let forward = rate(&mut || plan.forward(&buffer, &packed, &start, false, &mut out));
            let pad_grad = rate(&mut || plan.pad_grad(|y, target| row(&dy, y, target), &mut grad));
            let weight = rate(&mut || plan.weight_gradient(&buffer, &grad, false, &mut dw));
            let input = rate(&mut || plan.input_gradient(&grad, &back, &mut dx));
            let packing = rate(&mut || drop(plan.pack(&w)));
            println!(
                "{inner:>3} to {outer:>3}, {side}², stride {stride}: GFLOP/s forward {:.0} weight {:.0} input {:.0}; µs: {:.1} {:.1} {:.1}, pads {:.1} {:.1}, packing {:.1}",
                forward.1, weight.1, input.1, forward.0, weight.0, input.0, pad.0, pad_grad.0, packing.0
            );
        }
    }
}
