//! y = act(x·wᵀ + b).

use super::activation::times_slopes;
use super::saved::Saved;
use super::{Activation, plain, rounded};
use crate::kernels::element::{contiguous, dispatch, relu, relu_gradient};
use crate::kernels::gemm::{Matrix, Nothing, product_in};
use crate::kernels::threads::{self, Unwritten};
use crate::kernels::{Element, sums, vectorized};
use crate::precision::{self, Precision};
use crate::sink::{self, Use};
use crate::tape::apply3;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

/// Applies a fully connected layer: `x` is (…, in), `weight` (out, in), `bias` (out); returns (…, out).
///
/// Its three products, y = x·wᵀ, dx = dz·w and dw = dzᵀ·x, take operands of the [`crate::precision`] it is applied in.
///
/// # Errors
/// Shapes that do not fit, a dtype other than f32 and f64 (on the CPU).
///
/// ```
/// use batchwise_nn::ops::{self, Activation};
/// use candle_core::{Device, Tensor};
///
/// let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
/// let w = Tensor::new(&[[1f32, 0.0], [0.0, -1.0]], &Device::Cpu)?;
/// let b = Tensor::new(&[0.5f32, 0.5], &Device::Cpu)?;
/// let y = ops::linear(&x, &w, &b, Activation::Relu)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[1.5, 0.0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    let (out, inner) = weight.dims2()?;
    if x.dims().last() != Some(&inner) || bias.dims() != [out] {
        candle_core::bail!(
            "linear: weight {:?} does not fit input {:?} and bias {:?}",
            weight.shape(),
            x.shape(),
            bias.shape()
        );
    }
    if plain::is_asked_for(x) {
        return plain::linear(x, weight, bias, activation);
    }
    let op = LinearOp { activation, precision: precision::current(), slopes: Saved::default() };
    apply3(&x.contiguous()?, &weight.contiguous()?, &bias.contiguous()?, op)
}

struct LinearOp {
    activation: Activation,
    precision: Precision,
    /// Of a smooth activation.
    slopes: Saved,
}

impl CustomOp3 for LinearOp {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut dims = x_layout.dims().to_vec();
        let (out, inner) = w_layout.shape().dims2()?;
        let n = x_layout.shape().elem_count() / inner.max(1);
        if let Some(last) = dims.last_mut() {
            *last = out;
        }
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let mut y = forward::<T>(
                contiguous(self.name(), x, x_layout)?,
                contiguous(self.name(), w, w_layout)?,
                contiguous(self.name(), b, b_layout)?,
                (n, inner, out),
                self.activation,
                self.precision,
            );
            self.activation.apply_in_place(&mut y, &self.slopes);
            T::to_cpu_storage_owned(y)
        });
        Ok((storage, dims.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        dispatch!(self.name(), x.dtype(), T => {
            if self.activation.is_smooth() {
                let dz = times_slopes::<T>(dy, &self.slopes)?;
                return self.backward::<T>(x, w, b, y, &dz, Activation::Identity);
            }
            self.backward::<T>(x, w, b, y, dy, self.activation)
        })
    }
}

fn forward<T: Element>(
    x: &[T],
    w: &[T],
    b: &[T],
    (n, inner, out): (usize, usize, usize),
    act: Activation,
    precision: Precision,
) -> Vec<T> {
    let (x, w) = (Matrix::row_major(x, n, inner), Matrix::row_major(w, out, inner).t());
    if act == Activation::Relu {
        product_in(
            precision,
            x,
            w,
            #[inline(always)]
            |_, first, y: &mut [T]| {
                y.iter_mut().zip(&b[first..]).for_each(|(y, b)| *y = relu(*y + *b));
            },
        )
    } else {
        product_in(
            precision,
            x,
            w,
            #[inline(always)]
            |_, first, y: &mut [T]| y.iter_mut().zip(&b[first..]).for_each(|(y, b)| *y += *b),
        )
    }
}

type ThreeGradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl LinearOp {
    fn backward<T: Element>(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        dy: &Tensor,
        act: Activation,
    ) -> Result<ThreeGradients> {
        let name = "linear";
        let (out, inner) = w.dims2()?;
        let n = x.elem_count() / inner.max(1);
        let device = x.device();
        let dy = dy.contiguous()?;
        let dz = if act == Activation::Relu { masked::<T>(&dy, y)? } else { dy };
        if sink::wants_examples() {
            let rows = dz.reshape((n, out))?;
            sink::note(b, Use::Vectors { rows: rows.clone() });
            let columns = rounded::<T>(self.precision, &x.reshape((n, inner))?)?;
            sink::note(w, Use::Outer { rows: rounded::<T>(self.precision, &rows)?, columns });
        }
        let (dz_storage, dz_layout) = dz.storage_and_layout();
        let dz: &[T] = contiguous(name, cpu(&dz_storage)?, dz_layout)?;
        let dz_matrix = Matrix::row_major(dz, n, out);

        let (x_storage, x_layout) = x.storage_and_layout();
        let x_values: &[T] = contiguous(name, cpu(&x_storage)?, x_layout)?;
        let dw = product_in(self.precision, dz_matrix.t(), Matrix::row_major(x_values, n, inner), Nothing);
        let db = sums::over_rows(dz, out);

        let dx = if x.track_op() {
            let (w_storage, w_layout) = w.storage_and_layout();
            let w_values: &[T] = contiguous(name, cpu(&w_storage)?, w_layout)?;
            let dx = product_in(self.precision, dz_matrix, Matrix::row_major(w_values, out, inner), Nothing);
            Some(Tensor::from_vec(dx, x.shape(), device)?)
        } else {
            None
        };
        let dw = sink::give(w, Tensor::from_vec(dw, w.shape(), device)?)?;
        Ok((dx, dw, sink::give(b, Tensor::from_vec(db, b.shape(), device)?)?))
    }
}

/// Numbers of a piece of work.
const PIECE: usize = 1 << 13;

/// The gradient where the ReLU let its input through, from the gradient `dy` of its output `y`.
pub(crate) fn masked<T: Element>(dy: &Tensor, y: &Tensor) -> Result<Tensor> {
    let ((dy_storage, dy_layout), (y_storage, y_layout)) = (dy.storage_and_layout(), y.storage_and_layout());
    let dy_values: &[T] = contiguous("relu", cpu(&dy_storage)?, dy_layout)?;
    let y_values: &[T] = contiguous("relu", cpu(&y_storage)?, y_layout)?;
    let dz = threads::build(dy_values.len(), PIECE, |i, piece: &mut Unwritten<'_, T>| {
        let from = i * PIECE;
        vectorized(
            #[inline(always)]
            || {
                let pairs = dy_values[from..].iter().zip(&y_values[from..]);
                piece.extend(pairs.map(|(dy, y)| relu_gradient(*dy, *y)));
            },
        );
    });
    Tensor::from_vec(dz, dy.shape(), dy.device())
}

/// The CPU storage of a tensor that is known to be on the CPU.
pub(crate) fn cpu(storage: &candle_core::Storage) -> Result<&CpuStorage> {
    match storage {
        candle_core::Storage::Cpu(storage) => Ok(storage),
        _ => candle_core::bail!("expected a tensor on the CPU"),
    }
}
