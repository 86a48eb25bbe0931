//! A weight and a bias for each channel of a tensor seen as (n, channels, inner).

use super::rows::total;
use super::{Element, threads, vectorized};
use pulp::{Simd, WithSimd};

/// Numbers per piece of work, about: fixed, so that no result depends on the threads.
const PIECE: usize = 1 << 13;
/// The gradients of weight and bias are summed in this many pieces at most.
const MAX_PIECES: usize = 64;

/// How the channels lie; neither is 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channels {
    pub(crate) channels: usize,
    pub(crate) inner: usize,
}

impl Channels {
    /// Numbers of one example.
    fn example(self) -> usize {
        self.channels * self.inner
    }

    fn examples_per_piece(self) -> usize {
        (PIECE / self.example()).max(1)
    }

    /// x·scale + shift.
    pub(crate) fn forward<T: Element>(self, x: &[T], scale: &[T], shift: &[T]) -> Vec<T> {
        self.each(x, |x, y| {
            if self.inner == 1 {
                return affine_row(y, x, scale, shift);
            }
            let runs = x.chunks_exact(self.inner).zip(y.chunks_exact_mut(self.inner));
            for (((x, y), scale), shift) in runs.zip(scale).zip(shift) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y = *x * *scale + *shift);
            }
        })
    }

    /// dy·scale.
    pub(crate) fn input_gradient<T: Element>(self, dy: &[T], scale: &[T]) -> Vec<T> {
        self.each(dy, |dy, dx| {
            if self.inner == 1 {
                return product_row(dx, dy, scale);
            }
            let runs = dy.chunks_exact(self.inner).zip(dx.chunks_exact_mut(self.inner));
            for ((dy, dx), scale) in runs.zip(scale) {
                dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = *dy * *scale);
            }
        })
    }

    /// Writes what `work` makes of each example.
    fn each<T: Element>(self, x: &[T], work: impl Fn(&[T], &mut [T]) + Sync) -> Vec<T> {
        let (example, n) = (self.example(), self.examples_per_piece());
        threads::build(x.len(), n * example, |i, y| {
            vectorized(
                #[inline(always)]
                || {
                    for x in x[i * n * example..].chunks_exact(example).take(n) {
                        work(x, y.next(example, T::ZERO));
                    }
                },
            );
        })
    }

    /// Σ dy·x and Σ dy of each channel, in f64: a channel of a large batch has very many terms.
    pub(crate) fn sums<T: Element>(self, x: &[T], dy: &[T]) -> Vec<[f64; 2]> {
        let (example, channels) = (self.example(), self.channels);
        let n = self.examples_per_piece().max((x.len() / example).div_ceil(MAX_PIECES));
        let mut pieces = vec![[0.0; 2]; (x.len() / example).div_ceil(n) * channels];
        threads::for_each_chunk(&mut pieces, channels, |i, sums| {
            let from = i * n * example;
            let to = (from + n * example).min(x.len());
            pulp::Arch::new().dispatch(Sums { x: &x[from..to], dy: &dy[from..to], sums, inner: self.inner });
        });
        let (first, rest) = pieces.split_at_mut(channels);
        for piece in rest.chunks(channels) {
            for (sum, v) in first.iter_mut().zip(piece) {
                *sum = [sum[0] + v[0], sum[1] + v[1]];
            }
        }
        pieces.truncate(channels);
        pieces
    }
}

#[inline(always)]
fn affine_row<T: Element>(y: &mut [T], x: &[T], scale: &[T], shift: &[T]) {
    for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
        *y = *x * *scale + *shift;
    }
}

#[inline(always)]
fn product_row<T: Element>(y: &mut [T], x: &[T], scale: &[T]) {
    for ((y, x), scale) in y.iter_mut().zip(x).zip(scale) {
        *y = *x * *scale;
    }
}

struct Sums<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    sums: &'a mut [[f64; 2]],
    inner: usize,
}

impl<T: Element> WithSimd for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, dy, sums, inner } = self;
        let example = inner * sums.len();
        for (x, dy) in x.chunks_exact(example).zip(dy.chunks_exact(example)) {
            let runs = x.chunks_exact(inner).zip(dy.chunks_exact(inner));
            for (sum, (x, dy)) in sums.iter_mut().zip(runs) {
                let of_run = if inner < 16 {
                    x.iter().zip(dy).fold([0.0; 2], |[product, alone], (x, dy)| {
                        [product + dy.widen() * x.widen(), alone + dy.widen()]
                    })
                } else {
                    total(simd, [x, dy], [T::ZERO; 2], |[x, dy], [product, alone]| {
                        [T::mul_add(simd, x, dy, product), T::sum(simd, alone, dy)]
                    })
                };
                *sum = [sum[0] + of_run[0], sum[1] + of_run[1]];
            }
        }
    }
}
