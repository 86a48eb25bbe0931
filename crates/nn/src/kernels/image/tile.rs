//! The inner loops of convolutions: a tile of pixels by channels that stays in the registers.
#![expect(unsafe_code, reason = "inner loops on raw pointers; the callers check the bounds")]
#![expect(clippy::needless_range_loop, reason = "a tile's sums and pointers share their numbers")]

use pulp::{Simd, WithSimd};
use std::array;

/// Numbers that lie one after the other in the input, from `offset` behind the first number of a pixel's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) offset: usize,
    pub(super) len: usize,
}

/// The vectors of channels a machine's tile is wide, at most.
pub(super) const MAX_VECTORS: usize = 2;

/// Numbers in a register of this machine.
pub(super) fn n_lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    pulp::Arch::new().dispatch(Lanes)
}

/// Pixels, or taps, of a tile `vectors` wide: as many as leave a register for each vector of weights and one to spare.
#[inline(always)]
fn max_tile<S: Simd>(vectors: usize) -> usize {
    match (32 <= S::REGISTER_COUNT, vectors) {
        (true, 1) => 16,
        (true, _) => 12,
        (false, 1) => 12,
        (false, _) => 6,
    }
}

/// One row of output pixels: `out[x][c] = start[c] + Σ input·weight` over the runs.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) runs: &'a [Run],
    /// From the first number of the first pixel's window.
    pub(super) input: &'a [f32],
    /// Numbers from a pixel's window to the next one's.
    pub(super) input_step: usize,
    /// For each vector group of channels the weights of all runs, [`MAX_VECTORS`] registers wide (the last group may be
    /// one), filled up with zeros.
    pub(super) weights: &'a [f32],
    /// What the sums start from; filled up with zeros to whole registers.
    pub(super) start: &'a [f32],
    pub(super) channels: usize,
    pub(super) pixels: usize,
    /// Numbers from an output pixel to the next.
    pub(super) out_step: usize,
    pub(super) relu: bool,
}

/// Computes a row of pixels into `out`, which begins at its first pixel.
pub(super) fn row(row: Row<'_>, out: &mut [f32]) {
    let n: usize = row.runs.iter().map(|run| run.len).sum();
    let lanes = n_lanes();
    let padded = row.channels.next_multiple_of(lanes);
    if row.pixels == 0 || row.channels == 0 {
        return;
    }
    let last = (row.pixels - 1) * row.input_step;
    assert!(
        row.runs.iter().all(|run| last + run.offset + run.len <= row.input.len()),
        "windows lie in the input"
    );
    assert!(n * padded <= row.weights.len() && padded <= row.start.len(), "weights for all channels");
    assert!((row.pixels - 1) * row.out_step + row.channels <= out.len(), "pixels lie in the output");
    struct Work<'a>(Row<'a>, usize, *mut f32);
    impl WithSimd for Work<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(row, n, out) = self;
            let width = S::F32_LANES;
            let n_vectors = row.channels.div_ceil(width);
            let mut vector = 0;
            while vector < n_vectors {
                let vectors = MAX_VECTORS.min(n_vectors - vector);
                let first = vector * width;
                let tiles = row.pixels.div_ceil(max_tile::<S>(vectors));
                // SAFETY: `row()` has checked all bounds against the whole row; the tiles cover it.
                unsafe {
                    let weights = row.weights.as_ptr().add(first * n);
                    for tile in 0..tiles {
                        // Tiles of nearly one size: small ones keep the processor waiting.
                        let from = tile * row.pixels / tiles;
                        let pixels = (tile + 1) * row.pixels / tiles - from;
                        let input = row.input.as_ptr().add(from * row.input_step);
                        let out = out.add(from * row.out_step + first);
                        let at = At { row: &row, first, input, weights, out };
                        if vectors == 1 {
                            pixels_by_one::<S>(simd, pixels, at);
                        } else {
                            pixels_by_two::<S>(simd, pixels, at);
                        }
                    }
                }
                vector += vectors;
            }
        }
    }
    pulp::Arch::new().dispatch(Work(row, n, out.as_mut_ptr()));
}

/// One tile of a row.
#[derive(Clone, Copy)]
struct At<'a> {
    row: &'a Row<'a>,
    first: usize,
    input: *const f32,
    weights: *const f32,
    out: *mut f32,
}

