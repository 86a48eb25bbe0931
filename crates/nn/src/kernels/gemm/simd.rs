//! Registers of f32: what the kernels need of a machine, and the plain form that every machine has.
#![expect(unsafe_code, reason = "loads and stores through pointers that the drivers have checked")]

/// Registers of one machine. The functions are inlined into kernels that are compiled for it.
///
/// # Safety
/// All of them: the machine has the registers; a pointer is good for as many numbers as are read or written.
pub(super) trait Simd {
    /// A register.
    type V: Copy;
    /// How many numbers it holds.
    const LANES: usize;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    /// The first `n` < LANES numbers, then zeros.
    unsafe fn load_first(from: *const f32, n: usize) -> Self::V;
    unsafe fn store(to: *mut f32, x: Self::V);
    /// Stores the first `n` < LANES numbers.
    unsafe fn store_first(to: *mut f32, x: Self::V, n: usize);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// a·b + c.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The sum of each of four registers.
    unsafe fn sums(x: [Self::V; 4]) -> [f32; 4];
    /// Turns 8 rows of `8·blocks` numbers into as many rows of 8.
    unsafe fn transpose_8(
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        blocks: usize,
    );
}

/// For machines we know nothing of, and for Miri.
pub(super) struct Plain;

impl Simd for Plain {
    type V = [f32; 4];
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self::V {
        // SAFETY: the caller's promise.
        std::array::from_fn(|i| if i < n { unsafe { *from.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, x: Self::V) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, x: Self::V, n: usize) {
        for (i, x) in x.iter().enumerate().take(n) {
            // SAFETY: the caller's promise.
            unsafe { *to.add(i) = *x };
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Without an instruction for it, a fused multiplication is a call of a slow function.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn sums(x: [Self::V; 4]) -> [f32; 4] {
        x.map(|v| (v[0] + v[2]) + (v[1] + v[3]))
    }
    #[inline(always)]
    unsafe fn transpose_8(
        from: *const f32,
        from_stride: usize,
        to: *mut f32,
        to_stride: usize,
        blocks: usize,
    ) {
        for i in 0..8 * blocks {
            for row in 0..8 {
                // SAFETY: the caller's promise.
                unsafe { *to.add(i * to_stride + row) = *from.add(row * from_stride + i) };
            }
        }
    }
}
