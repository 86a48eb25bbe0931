//! Products of small matrices that lie in the cache, and what attention does to a row of scores.

use super::Element;
use pulp::Simd;
use std::ops::Range;

/// Positions in a tile, and the row length of a tile of scores.
pub(crate) const TILE: usize = 64;
/// Row lengths are multiples of this, so that they are whole registers on every machine.
pub(crate) const LANES: usize = 16;
/// Rows are computed so many at a time; memory must reach to a whole block.
pub(crate) const BLOCK: usize = 8;

/// The size of a product, and whether what lies right of its diagonal is left out: there the left side (or, for
/// [`scores`], the product) counts for nothing.
#[derive(Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) depth: usize,
    pub(crate) is_causal: bool,
}

/// c = a·b; the rows of a are `a_row` long, those of b and c [`TILE`]. Of a causal product what lies right of the block
/// of the diagonal is left as it is.
#[inline(always)]
pub(crate) fn scores<S: Simd, T: Element>(
    simd: S,
    c: &mut [T],
    a: &[T],
    a_row: usize,
    b: &[T],
    panel: Panel,
) {
    let Panel { rows, columns, depth, is_causal } = panel;
    let left = Left::<T, false> { data: a, row: a_row };
    let columns_of = |end: usize| if is_causal { end.next_multiple_of(LANES).min(columns) } else { columns };
    blocks(simd, c, TILE, left, b, TILE, rows, |_, end| (columns_of(end), 0..depth), false);
}

/// c = a·b, or c += a·b; a is a tile of scores, with zeros right of its diagonal where the product is causal.
#[inline(always)]
pub(crate) fn product<S: Simd, T: Element>(
    simd: S,
    c: &mut [T],
    a: &[T],
    b: &[T],
    panel: Panel,
    accumulate: bool,
) {
    let Panel { rows, columns, depth, is_causal } = panel;
    let left = Left::<T, false> { data: a, row: TILE };
    let depth_of = |end: usize| if is_causal { end.min(depth) } else { depth };
    blocks(simd, c, columns, left, b, columns, rows, |_, end| (columns, 0..depth_of(end)), accumulate);
}

/// The same with aᵀ in the place of a.
#[inline(always)]
pub(crate) fn transposed_product<S: Simd, T: Element>(
    simd: S,
    c: &mut [T],
    a: &[T],
    b: &[T],
    panel: Panel,
    accumulate: bool,
) {
    let Panel { rows, columns, depth, is_causal } = panel;
    let left = Left::<T, true> { data: a, row: TILE };
    let from = |start: usize| if is_causal { start.min(depth) } else { 0 };
    blocks(simd, c, columns, left, b, columns, rows, |start, _| (columns, from(start)..depth), accumulate);
}

/// The left side of a product, or (with `T`) its transpose.
#[derive(Clone, Copy)]
struct Left<'a, T, const TRANSPOSED: bool> {
    data: &'a [T],
    row: usize,
}

/// Block after block of rows; `extent` gives the columns and the depth of one from its first row and its end.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "two matrices with their strides")]
fn blocks<S: Simd, T: Element, const TRANSPOSED: bool>(
    simd: S,
    c: &mut [T],
    c_row: usize,
    a: Left<'_, T, TRANSPOSED>,
    b: &[T],
    b_row: usize,
    rows: usize,
    extent: impl Fn(usize, usize) -> (usize, Range<usize>),
    accumulate: bool,
) {
    let (c, b) = (T::registers_mut::<S>(c).0, T::registers::<S>(b).0);
    let lanes = size_of::<T::Register<S>>() / size_of::<T>();
    let (c_row, b_row) = (c_row / lanes, b_row / lanes);
    for start in (0..rows).step_by(BLOCK) {
        let (columns, depth) = extent(start, start + BLOCK);
        let columns = columns / lanes;
        let mut column = 0;
        while column < columns {
            let wide = 2 <= columns - column;
            let at = At { row: start, column, c_row, b_row };
            // As many sums as there is room for.
            if 32 <= S::REGISTER_COUNT {
                if wide {
                    block::<S, T, TRANSPOSED, 8, 2>(simd, c, a, b, at, depth.clone(), accumulate);
                } else {
                    block::<S, T, TRANSPOSED, 8, 1>(simd, c, a, b, at, depth.clone(), accumulate);
                }
            } else {
                for half in [0, BLOCK / 2] {
                    let at = At { row: start + half, ..at };
                    if wide {
                        block::<S, T, TRANSPOSED, 4, 2>(simd, c, a, b, at, depth.clone(), accumulate);
                    } else {
                        block::<S, T, TRANSPOSED, 4, 1>(simd, c, a, b, at, depth.clone(), accumulate);
                    }
                }
            }
            column += 2;
        }
    }
}

/// A block's place, and the row lengths, in registers.
#[derive(Clone, Copy)]
struct At {
    row: usize,
    column: usize,
    c_row: usize,
    b_row: usize,
}

