//! A weight and a bias for each channel.

use super::linear::cpu;
use super::plain;
use crate::kernels::Element;
use crate::kernels::element::{contiguous, dispatch};
use crate::kernels::normalize::runs;
use crate::sink::{self, Use};
use crate::tape::apply3;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

/// y = x·scale + shift for each channel: dimension `channel` of `x` has as many elements as `scale` and `shift`.
///
/// # Errors
/// Shapes that do not fit (naming them), a dtype other than f32 and f64 (on the CPU).
pub fn scale_shift(x: &Tensor, scale: &Tensor, shift: &Tensor, channel: usize) -> Result<Tensor> {
    let channels = x.dims().get(channel).copied();
    if channels.is_none() || scale.dims() != [channels.unwrap_or(0)] || shift.dims() != scale.dims() {
        candle_core::bail!(
            "scale_shift: scale {:?} and shift {:?} do not fit dimension {channel} of {:?}",
            scale.shape(),
            shift.shape(),
            x.shape()
        );
    }
    if !x.device().is_cpu() || x.elem_count() == 0 {
        return plain::scale_shift(x, scale, shift, channel);
    }
    let inner = x.dims()[channel + 1..].iter().product();
    let op = ScaleShiftOp { channels: scale.elem_count(), inner, is_first: channel == 0 };
    apply3(&x.contiguous()?, &scale.contiguous()?, &shift.contiguous()?, op)
}

struct ScaleShiftOp {
    channels: usize,
    inner: usize,
    is_first: bool,
}

impl ScaleShiftOp {
    fn backward<T: Element>(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (name, (channels, inner)) = (self.name(), (self.channels, self.inner));
        let dy = dy.contiguous()?;
        if sink::wants_examples() {
            if self.is_first {
                candle_core::bail!("scale_shift over the first dimension has no examples");
            }
            let by_row = |t: Tensor| t.reshape(((), channels, inner))?.sum(2);
            sink::note(shift, Use::Vectors { rows: by_row(dy.clone())? });
            sink::note(scale, Use::Vectors { rows: by_row(dy.mul(x)?.detach())? });
        }
        let ((x_storage, x_layout), (w_storage, w_layout)) =
            (x.storage_and_layout(), scale.storage_and_layout());
        let (dy_storage, dy_layout) = dy.storage_and_layout();
        let x_values: &[T] = contiguous(name, cpu(&x_storage)?, x_layout)?;
        let w_values: &[T] = contiguous(name, cpu(&w_storage)?, w_layout)?;
        let dy_values: &[T] = contiguous(name, cpu(&dy_storage)?, dy_layout)?;
        // Summed in f64: a channel of a large batch has very many terms.
        let sums: Vec<(f64, f64)> = (0..channels)
            .into_par_iter()
            .map(|channel| {
                let of = |values| runs(values, channel, channels, inner).flatten();
                of(dy_values).zip(of(x_values)).fold((0.0, 0.0), |(scale, shift), (dy, x): (&T, &T)| {
                    (scale + dy.widen() * x.widen(), shift + dy.widen())
                })
            })
            .collect();
        let column = |f: fn(&(f64, f64)) -> f64| {
            Tensor::from_vec(sums.iter().map(|s| T::from_f64(f(s))).collect::<Vec<T>>(), channels, x.device())
        };
        let dx = match x.track_op() {
            false => None,
            true => {
                let mut dx = dy_values.to_vec();
                dx.par_chunks_mut(inner).enumerate().for_each(|(run, values)| {
                    values.iter_mut().for_each(|v| *v *= w_values[run % channels]);
                });
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            }
        };
        Ok((dx, sink::give(scale, column(|s| s.0)?)?, sink::give(shift, column(|s| s.1)?)?))
    }
}

impl CustomOp3 for ScaleShiftOp {
    fn name(&self) -> &'static str {
        "scale_shift"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let scale: &[T] = contiguous(self.name(), scale, scale_layout)?;
            let shift: &[T] = contiguous(self.name(), shift, shift_layout)?;
            let mut y = contiguous::<T>(self.name(), x, x_layout)?.to_vec();
            y.par_chunks_mut(self.inner).enumerate().for_each(|(run, values)| {
                let channel = run % self.channels;
                values.iter_mut().for_each(|v| {
                    *v *= scale[channel];
                    *v += shift[channel];
                });
            });
            T::to_cpu_storage_owned(y)
        });
        Ok((storage, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        dispatch!(self.name(), x.dtype(), T => self.backward::<T>(x, scale, shift, dy))
    }
}
