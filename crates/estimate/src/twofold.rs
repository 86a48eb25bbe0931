//! Sums carried in two floating-point numbers, so that a difference of near-equal sums keeps its digits.

use std::ops::{Add, Mul, Sub};

/// An unevaluated sum `high + low` with |low| at most half a unit in the last place of `high`: about 106 bits.
///
/// Knuth's two-sum and the product error by fused multiply-add (Ogita, Rump and Oishi 2005, SIAM J. Sci. Comput.
/// 26:1955). Overflow turns into NaN or an infinity, which [`value`](Self::value) passes on for the caller to check.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Twofold {
    high: f64,
    low: f64,
}

impl Twofold {
    /// The exact product of two numbers.
    pub(crate) fn product(a: f64, b: f64) -> Self {
        let high = a * b;
        Self { high, low: a.mul_add(b, -high) }
    }

    /// The nearest single number.
    pub(crate) fn value(self) -> f64 {
        self.high + self.low
    }
}

impl From<f64> for Twofold {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl Add for Twofold {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (sum, error) = two_sum(self.high, other.high);
        let (high, low) = two_sum(sum, error + self.low + other.low);
        Self { high, low }
    }
}

impl Sub for Twofold {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + Self { high: -other.high, low: -other.low }
    }
}

impl Mul for Twofold {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let Self { high, low } = Self::product(self.high, other.high);
        let (high, low) = two_sum(high, low + self.high * other.low + self.low * other.high);
        Self { high, low }
    }
}

fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[cfg(test)]
mod tests {
    use super::Twofold;

    #[test]
    fn keeps_what_one_number_drops() {
        let naive = 1e16 + 1.0 - 1e16;
        let kept = Twofold::from(1e16) + 1.0.into() - 1e16.into();
        assert_eq!((naive, kept.value()), (0.0, 1.0));
        // (2^53 + 1)(2^53 − 1) = 2^106 − 1, of which a single number holds 2^106.
        let two53 = 2f64.powi(53);
        let product = (Twofold::from(two53) + 1.0.into()) * (Twofold::from(two53) - 1.0.into());
        assert_eq!((product - Twofold::product(two53, two53)).value(), -1.0);
    }
}
