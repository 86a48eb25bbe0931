//! Σ −log softmax(logits) at the target class.

use super::embedding::id_slice;
use super::linear::cpu;
use super::plain;
use super::saved::Saved;
use crate::kernels::cross_entropy::Targets;
use crate::kernels::element::{contiguous, dispatch};
use crate::tape::apply2;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};

/// Variants of the cross-entropy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CrossEntropyConfig {
    /// This share ε of each target is spread evenly over all classes, in [0, 1] (Szegedy et al. 2016, §7).
    pub label_smoothing: f64,
    /// Rows with this target count for nothing.
    pub ignore_index: Option<u32>,
}

/// The sum (not the mean) over examples of the cross-entropy: `logits` is (…, classes), `targets` (…) of
/// u32 class numbers; returns a scalar.
///
/// # Errors
/// Shapes that do not fit, a target that is not a class (naming the row), a dtype other than f32 and f64
/// (on the CPU).
pub fn cross_entropy_sum(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    cross_entropy(logits, targets, CrossEntropyConfig::default())
}

/// The sum over rows of −Σ_c q_c·ln softmax(logits)_c with q = (1 − ε)·[c = target] + ε/classes.
///
/// # Errors
/// As [`cross_entropy_sum`]; a smoothing outside [0, 1].
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, config: CrossEntropyConfig) -> Result<Tensor> {
    let Some((n_classes, rows)) = logits.dims().split_last() else {
        candle_core::bail!("cross_entropy: logits without dimensions");
    };
    if targets.dims() != rows || *n_classes == 0 || rows.is_empty() {
        candle_core::bail!(
            "cross_entropy: targets {:?} do not fit logits {:?}",
            targets.shape(),
            logits.shape()
        );
    }
    if !(0.0..=1.0).contains(&config.label_smoothing) {
        candle_core::bail!("cross_entropy: label smoothing {} is not in [0, 1]", config.label_smoothing);
    }
    if plain::is_asked_for(logits) {
        return plain::cross_entropy(logits, targets, config);
    }
    let op = CrossEntropyOp { config, n_classes: *n_classes, normalizers: Saved::default() };
    apply2(&logits.contiguous()?, &targets.contiguous()?, op)
}

struct CrossEntropyOp {
    config: CrossEntropyConfig,
    n_classes: usize,
    /// The largest logit of each row and Σ exp(logit − largest).
    normalizers: Saved,
}

impl CrossEntropyOp {
    fn rows<'a>(&self, targets: &'a [u32]) -> Targets<'a> {
        let CrossEntropyConfig { label_smoothing, ignore_index } = self.config;
        Targets { targets, n_classes: self.n_classes, ignored: ignore_index, smoothing: label_smoothing }
    }
}

impl CustomOp2 for CrossEntropyOp {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        targets: &CpuStorage,
        t_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let rows = self.rows(id_slice(targets, t_layout)?);
        if let Some((i, target)) = rows.first_unknown() {
            candle_core::bail!(
                "cross_entropy: target {target} of row {i} is not one of the {} classes",
                self.n_classes
            );
        }
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let (sum, normalizers) = rows.forward::<T>(contiguous(self.name(), x, x_layout)?);
            self.normalizers.keep(normalizers.into_flattened());
            T::to_cpu_storage_owned(vec![T::from_f64(sum)])
        });
        Ok((storage, ().into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        targets: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let scale = dy.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
        dispatch!(self.name(), x.dtype(), T => {
            let ((x_storage, x_layout), (t_storage, t_layout)) = (x.storage_and_layout(), targets.storage_and_layout());
            let values: &[T] = contiguous(self.name(), cpu(&x_storage)?, x_layout)?;
            let normalizers = self.normalizers.get::<T>(self.name())?.as_chunks::<2>().0;
            let rows = self.rows(id_slice(cpu(&t_storage)?, t_layout)?);
            let dx = rows.backward(values, normalizers, T::from_f64(scale));
            Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
        })
    }
}
