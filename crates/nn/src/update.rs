//! Updates of one tensor in place from others of the same shape, element by element: a CPU kernel and a plain twin
//! from candle's own operations beside it, for every other device.

use crate::kernels::element::{Element, contiguous, contiguous_mut, dispatch};
use crate::kernels::vectorized;
use crate::ops::{cpu, plain_device};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, Var};
use rayon::prelude::*;

/// Elements one thread works on at a time: fixed, so that no result depends on the threads.
const PIECE: usize = 1 << 14;

/// Pieces that one thread takes at least: fewer are done before another thread has woken up.
const MIN_PIECES: usize = 16;

/// f32 or f64, with the root that optimizers need.
pub(crate) trait Real: Element {
    /// √self, NaN below 0.
    fn root(self) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
}

impl Real for f64 {
    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }
}

/// How a tensor x follows from itself and `N` sources.
pub(crate) trait Update<const N: usize>: Sync {
    /// What errors call it.
    const NAME: &'static str;

    /// The CPU kernel, on pieces of one length. It must be `#[inline(always)]` to use the machine's registers.
    fn piece<T: Real>(&self, x: &mut [T], sources: [&[T]; N]);

    /// The same from candle's operations: the new x.
    fn plain(&self, x: &Tensor, sources: [&Tensor; N]) -> Result<Tensor>;
}

/// Updates a tensor: in place on the CPU, by a new tensor elsewhere. (One of no element is left alone: candle refuses
/// to change some of those in place, and answers operations on them with tensors that share storage.)
///
/// # Errors
/// Arguments of different sizes or types, a device error.
pub(crate) fn update<const N: usize>(
    x: &mut Tensor,
    sources: [&Tensor; N],
    rule: &impl Update<N>,
) -> Result<()> {
    if x.elem_count() == 0 {
        return Ok(());
    }
    if plain_device(x) {
        *x = rule.plain(x, sources)?;
        return Ok(());
    }
    x.inplace_op1(&OnCpu { rule, sources })
}

/// Updates a variable, whose storage stays the model's.
///
/// # Errors
/// As [`update`].
pub(crate) fn update_var<const N: usize>(
    w: &Var,
    sources: [&Tensor; N],
    rule: &impl Update<N>,
) -> Result<()> {
    if w.elem_count() == 0 {
        return Ok(());
    }
    if plain_device(w) {
        return w.set(&rule.plain(w.as_tensor(), sources)?);
    }
    w.inplace_op1(&OnCpu { rule, sources })
}

struct OnCpu<'a, R, const N: usize> {
    rule: &'a R,
    sources: [&'a Tensor; N],
}

impl<R: Update<N>, const N: usize> InplaceOp1 for OnCpu<'_, R, N> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let guards = self.sources.map(Tensor::storage_and_layout);
        dispatch!(R::NAME, x.dtype(), T => {
            let x: &mut [T] = contiguous_mut(R::NAME, x, layout)?;
            let mut sources: [&[T]; N] = [&[]; N];
            for (source, (storage, layout)) in sources.iter_mut().zip(&guards) {
                *source = contiguous(R::NAME, cpu(storage)?, layout)?;
            }
            same_lengths(R::NAME, x.len(), &sources)?;
            x.par_chunks_mut(PIECE).enumerate().with_min_len(MIN_PIECES).for_each(|(i, x)| {
                let sources = sources.map(|source| &source[i * PIECE..][..x.len()]);
                vectorized(
                    #[inline(always)]
                    || self.rule.piece(x, sources),
                );
            });
        });
        Ok(())
    }
}

/// A sum over the elements of `N` tensors of one shape, in f64.
pub(crate) trait Measure<const N: usize>: Sync {
    /// What errors call it.
    const NAME: &'static str;

    /// The sum over pieces of one length. It must be `#[inline(always)]` to use the machine's registers.
    fn piece<T: Real>(&self, sources: [&[T]; N]) -> f64;

    /// The same from candle's operations.
    fn plain(&self, sources: [&Tensor; N]) -> Result<f64>;
}

/// The sum that `rule` describes; on the CPU in an order that depends on the size alone.
///
/// # Errors
/// Arguments of different sizes or types, a device error.
pub(crate) fn measure<const N: usize>(sources: [&Tensor; N], rule: &impl Measure<N>) -> Result<f64> {
    if sources.iter().any(|source| plain_device(source)) {
        return rule.plain(sources);
    }
    on_cpu(sources, rule)
}

