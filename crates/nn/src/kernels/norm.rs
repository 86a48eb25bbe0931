//! Sums of squares in f64, with or without adding one gradient to another.

use super::{Element, vectorized};
use rayon::prelude::*;

/// Elements per piece: fixed, so that the order of summation never depends on the threads.
const PIECE: usize = 1 << 15;

/// Pieces that one thread takes at least: fewer are done before another thread has woken up.
const MIN_PIECES: usize = 8;

/// Σ x², summed in f64.
pub(crate) fn sum_of_squares<T: Element>(x: &[T]) -> f64 {
    if x.len() <= PIECE {
        return piece_squares(x);
    }
    x.par_chunks(PIECE).with_min_len(MIN_PIECES).map(piece_squares).collect::<Vec<f64>>().iter().sum()
}

/// `acc += x`, returning Σ x² in f64 from the same pass over memory.
pub(crate) fn add_and_square<T: Element>(acc: &mut [T], x: &[T]) -> f64 {
    if x.len() <= PIECE {
        return piece_add_and_square(acc, x);
    }
    let pieces = acc.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).with_min_len(MIN_PIECES);
    pieces.map(|(acc, x)| piece_add_and_square(acc, x)).collect::<Vec<f64>>().iter().sum()
}

/// `acc += x`.
pub(crate) fn add<T: Element>(acc: &mut [T], x: &[T]) {
    acc.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).with_min_len(MIN_PIECES).for_each(|(acc, x)| {
        vectorized(
            #[inline(always)]
            || acc.iter_mut().zip(x).for_each(|(acc, x)| *acc += *x),
        );
    });
}

/// Running sums, so that the compiler can use wide registers.
const LANES: usize = 16;

fn piece_squares<T: Element>(x: &[T]) -> f64 {
    vectorized(
        #[inline(always)]
        || lanes_of_squares(x),
    )
}

#[inline(always)]
fn lanes_of_squares<T: Element>(x: &[T]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for (lane, x) in lanes.iter_mut().zip(block) {
            let x = x.to_f64();
            *lane += x * x;
        }
    }
    rest.iter().for_each(|x| lanes[0] += x.to_f64() * x.to_f64());
    lanes.iter().sum()
}

fn piece_add_and_square<T: Element>(acc: &mut [T], x: &[T]) -> f64 {
    vectorized(
        #[inline(always)]
        || add_and_lanes_of_squares(acc, x),
    )
}

#[inline(always)]
fn add_and_lanes_of_squares<T: Element>(acc: &mut [T], x: &[T]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (acc_blocks, acc_rest) = acc.as_chunks_mut::<LANES>();
    let (blocks, rest) = x.as_chunks::<LANES>();
    for (acc, block) in acc_blocks.iter_mut().zip(blocks) {
        for ((lane, acc), x) in lanes.iter_mut().zip(acc).zip(block) {
            *acc += *x;
            let x = x.to_f64();
            *lane += x * x;
        }
    }
    for (acc, x) in acc_rest.iter_mut().zip(rest) {
        *acc += *x;
        lanes[0] += x.to_f64() * x.to_f64();
    }
    lanes.iter().sum()
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
