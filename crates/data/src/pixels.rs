//! The normalisation of images of bytes: one mean and one deviation for each channel.

use pulp::Arch;

/// Maps a pixel to `(pixel / 255 - mean) / deviation`, with the mean and the deviation of its channel.
///
/// It is computed as `pixel · scale + shift`: a product and a sum, each rounded to f32 and never fused, so that every
/// machine gives the same bits.
#[derive(Clone, Debug)]
pub struct Normaliser {
    arch: Arch,
    /// Pixels in one channel of an image.
    plane: usize,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Normaliser {
    /// Takes mean and deviation of each channel, exactly: from integer sums over all `pixels`.
    ///
    /// `pixels` are images one after another, each of `[channels, rows, columns] = shape`; a rest that is shorter than an
    /// image is left out. A channel whose pixels are all equal (or that has none) has no deviation; it is divided by 1
    /// instead, so that constant images become zeros rather than NaN, and a model sees that there is nothing in them.
    pub fn fit(pixels: &[u8], shape: [usize; 3]) -> Normaliser {
        let mut sums = PixelSums::new(shape);
        for image in pixels.chunks_exact(sums.image_len().max(1)) {
            sums.add(image);
        }
        sums.normaliser()
    }

    /// The mean of each channel of what it was fitted to, as a fraction of 255.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// What deviations from the mean are divided by, for each channel, as a fraction of 255: the standard deviation, or
    /// 1 where that is 0.
    pub fn deviation(&self) -> &[f64] {
        &self.deviation
    }

    /// Writes the normalised image `pixels`, or its first part, into `out`, which has the same length.
    pub(crate) fn apply(&self, pixels: &[u8], out: &mut [f32]) {
        let plane = self.plane.max(1);
        let channels = self.scale.iter().zip(&self.shift);
        let planes = pixels.chunks(plane).zip(out.chunks_mut(plane)).zip(channels);
        for ((pixels, out), (scale, shift)) in planes {
            self.arch.dispatch(
                #[inline(always)]
                || scale_and_shift(pixels, *scale, *shift, out),
            );
        }
    }

    /// Everything that decides what [`Normaliser::apply`] writes, for a content hash.
    pub(crate) fn bits(&self) -> impl Iterator<Item = u8> {
        self.scale.iter().chain(&self.shift).flat_map(|value| value.to_bits().to_le_bytes())
    }

    /// Channels of the images it was fitted to.
    pub(crate) fn n_channels(&self) -> usize {
        self.scale.len()
    }

    /// Pixels in one channel of the images it was fitted to.
    pub(crate) fn plane(&self) -> usize {
        self.plane
    }
}

// Inlined into each variant of `Arch::dispatch`, where the compiler turns the loop into that variant's vectors.
#[inline(always)]
fn scale_and_shift(pixels: &[u8], scale: f32, shift: f32, out: &mut [f32]) {
    for (pixel, value) in pixels.iter().zip(out) {
        *value = f32::from(*pixel) * scale + shift;
    }
}

/// Exact sums of the pixels of each channel, image after image: a [`Normaliser`] in the making, for sets that are read
/// in a stream.
#[derive(Clone, Debug)]
pub(crate) struct PixelSums {
    arch: Arch,
    plane: usize,
    channels: Vec<ChannelSums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ChannelSums {
    n: u64,
    sum: u64,
    squares: u64,
}

impl PixelSums {
    pub(crate) fn new([n_channels, n_rows, n_columns]: [usize; 3]) -> PixelSums {
        let channels = vec![ChannelSums::default(); n_channels];
        PixelSums { arch: Arch::new(), plane: n_rows * n_columns, channels }
    }

    fn image_len(&self) -> usize {
        self.plane * self.channels.len()
    }

    /// Counts one image in.
    pub(crate) fn add(&mut self, image: &[u8]) {
        for (plane, sums) in image.chunks_exact(self.plane.max(1)).zip(&mut self.channels) {
            let (sum, squares) = self.arch.dispatch(
                #[inline(always)]
                || sum_and_squares(plane),
            );
            sums.n += plane.len() as u64;
            sums.sum += sum;
            sums.squares += squares;
        }
    }

    /// Counts in what another has counted.
    pub(crate) fn merge(&mut self, other: &PixelSums) {
        for (sums, more) in self.channels.iter_mut().zip(&other.channels) {
            sums.n += more.n;
            sums.sum += more.sum;
            sums.squares += more.squares;
        }
    }

