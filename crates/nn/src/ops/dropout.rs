//! Zeros at random places, by addressed randomness.

use super::linear::cpu;
use super::plain;
use crate::kernels::element::{Element, contiguous, dispatch};
use crate::kernels::{threads, vectorized};
use crate::random;
use crate::tape::apply1;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use chacha20::rand_core::Rng;
use std::sync::OnceLock;

/// Sets each element to 0 with probability `rate` and scales the rest by 1/(1 − rate) (Srivastava et al. 2014).
///
/// Whether element j of example i (along the first dimension) is kept is a pure function of
/// (`seed`, `stream`, `first_example` + i, j): the same on every device and in whatever micro-batches the examples come.
///
/// # Errors
/// A rate outside [0, 1), an input without dimensions, a dtype other than f32 and f64 (on the CPU).
pub fn dropout(x: &Tensor, rate: f64, seed: u64, stream: &str, first_example: u64) -> Result<Tensor> {
    if !(0.0..1.0).contains(&rate) {
        candle_core::bail!("dropout: rate {rate} is not in [0, 1)");
    }
    let n = x.dim(0)?;
    let per_example = x.elem_count().checked_div(n).unwrap_or(0);
    let first = u128::from(first_example) * per_example as u128;
    let op = DropoutOp { rate, seed, stream: stream.to_owned(), first, kept: OnceLock::new() };
    if plain::is_asked_for(x) {
        let scale = op.scale();
        let mask: Vec<f32> =
            op.draw(x.elem_count()).into_iter().map(|kept| f32::from(kept) * scale).collect();
        return x.mul(&Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?);
    }
    apply1(&x.contiguous()?, op)
}

/// Elements per piece: fixed, so that no result depends on the threads.
const PIECE: usize = 1 << 13;

struct DropoutOp {
    rate: f64,
    seed: u64,
    stream: String,
    /// The place of the first element in the stream.
    first: u128,
    /// 1 for each element that is kept, else 0.
    kept: OnceLock<Vec<u8>>,
}

impl DropoutOp {
    /// What kept elements are multiplied by; in f32 for every dtype.
    fn scale(&self) -> f32 {
        (1.0 / (1.0 - self.rate)) as f32
    }

    /// Which of `n` elements are kept.
    fn draw(&self, n: usize) -> Vec<u8> {
        let bound = (self.rate * f64::from(u32::MAX)) as u32;
        threads::build(n, PIECE, |i, kept| {
            let mut rng = random::stream(self.seed, &self.stream);
            rng.set_word_pos(self.first + (i * PIECE) as u128);
            let n = kept.left();
            kept.extend((0..n).map(|_| u8::from(bound <= rng.next_u32())));
        })
    }

    fn masked<T: Element>(&self, x: &[T], kept: &[u8]) -> Vec<T> {
        let scale = T::from_f64(f64::from(self.scale()));
        threads::build(x.len(), PIECE, |i, y| {
            let (x, kept) = (&x[i * PIECE..], &kept[i * PIECE..]);
            vectorized(
                #[inline(always)]
                // A product, so that a NaN stays one.
                || y.extend(x.iter().zip(kept).map(|(x, k)| *x * if *k == 0 { T::ZERO } else { scale })),
            );
        })
    }
}

impl CustomOp1 for DropoutOp {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let kept = self.kept.get_or_init(|| self.draw(layout.shape().elem_count()));
        let storage = dispatch!(self.name(), x.dtype(), T => {
            T::to_cpu_storage_owned(self.masked::<T>(contiguous(self.name(), x, layout)?, kept))
        });
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (kept, dy) = (self.kept.get_or_init(|| self.draw(x.elem_count())), dy.contiguous()?);
        dispatch!(self.name(), dy.dtype(), T => {
            let (storage, layout) = dy.storage_and_layout();
            let dx = self.masked::<T>(contiguous(self.name(), cpu(&storage)?, layout)?, kept);
            Tensor::from_vec(dx, dy.shape(), dy.device()).map(Some)
        })
    }
}
