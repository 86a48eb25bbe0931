//! The interval of a ratio of two means, which may be open or the whole line (Fieller 1954; theory §1.5).
//!
//! φ is x̄/ȳ, and ȳ, the mean of 𝒢, may well be 0 within its error. No interval that is centred on x̄/ȳ can be honest
//! then. Fieller's asks of every φ whether x̄−φȳ is 0 within *its* error, which is a plain t test; the φ that pass are
//! the interval. It is nominal at any strength of the signal, and open at the top exactly where ȳ is not separated
//! from 0. What it assumes: independent pairs with means near normal. Along a trajectory pairs are correlated:
//! [`blocks`](crate::blocks).
//!
//! ```
//! use batchwise_estimate::fieller::{Ratio, fieller};
//! // Theory §9.1.
//! let tr_sigma = [120.0, 80.0, 150.0, 60.0, 110.0, 90.0, 130.0, 100.0];
//! let g2 = [0.9, 1.2, 0.4, 1.1, 0.8, 1.3, 0.7, 1.0];
//! let Ratio::Measured { value, low, high } = fieller(&tr_sigma, &g2, 0.95) else { panic!("a clear signal") };
//! assert_eq!((value.round(), low.round(), high.round()), (114.0, 70.0, 186.0));
//! // The same noise about a tenth of the signal: a bound, and no number.
//! let weak = g2.map(|g2| g2 - 0.85);
//! assert_eq!(fieller(&tr_sigma, &weak, 0.95).value(), None);
//! assert!(fieller(&tr_sigma, &weak, 0.95).low().is_some_and(|low| low > 200.0));
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

pub use crate::student::{student_t_quantile, student_t_tail};

/// Outcome of a ratio of means: a type that cannot be read as a number by mistake.
///
/// Unit and meaning are the caller's: examples for a noise scale. All numbers inside are finite.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "grade", rename_all = "snake_case"))]
pub enum Ratio {
    /// The denominator is separated from 0, so the interval is bounded.
    Measured {
        /// Ratio of the two means, at least 0.
        value: f64,
        /// Lower end, clamped at 0 (a noise scale is never negative): 0 says that the numerator is not significant.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// The denominator may be 0: the ratio is bounded from below only.
    LowerBound {
        /// The bound, above 0.
        low: f64,
    },
    /// Neither part is separated from 0: every ratio agrees with the data.
    WholeLine,
    /// The data do not define a ratio.
    NotIdentified {
        /// What is missing, as a lower-case clause.
        why: String,
    },
}

impl Ratio {
    /// Name of the outcome, the same as the stored tag: `measured`, `lower_bound`, `whole_line` or `not_identified`.
    #[must_use]
    pub fn grade(&self) -> &'static str {
        match self {
            Self::Measured { .. } => "measured",
            Self::LowerBound { .. } => "lower_bound",
            Self::WholeLine => "whole_line",
            Self::NotIdentified { .. } => "not_identified",
        }
    }

    /// The point estimate, where one may be published.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Measured { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// The lower end of the interval, where there is one.
    #[must_use]
    pub fn low(&self) -> Option<f64> {
        match self {
            Self::Measured { low, .. } | Self::LowerBound { low } => Some(*low),
            _ => None,
        }
    }

    /// The upper end of the interval, where there is one.
    #[must_use]
    pub fn high(&self) -> Option<f64> {
        match self {
            Self::Measured { high, .. } => Some(*high),
            _ => None,
        }
    }

    /// Whether the interval, with its open ends, holds `truth`; the whole line holds everything. `None` where nothing was
    /// identified.
    #[must_use]
    pub fn holds(&self, truth: f64) -> Option<bool> {
        match self {
            Self::NotIdentified { .. } => None,
            _ => Some(
                self.low().is_none_or(|low| low <= truth) && self.high().is_none_or(|high| truth <= high),
            ),
        }
    }

    /// The outcome without a number, and the reason.
    #[must_use]
    pub fn not_identified(why: impl Into<String>) -> Self {
        Self::NotIdentified { why: why.into() }
    }
}

