//! Quantiles of the χ² distribution.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::gamma_lr;

/// Above this many degrees of freedom Wilson and Hilferty's (1931) cube is good to 1e-7 relative for tails down to 1e-6.
const CUBE_FROM: f64 = 1e5;

/// The value that a χ² variable of `df` degrees of freedom stays below with probability `p`.
///
/// `None` unless p lies in (0, 1) and df is finite and at least 1. By bisection of the distribution function, because the
/// inverse of statrs 0.19 need not return.
pub(crate) fn chi_square_quantile(p: f64, df: f64) -> Option<f64> {
    if !(p > 0.0 && p < 1.0 && df.is_finite() && df >= 1.0) {
        return None;
    }
    if df > CUBE_FROM {
        let spread = 2.0 / (9.0 * df);
        let z = Normal::standard().inverse_cdf(p);
        return Some(df * (1.0 - spread + z * spread.sqrt()).powi(3));
    }
    let below = |x: f64| gamma_lr(df / 2.0, x / 2.0) < p;
    let mut high = df;
    while below(high) && high < 1e9 {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..STEPS {
        let middle = low + (high - low) / 2.0;
        if middle <= low {
            break;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(high)
}

/// Enough to reach the smallest quantile of one degree of freedom, p² near 1e-30, to full digits.
const STEPS: usize = 160;

#[cfg(test)]
mod tests {
    use super::chi_square_quantile;

    #[test]
    fn matches_the_tables() {
        for (p, df, x) in [
            (0.95, 1.0, 3.841_458_821),
            (0.025, 1.0, 0.000_982_069_117_175),
            (0.975, 10.0, 20.483_177_35),
            (0.025, 29.0, 16.047_071_7),
            (0.5, 100.0, 99.334_129_24),
        ] {
            let found = chi_square_quantile(p, df).unwrap();
            assert!((found / x - 1.0).abs() < 1e-8, "{p} {df} {found}");
        }
    }

    #[test]
    fn the_two_ways_meet() {
        for p in [1e-6, 0.025, 0.5, 0.999] {
            let (below, above) = (chi_square_quantile(p, 1e5), chi_square_quantile(p, 1e5 + 1e-3));
            let (below, above) = (below.unwrap(), above.unwrap());
            assert!((above / below - 1.0).abs() < 1e-7, "{p} {below} {above}");
        }
    }

    #[test]
    fn anything_else_is_no_quantile() {
        for (p, df) in
            [(0.0, 3.0), (1.0, 3.0), (f64::NAN, 3.0), (0.5, 0.5), (0.5, f64::INFINITY), (0.5, f64::NAN)]
        {
            assert_eq!(chi_square_quantile(p, df), None);
        }
        assert!(chi_square_quantile(1e-300, 1.0).is_some_and(|x| x >= 0.0));
        assert!(chi_square_quantile(1.0 - f64::EPSILON, 7.0).is_some_and(f64::is_finite));
    }
}