#[inline(always)]
fn block<S: Simd, T: Element, const TRANSPOSED: bool, const ROWS: usize, const COLUMNS: usize>(
    simd: S,
    c: &mut [T::Register<S>],
    a: Left<'_, T, TRANSPOSED>,
    b: &[T::Register<S>],
    at: At,
    depth: Range<usize>,
    accumulate: bool,
) {
    let At { row, column, c_row, b_row } = at;
    let mut sums = [[T::splat(simd, T::ZERO); COLUMNS]; ROWS];
    if TRANSPOSED {
        for k in depth {
            let (a, b) = (&a.data[k * a.row + row..][..ROWS], &b[k * b_row + column..][..COLUMNS]);
            for i in 0..ROWS {
                let left = T::splat(simd, a[i]);
                for j in 0..COLUMNS {
                    sums[i][j] = T::mul_add(simd, left, b[j], sums[i][j]);
                }
            }
        }
    } else {
        let a: [&[T]; ROWS] = std::array::from_fn(|i| &a.data[(row + i) * a.row..][..depth.end]);
        for k in depth {
            let b = &b[k * b_row + column..][..COLUMNS];
            for i in 0..ROWS {
                let left = T::splat(simd, a[i][k]);
                for j in 0..COLUMNS {
                    sums[i][j] = T::mul_add(simd, left, b[j], sums[i][j]);
                }
            }
        }
    }
    // Element by element: an array that is copied as a whole would be kept in memory and not in registers.
    for i in 0..ROWS {
        let c = &mut c[(row + i) * c_row + column..][..COLUMNS];
        for j in 0..COLUMNS {
            c[j] = if accumulate { T::sum(simd, c[j], sums[i][j]) } else { sums[i][j] };
        }
    }
}

/// Makes exp(score − largest) of the first `seen` scores of a row and 0 of the rest; returns the largest, which is at
/// least `before`, and the sum.
#[inline(always)]
pub(crate) fn exponentials<T: Element>(row: &mut [T], seen: usize, before: T) -> (T, T) {
    let (used, rest) = row.split_at_mut(seen.next_multiple_of(LANES));
    used[seen..].fill(T::from_f64(f64::NEG_INFINITY));
    rest.fill(T::ZERO);
    let used = used.as_chunks_mut::<LANES>().0;
    let mut largest = [before; LANES];
    for chunk in used.iter() {
        for l in 0..LANES {
            largest[l] = if largest[l] < chunk[l] { chunk[l] } else { largest[l] };
        }
    }
    let largest = largest_of(largest);
    let mut sums = [T::ZERO; LANES];
    for chunk in used {
        for l in 0..LANES {
            chunk[l] = (chunk[l] - largest).exp();
            sums[l] += chunk[l];
        }
    }
    (largest, sum_of(sums))
}

/// Makes probabilities of the first `seen` scores of a row and 0 of the rest, and of their gradients those of the scores.
#[inline(always)]
pub(crate) fn score_gradients<T: Element>(p: &mut [T], ds: &mut [T], seen: usize, log_sum: T, share: T) {
    let whole = seen.next_multiple_of(LANES);
    p[seen..whole].fill(T::from_f64(f64::NEG_INFINITY));
    p[whole..].fill(T::ZERO);
    ds[whole..].fill(T::ZERO);
    let chunks = p.as_chunks_mut::<LANES>().0.iter_mut().zip(ds.as_chunks_mut::<LANES>().0);
    for (p, ds) in chunks.take(whole / LANES) {
        for l in 0..LANES {
            p[l] = (p[l] - log_sum).exp();
            ds[l] = p[l] * (ds[l] - share);
        }
    }
    // Whatever stands there in the future.
    ds[seen..whole].fill(T::ZERO);
}

/// Σ a·b.
#[inline(always)]
pub(crate) fn dot<T: Element>(a: &[T], b: &[T]) -> T {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [T::ZERO; LANES];
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            sums[l] += a[l] * b[l];
        }
    }
    let mut sum = sum_of(sums);
    a_rest.iter().zip(b_rest).for_each(|(a, b)| sum += *a * *b);
    sum
}

/// The largest of the lanes.
#[inline(always)]
pub(crate) fn largest_of<T: Element>(mut lanes: [T; LANES]) -> T {
    for half in [LANES / 2, LANES / 4, LANES / 8, LANES / 16] {
        for l in 0..half {
            lanes[l] = if lanes[l] < lanes[l + half] { lanes[l + half] } else { lanes[l] };
        }
    }
    lanes[0]
}

/// The sum of the lanes.
#[inline(always)]
pub(crate) fn sum_of<T: Element>(mut lanes: [T; LANES]) -> T {
    for half in [LANES / 2, LANES / 4, LANES / 8, LANES / 16] {
        for l in 0..half {
            let other = lanes[l + half];
            lanes[l] += other;
        }
    }
    lanes[0]
}
