//! Batch norm of a convolution's output (n, h, w, c): its statistics come from each example while that is in the cache,
//! and it is applied where somebody reads the example next.

use super::batch::{self, add, fold_row};
use super::plan::Plan;
use crate::kernels::{threads, vectorized};

/// Mean and variance of each channel over a batch.
#[derive(Clone)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f64>,
    /// With divisor m.
    pub(crate) variance: Vec<f64>,
    /// Elements of a channel, m.
    pub(crate) count: usize,
}

/// A convolution's output and its statistics.
pub(crate) struct Output {
    pub(crate) z: Vec<f32>,
    pub(crate) statistics: Statistics,
}

/// Convolves without a bias.
pub(crate) fn convolve(
    plan: &Plan,
    weight: &[f32],
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Output {
    let g = plan.geometry();
    let (channels, pixels, row_len) = (g.out_channels, g.out(0) * g.out(1), g.out(1) * g.out_channels);
    let mut parts = vec![0.0f32; g.n * 2 * channels];
    let z = {
        let parts = threads::Rows::new(&mut parts, 2 * channels);
        batch::forward_into(plan, weight, fill, |example, z| {
            parts.with(example, |part| {
                let (mean, squares) = part.split_at_mut(channels);
                let mut sums = vec![0.0; 2 * row_len];
                let (sum, mean_row) = sums.split_at_mut(row_len);
                z.chunks_exact(row_len).for_each(|row| add(sum, row));
                fold_row(sum, mean);
                mean.iter_mut().for_each(|mean| *mean /= pixels as f32);
                repeat(mean, mean_row);
                sum.fill(0.0);
                z.chunks_exact(row_len).for_each(|row| add_squares(sum, row, mean_row));
                fold_row(sum, squares);
            });
        })
    };
    let (mut mean, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    for part in parts.chunks_exact(2 * channels) {
        mean.iter_mut().zip(part).for_each(|(mean, own)| *mean += f64::from(*own) / g.n as f64);
    }
    // Of parts of one size (Chan et al. 1979).
    for part in parts.chunks_exact(2 * channels) {
        let (own, own_squares) = part.split_at(channels);
        for (i, squares) in squares.iter_mut().enumerate() {
            let away = f64::from(own[i]) - mean[i];
            *squares += f64::from(own_squares[i]) + pixels as f64 * away * away;
        }
    }
    let count = g.n * pixels;
    let variance = squares.into_iter().map(|squares| squares / count as f64).collect();
    Output { z, statistics: Statistics { mean, variance, count } }
}

/// Writes the numbers again and again.
fn repeat(values: &[f32], row: &mut [f32]) {
    row.chunks_exact_mut(values.len()).for_each(|pixel| pixel.copy_from_slice(values));
}

fn add_squares(sum: &mut [f32], row: &[f32], mean: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for ((sum, x), mean) in sum.iter_mut().zip(row).zip(mean) {
                let away = *x - *mean;
                *sum += away * away;
            }
        },
    );
}

/// (z − mean)·scale + shift, for whole rows of pixels at once.
pub(crate) struct Affine {
    mean: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

fn row_of(width: usize, values: impl Iterator<Item = f64>) -> Vec<f32> {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    let mut row = vec![0.0; width * values.len()];
    repeat(&values, &mut row);
    row
}

impl Statistics {
    fn deviation(&self, channel: usize, epsilon: f64) -> f64 {
        (self.variance[channel] + epsilon).sqrt()
    }

    /// Batch norm with a weight γ and a bias β.
    pub(crate) fn affine(&self, gamma: &[f32], beta: &[f32], epsilon: f64, width: usize) -> Affine {
        let scale = gamma.iter().enumerate().map(|(i, gamma)| f64::from(*gamma) / self.deviation(i, epsilon));
        Affine {
            mean: row_of(width, self.mean.iter().copied()),
            scale: row_of(width, scale),
            shift: row_of(width, beta.iter().map(|beta| f64::from(*beta))),
        }
    }

    /// The gradient of z from that of the norm's output, dz = γ/σ·(g − S₁/m − ẑ·S₂/m) (Ioffe & Szegedy 2015, §3).
    pub(crate) fn gradient(&self, gamma: &[f32], sums: &Sums, epsilon: f64, width: usize) -> Gradient {
        let m = self.count as f64;
        let scale = |i: usize| f64::from(gamma[i]) / self.deviation(i, epsilon);
        let by_z = |i: usize| scale(i) * sums.products[i] / (m * self.deviation(i, epsilon));
        let channels = 0..gamma.len();
        Gradient {
            mean: row_of(width, self.mean.iter().copied()),
            by_grad: row_of(width, channels.clone().map(scale)),
            by_z: row_of(width, channels.clone().map(by_z)),
            less: row_of(width, channels.map(|i| scale(i) * sums.grads[i] / m)),
        }
    }
}

#[inline(always)]
fn normal(z: f32, ((mean, scale), shift): ((&f32, &f32), &f32)) -> f32 {
    (z - *mean) * *scale + *shift
}

impl Affine {
    #[inline(always)]
    fn places(&self) -> impl Iterator<Item = ((&f32, &f32), &f32)> {
        self.mean.iter().zip(&self.scale).zip(&self.shift)
    }

