//! Cross-entropy of rows of logits.

use super::tile::{LANES, largest_of, sum_of};
use super::{Element, threads, vectorized};

/// Numbers per piece of work, about: fixed, so that no result depends on the threads.
const PIECE: usize = 1 << 13;

/// The classes that rows of logits should have.
pub(crate) struct Targets<'a> {
    pub(crate) targets: &'a [u32],
    /// At least 1.
    pub(crate) n_classes: usize,
    /// Rows with this target count for nothing.
    pub(crate) ignored: Option<u32>,
    /// This share of a target is spread over all classes.
    pub(crate) smoothing: f64,
}

/// The largest of a row and Σ exp(x − largest).
#[inline(always)]
fn normalizer<T: Element>(row: &[T]) -> [T; 2] {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut largest = [row[0]; LANES];
    for chunk in chunks {
        for l in 0..LANES {
            largest[l] = if largest[l] < chunk[l] { chunk[l] } else { largest[l] };
        }
    }
    let largest = rest.iter().fold(largest_of(largest), |a, b| if a < *b { *b } else { a });
    let mut sums = [T::ZERO; LANES];
    for chunk in chunks {
        for l in 0..LANES {
            sums[l] += (chunk[l] - largest).exp();
        }
    }
    let mut sum = sum_of(sums);
    rest.iter().for_each(|v| sum += (*v - largest).exp());
    [largest, sum]
}

impl Targets<'_> {
    fn rows_per_piece(&self) -> usize {
        (PIECE / self.n_classes).max(1)
    }

    /// The first row whose target is no class, with it.
    pub(crate) fn first_unknown(&self) -> Option<(usize, u32)> {
        let is_unknown = |target: u32| self.n_classes <= target as usize && self.ignored != Some(target);
        self.targets.iter().copied().enumerate().find(|(_, target)| is_unknown(*target))
    }

    /// The sum over rows, and what [`Targets::backward`] needs of each.
    pub(crate) fn forward<T: Element>(&self, x: &[T]) -> (f64, Vec<[T; 2]>) {
        let rows = self.rows_per_piece();
        let mut sums = vec![0.0; self.targets.len().div_ceil(rows)];
        let normalizers =
            threads::build_beside(self.targets.len(), rows, &mut sums, 1, |i, normalizers, sum| {
                let targets = &self.targets[i * rows..][..normalizers.left()];
                let x = &x[i * rows * self.n_classes..];
                vectorized(
                    #[inline(always)]
                    || {
                        for (row, target) in x.chunks_exact(self.n_classes).zip(targets) {
                            let normalizer = normalizer(row);
                            normalizers.extend(std::iter::once(normalizer));
                            sum[0] += self.loss(row, *target, normalizer);
                        }
                    },
                );
            });
        (sums.iter().sum(), normalizers)
    }

    #[inline(always)]
    fn loss<T: Element>(&self, row: &[T], target: u32, [largest, sum]: [T; 2]) -> f64 {
        if self.ignored == Some(target) {
            return 0.0;
        }
        let log_sum = sum.widen().ln();
        let mut loss = (1.0 - self.smoothing) * ((largest - row[target as usize]).widen() + log_sum);
        if self.smoothing != 0.0 {
            let all: f64 = row.iter().map(|v| (largest - *v).widen() + log_sum).sum();
            loss += self.smoothing / self.n_classes as f64 * all;
        }
        loss
    }

    /// The gradient of `scale` times the sum: softmax minus what the target wants.
    pub(crate) fn backward<T: Element>(&self, x: &[T], normalizers: &[[T; 2]], scale: T) -> Vec<T> {
        let (rows, n_classes) = (self.rows_per_piece(), self.n_classes);
        let hit = scale * T::from_f64(1.0 - self.smoothing);
        let spread = scale * T::from_f64(self.smoothing / n_classes as f64);
        threads::build(x.len(), rows * n_classes, |i, dx| {
            let all = x[i * rows * n_classes..].chunks_exact(n_classes);
            let all = all.zip(&self.targets[i * rows..]).zip(&normalizers[i * rows..]).take(rows);
            vectorized(
                #[inline(always)]
                || {
                    for ((row, target), [largest, sum]) in all {
                        let dx = dx.next(n_classes, T::ZERO);
                        if self.ignored == Some(*target) {
                            continue;
                        }
                        let share = scale / *sum;
                        for (dx, v) in dx.iter_mut().zip(row) {
                            *dx = (*v - *largest).exp() * share - spread;
                        }
                        dx[*target as usize] -= hit;
                    }
                },
            );
        })
    }
}