fn on_cpu<R: Measure<N>, const N: usize>(sources: [&Tensor; N], rule: &R) -> Result<f64> {
    let Some(first) = sources.first() else { return Ok(0.0) };
    let guards = sources.map(Tensor::storage_and_layout);
    dispatch!(R::NAME, first.dtype(), T => {
        let mut slices: [&[T]; N] = [&[]; N];
        for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
            *slice = contiguous(R::NAME, cpu(storage)?, layout)?;
        }
        let len = first.elem_count();
        same_lengths(R::NAME, len, &slices)?;
        let piece = |i: usize| {
            let sources = slices.map(|slice| &slice[i * PIECE..][..PIECE.min(len - i * PIECE)]);
            vectorized(
                #[inline(always)]
                || rule.piece(sources),
            )
        };
        let n_pieces = len.div_ceil(PIECE);
        if n_pieces <= 1 {
            return Ok((0..n_pieces).map(piece).sum());
        }
        let sums: Vec<f64> = (0..n_pieces).into_par_iter().with_min_len(MIN_PIECES).map(piece).collect();
        Ok(sums.iter().sum())
    })
}

/// Sums that run side by side in [`sum_by`], so that they fill the machine's registers.
const LANES: usize = 8;

/// Σ f(i) over 0..n.
#[inline(always)]
pub(crate) fn sum_by(n: usize, f: impl Fn(usize) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let whole = n - n % LANES;
    for from in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(from + lane);
        }
    }
    sums.iter().sum::<f64>() + (whole..n).map(f).sum::<f64>()
}

fn same_lengths<T>(name: &str, len: usize, sources: &[&[T]]) -> Result<()> {
    match sources.iter().find(|source| source.len() != len) {
        Some(other) => candle_core::bail!("{name} on tensors of {len} and {} elements", other.len()),
        None => Ok(()),
    }
}

/// x ← factor·x.
pub(crate) struct Scale {
    pub(crate) factor: f64,
}

impl Update<0> for Scale {
    const NAME: &'static str = "scale";

    #[inline(always)]
    fn piece<T: Real>(&self, x: &mut [T], []: [&[T]; 0]) {
        let factor = T::from_f64(self.factor);
        x.iter_mut().for_each(|x| *x *= factor);
    }

    fn plain(&self, x: &Tensor, []: [&Tensor; 0]) -> Result<Tensor> {
        x * self.factor
    }
}

/// What the tests of the updates share.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::random;
    use candle_core::{DType, Device};

    /// Numbers around 1 of both signs, or positive ones where a root is taken.
    fn numbers(name: &str, n: usize, dtype: DType, positive: bool) -> Tensor {
        let x = Tensor::from_vec(random::normal(5, name, n, 0.0, 1.0), n, &Device::Cpu).unwrap();
        let x = x.to_dtype(dtype).unwrap();
        if positive { x.sqr().unwrap() } else { x }
    }

    fn close(got: &Tensor, want: &Tensor, tolerance: f64) {
        let read = |x: &Tensor| x.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        for (i, (a, b)) in read(got).into_iter().zip(read(want)).enumerate() {
            assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "element {i}: {a} is not {b}");
        }
    }

    /// No elements, one, a few, and enough for several pieces and threads.
    const SIZES: [usize; 4] = [0, 1, 37, 20 * PIECE + 3];

    const TYPES: [(DType, f64); 2] = [(DType::F32, 2e-6), (DType::F64, 1e-14)];

    /// Holds a kernel against its twin; `positive` marks the sources that are second moments.
    pub(crate) fn equals_its_twin<const N: usize>(rule: &impl Update<N>, positive: [bool; N]) {
        for (dtype, tolerance) in TYPES {
            for n in SIZES {
                let mut i = 0;
                let owned = positive.map(|positive| {
                    i += 1;
                    numbers(&format!("source {i}"), n, dtype, positive)
                });
                let sources = owned.each_ref();
                let mut x = numbers("x", n, dtype, false);
                let want = rule.plain(&x, sources).unwrap();
                update(&mut x, sources, rule).unwrap();
                close(&x, &want, tolerance);
            }
        }
    }

    /// The same for a sum.
    pub(crate) fn measure_equals_its_twin<const N: usize>(rule: &impl Measure<N>, positive: [bool; N]) {
        for (dtype, tolerance) in TYPES {
            for n in SIZES {
                let mut i = 0;
                let owned = positive.map(|positive| {
                    i += 1;
                    numbers(&format!("source {i}"), n, dtype, positive)
                });
                let sources = owned.each_ref();
                let (got, want) = (measure(sources, rule).unwrap(), rule.plain(sources).unwrap());
                assert!((got - want).abs() <= 100.0 * tolerance * (1.0 + want), "{n}: {got} is not {want}");
            }
        }
    }

    #[test]
    fn scale_equals_its_twin() {
        equals_its_twin(&Scale { factor: 0.3 }, []);
    }

    #[test]
    fn sums_take_every_element_once() {
        for n in [0, 1, 7, 8, 9, 100] {
            let want: f64 = (0..n).map(|i| i as f64).sum();
            assert_eq!(sum_by(n, |i| i as f64), want);
        }
    }
}
