//! Rounding to bf16, the upper half of an f32, in integers: the same on every machine.

use super::{Element, threads, vectorized};

/// Numbers of a piece of work.
const PIECE: usize = 1 << 14;

/// The bits of the nearest bf16, in the upper half. Ties go to the even one, beyond the largest lies infinity, and a NaN
/// stays one, with the quiet bit set so that it does not lose its last.
#[inline(always)]
fn round_bits(bits: u32) -> u32 {
    let is_nan = 0x7f80_0000 < bits & 0x7fff_ffff;
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (if is_nan { bits | 0x0040_0000 } else { rounded }) & 0xffff_0000
}

/// The nearest bf16 as an f32.
#[inline(always)]
pub(crate) fn round(x: f32) -> f32 {
    f32::from_bits(round_bits(x.to_bits()))
}

/// Rounds all of them where they are: f32 to bf16, f64 not at all.
pub(crate) fn round_all<T: Element>(x: &mut [T]) {
    vectorized(
        #[inline(always)]
        || x.iter_mut().for_each(|x| *x = x.to_bf16()),
    );
}

/// A rounded copy, made by all threads.
pub(crate) fn rounded<T: Element>(x: &[T]) -> Vec<T> {
    threads::build(x.len(), PIECE, |i, piece| {
        let from = &x[i * PIECE..];
        vectorized(
            #[inline(always)]
            || piece.extend(from.iter().map(|x| x.to_bf16())),
        );
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    /// By definition: the nearer of the two neighbours, the even one of both.
    fn by_definition(x: f32) -> f32 {
        if !x.is_finite() {
            return x;
        }
        let below = x.to_bits() & 0xffff_0000;
        let above = below.wrapping_add(0x1_0000);
        // Where the next step would be infinity, IEEE 754 rounds as if the exponents went on.
        let value = |bits: u32| {
            let magnitude = f64::from(f32::from_bits(bits & 0x7fff_ffff));
            if magnitude.is_finite() { magnitude } else { f64::exp2(128.0) }
        };
        let at = f64::from(x.abs());
        let (down, up) = (at - value(below), value(above) - at);
        let is_even = below & 0x1_0000 == 0;
        f32::from_bits(if down < up || (down == up && is_even) { below } else { above })
    }

    #[test]
    fn every_exponent_and_edge_is_rounded_as_defined() {
        let halves = [0, 1, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff];
        for upper in 0..=0xffff_u32 {
            for lower in halves {
                let x = f32::from_bits(upper << 16 | lower);
                let (got, want) = (round(x), by_definition(x));
                if x.is_nan() {
                    assert!(got.is_nan() && got.to_bits() & 0xffff == 0, "{:#x}", x.to_bits());
                } else {
                    assert_eq!(got.to_bits(), want.to_bits(), "{:#x}", x.to_bits());
                }
            }
        }
        assert_eq!(round(f32::MAX), f32::INFINITY);
        assert_eq!(round(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(round(f32::from_bits(0x7f80_0001)).is_nan());
    }

    #[test]
    fn rounding_is_candles_and_within_the_unit_roundoff() -> candle_core::Result<()> {
        let x: Vec<f32> = (0..1_000_000u32).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761))).collect();
        let tensor = candle_core::Tensor::new(x.as_slice(), &candle_core::Device::Cpu)?;
        // By the `half` crate.
        let want = tensor.to_dtype(DType::BF16)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        for (x, want) in x.into_iter().zip(want) {
            assert_eq!(round(x).to_bits(), want.to_bits());
            if x.is_normal() && want.is_finite() {
                // Half of 2⁻⁷, the distance of neighbours from 1 on.
                assert!((f64::from(want) - f64::from(x)).abs() <= f64::exp2(-8.0) * f64::from(x.abs()));
            }
        }
        Ok(())
    }

    #[test]
    fn slices_hold_the_same_numbers() {
        let x: Vec<f32> = (0..100_001).map(|i| (f64::from(i) * 0.37).sin() as f32).collect();
        let copy = rounded(&x);
        let mut in_place = x.clone();
        round_all(&mut in_place);
        for (i, x) in x.iter().enumerate() {
            assert_eq!(
                (copy[i].to_bits(), in_place[i].to_bits()),
                (round(*x).to_bits(), round(*x).to_bits())
            );
        }
        assert_eq!(rounded(&[1.0 + f64::EPSILON]), [1.0 + f64::EPSILON]);
    }
}