/// Fieller interval of mean(`numerator`)/mean(`denominator`) over paired, independent measurements.
///
/// `confidence` in (0, 1), two-sided; the quantile is Student's t with n−1 degrees of freedom (n pairs). Sampling
/// error only. Never fails: what cannot be answered is [`Ratio::NotIdentified`].
#[must_use]
pub fn fieller(numerator: &[f64], denominator: &[f64], confidence: f64) -> Ratio {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Ratio::not_identified(format!("the confidence must lie between 0 and 1, not {confidence}"));
    }
    let df = numerator.len().saturating_sub(1) as f64;
    if df < 1.0 {
        return Ratio::not_identified(too_few(numerator.len()));
    }
    fieller_with_quantile(numerator, denominator, student_t_quantile(0.5 + confidence / 2.0, df))
}

/// [`fieller`] with the quantile given: all φ with (x̄−φȳ)² ≤ t²(v_xx−2φv_xy+φ²v_yy) (theory §1.5).
///
/// With A=ȳ²−t²v_yy, B=x̄ȳ−t²v_xy, C=x̄²−t²v_xx: A>0 and ȳ>0 give a bounded interval; A≤0 and C>0 the larger root
/// as a lower bound; both ≤0 the whole line. Golden values: theory §9.1.
#[must_use]
pub fn fieller_with_quantile(numerator: &[f64], denominator: &[f64], t: f64) -> Ratio {
    let moments = match Moments::of(numerator, denominator) {
        Ok(moments) => moments,
        Err(why) => return Ratio::NotIdentified { why },
    };
    if !(t.is_finite() && t >= 0.0) {
        return Ratio::not_identified("the quantile is not a finite number of at least 0");
    }
    let Moments { x, y, v_xx, v_yy, v_xy, scale } = moments;
    let t2 = t * t;
    let (a, b, c) = (y * y - t2 * v_yy, x * y - t2 * v_xy, x * x - t2 * v_xx);
    // The larger of b/a-type and c/b-type roots without cancellation: q carries the sign of b.
    let q = b + b.signum() * (b * b - a * c).max(0.0).sqrt();
    let roots = || if q == 0.0 { (0.0, 0.0) } else { (q / a, c / q) };
    if a > 0.0 && y > 0.0 {
        let (r1, r2) = roots();
        return measured(x / y * scale, r1.min(r2) * scale, r1.max(r2) * scale);
    }
    if a > 0.0 || (v_yy <= 0.0 && y <= 0.0) {
        return Ratio::not_identified("the mean of the denominator is not positive");
    }
    if c <= 0.0 {
        return Ratio::WholeLine;
    }
    if x <= 0.0 {
        return Ratio::not_identified("the mean of the numerator is not positive");
    }
    let (r1, r2) = roots();
    let low = r1.max(r2) * scale;
    // a = 0 exactly with b < 0, or a bound beyond the range of f64: nothing finite can be said.
    if low.is_finite() && low > 0.0 { Ratio::LowerBound { low } } else { Ratio::WholeLine }
}

/// Delta-method interval, symmetric about the value: (value, low, high), φ̂(1±t√(v_xx/x̄²+v_yy/ȳ²−2v_xy/(x̄ȳ))).
///
/// Known to fail: it holds where the relative standard error of the denominator is 0.15 or less, and covers 0.83 in
/// place of 0.95 where the signal is weak (φ = 2000, B = 128, K = 30; theory §1.5; 0.88 in the tests of this crate,
/// with another spectrum of the noise). It is here for comparison with published numbers; decide with [`fieller`]. `None` unless both means
/// differ from 0 and there are at least 2 finite pairs. The ends may be negative.
#[must_use]
pub fn delta(numerator: &[f64], denominator: &[f64], t: f64) -> Option<(f64, f64, f64)> {
    let moments = Moments::of(numerator, denominator).ok()?;
    let (value, half) = (moments.value()?, t.abs() * moments.relative_error()?);
    finite(value, value - value.abs() * half, value + value.abs() * half)
}

