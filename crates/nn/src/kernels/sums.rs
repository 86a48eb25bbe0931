//! Sums over the rows of a matrix.

use super::{Element, threads, vectorized};

/// Numbers of a piece of work, about.
const PIECE: usize = 1 << 14;
/// More pieces are not made, so that their sums are soon added up.
const MAX_PIECES: usize = 32;

/// The sum of all rows, each `width` long: pieces of rows first, whose bounds depend on the sizes alone, then their sums.
pub(crate) fn over_rows<T: Element>(x: &[T], width: usize) -> Vec<T> {
    let mut total = vec![T::ZERO; width];
    if x.is_empty() || width == 0 {
        return total;
    }
    let n_rows = x.len() / width;
    let rows = PIECE.div_ceil(width).max(n_rows.div_ceil(MAX_PIECES));
    if n_rows <= rows {
        add_rows(&mut total, x);
        return total;
    }
    let mut sums = vec![T::ZERO; n_rows.div_ceil(rows) * width];
    threads::for_each_chunk(&mut sums, width, |i, sum| {
        let from = i * rows * width;
        add_rows(sum, &x[from..(from + rows * width).min(x.len())]);
    });
    add_rows(&mut total, &sums);
    total
}

/// Adds rows to `sum`, four at a time.
fn add_rows<T: Element>(sum: &mut [T], x: &[T]) {
    let width = sum.len();
    vectorized(
        #[inline(always)]
        || {
            let mut fours = x.chunks_exact(4 * width);
            for four in &mut fours {
                let (a, b) = four.split_at(2 * width);
                let ((a, b), (c, d)) = (a.split_at(width), b.split_at(width));
                for ((((sum, a), b), c), d) in sum.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *sum += (*a + *b) + (*c + *d);
                }
            }
            for row in fours.remainder().chunks_exact(width) {
                sum.iter_mut().zip(row).for_each(|(sum, v)| *sum += *v);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_plain_sum() {
        for (rows, width) in [(0, 3), (1, 1), (7, 5), (4, 10), (5000, 10), (301, 512), (3, 40000)] {
            let x: Vec<f32> = (0..rows * width).map(|i| (i % 17) as f32 - 8.0).collect();
            let want: Vec<f32> = (0..width).map(|j| (0..rows).map(|i| x[i * width + j]).sum()).collect();
            assert_eq!(over_rows(&x, width), want, "{rows} {width}");
        }
    }
}
