//! The minimum of a function of one variable.

/// Golden-section minimum of a function with one valley in [`low`, `high`], after `steps` shrinkings by 0.618.
pub(crate) fn golden(mut low: f64, mut high: f64, steps: usize, f: impl Fn(f64) -> f64) -> f64 {
    const SHARE: f64 = 0.618_033_988_749_895;
    let (mut left, mut right) = (high - SHARE * (high - low), low + SHARE * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    for _ in 0..steps {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - SHARE * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + SHARE * (high - low);
            at_right = f(right);
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::golden;

    #[test]
    fn finds_a_valley_wherever_it_lies() {
        for centre in [-3.0, -0.2, 0.0, 1.7, 4.0] {
            let found = golden(-3.0, 4.0, 60, |x: f64| (x - centre).abs());
            assert!((found - centre).abs() < 1e-9, "{found} {centre}");
        }
    }
}