/// Delta-method interval on the log scale: (value, low, high), φ̂·exp(±t√(v_xx/x̄²+v_yy/ȳ²−2v_xy/(x̄ȳ))), theory §1.5.
///
/// For display only, and only where the relative standard error of the denominator is below 0.2; it under-covers
/// when the denominator is weak (0.93 at φ = 2000, B = 128, K = 30 on the theory page, 0.88 to 0.90 in the tests of this
/// crate). `None` unless both means are positive and there are at least 2 finite pairs.
#[must_use]
pub fn log_delta(numerator: &[f64], denominator: &[f64], t: f64) -> Option<(f64, f64, f64)> {
    let moments = Moments::of(numerator, denominator).ok()?;
    if moments.x <= 0.0 || moments.y <= 0.0 {
        return None;
    }
    let (value, half) = (moments.value()?, t.abs() * moments.relative_error()?);
    finite(value, value * (-half).exp(), value * half.exp())
}

fn finite(value: f64, low: f64, high: f64) -> Option<(f64, f64, f64)> {
    (value.is_finite() && low.is_finite() && high.is_finite()).then_some((value, low, high))
}

/// Means, and (co)variances of the means, of both parts divided by their largest absolute value.
struct Moments {
    x: f64,
    y: f64,
    v_xx: f64,
    v_yy: f64,
    v_xy: f64,
    /// Factor that takes a ratio of the divided parts back to the caller's units.
    scale: f64,
}

impl Moments {
    /// x̄/ȳ in the caller's units.
    fn value(&self) -> Option<f64> {
        (self.y != 0.0).then(|| self.x / self.y * self.scale)
    }

    /// Relative standard error of the ratio to first order.
    fn relative_error(&self) -> Option<f64> {
        let Self { x, y, v_xx, v_yy, v_xy, .. } = *self;
        (x != 0.0 && y != 0.0)
            .then(|| (v_xx / (x * x) + v_yy / (y * y) - 2.0 * v_xy / (x * y)).max(0.0).sqrt())
    }

    fn of(numerator: &[f64], denominator: &[f64]) -> Result<Self, String> {
        let n = numerator.len();
        if n != denominator.len() {
            return Err(format!("{n} numerators are paired with {} denominators", denominator.len()));
        }
        if n < 2 {
            return Err(too_few(n));
        }
        if !numerator.iter().chain(denominator).all(|v| v.is_finite()) {
            return Err("a measurement is not finite".to_owned());
        }
        let largest = |v: &[f64]| v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let (sx, sy) = (largest(numerator), largest(denominator));
        if sy == 0.0 {
            return Err("every denominator is 0".to_owned());
        }
        if sx == 0.0 {
            return Err("every numerator is 0".to_owned());
        }
        let count = n as f64;
        let x = numerator.iter().map(|v| v / sx).sum::<f64>() / count;
        let y = denominator.iter().map(|v| v / sy).sum::<f64>() / count;
        let (mut v_xx, mut v_yy, mut v_xy) = (0.0, 0.0, 0.0);
        for (xi, yi) in numerator.iter().zip(denominator) {
            let (dx, dy) = (xi / sx - x, yi / sy - y);
            v_xx += dx * dx;
            v_yy += dy * dy;
            v_xy += dx * dy;
        }
        let divisor = count * (count - 1.0);
        Ok(Self { x, y, v_xx: v_xx / divisor, v_yy: v_yy / divisor, v_xy: v_xy / divisor, scale: sx / sy })
    }
}

pub(crate) fn measured(value: f64, low: f64, high: f64) -> Ratio {
    if !(value.is_finite() && low.is_finite() && high.is_finite()) {
        return Ratio::not_identified("the ratio is beyond the range of floating point numbers");
    }
    if high <= 0.0 {
        return Ratio::not_identified("the numerator is significantly negative");
    }
    // Rounding may leave an end on the wrong side of the value when the spread is 0.
    let value = value.max(0.0);
    Ratio::Measured { value, low: low.max(0.0).min(value), high: high.max(value) }
}

fn too_few(found: usize) -> String {
    format!("{found} measurements, at least 2 are needed")
}
