//! Σ p·x² and Σ (p·x)² in f64, with or without adding x to a sum.

use super::norm::{MIN_PIECES, PIECE, each_piece, piece_add_and_square, piece_squares};
use super::{Element, threads, vectorized};

/// Sums that run side by side, so that they fill the machine's registers; fixed, so that no bit depends on these.
const LANES: usize = 8;

/// Σ x², Σ p·x² and Σ (p·x)² for x and p of one length.
pub(crate) fn weigh<T: Element>(x: &[T], p: &[T]) -> [f64; 3] {
    if x.len() <= PIECE {
        return piece_weigh(x, p);
    }
    let piece = |i: usize| {
        let range = i * PIECE..x.len().min((i + 1) * PIECE);
        piece_weigh(&x[range.clone()], &p[range])
    };
    total(&threads::map(x.len().div_ceil(PIECE), MIN_PIECES, piece))
}

/// `acc += x`, returning the same sums from the same pass over memory; the sum and Σ x² have the bits they have without
/// a p.
pub(crate) fn add_and_weigh<T: Element>(acc: &mut [T], x: &[T], p: &[T]) -> [f64; 3] {
    if x.len() <= PIECE {
        return piece_add_and_weigh(acc, x, p);
    }
    let mut sums = vec![[0.0; 3]; x.len().div_ceil(PIECE)];
    {
        let sums = threads::Rows::new(&mut sums, 1);
        each_piece(acc, |i, acc| {
            let range = i * PIECE..i * PIECE + acc.len();
            let piece = piece_add_and_weigh(acc, &x[range.clone()], &p[range]);
            sums.with(i, |slot| slot[0] = piece);
        });
    }
    total(&sums)
}

/// By sum, in the order of the pieces.
fn total(pieces: &[[f64; 3]]) -> [f64; 3] {
    [0, 1, 2].map(|i| pieces.iter().map(|sums| sums[i]).sum())
}

fn piece_weigh<T: Element>(x: &[T], p: &[T]) -> [f64; 3] {
    let [by_p, by_p2] = weighted(x, p);
    [piece_squares(x), by_p, by_p2]
}

/// The piece that one loop has read is still in the cache for the next.
fn piece_add_and_weigh<T: Element>(acc: &mut [T], x: &[T], p: &[T]) -> [f64; 3] {
    let plain = piece_add_and_square(acc, x);
    let [by_p, by_p2] = weighted(x, p);
    [plain, by_p, by_p2]
}

/// In f64 throughout: p reaches 1/ϵ where a second moment is 0, and (p·x)² could then leave the range of f32. One loop
/// for each sum: of one loop for both the compiler makes code for single numbers, which takes three times as long.
fn weighted<T: Element>(x: &[T], p: &[T]) -> [f64; 2] {
    vectorized(
        #[inline(always)]
        || [sum_of(x, p, |x, p| p * x * x), sum_of(x, p, |x, p| (p * x) * (p * x))],
    )
}

/// Σ f(x, p).
#[inline(always)]
fn sum_of<T: Element>(x: &[T], p: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let ((rows, rest), (weights, rest_of_weights)) = (x.as_chunks::<LANES>(), p.as_chunks::<LANES>());
    for (x, p) in rows.iter().zip(weights) {
        for i in 0..LANES {
            sums[i] += f(x[i].widen(), p[i].widen());
        }
    }
    let rest = rest.iter().zip(rest_of_weights).map(|(x, p)| f(x.widen(), p.widen()));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::norm;

    #[test]
    fn the_sums_agree_with_the_plain_loop() {
        for n in [0usize, 1, 7, 8, 9, 1000, PIECE, PIECE + 1, 3 * PIECE + 5, 20 * PIECE + 3] {
            // Whole numbers and halves, so that every order of summation gives the same.
            let x: Vec<f32> = (0..n).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
            let p: Vec<f32> = (0..n).map(|i| ((i * 11) % 17) as f32 * 0.5).collect();
            let start: Vec<f32> = (0..n).map(|i| (i % 13) as f32).collect();
            let sum = |f: fn(f64, f64) -> f64| {
                x.iter().zip(&p).map(|(x, p)| f(f64::from(*x), f64::from(*p))).sum::<f64>()
            };
            let want = [sum(|x, _| x * x), sum(|x, p| p * x * x), sum(|x, p| (p * x).powi(2))];
            assert_eq!(weigh(&x, &p), want, "{n}");
            let (mut one, mut two) = (start.clone(), start);
            assert_eq!(add_and_weigh(&mut one, &x, &p), want, "{n}");
            assert_eq!(norm::add_and_square(&mut two, &x), want[0]);
            assert_eq!(one, two);
        }
    }

    #[test]
    fn the_plain_sum_and_the_gradient_keep_their_bits() {
        let n = 9 * PIECE + 77;
        let x = crate::random::normal(1, "x", n, 0.0, 1.0).into_iter().map(|x| x as f32).collect::<Vec<_>>();
        let p = vec![3.0f32; n];
        let (mut one, mut two) = (p.clone(), p.clone());
        let plain = norm::add_and_square(&mut two, &x);
        assert_eq!(add_and_weigh(&mut one, &x, &p)[0].to_bits(), plain.to_bits());
        assert_eq!(weigh(&x, &p)[0].to_bits(), norm::sum_of_squares(&x).to_bits());
        assert_eq!(one, two);
    }

    #[test]
    fn what_leaves_the_range_of_f32_is_summed() {
        let [_, by_p, by_p2] = weigh(&[1e3f32], &[1e30f32]);
        assert!((by_p / 1e36 - 1.0).abs() < 1e-6 && (by_p2 / 1e66 - 1.0).abs() < 1e-6, "{by_p} {by_p2}");
    }
}
