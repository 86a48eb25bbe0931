//! A hash that names a set of weights.

use candle_core::{DType, Result, Tensor};
use sha2::{Digest, Sha256};

/// SHA-256, in hex, over names, shapes and little-endian values in the order given.
///
/// Two runs that agree bit for bit have the same hash. f64 values are hashed as f64, all others as f32
/// (exact for f32, bf16 and f16).
///
/// # Errors
/// A tensor that cannot be copied to the host.
pub fn sha256<'a>(named: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, tensor) in named {
        hash.update(name.as_bytes());
        hash.update([0]);
        for dim in tensor.dims() {
            hash.update((*dim as u64).to_le_bytes());
        }
        hash.update([0]);
        let flat = tensor.flatten_all()?;
        if flat.dtype() == DType::F64 {
            flat.to_vec1::<f64>()?.iter().for_each(|v| hash.update(v.to_le_bytes()));
        } else {
            flat.to_dtype(DType::F32)?.to_vec1::<f32>()?.iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn every_bit_name_and_shape_counts() {
        let tensor = |v: &[f32], shape: (usize, usize)| Tensor::from_slice(v, shape, &Device::Cpu).unwrap();
        let a = tensor(&[1.0, 2.0], (1, 2));
        let base = sha256([("a", &a)]).unwrap();
        assert_eq!(base.len(), 64);
        assert_eq!(sha256([("a", &a.copy().unwrap())]).unwrap(), base);
        assert_ne!(sha256([("b", &a)]).unwrap(), base);
        assert_ne!(sha256([("a", &tensor(&[1.0, 2.0], (2, 1)))]).unwrap(), base);
        assert_ne!(sha256([("a", &tensor(&[1.0, 2.000_000_2], (1, 2)))]).unwrap(), base);
    }
}
