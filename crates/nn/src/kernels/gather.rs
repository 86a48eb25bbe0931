//! Rows of a matrix by number, and the sum of rows that have the same number.
#![expect(unsafe_code, reason = "threads write different columns of the same rows")]

use super::threads::{self, Shared};
use super::{Element, vectorized};

/// Numbers per piece of work, about: fixed, so that no result depends on the threads.
const PIECE: usize = 1 << 13;
/// Columns that one piece of the sums has at least: some cache lines.
const COLUMNS: usize = 32;

/// The rows of `matrix` with these numbers, one after the other.
pub(crate) fn gather<T: Element>(matrix: &[T], width: usize, ids: &[u32]) -> Vec<T> {
    let rows = (PIECE / width.max(1)).max(1);
    threads::build(ids.len() * width, rows * width, |i, piece| {
        for id in ids[i * rows..].iter().take(rows) {
            piece.extend(matrix[*id as usize * width..][..width].iter().copied());
        }
    })
}

/// A matrix of `len` numbers, with each row of `x` added to the row of its number, in the order of `ids`.
pub(crate) fn scatter_add<T: Element>(len: usize, width: usize, ids: &[u32], x: &[T]) -> Vec<T> {
    // What is not written is never touched: the system hands zeros out.
    let mut sums = vec![T::ZERO; len];
    let columns = if x.len() <= 2 * PIECE { width } else { COLUMNS };
    {
        let sums = Shared::new(&mut sums);
        threads::for_each(width.div_ceil(columns.max(1)), |piece| {
            let from = piece * columns;
            let columns = columns.min(width - from);
            vectorized(
                #[inline(always)]
                || {
                    for (id, row) in ids.iter().zip(x.chunks_exact(width)) {
                        // SAFETY: these columns are this piece's alone.
                        let sum = unsafe { sums.part(*id as usize * width + from, columns) };
                        add(sum, &row[from..from + columns]);
                    }
                },
            );
        });
    }
    sums
}

#[inline(always)]
fn add<T: Element>(sum: &mut [T], x: &[T]) {
    sum.iter_mut().zip(x).for_each(|(sum, v)| *sum += *v);
}
