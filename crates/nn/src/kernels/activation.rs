//! Smooth activations and their slopes, both from one pass: the exponential is most of either.

use super::{Element, threads, vectorized};

/// Elements per piece: fixed, so that no result depends on the threads.
const PIECE: usize = 1 << 13;

/// A function of one number.
pub(crate) trait Curve: Sync {
    /// f(x) and f'(x).
    fn value_and_slope<T: Element>(x: T) -> (T, T);
}

/// ½x(1 + tanh u) = x·σ(2u) with u = √(2/π)·(x + 0.044715x³) (Hendrycks & Gimpel 2016).
pub(crate) struct Gelu;
/// x·Φ(x).
pub(crate) struct GeluErf;
/// x·σ(x).
pub(crate) struct Silu;

/// 1/(1 + e⁻ˣ).
#[inline(always)]
fn sigmoid<T: Element>(x: T) -> T {
    T::ONE / (T::ONE + (T::ZERO - x).exp())
}

/// x between ±50. Beyond, the slopes of all three are 0 or 1 to the last digit; cut, no product of theirs leaves the range.
#[inline(always)]
fn cut<T: Element>(x: T) -> T {
    let bound = T::from_f64(50.0);
    let x = if bound < x { bound } else { x };
    if x < T::ZERO - bound { T::ZERO - bound } else { x }
}

impl Curve for Gelu {
    #[inline(always)]
    fn value_and_slope<T: Element>(x: T) -> (T, T) {
        // 2u and its slope.
        const A: f64 = 1.595_769_121_605_730_7;
        const B: f64 = A * 0.044_715;
        let (a, b, b3) = (T::from_f64(A), T::from_f64(B), T::from_f64(3.0 * B));
        let z = cut(x);
        let square = z * z;
        let share = sigmoid(z * (b * square + a));
        (x * share, share + z * share * (T::ONE - share) * (b3 * square + a))
    }
}

impl Curve for GeluErf {
    #[inline(always)]
    fn value_and_slope<T: Element>(x: T) -> (T, T) {
        let z = cut(x);
        let half = T::from_f64(0.5);
        let share = half * (z * T::from_f64(-std::f64::consts::FRAC_1_SQRT_2)).erfc();
        // 1/√(2π)
        let density = T::from_f64(0.398_942_280_401_432_7) * (T::ZERO - half * z * z).exp();
        (x * share, share + z * density)
    }
}

impl Curve for Silu {
    #[inline(always)]
    fn value_and_slope<T: Element>(x: T) -> (T, T) {
        let share = sigmoid(x);
        (x * share, share + cut(x) * share * (T::ONE - share))
    }
}

/// x ← f(x), and nothing else: for evaluation.
pub(crate) fn apply<T: Element, C: Curve>(x: &mut [T], _: C) {
    threads::for_each_chunk(x, PIECE, |_, x| {
        vectorized(
            #[inline(always)]
            || x.iter_mut().for_each(|x| *x = C::value_and_slope(*x).0),
        );
    });
}

/// x ← f(x); returns the slopes f'(x).
pub(crate) fn apply_with_slopes<T: Element, C: Curve>(x: &mut [T], _: C) -> Vec<T> {
    let n = x.len();
    threads::build_beside(n, PIECE, x, PIECE, |_, slopes, x| {
        vectorized(
            #[inline(always)]
            || {
                slopes.extend(x.iter_mut().map(|x| {
                    let (value, slope) = C::value_and_slope(*x);
                    *x = value;
                    slope
                }));
            },
        );
    })
}

/// a·b, element by element.
pub(crate) fn product<T: Element>(a: &[T], b: &[T]) -> Vec<T> {
    threads::build(a.len(), PIECE, |i, piece| {
        let (a, b) = (&a[i * PIECE..], &b[i * PIECE..]);
        vectorized(
            #[inline(always)]
            || piece.extend(a.iter().zip(b).map(|(a, b)| *a * *b)),
        );
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::cpu::erf::erf_f64;

    fn check<C: Curve>(curve: C, exact: fn(f64) -> f64) {
        let x: Vec<f32> = (0..30_011).map(|i| (i as f32 - 15_000.0) * 1e-3).collect();
        let mut y = x.clone();
        let slopes = apply_with_slopes(&mut y, curve);
        for ((x, y), slope) in x.iter().zip(&y).zip(&slopes) {
            let (x, h) = (f64::from(*x), 1e-5);
            let want = exact(x);
            assert!((f64::from(*y) - want).abs() < 3e-7 * x.abs().max(1e-3), "{x}: {y} {want}");
            let want = (exact(x + h) - exact(x - h)) / (2.0 * h);
            // As PyTorch's, it has 1 − σ for a factor, which loses digits.
            assert!((f64::from(*slope) - want).abs() < 2e-6, "{x}: slope {slope} {want}");
        }
        // Far outside nothing leaves the range.
        for x in [1e30f32, f32::MAX] {
            assert_eq!(C::value_and_slope(x), (x, 1.0));
            let (y, slope) = C::value_and_slope(-x);
            assert!(y.abs() <= 1e-12 * x && slope.abs() < 1e-12, "{y} {slope}");
        }
        assert!(C::value_and_slope(f32::NAN).0.is_nan() && C::value_and_slope(f32::NAN).1.is_nan());
    }

    #[test]
    fn values_and_slopes_equal_the_formulas() {
        check(Gelu, |x| {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
        });
        check(GeluErf, |x| 0.5 * x * (1.0 + erf_f64(x * std::f64::consts::FRAC_1_SQRT_2)));
        check(Silu, |x| x / (1.0 + (-x).exp()));
    }
}
