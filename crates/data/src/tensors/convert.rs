//! From the numbers of a file, little-endian, to those of a batch.

use safetensors::Dtype;

use crate::PADDING;

/// Fills `out` from values of another type.
pub(crate) fn convert<A, B>(values: &[A], out: &mut [B], convert: impl Fn(&A) -> B) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = convert(value);
    }
}

/// Fills `out` from bytes of any type that [`super::values::Values::mapped`] allows.
pub(crate) fn f32_from_bytes(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F64 => convert(bytes.as_chunks().0, out, |bytes| f64::from_le_bytes(*bytes) as f32),
        Dtype::F32 => convert(bytes.as_chunks().0, out, |bytes| f32::from_le_bytes(*bytes)),
        Dtype::F16 => convert(bytes.as_chunks().0, out, |bytes| f16_to_f32(u16::from_le_bytes(*bytes))),
        Dtype::BF16 => convert(bytes.as_chunks().0, out, |bytes| bf16_to_f32(u16::from_le_bytes(*bytes))),
        Dtype::I64 => convert(bytes.as_chunks().0, out, |bytes| i64::from_le_bytes(*bytes) as f32),
        Dtype::U64 => convert(bytes.as_chunks().0, out, |bytes| u64::from_le_bytes(*bytes) as f32),
        Dtype::I32 => convert(bytes.as_chunks().0, out, |bytes| i32::from_le_bytes(*bytes) as f32),
        Dtype::U32 => convert(bytes.as_chunks().0, out, |bytes| u32::from_le_bytes(*bytes) as f32),
        Dtype::I16 => convert(bytes.as_chunks().0, out, |bytes| f32::from(i16::from_le_bytes(*bytes))),
        Dtype::U16 => convert(bytes.as_chunks().0, out, |bytes| f32::from(u16::from_le_bytes(*bytes))),
        Dtype::I8 => convert(bytes, out, |byte| f32::from(byte.cast_signed())),
        _ => convert(bytes, out, |byte| f32::from(*byte)),
    }
}

/// Fills `out` from bytes of any integer type; what no u32 holds becomes [`PADDING`], which no limit allows.
pub(crate) fn u32_from_bytes(dtype: Dtype, bytes: &[u8], out: &mut [u32]) {
    let unsigned = |value: u64| u32::try_from(value).unwrap_or(PADDING);
    let signed = |value: i64| u32::try_from(value).unwrap_or(PADDING);
    match dtype {
        Dtype::I64 => convert(bytes.as_chunks().0, out, |bytes| signed(i64::from_le_bytes(*bytes))),
        Dtype::U64 => convert(bytes.as_chunks().0, out, |bytes| unsigned(u64::from_le_bytes(*bytes))),
        Dtype::I32 => convert(bytes.as_chunks().0, out, |bytes| signed(i32::from_le_bytes(*bytes).into())),
        Dtype::U32 => convert(bytes.as_chunks().0, out, |bytes| u32::from_le_bytes(*bytes)),
        Dtype::I16 => convert(bytes.as_chunks().0, out, |bytes| signed(i16::from_le_bytes(*bytes).into())),
        Dtype::U16 => convert(bytes.as_chunks().0, out, |bytes| u32::from(u16::from_le_bytes(*bytes))),
        Dtype::I8 => convert(bytes, out, |byte| signed(byte.cast_signed().into())),
        _ => convert(bytes, out, |byte| u32::from(*byte)),
    }
}

/// The upper half of an f32.
fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The IEEE 754 half-precision number of these bits; every one of them is an f32, too.
fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(bits >> 10) & 0x1f, u32::from(bits & 0x3ff));
    let magnitude = match exponent {
        // 2^-24 each.
        0 => (fraction as f32 * (1.0 / 16_777_216.0)).to_bits(),
        0x1f => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn all_halves_equal_candles() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let halves = Tensor::from_raw_buffer(&bytes, DType::F16, &[1 << 16], &Device::Cpu).unwrap();
        let expected = halves.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        for (bits, expected) in (0..=u16::MAX).zip(expected) {
            let found = f16_to_f32(bits);
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{bits:#x}"
            );
        }
    }
}
