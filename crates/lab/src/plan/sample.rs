//! Points spread evenly over several dimensions.

/// Point `index` of the additive recurrence of Roberts (2018, "The unreasonable effectiveness of quasirandom
/// sequences"): multiples, modulo 1, of the inverse powers of the root of x^(d+1) = x + 1, which in any number of
/// dimensions are spread about as evenly as points can be.
pub(super) fn point(dimensions: usize, index: u64) -> Vec<f64> {
    let root = (0..64).fold(2.0_f64, |x, _| (1.0 + x).powf(1.0 / (dimensions as f64 + 1.0)));
    (1..=dimensions as i32).map(|k| (0.5 + root.powi(-k) * (index + 1) as f64).fract()).collect()
}

/// One of `n` by a number from 0 to 1.
pub(super) fn index(share: f64, n: usize) -> usize {
    ((share * n as f64) as usize).min(n.saturating_sub(1))
}

/// Between two ends, evenly or by ratio.
pub(super) fn between(share: f64, from: f64, to: f64, log: bool) -> f64 {
    let value = if log { from * (to / from).powf(share) } else { from + (to - from) * share };
    value.clamp(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_fill_every_cell() {
        // 256 points in 16 cells a side, in each pair of three dimensions: evenly spread ones leave few cells without.
        for pair in [(0, 1), (0, 2), (1, 2)] {
            let mut seen = [false; 64];
            for i in 0..256 {
                let p = point(3, i);
                assert!(p.iter().all(|x| (0.0..1.0).contains(x)));
                seen[index(p[pair.0], 8) * 8 + index(p[pair.1], 8)] = true;
            }
            assert!(60 <= seen.iter().filter(|s| **s).count(), "{pair:?}");
        }
    }

    #[test]
    fn ends_are_kept() {
        assert_eq!(between(0.0, 0.01, 1.0, true), 0.01);
        assert!((between(0.5, 0.01, 1.0, true) - 0.1).abs() < 1e-12);
        assert_eq!(between(0.25, 2.0, 4.0, false), 2.5);
        assert_eq!((index(0.999, 3), index(1.0, 3), index(0.0, 3)), (2, 2, 0));
    }
}