macro_rules! by_size {
    ($name:ident, $tile:ident, $vectors:literal, $at:ty, $($size:literal)*) => {
        #[inline(always)]
        unsafe fn $name<S: Simd>(simd: S, size: usize, at: $at) {
            match size {
                // SAFETY: the caller's promise is passed on.
                $($size => unsafe { $tile::<S, $size, $vectors>(simd, at) },)*
                _ => unreachable!("no tile is larger"),
            }
        }
    };
}

by_size!(pixels_by_one, pixels, 1, At<'_>, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
by_size!(pixels_by_two, pixels, 2, At<'_>, 1 2 3 4 5 6 7 8 9 10 11 12);

/// `P` pixels of `V` vectors of channels.
#[inline(always)]
unsafe fn pixels<S: Simd, const P: usize, const V: usize>(simd: S, at: At<'_>) {
    let At { row, first, input, mut weights, out } = at;
    // SAFETY: the bounds are checked in `row()`.
    unsafe {
        let start: [S::f32s; V] =
            array::from_fn(|v| load::<S>(row.start.as_ptr().add(first + v * S::F32_LANES)));
        let mut sums = [start; P];
        let step = row.input_step;
        for run in row.runs {
            let mut x = input.add(run.offset);
            for _ in 0..run.len {
                let w: [S::f32s; V] = array::from_fn(|v| load::<S>(weights.add(v * S::F32_LANES)));
                for p in 0..P {
                    let x = simd.splat_f32s(*x.add(p * step));
                    for v in 0..V {
                        sums[p][v] = simd.mul_add_e_f32s(w[v], x, sums[p][v]);
                    }
                }
                x = x.add(1);
                weights = weights.add(V * S::F32_LANES);
            }
        }
        if row.relu {
            let zero = simd.splat_f32s(0.0);
            for sums in &mut sums {
                for sum in sums {
                    // As it says, so that a NaN stays one.
                    *sum = simd.select_f32s(simd.less_than_or_equal_f32s(*sum, zero), zero, *sum);
                }
            }
        }
        for p in 0..P {
            for v in 0..V {
                let at = out.add(p * row.out_step + v * S::F32_LANES);
                store(simd, at, row.channels - first - v * S::F32_LANES, sums[p][v]);
            }
        }
    }
}

#[inline(always)]
unsafe fn load<S: Simd>(at: *const f32) -> S::f32s {
    // SAFETY: the caller promises a register full of numbers.
    unsafe { at.cast::<S::f32s>().read_unaligned() }
}

/// Stores the first `left` numbers of a register, or all.
#[inline(always)]
unsafe fn store<S: Simd>(simd: S, at: *mut f32, left: usize, value: S::f32s) {
    // SAFETY: the caller promises room for so many.
    unsafe {
        if S::F32_LANES <= left {
            at.cast::<S::f32s>().write_unaligned(value);
        } else {
            simd.partial_store_f32s(std::slice::from_raw_parts_mut(at, left), value);
        }
    }
}

/// The gradient of a kernel from one example, `grad[j][c] (+)= Σ input[window of the pixel + j]·dz[pixel][c]` over its
/// pixels, for the numbers j of one run.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub(super) run: Run,
    /// From the first number of the first pixel's window.
    pub(super) input: &'a [f32],
    /// Numbers from a pixel's window to the next one's, along a row and from row to row.
    pub(super) input_steps: [usize; 2],
    /// The gradient of the output, from its first pixel.
    pub(super) dz: &'a [f32],
    /// Numbers from a pixel to the next, along a row and from row to row.
    pub(super) dz_steps: [usize; 2],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) channels: usize,
    /// Whether to add to what there is.
    pub(super) accumulate: bool,
}