    /// relu(norm(z)) of a row.
    pub(crate) fn rectified(&self, z: &[f32], out: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || {
                for ((out, z), place) in out.iter_mut().zip(z).zip(self.places()) {
                    let y = normal(*z, place);
                    *out = if y <= 0.0 { 0.0 } else { y };
                }
            },
        );
    }

    /// relu(norm(z) + other).
    pub(crate) fn add_rectified(&self, z: &[f32], other: &[f32], out: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || {
                for (((out, z), other), place) in out.iter_mut().zip(z).zip(other).zip(self.places()) {
                    let y = normal(*z, place) + *other;
                    *out = if y <= 0.0 { 0.0 } else { y };
                }
            },
        );
    }

    /// norm(z).
    pub(crate) fn apply(&self, z: &[f32], out: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || {
                for ((out, z), place) in out.iter_mut().zip(z).zip(self.places()) {
                    *out = normal(*z, place);
                }
            },
        );
    }

    /// Sets the gradient to 0 where relu(norm(z)) is 0.
    pub(crate) fn mask(&self, z: &[f32], grad: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || {
                for ((grad, z), place) in grad.iter_mut().zip(z).zip(self.places()) {
                    *grad = if normal(*z, place) <= 0.0 { 0.0 } else { *grad };
                }
            },
        );
    }
}

/// out = by_grad·g − by_z·(z − mean) − less, for whole rows.
pub(crate) struct Gradient {
    mean: Vec<f32>,
    by_grad: Vec<f32>,
    by_z: Vec<f32>,
    less: Vec<f32>,
}

impl Gradient {
    /// `row` holds g and gets dz.
    pub(crate) fn apply(&self, z: &[f32], row: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || {
                let by = self.by_grad.iter().zip(&self.by_z).zip(self.mean.iter().zip(&self.less));
                for ((row, z), ((by_grad, by_z), (mean, less))) in row.iter_mut().zip(z).zip(by) {
                    *row = by_grad * *row - by_z * (*z - mean) - less;
                }
            },
        );
    }
}

/// Over all pixels of all examples, by channel: Σ g and Σ g·ẑ, which are also the gradients of β and γ.
pub(crate) struct Sums {
    pub(crate) grads: Vec<f64>,
    pub(crate) products: Vec<f64>,
}

/// One example's part of [`Sums`]: Σ g, then Σ g·(z − mean) for each of some z.
pub(crate) struct Partial<'a> {
    pub(crate) channels: usize,
    pub(crate) row_len: usize,
    pub(crate) means: Vec<&'a Affine>,
}

impl Partial<'_> {
    /// Numbers of one example.
    pub(crate) fn len(&self) -> usize {
        (1 + self.means.len()) * self.channels
    }

    /// Sums over an example's rows; `grad(y)` gives a row of g, `z(i, y)` a row of the i-th z.
    pub(crate) fn add_up<'z>(
        &self,
        rows: usize,
        mut grad: impl FnMut(usize, &mut [f32]),
        z: impl Fn(usize, usize) -> &'z [f32],
        part: &mut [f32],
    ) {
        let mut buffers = vec![0.0; (2 + self.means.len()) * self.row_len];
        let (row, sums) = buffers.split_at_mut(self.row_len);
        for y in 0..rows {
            grad(y, row);
            let mut sums = sums.chunks_exact_mut(self.row_len);
            if let Some(sum) = sums.next() {
                add(sum, row);
            }
            for (i, (sum, affine)) in sums.zip(&self.means).enumerate() {
                add_products(sum, row, z(i, y), &affine.mean);
            }
        }
        part.fill(0.0);
        for (sum, part) in sums.chunks_exact(self.row_len).zip(part.chunks_exact_mut(self.channels)) {
            fold_row(sum, part);
        }
    }

    /// The sums over all examples, in their order, for each z.
    pub(crate) fn total(&self, parts: &[f32], statistics: &[&Statistics], epsilon: f64) -> Vec<Sums> {
        let mut total = vec![0.0; self.len()];
        for part in parts.chunks_exact(self.len()) {
            total.iter_mut().zip(part).for_each(|(total, part)| *total += f64::from(*part));
        }
        let (grads, products) = total.split_at(self.channels);
        let of = |(products, statistics): (&[f64], &&Statistics)| Sums {
            grads: grads.to_vec(),
            products: products
                .iter()
                .enumerate()
                .map(|(i, p)| p / statistics.deviation(i, epsilon))
                .collect(),
        };
        products.chunks_exact(self.channels).zip(statistics).map(of).collect()
    }
}

fn add_products(sum: &mut [f32], grad: &[f32], z: &[f32], mean: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (((sum, grad), z), mean) in sum.iter_mut().zip(grad).zip(z).zip(mean) {
                *sum += *grad * (*z - *mean);
            }
        },
    );
}
