//! Quantiles of Student's t.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Above this many degrees of freedom t and the normal agree to 1e-6.
const NORMAL_FROM: f64 = 1e6;

/// Below this the quantiles leave the range of f64 (and the incomplete beta function its domain).
const FEWEST: f64 = 0.5;

/// Tails beyond this are not told apart.
const THINNEST_TAIL: f64 = 1e-100;

/// Quantile of Student's t: the value that a t variable stays below with probability `p`.
///
/// `p` in [0, 1] (0 and 1 give −∞ and +∞; closer to them than 1e-100 counts as 1e-100), `degrees_of_freedom` at
/// least 0.5, where +∞ means the normal distribution. Anything else gives NaN.
#[must_use]
pub fn student_t_quantile(p: f64, degrees_of_freedom: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || !(degrees_of_freedom >= FEWEST) {
        return f64::NAN;
    }
    if p == 0.0 || p == 1.0 {
        return if p == 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let p = p.max(THINNEST_TAIL);
    if p == 0.5 {
        return 0.0;
    }
    if degrees_of_freedom > NORMAL_FROM {
        return Normal::standard().inverse_cdf(p);
    }
    match StudentsT::new(0.0, 1.0, degrees_of_freedom) {
        Ok(t) => t.inverse_cdf(p),
        Err(_) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::student_t_quantile;
    use proptest::prelude::*;

    #[test]
    fn matches_the_tables() {
        for (p, df, t) in [
            (0.975, 7.0, 2.364_624_252),
            (0.95, 4.0, 2.131_846_786),
            (0.95, 8.0, 1.859_548_038),
            (0.975, 1.0, 12.706_204_736),
            (0.975, f64::INFINITY, 1.959_963_985),
        ] {
            assert!((student_t_quantile(p, df) / t - 1.0).abs() < 1e-7, "p {p}, df {df}");
            assert!((student_t_quantile(1.0 - p, df) / t + 1.0).abs() < 1e-7, "p {p}, df {df}");
        }
        assert!(student_t_quantile(f64::NAN, 3.0).is_nan() && student_t_quantile(0.3, -1.0).is_nan());
    }

    proptest! {
        #[test]
        fn never_panics_and_grows_with_p(p in 1e-12f64..0.999, df in 0.5f64..1e7) {
            let (low, high) = (student_t_quantile(p, df), student_t_quantile(p + 1e-3, df));
            prop_assert!(high > low, "{low} {high}");
        }
        #[test]
        fn survives_anything(p in any::<f64>(), df in any::<f64>(), tail in -330.0f64..0.0, ln_df in -2.0f64..20.0) {
            let _ = student_t_quantile(p, df);
            for q in [p.abs().min(1.0), 10f64.powf(tail), 1.0 - 10f64.powf(tail), 0.5 + 10f64.powf(tail) / 2.0] {
                prop_assert!(!student_t_quantile(q, df).is_nan() || !(df >= 0.5), "{q} {df}");
                let found = student_t_quantile(q, ln_df.exp());
                prop_assert!(!found.is_nan() || ln_df.exp() < 0.5, "{q} {}", ln_df.exp());
            }
        }
    }
}
