//! Quantiles of Student's t.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::{beta_reg, ln_beta};

/// Above this many degrees of freedom t and the normal agree to 1e-6.
const NORMAL_FROM: f64 = 1e6;

/// Below this the quantiles leave the range of f64 (and the incomplete beta function its domain).
const FEWEST: f64 = 0.5;

/// Tails beyond this are not told apart: their quantiles leave the range of f64.
const THINNEST_TAIL: f64 = 1e-100;

/// Quantile of Student's t: the value that a t variable stays below with probability `p`.
///
/// `p` in [0, 1] (0 and 1 give −∞ and +∞; closer to them than 1e-100 counts as 1e-100), `degrees_of_freedom` at
/// least 0.5, where +∞ means the normal distribution. Anything else gives NaN.
#[must_use]
pub fn student_t_quantile(p: f64, degrees_of_freedom: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || degrees_of_freedom.is_nan() || degrees_of_freedom < FEWEST {
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
    // 1 − p keeps no digit of an upper tail that p does not have.
    if p < 0.5 { -upper(p, degrees_of_freedom) } else { upper(1.0 - p, degrees_of_freedom) }
}

/// The value t > 0 that a t variable exceeds with probability `tail` < 0.5.
///
/// Newton's method for ln(tail probability) in ln t, held in a bracket that every step shrinks; a fixed number of steps,
/// because the inverse incomplete beta function of statrs 0.19 does not return for some thin tails.
fn upper(tail: f64, df: f64) -> f64 {
    let (mut low, mut high) = (-45.0_f64, 480.0_f64);
    let mut at = 0.0_f64;
    let norm = df.ln() / 2.0 + ln_beta(df / 2.0, 0.5);
    for _ in 0..STEPS {
        let ratio = (2.0 * at - df.ln()).exp();
        let beyond = (0.5 * beta_reg(df / 2.0, 0.5, 1.0 / (1.0 + ratio))).max(f64::MIN_POSITIVE);
        let excess = beyond.ln() - tail.ln();
        if excess > 0.0 {
            low = at
        } else {
            high = at
        }
        let ln_density = -(df + 1.0) / 2.0 * ratio.ln_1p() - norm;
        let step = excess * (beyond.ln() - ln_density - at).exp();
        let next = at + step;
        if step.abs() < 1e-13 {
            break;
        }
        at = if next > low && next < high { next } else { (low + high) / 2.0 };
    }
    at.exp()
}

/// Probability that a t variable exceeds `t`.
///
/// `t` any number (±∞ give 0 and 1), `degrees_of_freedom` at least 0.5, where +∞ means the normal distribution.
/// Anything else gives NaN.
#[must_use]
pub fn student_t_tail(t: f64, degrees_of_freedom: f64) -> f64 {
    if t.is_nan() || degrees_of_freedom.is_nan() || degrees_of_freedom < FEWEST {
        return f64::NAN;
    }
    if degrees_of_freedom > NORMAL_FROM {
        return Normal::standard().sf(t);
    }
    let beyond = 0.5 * beta_reg(degrees_of_freedom / 2.0, 0.5, 1.0 / (1.0 + t * (t / degrees_of_freedom)));
    if t < 0.0 { 1.0 - beyond } else { beyond }
}

/// Newton takes about 8; as many bisections as bring the bracket to 1e-13.
const STEPS: usize = 60;

#[cfg(test)]
mod tests {
    use super::{student_t_quantile, student_t_tail};
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

    #[test]
    fn the_tail_is_the_inverse_of_the_quantile() {
        for (p, df) in [(0.975, 7.0), (0.2, 1.0), (0.5, 3.0), (1e-9, 12.0), (0.9, 1e7)] {
            let tail = student_t_tail(student_t_quantile(p, df), df);
            assert!((tail - (1.0 - p)).abs() < 1e-9, "{p} {df}: {tail}");
        }
        assert_eq!((student_t_tail(f64::INFINITY, 2.0), student_t_tail(f64::NEG_INFINITY, 2.0)), (0.0, 1.0));
        assert_eq!((student_t_tail(f64::MAX, 2.0), student_t_tail(f64::MIN, 1e9)), (0.0, 1.0));
        assert!(student_t_tail(f64::NAN, 3.0).is_nan() && student_t_tail(0.3, 0.0).is_nan());
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
                prop_assert!(!student_t_quantile(q, df).is_nan() || df.is_nan() || df < 0.5, "{q} {df}");
                let found = student_t_quantile(q, ln_df.exp());
                prop_assert!(!found.is_nan() || ln_df.exp() < 0.5, "{q} {}", ln_df.exp());
            }
        }
    }
}
