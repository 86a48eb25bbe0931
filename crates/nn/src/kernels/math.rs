//! Functions of f32 that a loop over a slice evaluates in the machine's registers: no branches, no tables, no calls.
//!
//! libm's are as accurate as a number can be, and take ten times as long. f64 stays with these: it serves audits.

/// eˣ: relative error below 1.5e-7 (two units in the last place) where the result is a normal number; 0 and ∞ beyond,
/// NaN for NaN.
///
/// x = n·ln 2 + r with |r| ≤ ½ln 2, and eˣ = 2ⁿ·eʳ; the polynomial for eʳ and the two parts of ln 2 are those of Cephes'
/// `expf` (Moshier 1992).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5·2²³ rounds to a whole number, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // Written so that NaN stays NaN. At the bounds the result is 0 and ∞.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if 89.0 < x { 89.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let p = 1.987_569_1e-4_f32.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_6e-1);
    let p = p.mul_add(r, 0.5);
    let p = p.mul_add(r * r, r) + 1.0;
    // In two factors, since 2¹²⁸ and 2⁻¹⁵⁰ are none.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
    p * power(half) * power(n.wrapping_sub(half))
}

/// 1 − erf(x): relative error below 3e-7 + 1.5e-7·x² where the result is a normal number.
///
/// Press et al., Numerical Recipes in C (2nd ed.), §6.2 `erfcc`: a Chebyshev fit in t = 1/(1 + |x|/2).
#[inline(always)]
pub(crate) fn erfc(x: f32) -> f32 {
    const FIT: [f32; 9] = [
        -0.822_152_26,
        1.488_515_9,
        -1.135_204,
        0.278_868_08,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_95,
        1.000_023_7,
        -1.265_512_2,
    ];
    let z = x.abs();
    let t = 1.0 / 0.5f32.mul_add(z, 1.0);
    let mut fit = 0.170_872_76_f32;
    for c in FIT {
        fit = fit.mul_add(t, c);
    }
    let tail = t * exp((-z).mul_add(z, fit));
    if x < 0.0 { 2.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::vectorized;
    use candle_core::cpu::erf::erfc_f64;

    /// The worst relative error over the numbers `from`, `from` + `step`, … up to `to`.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, (from, to): (f32, f32), n: usize) -> f64 {
        let at = |i: usize| from + (to - from) * (i as f32 / n as f32);
        let error = |x: f32| {
            let want = exact(f64::from(x));
            ((f64::from(f(x)) - want) / want).abs()
        };
        (0..=n).map(|i| error(at(i))).fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_right_to_two_units_in_the_last_place() {
        for range in [(-87.3f32, 88.72f32), (-1.0, 1.0), (-1e-3, 1e-3)] {
            let error = worst(exp, f64::exp, range, 400_000);
            assert!(error < 1.5e-7, "{range:?}: {error:e}");
        }
    }

    #[test]
    fn exp_ends_where_it_should() {
        for x in [0.0f32, -0.0, 1e-40, -1e-40, f32::MIN_POSITIVE] {
            assert_eq!(exp(x), 1.0, "{x:e}");
        }
        for x in [-104.0f32, -1e4, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp(x), 0.0, "{x:e}");
        }
        for x in [88.73f32, 1e4, f32::MAX, f32::INFINITY] {
            assert_eq!(exp(x), f32::INFINITY, "{x:e}");
        }
        assert!(exp(f32::NAN).is_nan());
        // Denormal results are rounded once.
        for x in [-90.0f32, -100.0, -103.0] {
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) - want).abs() <= 1.5e-45, "{x}");
        }
    }

    #[test]
    fn erfc_is_right_to_the_error_it_states() {
        for i in -400..=900 {
            let x = i as f32 * 0.01;
            let want = erfc_f64(f64::from(x));
            let error = ((f64::from(erfc(x)) - want) / want).abs();
            assert!(error < 3e-7 + 1.5e-7 * f64::from(x * x), "{x}: {error:e}");
        }
        assert_eq!([erfc(f32::INFINITY), erfc(f32::NEG_INFINITY), erfc(20.0)], [0.0, 2.0, 0.0]);
        assert!(erfc(f32::NAN).is_nan());
    }

    #[test]
    fn registers_give_the_bits_of_single_numbers() {
        let x: Vec<f32> = (0..1003).map(|i| (i as f32 - 500.0) * 0.2).collect();
        let all: Vec<[f32; 2]> = vectorized(
            #[inline(always)]
            || x.iter().map(|x| [exp(*x), erfc(*x)]).collect(),
        );
        let one: Vec<[f32; 2]> = x.iter().map(|x| [exp(*x), erfc(*x)]).collect();
        assert_eq!(all, one);
    }
}
