//! The symmetric Beta distribution, for mixup.

use super::maths::{exp, ln};
use crate::stream::Stream;

/// Draws from Beta(alpha, alpha), the same on every machine.
pub(super) fn symmetric_beta(stream: &mut Stream, alpha: f64) -> f64 {
    // Both ways reject some pairs; the share that is taken is at least 1/2 for alpha up to 1, and 1/12 for alpha 100.
    loop {
        let (a, b) = (unit(stream), unit(stream));
        if alpha <= 1.0 {
            // Jöhnk (1964): x = a^(1/alpha), y = b^(1/alpha), taken if x + y <= 1, gives x / (x + y). In logarithms,
            // because a small alpha makes both smaller than any number.
            let (x, y) = (ln(a) / alpha, ln(b) / alpha);
            let sum = x.max(y) + ln(1.0 + exp(-(x - y).abs()));
            if sum <= 0.0 {
                return 1.0 / (1.0 + exp(y - x));
            }
        } else if ln(b) <= (alpha - 1.0) * ln(4.0 * a * (1.0 - a)) {
            // The density over its greatest value, which is that at 1/2.
            return a;
        }
    }
}

/// Uniform in (0, 1): neither end, whose logarithms are none.
fn unit(stream: &mut Stream) -> f64 {
    ((stream.bits() >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_variance_and_fourth_moment() {
        for alpha in [0.05, 0.2, 0.4, 1.0, 1.5, 4.0, 32.0] {
            let n = 40_000;
            let draw = |k| symmetric_beta(&mut Stream::new(b"beta test\0\0\0\0\0\0\0", 1, 2, k), alpha);
            let values: Vec<f64> = (0..n).map(draw).collect();
            assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
            let moment = |power: i32| values.iter().map(|x| (x - 0.5).powi(power)).sum::<f64>() / n as f64;
            // With x = (1 + t) / 2: E t^2 = 1 / (2 alpha + 1), E t^4 = 3 / ((2 alpha + 1) (2 alpha + 3)).
            let second = 1.0 / (2.0 * alpha + 1.0) / 4.0;
            let fourth = 3.0 / ((2.0 * alpha + 1.0) * (2.0 * alpha + 3.0)) / 16.0;
            let tolerance = 5.0 / f64::from(n as u32).sqrt();
            assert!(moment(1).abs() < tolerance * second.sqrt(), "{alpha}: mean {}", moment(1));
            let deviation = (fourth - second * second).sqrt();
            assert!((moment(2) - second).abs() < tolerance * deviation, "{alpha}: {} {second}", moment(2));
            assert!((moment(4) - fourth).abs() < tolerance / 16.0, "{alpha}: {} {fourth}", moment(4));
        }
    }
}
