//! The number types the kernels work on.

use super::gemm::Product;
use super::{bf16, math};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Layout, Result, WithDType};
use pulp::Simd;
use std::cell::RefCell;
use std::ops::{Add, AddAssign, Mul, MulAssign, SubAssign};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::LocalKey;

/// f32 or f64.
pub(crate) trait Element:
    WithDType
    + Copy
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Mul<Output = Self>
    + PartialOrd
    + Product
{
    const ZERO: Self;
    const ONE: Self;

    /// eˣ, in a form that loops over f32 are vectorised with.
    fn exp(self) -> Self;
    /// 1 − erf(x), likewise.
    fn erfc(self) -> Self;

    /// The nearest bf16 in this type; f64, which the oracles work in, is not rounded.
    fn to_bf16(self) -> Self;

    /// The same number in f64. (candle's `to_f64` is not inlined, which would keep a loop from being vectorised.)
    fn widen(self) -> f64;

    /// A register full of numbers on the machine at hand.
    type Register<S: Simd>: Copy;

    /// Whole registers, and what is left.
    fn registers<S: Simd>(x: &[Self]) -> (&[Self::Register<S>], &[Self]);
    /// The same, writable.
    fn registers_mut<S: Simd>(x: &mut [Self]) -> (&mut [Self::Register<S>], &mut [Self]);
    /// A register of one number.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Register<S>;
    /// a + b.
    fn sum<S: Simd>(simd: S, a: Self::Register<S>, b: Self::Register<S>) -> Self::Register<S>;
    /// a − b.
    fn difference<S: Simd>(simd: S, a: Self::Register<S>, b: Self::Register<S>) -> Self::Register<S>;
    /// a·b.
    fn times<S: Simd>(simd: S, a: Self::Register<S>, b: Self::Register<S>) -> Self::Register<S>;
    /// a·b + c.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Register<S>,
        b: Self::Register<S>,
        c: Self::Register<S>,
    ) -> Self::Register<S>;
    /// The sum of a register's numbers.
    fn reduce<S: Simd>(simd: S, x: Self::Register<S>) -> Self;

    /// The elements of a storage of this type, writable.
    fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]>;

    /// A buffer of this thread's, kept between calls so that a steady state allocates nothing.
    fn scratch() -> &'static LocalKey<RefCell<Vec<Self>>>;

    /// The longest such buffer that any thread has asked for.
    fn longest_scratch() -> &'static AtomicUsize;
}

macro_rules! element {
    ($type:ty, $variant:ident, $exp:expr, $erfc:expr, $bf16:expr, $register:ident, $split:ident, $split_mut:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $mul_add:ident, $reduce:ident) => {
        impl Element for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn erfc(self) -> Self {
                $erfc(self)
            }
            #[inline(always)]
            fn to_bf16(self) -> Self {
                $bf16(self)
            }
            #[inline(always)]
            fn widen(self) -> f64 {
                f64::from(self)
            }

            type Register<S: Simd> = S::$register;

            #[inline(always)]
            fn registers<S: Simd>(x: &[Self]) -> (&[Self::Register<S>], &[Self]) {
                S::$split(x)
            }
            #[inline(always)]
            fn registers_mut<S: Simd>(x: &mut [Self]) -> (&mut [Self::Register<S>], &mut [Self]) {
                S::$split_mut(x)
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> Self::Register<S> {
                simd.$splat(x)
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, a: Self::Register<S>, b: Self::Register<S>) -> Self::Register<S> {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn difference<S: Simd>(simd: S, a: Self::Register<S>, b: Self::Register<S>) -> Self::Register<S> {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn times<S: Simd>(simd: S, a: Self::Register<S>, b: Self::Register<S>) -> Self::Register<S> {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: Self::Register<S>,
                b: Self::Register<S>,
                c: Self::Register<S>,
            ) -> Self::Register<S> {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn reduce<S: Simd>(simd: S, x: Self::Register<S>) -> Self {
                simd.$reduce(x)
            }

            fn slice_mut(storage: &mut CpuStorage) -> Result<&mut [Self]> {
                match storage {
                    CpuStorage::$variant(values) => Ok(values),
                    other => candle_core::bail!("expected {}, found {:?}", stringify!($type), other.dtype()),
                }
            }
            fn scratch() -> &'static LocalKey<RefCell<Vec<Self>>> {
                thread_local!(static SCRATCH: RefCell<Vec<$type>> = const { RefCell::new(Vec::new()) });
                &SCRATCH
            }
            fn longest_scratch() -> &'static AtomicUsize {
                static LONGEST: AtomicUsize = AtomicUsize::new(0);
                &LONGEST
            }
        }
    };
}

element!(
    f32,
    F32,
    math::exp,
    math::erfc,
    bf16::round,
    f32s,
    as_simd_f32s,
    as_mut_simd_f32s,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    mul_add_e_f32s,
    reduce_sum_f32s
);
element!(
    f64,
    F64,
    f64::exp,
    candle_core::cpu::erf::erfc_f64,
    std::convert::identity,
    f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    mul_add_e_f64s,
    reduce_sum_f64s
);

/// max(0, x); a NaN stays one.
#[inline(always)]
pub(crate) fn relu<T: Element>(x: T) -> T {
    if x <= T::ZERO { T::ZERO } else { x }
}

/// The gradient `dy` where the ReLU with output `y` let its input through.
#[inline(always)]
pub(crate) fn relu_gradient<T: Element>(dy: T, y: T) -> T {
    if y <= T::ZERO { T::ZERO } else { dy }
}

/// Runs `work` with this thread's scratch buffer, at least `len` long, of unspecified content.
pub(crate) fn with_scratch<T: Element, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    T::longest_scratch().fetch_max(len, Relaxed);
    T::scratch().with(|cell| match cell.try_borrow_mut() {
        Ok(mut buffer) => {
            lengthen(&mut buffer, len);
            work(&mut buffer[..len])
        }
        // A kernel inside a kernel on the same thread (work stealing): it gets a buffer of its own.
        Err(_) => work(&mut vec![T::ZERO; len]),
    })
}

fn lengthen<T: Element>(buffer: &mut Vec<T>, len: usize) {
    if buffer.len() < len {
        // Exactly, and the old one freed first, so that memory does not depend on the order of the kernels.
        *buffer = Vec::new();
        *buffer = vec![T::ZERO; len];
    }
}

/// Makes this thread's scratch buffer as long as any thread has needed it so far.
pub(crate) fn allocate_scratch<T: Element>() {
    let longest = T::longest_scratch().load(Relaxed);
    T::scratch().with(|cell| {
        // A buffer in use is long enough for its user, who will lengthen it when he needs more.
        if let Ok(mut buffer) = cell.try_borrow_mut() {
            lengthen(&mut buffer, longest);
        }
    });
}

/// The contiguous elements a tensor covers, or an error naming the op.
pub(crate) fn contiguous<'a, T: Element>(
    op: &str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<T>()?[from..to]),
        None => candle_core::bail!("{op} needs contiguous arguments"),
    }
}

/// The same, writable.
pub(crate) fn contiguous_mut<'a, T: Element>(
    op: &str,
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> Result<&'a mut [T]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&mut T::slice_mut(storage)?[from..to]),
        None => candle_core::bail!("{op} needs contiguous arguments"),
    }
}

/// Runs a generic kernel for the dtype at hand; others are refused with the op's name.
macro_rules! dispatch {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("{} works on f32 and f64, not {other:?}", $op),
        }
    };
}
pub(crate) use dispatch;
