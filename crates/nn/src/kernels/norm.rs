//! Sums of squares in f64, with or without adding one gradient to another.

use super::{Element, threads, vectorized};
use pulp::{Simd, WithSimd};

/// Elements per piece: fixed, so that the order of summation never depends on the threads.
pub(crate) const PIECE: usize = 1 << 15;

/// Pieces that one thread takes at least: fewer are done before another thread has woken up.
pub(super) const MIN_PIECES: usize = 4;

/// Σ x², summed in f64.
pub(crate) fn sum_of_squares<T: Element>(x: &[T]) -> f64 {
    if x.len() <= PIECE {
        return piece_squares(x);
    }
    let piece = |i: usize| piece_squares(&x[i * PIECE..][..PIECE.min(x.len() - i * PIECE)]);
    threads::map(x.len().div_ceil(PIECE), MIN_PIECES, piece).iter().sum()
}

/// The same on this thread alone.
pub(crate) fn sum_of_squares_alone<T: Element>(x: &[T]) -> f64 {
    x.chunks(PIECE).map(piece_squares).sum()
}

/// `acc += x`, returning Σ x² in f64 from the same pass over memory.
pub(crate) fn add_and_square<T: Element>(acc: &mut [T], x: &[T]) -> f64 {
    if x.len() <= PIECE {
        return piece_add_and_square(acc, x);
    }
    let mut squares = vec![0.0; x.len().div_ceil(PIECE)];
    {
        let squares = threads::Rows::new(&mut squares, 1);
        each_piece(acc, |i, acc| {
            let square = piece_add_and_square(acc, &x[i * PIECE..][..acc.len()]);
            squares.with(i, |slot| slot[0] = square);
        });
    }
    squares.iter().sum()
}

/// `acc += x`.
pub(crate) fn add<T: Element>(acc: &mut [T], x: &[T]) {
    each_piece(acc, |i, acc| {
        let x = &x[i * PIECE..];
        vectorized(
            #[inline(always)]
            || acc.iter_mut().zip(x).for_each(|(acc, x)| *acc += *x),
        );
    });
}

/// Calls `work` for the pieces of `x`, in their order within [`MIN_PIECES`] of them.
pub(super) fn each_piece<T: Send>(x: &mut [T], work: impl Fn(usize, &mut [T]) + Sync) {
    threads::for_each_chunk(x, MIN_PIECES * PIECE, |i, x| {
        for (j, x) in x.chunks_mut(PIECE).enumerate() {
            work(i * MIN_PIECES + j, x);
        }
    });
}

/// a + b.
pub(crate) fn sum<T: Element>(a: &[T], b: &[T]) -> Vec<T> {
    threads::build(a.len(), PIECE, |i, piece| {
        let (a, b) = (&a[i * PIECE..], &b[i * PIECE..]);
        vectorized(
            #[inline(always)]
            || piece.extend(a.iter().zip(b).map(|(a, b)| *a + *b)),
        );
    })
}

/// Registers that are added to a running sum before it is widened to f64: sixteen positive terms in f32 are off by
/// 1e-6 at worst and 1e-7 as a rule, and the errors of different blocks cancel.
const ROWS: usize = 16;

pub(super) fn piece_squares<T: Element>(x: &[T]) -> f64 {
    pulp::Arch::new().dispatch(Squares { x })
}

pub(super) fn piece_add_and_square<T: Element>(acc: &mut [T], x: &[T]) -> f64 {
    pulp::Arch::new().dispatch(AddAndSquare { acc, x })
}

struct Squares<'a, T> {
    x: &'a [T],
}

impl<T: Element> WithSimd for Squares<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (rows, rest) = T::registers::<S>(self.x);
        let mut total: f64 = rest.iter().map(|x| x.widen() * x.widen()).sum();
        for block in rows.chunks(ROWS) {
            let mut sum = T::splat(simd, T::ZERO);
            for row in block {
                sum = T::mul_add(simd, *row, *row, sum);
            }
            total += T::reduce(simd, sum).widen();
        }
        total
    }
}

struct AddAndSquare<'a, T> {
    acc: &'a mut [T],
    x: &'a [T],
}

impl<T: Element> WithSimd for AddAndSquare<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (rows, rest) = T::registers::<S>(self.x);
        let (acc_rows, acc_rest) = T::registers_mut::<S>(self.acc);
        let mut total = 0.0;
        for (acc, x) in acc_rest.iter_mut().zip(rest) {
            *acc += *x;
            total += x.widen() * x.widen();
        }
        for (acc, block) in acc_rows.chunks_mut(ROWS).zip(rows.chunks(ROWS)) {
            let mut sum = T::splat(simd, T::ZERO);
            for (acc, row) in acc.iter_mut().zip(block) {
                *acc = T::sum(simd, *acc, *row);
                sum = T::mul_add(simd, *row, *row, sum);
            }
            total += T::reduce(simd, sum).widen();
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_and_sums_agree_with_the_plain_loop() {
        for n in [0usize, 1, 7, 8, 1000, PIECE, PIECE + 1, 3 * PIECE + 5, 20 * PIECE + 3] {
            let x: Vec<f32> = (0..n).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            let start: Vec<f32> = (0..n).map(|i| (i % 13) as f32).collect();
            let want: f64 = x.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert_eq!(sum_of_squares(&x), want);
            let (mut one, mut two) = (start.clone(), start.clone());
            assert_eq!(add_and_square(&mut one, &x), want);
            add(&mut two, &x);
            let sum: Vec<f32> = start.iter().zip(&x).map(|(a, b)| a + b).collect();
            assert_eq!(one, sum);
            assert_eq!(two, sum);
        }
    }
}