/// Computes the rows of a run into `grad`, each `channels` wide.
pub(super) fn taps(taps: Taps<'_>, grad: &mut [f32]) {
    let Taps { run, input_steps, dz_steps, rows, columns, channels, .. } = taps;
    if channels == 0 || run.len == 0 {
        return;
    }
    assert!(run.len * channels <= grad.len(), "the run's rows fit");
    if rows == 0 || columns == 0 {
        if !taps.accumulate {
            grad[..run.len * channels].fill(0.0);
        }
        return;
    }
    let last = |steps: [usize; 2]| (rows - 1) * steps[1] + (columns - 1) * steps[0];
    assert!(last(input_steps) + run.offset + run.len <= taps.input.len(), "windows lie in the input");
    assert!(last(dz_steps) + channels <= taps.dz.len(), "pixels lie in the gradient");
    struct Work<'a>(Taps<'a>, *mut f32);
    impl WithSimd for Work<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(taps, grad) = self;
            let width = S::F32_LANES;
            // A partial register at the end is read through a copy, one channel block at a time.
            let whole = taps.channels / width;
            let mut vector = 0;
            while vector * width < taps.channels {
                let vectors = if vector < whole { MAX_VECTORS.min(whole - vector) } else { 1 };
                let first = vector * width;
                let tiles =
                    taps.run.len.div_ceil(if vectors == 1 { max_tile::<S>(1) } else { max_tile::<S>(2) });
                for tile in 0..tiles {
                    let from = tile * taps.run.len / tiles;
                    let n = (tile + 1) * taps.run.len / tiles - from;
                    // SAFETY: `taps()` has checked all bounds; the tiles cover the run.
                    unsafe {
                        let at =
                            TapsAt { taps: &taps, first, from, grad: grad.add(from * taps.channels + first) };
                        match (vector < whole, vectors) {
                            (false, _) => partial_taps(simd, n, at),
                            (true, 1) => taps_by_one::<S>(simd, n, at),
                            (true, _) => taps_by_two::<S>(simd, n, at),
                        }
                    }
                }
                vector += vectors;
            }
        }
    }
    pulp::Arch::new().dispatch(Work(taps, grad.as_mut_ptr()));
}

#[derive(Clone, Copy)]
struct TapsAt<'a> {
    taps: &'a Taps<'a>,
    first: usize,
    from: usize,
    grad: *mut f32,
}

by_size!(taps_by_one, some_taps, 1, TapsAt<'_>, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
by_size!(taps_by_two, some_taps, 2, TapsAt<'_>, 1 2 3 4 5 6 7 8 9 10 11 12);

/// `T` taps of `V` whole vectors of channels.
#[inline(always)]
unsafe fn some_taps<S: Simd, const T: usize, const V: usize>(simd: S, at: TapsAt<'_>) {
    let TapsAt { taps, first, from, grad } = at;
    // SAFETY: the bounds are checked in `taps()`.
    unsafe {
        let mut sums = [[simd.splat_f32s(0.0); V]; T];
        for row in 0..taps.rows {
            let mut x = taps.input.as_ptr().add(taps.run.offset + from + row * taps.input_steps[1]);
            let mut dz = taps.dz.as_ptr().add(first + row * taps.dz_steps[1]);
            for _ in 0..taps.columns {
                let d: [S::f32s; V] = array::from_fn(|v| load::<S>(dz.add(v * S::F32_LANES)));
                for t in 0..T {
                    let x = simd.splat_f32s(*x.add(t));
                    for v in 0..V {
                        sums[t][v] = simd.mul_add_e_f32s(d[v], x, sums[t][v]);
                    }
                }
                x = x.wrapping_add(taps.input_steps[0]);
                dz = dz.wrapping_add(taps.dz_steps[0]);
            }
        }
        for t in 0..T {
            for v in 0..V {
                let at = grad.add(t * taps.channels + v * S::F32_LANES);
                let sum = if taps.accumulate { simd.add_f32s(load::<S>(at), sums[t][v]) } else { sums[t][v] };
                store(simd, at, S::F32_LANES, sum);
            }
        }
    }
}

/// Channels that do not fill a register.
#[inline(always)]
unsafe fn partial_taps<S: Simd>(simd: S, n: usize, at: TapsAt<'_>) {
    let TapsAt { taps, first, from, grad } = at;
    let left = taps.channels - first;
    for t in 0..n {
        let mut sum = simd.splat_f32s(0.0);
        for row in 0..taps.rows {
            for column in 0..taps.columns {
                let x = taps.run.offset + from + t + row * taps.input_steps[1] + column * taps.input_steps[0];
                let d = &taps.dz[first + row * taps.dz_steps[1] + column * taps.dz_steps[0]..][..left];
                sum = simd.mul_add_e_f32s(simd.partial_load_f32s(d), simd.splat_f32s(taps.input[x]), sum);
            }
        }
        // SAFETY: the bounds are checked in `taps()`.
        let target = unsafe { std::slice::from_raw_parts_mut(grad.add(t * taps.channels), left) };
        let sum = if taps.accumulate { simd.add_f32s(simd.partial_load_f32s(target), sum) } else { sum };
        simd.partial_store_f32s(target, sum);
    }
}
