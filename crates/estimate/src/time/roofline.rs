//! The batch from which a matrix product is bound by arithmetic instead of by memory.

/// Floating point operations per byte moved of the product (B×I)·(I×O): 2BIO over s(BI+IO+BO) (theory §7; the roofline
/// of Williams, Waterman and Patterson 2009).
///
/// `batch`, `inputs`, `outputs`: B, I, O, above 0; `bytes_per_number`: s, 4 for f32 and 2 for bf16. Each matrix is moved
/// once: a lower bound of the traffic, so an upper bound of the intensity. For B far below I and O it is 2B/s. 0 where
/// an argument is not a finite number above 0.
///
/// ```
/// use batchwise_estimate::time::matmul_intensity;
/// // B ≪ I, O: about half an operation per byte and example in f32.
/// assert!((matmul_intensity(8.0, 4096.0, 4096.0, 4.0) / 4.0 - 1.0).abs() < 0.01);
/// ```
#[must_use]
pub fn matmul_intensity(batch: f64, inputs: f64, outputs: f64, bytes_per_number: f64) -> f64 {
    if ![batch, inputs, outputs, bytes_per_number].iter().all(|v| v.is_finite() && *v > 0.0) {
        return 0.0;
    }
    // Divided by BIO, so that nothing overflows.
    let moved = bytes_per_number * (1.0 / outputs + 1.0 / batch + 1.0 / inputs);
    if moved.is_finite() { (2.0 / moved).min(f64::MAX) } else { 0.0 }
}

/// The ridge: the batch B at which [`matmul_intensity`] reaches `flops_per_second`/`bytes_per_second` of the device.
///
/// rs/(2 − rs(1/I+1/O)) with r that ratio and s `bytes_per_number`; for I and O far above it about rs/2, which is 2r in
/// f32 and r in bf16 (theory §7). `None` where no batch reaches it, because the layer is too small (rs(1/I+1/O) ≥ 2), or
/// where an argument is not a finite number above 0. Below the ridge a step takes the same time at every batch.
///
/// ```
/// use batchwise_estimate::time::ridge_batch;
/// // 100 GFLOP/s and 20 GB/s: about 2·100/20 = 10 examples in f32, half of it in bf16.
/// let f32s = ridge_batch(1e11, 2e10, 4096.0, 4096.0, 4.0).unwrap();
/// let bf16 = ridge_batch(1e11, 2e10, 4096.0, 4096.0, 2.0).unwrap();
/// assert!((f32s - 10.0).abs() < 0.1 && (bf16 - 5.0).abs() < 0.1);
/// assert_eq!(ridge_batch(1e12, 2e10, 64.0, 64.0, 4.0), None);
/// ```
#[must_use]
pub fn ridge_batch(
    flops_per_second: f64,
    bytes_per_second: f64,
    inputs: f64,
    outputs: f64,
    bytes_per_number: f64,
) -> Option<f64> {
    let all = [flops_per_second, bytes_per_second, inputs, outputs, bytes_per_number];
    if !all.iter().all(|v| v.is_finite() && *v > 0.0) {
        return None;
    }
    let needed = flops_per_second / bytes_per_second * bytes_per_number;
    let left = 2.0 - needed * (1.0 / inputs + 1.0 / outputs);
    let ridge = needed / left;
    (left > 0.0 && ridge.is_finite()).then_some(ridge)
}
