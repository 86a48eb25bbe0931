//! What this machine gives at best in a matrix product.

use candle_core::{DType, Device, Result, Tensor, bail};
use std::time::Instant;

/// Rows and columns of the matrices.
const SIDE: usize = 2048;
/// Products, of which the fastest counts.
const TRIES: usize = 5;

/// GFLOP/s of an f32 product of two 2048 × 2048 matrices by the gemm crate, its rows split over so many threads.
///
/// candle splits a product too, and with `RAYON_NUM_THREADS=1` it does not: the process must have that, or the threads
/// are in each other's way.
///
/// # Errors
/// More threads than rows.
pub fn gemm_gflops(n_threads: usize) -> Result<f64> {
    if !(1..=SIDE).contains(&n_threads) {
        bail!("{n_threads} threads for {SIDE} rows");
    }
    let matrix = |value: f64| Tensor::ones((SIDE, SIDE), DType::F32, &Device::Cpu)? * value;
    let (left, right) = (matrix(0.5)?, matrix(0.25)?);
    let parts = left.chunk(n_threads, 0)?;
    let mut fastest = f64::INFINITY;
    for _ in 0..TRIES {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let products = parts.iter().map(|part| scope.spawn(|| part.matmul(&right)));
            // All of them are started before the first is waited for.
            let products: Vec<_> = products.collect();
            products.into_iter().try_for_each(|product| match product.join() {
                Ok(product) => product.map(drop),
                Err(_) => bail!("a thread has panicked"),
            })
        })?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Ok(2.0 * (SIDE as f64).powi(3) / fastest / 1e9)
}
