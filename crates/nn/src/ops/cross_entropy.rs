//! Σ −log softmax(logits) at the target class.

use super::embedding::id_slice;
use super::linear::cpu;
use super::plain;
use crate::kernels::Element;
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

/// The sum (not the mean) over examples of the cross-entropy: `logits` is (n, classes), `targets` (n) of
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
    let (n, n_classes) = logits.dims2()?;
    if targets.dims() != [n] || n_classes == 0 {
        candle_core::bail!(
            "cross_entropy: targets {:?} do not fit logits {:?}",
            targets.shape(),
            logits.shape()
        );
    }
    if !(0.0..=1.0).contains(&config.label_smoothing) {
        candle_core::bail!("cross_entropy: label smoothing {} is not in [0, 1]", config.label_smoothing);
    }
    if !logits.device().is_cpu() {
        return plain::cross_entropy(logits, targets, config);
    }
    apply2(&logits.contiguous()?, &targets.contiguous()?, CrossEntropyOp { config })
}

struct CrossEntropyOp {
    config: CrossEntropyConfig,
}

/// The largest logit and the logarithm of Σ exp(logit − largest).
fn log_normalizer<T: Element>(row: &[T]) -> (T, T) {
    let largest = row.iter().copied().fold(row[0], |a, b| if a < b { b } else { a });
    let mut sum = T::ZERO;
    row.iter().for_each(|v| sum += (*v - largest).exp());
    (largest, sum.ln())
}

impl CrossEntropyOp {
    fn backward<T: Element>(&self, logits: &Tensor, targets: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let n_classes = logits.dim(1)?;
        let scale = T::from_f64(dy.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?);
        let ((x_storage, x_layout), (t_storage, t_layout)) =
            (logits.storage_and_layout(), targets.storage_and_layout());
        let x: &[T] = contiguous(self.name(), cpu(&x_storage)?, x_layout)?;
        let targets = id_slice(cpu(&t_storage)?, t_layout)?;
        let smoothing = self.config.label_smoothing;
        let (hit, spread) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / n_classes as f64));
        let mut dx = Vec::with_capacity(x.len());
        for (row, target) in x.chunks(n_classes).zip(targets) {
            if self.config.ignore_index == Some(*target) {
                dx.resize(dx.len() + n_classes, T::ZERO);
                continue;
            }
            let (largest, log_sum) = log_normalizer(row);
            for (class, v) in row.iter().enumerate() {
                let p = (*v - largest - log_sum).exp() - spread;
                dx.push(scale * if class == *target as usize { p - hit } else { p });
            }
        }
        Tensor::from_vec(dx, logits.shape(), logits.device())
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
        let (_, n_classes) = x_layout.shape().dims2()?;
        let targets = id_slice(targets, t_layout)?;
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let x: &[T] = contiguous(self.name(), x, x_layout)?;
            let mut sum = 0.0f64;
            let smoothing = self.config.label_smoothing;
            for (i, (row, target)) in x.chunks(n_classes).zip(targets).enumerate() {
                if self.config.ignore_index == Some(*target) {
                    continue;
                }
                let Some(logit) = row.get(*target as usize) else {
                    candle_core::bail!("cross_entropy: target {target} of row {i} is not one of the {n_classes} classes");
                };
                let (largest, log_sum) = log_normalizer(row);
                let normalizer = largest + log_sum;
                sum += (1.0 - smoothing) * (normalizer - *logit).to_f64();
                if smoothing != 0.0 {
                    let all: f64 = row.iter().map(|v| (normalizer - *v).to_f64()).sum();
                    sum += smoothing / n_classes as f64 * all;
                }
            }
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
        let dx = dispatch!(self.name(), x.dtype(), T => self.backward::<T>(x, targets, dy))?;
        Ok((Some(dx), None))
    }
}
