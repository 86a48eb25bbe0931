//! A weight and a bias for each channel.

use super::linear::cpu;
use super::plain;
use crate::kernels::Element;
use crate::kernels::element::{contiguous, dispatch};
use crate::kernels::scale_shift::Channels;
use crate::sink::{self, Use};
use crate::tape::apply3;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

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
    if plain::is_asked_for(x) || x.elem_count() == 0 {
        return plain::scale_shift(x, scale, shift, channel);
    }
    let inner = x.dims()[channel + 1..].iter().product();
    let channels = Channels { channels: scale.elem_count(), inner };
    let op = ScaleShiftOp { channels, is_first: channel == 0 };
    apply3(&x.contiguous()?, &scale.contiguous()?, &shift.contiguous()?, op)
}

struct ScaleShiftOp {
    channels: Channels,
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
        let (name, Channels { channels, inner }) = (self.name(), self.channels);
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
        let sums = self.channels.sums(x_values, dy_values);
        let column = |f: fn(&[f64; 2]) -> f64| {
            Tensor::from_vec(sums.iter().map(|s| T::from_f64(f(s))).collect::<Vec<T>>(), channels, x.device())
        };
        let dx = x.track_op().then(|| self.channels.input_gradient(dy_values, w_values));
        let dx = dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
        Ok((dx, sink::give(scale, column(|s| s[0])?)?, sink::give(shift, column(|s| s[1])?)?))
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
            let x: &[T] = contiguous(self.name(), x, x_layout)?;
            T::to_cpu_storage_owned(self.channels.forward(x, scale, shift))
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