    /// The normaliser of everything counted in.
    pub(crate) fn normaliser(&self) -> Normaliser {
        let mut normaliser = Normaliser {
            arch: self.arch,
            plane: self.plane,
            mean: Vec::new(),
            deviation: Vec::new(),
            scale: Vec::new(),
            shift: Vec::new(),
        };
        for ChannelSums { n, sum, squares } in &self.channels {
            // In bytes, not in fractions of 255.
            let mean = *sum as f64 / (*n).max(1) as f64;
            // n * squares - sum^2 is n^2 times the variance, without any rounding before the division.
            let scaled = u128::from(*n) * u128::from(*squares) - u128::from(*sum) * u128::from(*sum);
            let deviation = (scaled as f64).sqrt() / (*n).max(1) as f64;
            let is_constant = deviation == 0.0;
            let deviation = if is_constant { 255.0 } else { deviation };
            let scale = (1.0 / deviation) as f32;
            // A constant channel becomes exactly 0, however its scale was rounded.
            let shift = if is_constant { -(mean as f32 * scale) } else { (-mean / deviation) as f32 };
            normaliser.mean.push(mean / 255.0);
            normaliser.deviation.push(deviation / 255.0);
            normaliser.scale.push(scale);
            normaliser.shift.push(shift);
        }
        normaliser
    }
}

#[inline(always)]
fn sum_and_squares(pixels: &[u8]) -> (u64, u64) {
    // So many squares of a byte fit into u32, and narrow sums make wide vectors.
    const BLOCK: usize = 1 << 16;
    let (mut sum, mut squares) = (0, 0);
    for block in pixels.chunks(BLOCK) {
        let (mut block_sum, mut block_squares) = (0u32, 0u32);
        for pixel in block {
            let pixel = u32::from(*pixel);
            block_sum += pixel;
            block_squares += pixel * pixel;
        }
        sum += u64::from(block_sum);
        squares += u64::from(block_squares);
    }
    (sum, squares)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mean_and_deviation_are_exact() {
        let normaliser = Normaliser::fit(&[0, 255, 0, 255], [1, 1, 2]);
        assert_eq!((normaliser.mean(), normaliser.deviation()), (&[0.5][..], &[0.5][..]));
        let mut out = [0.0; 2];
        normaliser.apply(&[0, 51], &mut out);
        assert_eq!(out[0], -1.0);
        assert!((out[1] + 0.6).abs() < 1e-7);
    }

    #[test]
    fn each_channel_has_its_own() {
        // Two images of two channels of two pixels.
        let pixels = [0, 2, 100, 100, 4, 2, 100, 100];
        let normaliser = Normaliser::fit(&pixels, [2, 1, 2]);
        assert_eq!(normaliser.mean(), [2.0 / 255.0, 100.0 / 255.0]);
        assert_eq!(normaliser.deviation(), [2f64.sqrt() / 255.0, 1.0]);
        let mut out = [f32::NAN; 4];
        normaliser.apply(&pixels[4..], &mut out);
        assert!((f64::from(out[0]) - 2f64.sqrt()).abs() < 1e-6);
        assert!(out[1].abs() < 1e-6);
        assert_eq!(out[2..], [0.0, 0.0]);
    }

    #[test]
    fn constant_and_absent_pixels_stay_finite() {
        for constant in 0..=255u8 {
            let normaliser = Normaliser::fit(&[constant; 9], [1, 3, 3]);
            assert_eq!(normaliser.deviation(), [1.0]);
            let mut out = [f32::NAN; 9];
            normaliser.apply(&[constant; 9], &mut out);
            assert_eq!(out, [0.0; 9]);
        }
        let mut out = [f32::NAN];
        Normaliser::fit(&[], [1, 1, 1]).apply(&[7], &mut out);
        assert!(out[0].is_finite());
        assert!(Normaliser::fit(&[], [0, 0, 0]).mean().is_empty());
    }

    #[test]
    fn sums_do_not_overflow() {
        let white = vec![255; (1 << 17) + 3];
        assert_eq!(sum_and_squares(&white), (255 * white.len() as u64, 65_025 * white.len() as u64));
    }

    proptest! {
        #[test]
        fn vectors_equal_plain_arithmetic_bit_for_bit(
            n_channels in 1usize..4,
            plane in 1usize..200,
            seed in any::<u64>(),
        ) {
            let image_len = n_channels * plane;
            let random = |i: usize| (seed.wrapping_add(i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
            let pixels: Vec<u8> = (0..3 * image_len).map(random).collect();
            let normaliser = Normaliser::fit(&pixels, [n_channels, 1, plane]);
            for channel in 0..n_channels {
                let of_channel = || {
                    let images = pixels.chunks_exact(image_len);
                    images.flat_map(|image| image[channel * plane..][..plane].iter().map(|x| f64::from(*x) / 255.0))
                };
                let n = (3 * plane) as f64;
                let mean = of_channel().sum::<f64>() / n;
                let deviation = (of_channel().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
                prop_assert!((normaliser.mean()[channel] - mean).abs() < 1e-12);
                if 1e-9 < deviation {
                    prop_assert!((normaliser.deviation()[channel] - deviation).abs() < 1e-12);
                }
            }
            let mut out = vec![f32::NAN; image_len];
            normaliser.apply(&pixels[..image_len], &mut out);
            for (k, value) in out.iter().enumerate() {
                let channel = k / plane;
                let (scale, shift) = (normaliser.scale[channel], normaliser.shift[channel]);
                let product = std::hint::black_box(f32::from(pixels[k]) * scale);
                prop_assert_eq!(value.to_bits(), (product + shift).to_bits());
                let exact = (f64::from(pixels[k]) / 255.0 - normaliser.mean()[channel]) / normaliser.deviation()[channel];
                prop_assert!((f64::from(*value) - exact).abs() < 1e-5 * exact.abs().max(10.0));
            }
        }
    }
}
