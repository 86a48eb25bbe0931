//! Layer norm and RMS norm with their weights, each in one pass over memory.

use super::linear::cpu;
use super::plain;
use super::saved::Saved;
use crate::kernels::Element;
use crate::kernels::element::{contiguous, dispatch};
use crate::kernels::rows::{Center, RowGradients, Rows};
use crate::sink::{self, Use};
use crate::tape::{apply1, apply2, apply3};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

/// y = (x − μ)/√(σ² + ε)·weight + bias over the last dimension, σ² with divisor n (Ba et al. 2016): `x` is (…, width),
/// `weight` and `bias` are (width).
///
/// candle 0.11's own fused layer norm stops the gradient.
///
/// # Errors
/// Shapes that do not fit (naming them), ε below 0, a dtype other than f32 and f64 (on the CPU).
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    check("layer_norm", x, weight, epsilon)?;
    if bias.shape() != weight.shape() {
        candle_core::bail!("layer_norm: weight {:?} and bias {:?} differ", weight.shape(), bias.shape());
    }
    if plain::is_asked_for(x) || x.elem_count() == 0 {
        return plain::layer_norm(x, weight, bias, epsilon);
    }
    let op = NormOp::new(weight.elem_count(), Center::Mean, epsilon);
    apply3(&x.contiguous()?, &weight.contiguous()?, &bias.contiguous()?, op)
}

/// y = x/√(mean x² + ε)·weight over the last dimension (Zhang & Sennrich 2019): `x` is (…, width), `weight` (width).
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    check("rms_norm", x, weight, epsilon)?;
    if plain::is_asked_for(x) || x.elem_count() == 0 {
        return plain::rms_norm(x, weight, epsilon);
    }
    let op = NormOp::new(weight.elem_count(), Center::Zero, epsilon);
    apply2(&x.contiguous()?, &weight.contiguous()?, op)
}

/// The same without a weight, of each `len` numbers of `x`, which holds some.
pub(super) fn normalize_rows(x: &Tensor, len: usize, center: Center, epsilon: f64) -> Result<Tensor> {
    apply1(&x.contiguous()?, NormOp::new(len, center, epsilon))
}

fn check(name: &str, x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<()> {
    if x.rank() == 0 || weight.dims() != &x.dims()[x.rank() - 1..] {
        candle_core::bail!(
            "{name}: weight {:?} does not fit the last dimension of {:?}",
            weight.shape(),
            x.shape()
        );
    }
    if !(0.0 <= epsilon && epsilon.is_finite()) {
        candle_core::bail!("{name}: ε is {epsilon}, but must be finite and at least 0");
    }
    Ok(())
}

/// Layer norm of three arguments, RMS norm of two, either without a weight of one.
struct NormOp {
    len: usize,
    center: Center,
    epsilon: f64,
    /// μ and 1/σ of each row.
    statistics: Saved,
}

impl NormOp {
    fn new(len: usize, center: Center, epsilon: f64) -> Self {
        Self { len, center, epsilon, statistics: Saved::default() }
    }

    fn rows<'a, T>(&self, weight: Option<&'a [T]>, bias: Option<&'a [T]>) -> Rows<'a, T> {
        Rows { len: self.len, center: self.center, epsilon: self.epsilon, weight, bias }
    }

    fn forward(
        &self,
        name: &str,
        x: (&CpuStorage, &Layout),
        weight: Option<(&CpuStorage, &Layout)>,
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let storage = dispatch!(name, x.0.dtype(), T => {
            let weight = weight.map(|(weight, layout)| contiguous(name, weight, layout)).transpose()?;
            let bias = bias.map(|(bias, layout)| contiguous(name, bias, layout)).transpose()?;
            let rows = self.rows::<T>(weight, bias);
            let (y, statistics) = rows.forward(contiguous(name, x.0, x.1)?);
            self.statistics.keep(statistics.into_flattened());
            T::to_cpu_storage_owned(y)
        });
        Ok((storage, x.1.shape().clone()))
    }

    /// The gradients of input, weight and bias.
    fn backward<T: Element>(
        &self,
        name: &str,
        x: &Tensor,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let ((x_storage, x_layout), (dy_storage, dy_layout)) =
            (x.storage_and_layout(), dy.storage_and_layout());
        let of_weight = weight.map(Tensor::storage_and_layout);
        let weight_values =
            of_weight.as_ref().map(|(storage, layout)| contiguous(name, cpu(storage)?, layout));
        let x_values: &[T] = contiguous(name, cpu(&x_storage)?, x_layout)?;
        let dy_values: &[T] = contiguous(name, cpu(&dy_storage)?, dy_layout)?;
        let rows = self.rows::<T>(weight_values.transpose()?, None);
        let statistics = self.statistics.get::<T>(name)?.as_chunks::<2>().0;
        let device = x.device();
        if sink::wants_examples() {
            let shape = (x_values.len() / rows.len, rows.len);
            if let Some(weight) = weight {
                let terms = rows.weight_terms(x_values, statistics, dy_values);
                sink::note(weight, Use::Vectors { rows: Tensor::from_vec(terms, shape, device)? });
            }
            if let Some(bias) = bias {
                sink::note(bias, Use::Vectors { rows: dy.reshape(shape)? });
            }
        }
        let RowGradients { x: dx, weight: dw, bias: db } = rows.backward(x_values, statistics, dy_values);
        let dx = x.track_op().then(|| Tensor::from_vec(dx, x.shape(), device)).transpose()?;
        let give = |to: Option<&Tensor>, gradient: Vec<T>| match to {
            Some(to) => sink::give(to, Tensor::from_vec(gradient, to.shape(), device)?),
            None => Ok(None),
        };
        Ok((dx, give(weight, dw)?, give(bias, db)?))
    }
}

impl CustomOp3 for NormOp {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let name = CustomOp3::name(self);
        self.forward(name, (x, x_layout), Some((weight, weight_layout)), Some((bias, bias_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let name = CustomOp3::name(self);
        dispatch!(name, x.dtype(), T => self.backward::<T>(name, x, Some(weight), Some(bias), dy))
    }
}

impl CustomOp2 for NormOp {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(CustomOp2::name(self), (x, x_layout), Some((weight, weight_layout)), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let name = CustomOp2::name(self);
        let (dx, dw, _) =
            dispatch!(name, x.dtype(), T => self.backward::<T>(name, x, Some(weight), None, dy))?;
        Ok((dx, dw))
    }
}

impl CustomOp1 for NormOp {
    fn name(&self) -> &'static str {
        "normalize"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(CustomOp1::name(self), (x, layout), None, None)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let name = CustomOp1::name(self);
        let (dx, ..) = dispatch!(name, x.dtype(), T => self.backward::<T>(name, x, None, None, dy))?;
        Ok(dx)
    }
}
