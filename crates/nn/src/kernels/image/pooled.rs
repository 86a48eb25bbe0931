//! A convolution, its bias and ReLU, and the maximum over 2×2 windows, in one pass: what the convolution gave never
//! leaves the cache.
#![expect(unsafe_code, reason = "threads write the parts of their own examples")]

use super::batch::{self, rows_at_once};
use super::plan::Plan;
use crate::kernels::threads::Shared;
use crate::kernels::vectorized;

/// Which of a window's pixels was the largest, row by row, or [`NONE`].
pub(crate) type Winner = u8;
/// No pixel of the window came through the ReLU.
const NONE: Winner = 4;

/// The pooled images, (n, ⌊h'/2⌋, ⌊w'/2⌋, out), and the winners in the same order.
pub(crate) fn forward(
    plan: &Plan,
    weight: &[f32],
    bias: &[f32],
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> (Vec<f32>, Vec<Winner>) {
    let g = plan.geometry();
    let [height, width] = [g.out(0) / 2, g.out(1) / 2];
    let (row_len, channels) = (width * g.out_channels, g.out_channels);
    let (mut out, mut winners) = (vec![0.0; g.n * height * row_len], vec![NONE; g.n * height * row_len]);
    let (shared_out, shared_winners) = (Shared::new(&mut out), Shared::new(&mut winners));
    let pitch = g.out(1) * channels;
    // Windows lie in one piece: pieces of an odd number of rows would cut them.
    let rows = Some(rows_at_once(g.n, g.out(0))).filter(|rows| rows.is_multiple_of(2)).unwrap_or(g.out(0));
    let finish = |example: usize, rows: std::ops::Range<usize>, values: &[f32]| {
        for y in rows.start / 2..(rows.end / 2).min(height) {
            let from = (example * height + y) * row_len;
            let upper = &values[(2 * y - rows.start) * pitch..][..pitch];
            let lower = &values[(2 * y + 1 - rows.start) * pitch..][..pitch];
            // SAFETY: each row of windows is written once.
            let (out, winners) =
                unsafe { (shared_out.part(from, row_len), shared_winners.part(from, row_len)) };
            vectorized(
                #[inline(always)]
                || pool_row(upper, lower, channels, out, winners),
            );
        }
    };
    batch::forward(plan, rows, weight, bias, true, fill, finish);
    (out, winners)
}

/// One row of windows.
#[inline(always)]
fn pool_row(upper: &[f32], lower: &[f32], channels: usize, out: &mut [f32], winners: &mut [Winner]) {
    let (upper, lower) = (upper.chunks_exact(2 * channels), lower.chunks_exact(2 * channels));
    let targets = out.chunks_exact_mut(channels).zip(winners.chunks_exact_mut(channels));
    for ((upper, lower), (out, winners)) in upper.zip(lower).zip(targets) {
        let ((a, b), (c, d)) = (upper.split_at(channels), lower.split_at(channels));
        let ((blocks_a, a), (blocks_b, b)) = (a.as_chunks::<BLOCK>(), b.as_chunks::<BLOCK>());
        let ((blocks_c, c), (blocks_d, d)) = (c.as_chunks::<BLOCK>(), d.as_chunks::<BLOCK>());
        let (blocks_out, out) = out.as_chunks_mut::<BLOCK>();
        let (blocks_won, won) = winners.as_chunks_mut::<BLOCK>();
        let pixels = blocks_a.iter().zip(blocks_b).zip(blocks_c.iter().zip(blocks_d));
        for (((a, b), (c, d)), (out, won)) in pixels.zip(blocks_out.iter_mut().zip(blocks_won)) {
            for i in 0..BLOCK {
                (out[i], won[i]) = largest([a[i], b[i], c[i], d[i]]);
            }
        }
        for i in 0..a.len() {
            (out[i], won[i]) = largest([a[i], b[i], c[i], d[i]]);
        }
    }
}

/// Channels taken at a stretch: a loop of known length fills the registers.
const BLOCK: usize = 16;

/// The first largest of four numbers that a ReLU gave, and which it is. A NaN counts as largest.
#[inline(always)]
fn largest([a, b, c, d]: [f32; 4]) -> (f32, Winner) {
    let (ab, of_ab) = if is_larger(b, a) { (b, 1) } else { (a, 0) };
    let (cd, of_cd) = if is_larger(d, c) { (d, 3) } else { (c, 2) };
    let (largest, winner) = if is_larger(cd, ab) { (cd, of_cd) } else { (ab, of_ab) };
    (largest, if largest <= 0.0 { NONE } else { winner })
}

#[expect(clippy::eq_op, reason = "only a NaN differs from itself")]
#[inline(always)]
fn is_larger(b: f32, a: f32) -> bool {
    (a < b) | ((b != b) & (a == a))
}

/// Writes row `y` of the convolution's gradient, (w', out), from the pooled images' gradient.
pub(crate) fn unpool_row(
    plan: &Plan,
    grad: &[f32],
    winners: &[Winner],
    example: usize,
    y: usize,
    row: &mut [f32],
) {
    let g = plan.geometry();
    let (height, width, channels) = (g.out(0) / 2, g.out(1) / 2, g.out_channels);
    if height <= y / 2 {
        return row.fill(0.0);
    }
    let from = (example * height + y / 2) * width * channels;
    let (grad, winners) = (&grad[from..][..width * channels], &winners[from..][..width * channels]);
    let first = if y.is_multiple_of(2) { 0 } else { 2 };
    row[2 * width * channels..].fill(0.0);
    vectorized(
        #[inline(always)]
        || {
            let pixels = row.chunks_exact_mut(2 * channels);
            let windows = grad.chunks_exact(channels).zip(winners.chunks_exact(channels));
            for (pixels, (grad, winners)) in pixels.zip(windows) {
                let (left, right) = pixels.split_at_mut(channels);
                let ((blocks_left, left), (blocks_right, right)) =
                    (left.as_chunks_mut::<BLOCK>(), right.as_chunks_mut::<BLOCK>());
                let ((blocks_grad, grad), (blocks_won, won)) =
                    (grad.as_chunks::<BLOCK>(), winners.as_chunks::<BLOCK>());
                let give =
                    |grad: f32, winner: Winner, place: Winner| if winner == place { grad } else { 0.0 };
                let blocks = blocks_left.iter_mut().zip(blocks_right).zip(blocks_grad.iter().zip(blocks_won));
                for ((left, right), (grad, won)) in blocks {
                    for i in 0..BLOCK {
                        left[i] = give(grad[i], won[i], first);
                        right[i] = give(grad[i], won[i], first + 1);
                    }
                }
                for i in 0..grad.len() {
                    left[i] = give(grad[i], won[i], first);
                    right[i] = give(grad[i], won[i], first + 1);
                }
            }
        },
    );
}
