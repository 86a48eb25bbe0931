//! Logarithm and exponential of f64 from `+ - * /` alone, which IEEE 754 fixes to the last bit: those of the standard
//! library differ from system to system.

const LN_2: f64 = std::f64::consts::LN_2;

/// The natural logarithm of a finite number of at least 2^-1022.
pub(super) fn ln(x: f64) -> f64 {
    debug_assert!(f64::MIN_POSITIVE <= x && x.is_finite());
    let bits = x.to_bits();
    // x = m 2^e with m in [1, 2), then m in about [0.7, 1.4).
    let mut e = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if std::f64::consts::SQRT_2 < m {
        m /= 2.0;
        e += 1;
    }
    // ln m = 2 artanh s, with |s| < 0.172: twelve terms leave less than 1e-19.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..12).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    2.0 * s * series + e as f64 * LN_2
}

/// The exponential function; 0 below -700, where nothing that is added to 1 shows.
pub(super) fn exp(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    // x = k ln 2 + r with |r| <= 0.35: fourteen terms leave less than 1e-17.
    let k = (x / LN_2).round();
    let r = x - k * LN_2;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    series * f64::from_bits(((k as i64 + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_agree_with_the_standard_library() {
        for k in 1..20_000 {
            let x = f64::from(k) / 137.0;
            assert!((ln(x) - x.ln()).abs() <= 1e-15 * x.ln().abs().max(1.0), "ln {x}");
            let small = 1.0 / (f64::from(k) * f64::from(k) * 1e7);
            assert!((ln(small) - small.ln()).abs() <= 1e-15 * small.ln().abs(), "ln {small}");
            let y = 10.0 - x;
            assert!((exp(y) - y.exp()).abs() <= 4e-15 * y.abs().max(1.0) * y.exp(), "exp {y}");
        }
        assert_eq!((ln(1.0), exp(0.0), exp(-1e9)), (0.0, 1.0, 0.0));
        assert!(exp(1e9).is_finite());
    }
}
