//! Normalisation of rows, with a weight and a bias where there are any: one pass over memory each way.

use super::{Element, threads};
use pulp::{Simd, WithSimd};

/// Numbers per piece of work, about: fixed, so that no result depends on the threads.
const PIECE: usize = 1 << 13;
/// The gradients of weight and bias are summed in this many pieces at most.
const MAX_PIECES: usize = 64;

/// Whether the mean is taken off before the division by the root of the mean square.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Center {
    Mean,
    Zero,
}

/// What is applied to each row: y = (x − μ)/√(mean (x − μ)² + ε)·weight + bias.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    /// Numbers in a row, at least 1.
    pub(crate) len: usize,
    pub(crate) center: Center,
    pub(crate) epsilon: f64,
    /// 1 where there is none.
    pub(crate) weight: Option<&'a [T]>,
    /// 0 where there is none.
    pub(crate) bias: Option<&'a [T]>,
}

/// What [`Rows::backward`] gives.
pub(crate) struct RowGradients<T> {
    pub(crate) x: Vec<T>,
    /// Of a weight and a bias, also where there are none.
    pub(crate) weight: Vec<T>,
    pub(crate) bias: Vec<T>,
}

impl<T: Element> Rows<'_, T> {
    fn rows_per_piece(&self) -> usize {
        (PIECE / self.len).max(1)
    }

    /// The output, and μ and 1/√(mean (x − μ)² + ε) of each row.
    pub(crate) fn forward(&self, x: &[T]) -> (Vec<T>, Vec<[T; 2]>) {
        let (len, rows) = (self.len, self.rows_per_piece());
        let mut statistics = vec![[T::ZERO; 2]; x.len() / len];
        let y = threads::build_beside(x.len(), rows * len, &mut statistics, rows, |i, y, statistics| {
            let x = &x[i * rows * len..][..y.left()];
            let y = y.filled(T::ZERO);
            pulp::Arch::new().dispatch(Forward { rows: self, x, y, statistics });
        });
        (y, statistics)
    }

    /// The gradients from the input, what [`Rows::forward`] has kept, and the output's gradient.
    ///
    /// With x̂ = (x − μ)/σ and g = dy·weight: dx = (g − mean g − x̂·mean(g·x̂))/σ, the second term only with centering;
    /// dweight = Σ dy·x̂, dbias = Σ dy (Ba et al. 2016).
    pub(crate) fn backward(&self, x: &[T], statistics: &[[T; 2]], dy: &[T]) -> RowGradients<T> {
        let len = self.len;
        let rows = self.rows_per_piece().max((x.len() / len).div_ceil(MAX_PIECES));
        let has_sums = self.weight.is_some();
        let mut sums = vec![T::ZERO; if has_sums { (x.len() / len).div_ceil(rows) * 2 * len } else { 0 }];
        let per_piece = if has_sums { 2 * len } else { 0 };
        let dx = threads::build_beside(x.len(), rows * len, &mut sums, per_piece, |i, dx, sums| {
            let (x, dy) = (&x[i * rows * len..][..dx.left()], &dy[i * rows * len..][..dx.left()]);
            let (dx, statistics) = (dx.filled(T::ZERO), &statistics[i * rows..]);
            pulp::Arch::new().dispatch(Backward { rows: self, x, statistics, dy, dx, sums });
        });
        let (mut weight, mut bias) = (vec![T::ZERO; len], vec![T::ZERO; len]);
        for piece in sums.chunks(2 * len) {
            let (dw, db) = piece.split_at(len);
            weight.iter_mut().zip(dw).for_each(|(sum, v)| *sum += *v);
            bias.iter_mut().zip(db).for_each(|(sum, v)| *sum += *v);
        }
        RowGradients { x: dx, weight, bias }
    }

    /// dy·x̂, whose sum over rows is the gradient of the weight.
    pub(crate) fn weight_terms(&self, x: &[T], statistics: &[[T; 2]], dy: &[T]) -> Vec<T> {
        let rows = x.chunks(self.len).zip(dy.chunks(self.len)).zip(statistics);
        rows.flat_map(|((x, dy), [mean, scale])| x.iter().zip(dy).map(|(x, dy)| (*x - *mean) * *scale * *dy))
            .collect()
    }
}

/// Registers that are added to a running sum before it is widened to f64.
const BLOCK: usize = 32;

/// Σ term over the registers of `x`, the last one filled up with `pad`.
#[inline(always)]
pub(super) fn total<S: Simd, T: Element, const N: usize, const K: usize>(
    simd: S,
    x: [&[T]; N],
    pad: [T; N],
    term: impl Fn([T::Register<S>; N], [T::Register<S>; K]) -> [T::Register<S>; K],
) -> [f64; K] {
    let n = T::registers::<S>(x[0]).0.len();
    let split = x.map(|x| {
        let (whole, rest) = T::registers::<S>(x);
        (&whole[..n], rest)
    });
    let zero = T::splat(simd, T::ZERO);
    let mut totals = [0.0; K];
    let mut from = 0;
    while from < n {
        let to = (from + BLOCK).min(n);
        // Two sums side by side, so that one addition need not wait for the other.
        let mut sums = [[zero; K]; 2];
        for i in from..to {
            let at = std::array::from_fn(|j| split[j].0[i]);
            sums[i % 2] = term(at, sums[i % 2]);
        }
        for k in 0..K {
            totals[k] += T::reduce(simd, T::sum(simd, sums[0][k], sums[1][k])).widen();
        }
        from = to;
    }
    let rest = split[0].1.len();
    if rest != 0 {
        // No register holds more.
        let mut last = pad.map(|pad| [pad; 64]);
        for (last, (_, rest)) in last.iter_mut().zip(&split) {
            last[..rest.len()].copy_from_slice(rest);
        }
        let sums = term(std::array::from_fn(|j| T::registers::<S>(&last[j]).0[0]), [zero; K]);
        for k in 0..K {
            totals[k] += T::reduce(simd, sums[k]).widen();
        }
    }
    totals
}

