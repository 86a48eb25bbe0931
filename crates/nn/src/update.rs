//! Updates of one tensor in place from others of the same shape, element by element: a CPU kernel and a plain twin
//! from candle's own operations beside it, for every other device.

use crate::kernels::element::{Element, contiguous, contiguous_mut, dispatch};
use crate::kernels::{threads, vectorized};
use crate::ops::{cpu, plain_device};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, Var};
use std::cell::Cell;

/// Elements one thread works on at a time: fixed, so that no result depends on the threads.
const PIECE: usize = 1 << 14;

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
            threads::for_each_chunk(x, PIECE, |i, x| {
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

/// How `K` tensors, such as a weight and its moments, follow from themselves and a gradient, element by element.
pub(crate) trait Step<const K: usize>: Sync {
    /// What errors call it.
    const NAME: &'static str;

    /// The CPU kernel, on pieces of one length. It must be `#[inline(always)]` to use the machine's registers.
    fn piece<T: Real>(&self, x: [&mut [T]; K], g: &[T]);
}

/// One parameter's share of a step.
pub(crate) struct Share<'a, R, const K: usize> {
    pub(crate) rule: R,
    /// What changes.
    pub(crate) x: [Tensor; K],
    pub(crate) g: &'a Tensor,
}

/// Tensors that are written at once: each is a level of recursion.
const MAX_OPEN: usize = 192;

/// One step of many parameters on the CPU, as one list of work, in which memory is read and written once.
///
/// # Errors
/// As [`update`]; parameters before the one at fault may have changed then.
pub(crate) fn step_all<R: Step<K>, const K: usize>(shares: &[Share<'_, R, K>]) -> Result<()> {
    let of_some = shares.iter().filter(|share| share.g.elem_count() != 0).collect::<Vec<_>>();
    for run in of_some.chunk_by(|a, b| a.g.dtype() == b.g.dtype()) {
        for group in run.chunks((MAX_OPEN / K).max(1)) {
            dispatch!(R::NAME, group[0].g.dtype(), T => step_group::<T, R, K>(group)?);
        }
    }
    Ok(())
}

fn step_group<T: Real, R: Step<K>, const K: usize>(group: &[&Share<'_, R, K>]) -> Result<()> {
    let tensors: Vec<&Tensor> = group.iter().flat_map(|share| &share.x).collect();
    open(&tensors, Vec::new(), &|slices: Vec<&mut [T]>| {
        let guards: Vec<_> = group.iter().map(|share| share.g.storage_and_layout()).collect();
        let (mut slices, mut pieces) = (slices.into_iter(), Vec::new());
        for (share, (storage, layout)) in group.iter().zip(&guards) {
            let g: &[T] = contiguous(R::NAME, cpu(storage)?, layout)?;
            let mut x = [const { None }; K];
            for (x, slice) in x.iter_mut().zip(&mut slices) {
                same_lengths(R::NAME, g.len(), &[&*slice])?;
                *x = Some(slice.chunks_mut(PIECE));
            }
            for g in g.chunks(PIECE) {
                let x = x.each_mut().map(|x| x.as_mut().and_then(Iterator::next).unwrap_or_default());
                pieces.push((&share.rule, x, g));
            }
        }
        threads::for_each_chunk(&mut pieces, 1, |_, pieces| {
            for (rule, x, g) in pieces {
                let x = x.each_mut().map(|x| &mut **x);
                vectorized(
                    #[inline(always)]
                    || rule.piece(x, g),
                );
            }
        });
        Ok(())
    })
}

/// Runs `work` with the elements of all tensors writable at once, beside those that are `opened` already. candle gives
/// those of one at a time, so each is opened inside of the one before.
fn open<T: Real>(
    tensors: &[&Tensor],
    opened: Vec<&mut [T]>,
    work: &dyn Fn(Vec<&mut [T]>) -> Result<()>,
) -> Result<()> {
    match tensors.split_first() {
        Some((first, rest)) => first.inplace_op1(&Open { rest, opened: Cell::new(opened), work }),
        None => work(opened),
    }
}

struct Open<'a, T> {
    rest: &'a [&'a Tensor],
    opened: Cell<Vec<&'a mut [T]>>,
    work: &'a dyn Fn(Vec<&mut [T]>) -> Result<()>,
}

impl<T: Real> InplaceOp1 for Open<'_, T> {
    fn name(&self) -> &'static str {
        "step"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let mut opened: Vec<&mut [T]> = self.opened.take();
        opened.push(contiguous_mut(self.name(), x, layout)?);
        open(self.rest, opened, self.work)
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
        let mut sums = vec![0.0; len.div_ceil(PIECE)];
        threads::for_each_chunk(&mut sums, 1, |i, sum| sum[0] = piece(i));
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
