//! What this machine gives at best in a matrix product.
#![expect(unsafe_code, reason = "the gemm crate takes raw pointers")]

use gemm::Parallelism;
use std::time::Instant;

/// Rows and columns of the matrices.
const SIDE: usize = 2048;
/// Products, of which the fastest counts.
const TRIES: usize = 5;

/// GFLOP/s of an f32 product of two 2048 × 2048 matrices, its rows split over so many threads.
#[must_use]
pub fn gemm_gflops(n_threads: usize) -> f64 {
    let (left, right) = (vec![0.5f32; SIDE * SIDE], vec![0.25f32; SIDE * SIDE]);
    let mut out = vec![0f32; SIDE * SIDE];
    let rows = SIDE.div_ceil(n_threads.max(1));
    let seconds = (0..TRIES).map(|_| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for (out, left) in out.chunks_mut(rows * SIDE).zip(left.chunks(rows * SIDE)) {
                scope.spawn(|| product(out, left, &right));
            }
        });
        start.elapsed().as_secs_f64()
    });
    let fastest = seconds.fold(f64::INFINITY, f64::min);
    std::hint::black_box(&out);
    2.0 * (SIDE as f64).powi(3) / fastest / 1e9
}

/// `out = left·right`, all row-major; `right` is square.
fn product(out: &mut [f32], left: &[f32], right: &[f32]) {
    assert!(out.len() == left.len() && out.len().is_multiple_of(SIDE) && right.len() == SIDE * SIDE);
    // SAFETY: the three hold out.len() / SIDE × SIDE, the same, and SIDE × SIDE numbers, row by row; `out` is borrowed
    // mutably.
    unsafe {
        gemm::gemm(
            out.len() / SIDE,
            SIDE,
            SIDE,
            out.as_mut_ptr(),
            1,
            SIDE as isize,
            false,
            left.as_ptr(),
            1,
            SIDE as isize,
            right.as_ptr(),
            1,
            SIDE as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
