//! What is applied to a layer's output.

use super::linear::cpu;
use super::saved::Saved;
use super::{plain, relu};
use crate::kernels::Element;
use crate::kernels::activation::{self, Curve, Gelu, GeluErf, Silu};
use crate::kernels::element::{contiguous, dispatch};
use crate::tape::{self, apply1};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

/// What is applied to a layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// max(0, x), with derivative 0 at 0 as in PyTorch.
    Relu,
    /// x·Φ(x) in the form with tanh (Hendrycks & Gimpel 2016): PyTorch's `approximate="tanh"`.
    Gelu,
    /// x·Φ(x) exactly, by the error function.
    GeluErf,
    /// x·σ(x), also called swish.
    Silu,
}

impl Activation {
    /// Whether its gradient is the output's gradient times a slope of its own at every element.
    pub(super) fn is_smooth(self) -> bool {
        matches!(self, Self::Gelu | Self::GeluErf | Self::Silu)
    }

    /// Applies it to every element.
    ///
    /// # Errors
    /// A dtype other than f32 and f64 (on the CPU).
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Identity => Ok(x.clone()),
            // candle's own has derivative 1 at 0.
            Self::Relu => relu::relu(x),
            smooth if plain::is_asked_for(x) => plain::activation(x, smooth),
            smooth => apply1(&x.contiguous()?, ActivationOp { activation: smooth, slopes: Saved::default() }),
        }
    }

    /// x ← f(x) for a smooth f, keeping the slopes where a backward pass may ask for them.
    pub(super) fn apply_in_place<T: Element>(self, x: &mut [T], slopes: &Saved) {
        match self {
            Self::Identity | Self::Relu => {}
            Self::Gelu => in_place(x, Gelu, slopes),
            Self::GeluErf => in_place(x, GeluErf, slopes),
            Self::Silu => in_place(x, Silu, slopes),
        }
    }
}

fn in_place<T: Element, C: Curve>(x: &mut [T], curve: C, slopes: &Saved) {
    if tape::is_forgetting() {
        activation::apply(x, curve);
    } else {
        slopes.keep(activation::apply_with_slopes(x, curve));
    }
}

/// dy times the slopes.
pub(super) fn times_slopes<T: Element>(dy: &Tensor, slopes: &Saved) -> Result<Tensor> {
    let name = "activation";
    let dy = dy.contiguous()?;
    let (storage, layout) = dy.storage_and_layout();
    let values: &[T] = contiguous(name, cpu(&storage)?, layout)?;
    Tensor::from_vec(activation::product(values, slopes.get(name)?), dy.shape(), dy.device())
}

/// A smooth activation.
struct ActivationOp {
    activation: Activation,
    slopes: Saved,
}

impl CustomOp1 for ActivationOp {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let mut y = contiguous::<T>(self.name(), x, layout)?.to_vec();
            self.activation.apply_in_place(&mut y, &self.slopes);
            T::to_cpu_storage_owned(y)
        });
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        dispatch!(self.name(), y.dtype(), T => times_slopes::<T>(dy, &self.slopes)).map(Some)
    }
}
