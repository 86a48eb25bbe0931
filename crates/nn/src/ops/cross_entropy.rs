//! Σ −log softmax(logits) at the target class.

use super::linear::cpu;
use super::plain;
use crate::kernels::Element;
use crate::kernels::element::{contiguous, dispatch};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};

/// The sum (not the mean) over examples of the cross-entropy: `logits` is (n, classes), `targets` (n) of
/// u32 class numbers; returns a scalar.
///
/// # Errors
/// Shapes that do not fit, a target that is not a class (naming the row), a dtype other than f32 and f64
/// (on the CPU).
pub fn cross_entropy_sum(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let (n, n_classes) = logits.dims2()?;
    if targets.dims() != [n] || n_classes == 0 {
        candle_core::bail!(
            "cross_entropy: targets {:?} do not fit logits {:?}",
            targets.shape(),
            logits.shape()
        );
    }
    if !logits.device().is_cpu() {
        return plain::cross_entropy_sum(logits, targets);
    }
    logits.contiguous()?.apply_op2(&targets.contiguous()?, CrossEntropyOp)
}

struct CrossEntropyOp;

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
        let targets = target_slice(cpu(&t_storage)?, t_layout)?;
        let mut dx = Vec::with_capacity(x.len());
        for (row, target) in x.chunks(n_classes).zip(targets) {
            let (largest, log_sum) = log_normalizer(row);
            for (class, v) in row.iter().enumerate() {
                let p = (*v - largest - log_sum).exp();
                dx.push(scale * if class == *target as usize { p - T::ONE } else { p });
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
        let targets = target_slice(targets, t_layout)?;
        let storage = dispatch!(self.name(), x.dtype(), T => {
            let x: &[T] = contiguous(self.name(), x, x_layout)?;
            let mut sum = 0.0f64;
            for (i, (row, target)) in x.chunks(n_classes).zip(targets).enumerate() {
                let Some(logit) = row.get(*target as usize) else {
                    candle_core::bail!("cross_entropy: target {target} of row {i} is not one of the {n_classes} classes");
                };
                let (largest, log_sum) = log_normalizer(row);
                sum += (largest + log_sum - *logit).to_f64();
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

fn target_slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [u32]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&storage.as_slice::<u32>()?[from..to]),
        None => candle_core::bail!("cross_entropy needs contiguous targets"),
    }
}
