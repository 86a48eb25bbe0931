//! The normalisation of grey pixels: one mean and one deviation, applied by a table of 256 entries.

/// Maps a grey pixel to `(pixel / 255 - mean) / deviation`.
#[derive(Clone, Debug)]
pub struct Normaliser {
    mean: f64,
    deviation: f64,
    table: [f32; 256],
}

impl Normaliser {
    /// Takes mean and deviation of all `pixels`, exactly: sums of a histogram of 256 counts.
    ///
    /// Pixels that are all equal (or none) have no deviation; they are divided by 1 instead, so that constant
    /// images become zeros rather than NaN, and a model sees that there is nothing in them.
    pub fn fit(pixels: &[u8]) -> Normaliser {
        let mut counts = [0u64; 256];
        for pixel in pixels {
            counts[usize::from(*pixel)] += 1;
        }
        Normaliser::from_counts(&counts)
    }

    /// The mean of the pixels it was fitted to, as a fraction of 255.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// What deviations from the mean are divided by, as a fraction of 255: the standard deviation, or 1 where that
    /// is 0.
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// Writes the normalised `pixels` into `out`, which has the same length.
    pub(crate) fn apply(&self, pixels: &[u8], out: &mut [f32]) {
        for (pixel, value) in pixels.iter().zip(out) {
            *value = self.table[usize::from(*pixel)];
        }
    }

    /// As [`Normaliser::fit`], of how often each pixel value occurs.
    pub(crate) fn from_counts(counts: &[u64; 256]) -> Normaliser {
        let weighted = |weight: fn(u128) -> u128| -> u128 {
            counts.iter().enumerate().map(|(value, n)| weight(value as u128) * u128::from(*n)).sum()
        };
        let (n, sum, squares) = (weighted(|_| 1), weighted(|value| value), weighted(|value| value * value));
        if n == 0 {
            return Normaliser::new(0.0, 1.0);
        }
        // n * squares - sum^2 is n^2 times the variance, without any rounding before the division.
        let scaled_variance = n * squares - sum * sum;
        let mean = sum as f64 / n as f64 / 255.0;
        let deviation = (scaled_variance as f64).sqrt() / n as f64 / 255.0;
        Normaliser::new(mean, if deviation == 0.0 { 1.0 } else { deviation })
    }

    fn new(mean: f64, deviation: f64) -> Normaliser {
        let table = std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - mean) / deviation) as f32);
        Normaliser { mean, deviation, table }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_are_exact() {
        let normaliser = Normaliser::fit(&[0, 255, 0, 255]);
        assert_eq!((normaliser.mean(), normaliser.deviation()), (0.5, 0.5));
        let mut out = [0.0; 3];
        normaliser.apply(&[0, 255, 51], &mut out);
        assert_eq!(out, [-1.0, 1.0, -0.6]);
    }

    #[test]
    fn constant_and_absent_pixels_stay_finite() {
        for pixels in [&[7u8; 9][..], &[]] {
            let normaliser = Normaliser::fit(pixels);
            assert_eq!(normaliser.deviation(), 1.0);
            let mut out = [f32::NAN];
            normaliser.apply(&[7], &mut out);
            assert!(out[0].is_finite());
        }
        let mut out = [f32::NAN];
        Normaliser::fit(&[7; 9]).apply(&[7], &mut out);
        assert_eq!(out, [0.0]);
    }
}