struct Forward<'a, T> {
    rows: &'a Rows<'a, T>,
    x: &'a [T],
    y: &'a mut [T],
    statistics: &'a mut [[T; 2]],
}

impl<T: Element> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Rows { len, center, epsilon, weight, bias } = *self.rows;
        let rows = self.x.chunks_exact(len).zip(self.y.chunks_exact_mut(len)).zip(self.statistics);
        for ((x, y), statistics) in rows {
            let n = len as f64;
            let near = match center {
                Center::Mean => {
                    let [sum] = total(simd, [x], [T::ZERO], |[x], [sum]| [T::sum(simd, sum, x)]);
                    T::from_f64(sum / n)
                }
                Center::Zero => T::ZERO,
            };
            let of_near = T::splat(simd, near);
            let [squares, rest] = total(simd, [x], [near], |[x], [squares, rest]| {
                let d = T::difference(simd, x, of_near);
                [T::mul_add(simd, d, d, squares), T::sum(simd, rest, d)]
            });
            // What rounding has left out of a mean that is large beside the deviation.
            let rest = if center == Center::Mean { rest / n } else { 0.0 };
            let mean = T::from_f64(near.widen() + rest);
            let scale = T::from_f64(1.0 / ((squares / n - rest * rest).max(0.0) + epsilon).sqrt());
            *statistics = [mean, scale];
            match (weight, bias) {
                (Some(weight), Some(bias)) => scaled_and_shifted(y, x, weight, bias, mean, scale),
                (Some(weight), None) => scaled(y, x, weight, mean, scale),
                _ => normal(y, x, mean, scale),
            }
        }
    }
}

#[inline(always)]
fn scaled_and_shifted<T: Element>(y: &mut [T], x: &[T], weight: &[T], bias: &[T], mean: T, scale: T) {
    for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
        *y = (*x - mean) * scale * *w + *b;
    }
}

#[inline(always)]
fn scaled<T: Element>(y: &mut [T], x: &[T], weight: &[T], mean: T, scale: T) {
    for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
        *y = (*x - mean) * scale * *w;
    }
}

#[inline(always)]
fn normal<T: Element>(y: &mut [T], x: &[T], mean: T, scale: T) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = (*x - mean) * scale;
    }
}

struct Backward<'a, T> {
    rows: &'a Rows<'a, T>,
    x: &'a [T],
    statistics: &'a [[T; 2]],
    dy: &'a [T],
    dx: &'a mut [T],
    /// Of the weight's gradient and of the bias's, where these are asked for.
    sums: &'a mut [T],
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Rows { len, center, weight, .. } = *self.rows;
        let (of_weight, of_bias) = self.sums.split_at_mut(self.sums.len() / 2);
        let rows = self.x.chunks_exact(len).zip(self.dy.chunks_exact(len)).zip(self.statistics);
        for (((x, dy), [mean, scale]), dx) in rows.zip(self.dx.chunks_exact_mut(len)) {
            let (mean, scale) = (*mean, *scale);
            let (of_mean, of_scale) = (T::splat(simd, mean), T::splat(simd, scale));
            let normal = |x| T::times(simd, T::difference(simd, x, of_mean), of_scale);
            let sums = match weight {
                Some(weight) => total(simd, [x, dy, weight], [T::ZERO; 3], |[x, dy, w], [sum, with]| {
                    let g = T::times(simd, dy, w);
                    [T::sum(simd, sum, g), T::mul_add(simd, g, normal(x), with)]
                }),
                None => total(simd, [x, dy], [T::ZERO; 2], |[x, g], [sum, with]| {
                    [T::sum(simd, sum, g), T::mul_add(simd, g, normal(x), with)]
                }),
            };
            let [sum, with] = sums.map(|sum| T::from_f64(sum / len as f64));
            let sum = if center == Center::Mean { sum } else { T::ZERO };
            match weight {
                Some(weight) => {
                    for (((dx, x), dy), w) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
                        *dx = (*dy * *w - sum - (*x - mean) * scale * with) * scale;
                    }
                    add_sums(of_weight, of_bias, x, dy, mean, scale);
                }
                None => {
                    for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
                        *dx = (*dy - sum - (*x - mean) * scale * with) * scale;
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add_sums<T: Element>(of_weight: &mut [T], of_bias: &mut [T], x: &[T], dy: &[T], mean: T, scale: T) {
    for (((dw, db), x), dy) in of_weight.iter_mut().zip(of_bias).zip(x).zip(dy) {
        *dw += (*x - mean) * scale * *dy;
        *db += *dy;
    }
}
