//! Squared norms of the gradients of single examples, from how a parameter was used (theory.md §2).

use crate::kernels::element::{contiguous, dispatch, with_scratch};
use crate::kernels::gemm::{Matrix, gemm};
use crate::kernels::{Element, conv, norm, threads};
use crate::ops::{cpu, id_slice};
use crate::sink::Use;
use candle_core::{Result, Tensor};
use std::collections::HashMap;

/// ‖g_i‖² for each example i of a parameter of `len` elements.
///
/// # Errors
/// A use whose rows are no multiple of the examples.
pub(crate) fn norms2(uses: &[Use], len: usize, n: usize) -> Result<Vec<f64>> {
    let (Use::Outer { rows: any, .. }
    | Use::Vectors { rows: any }
    | Use::Conv { input: any, .. }
    | Use::Rows { gradient: any, .. }) = &uses[0];
    dispatch!("norms of examples", any.dtype(), T => {
        if let [one] = uses
            && let Some(norms) = alone::<T>(one, n)?
        {
            return Ok(norms);
        }
        let held: Vec<Held<'_>> = uses.iter().map(Held::of).collect::<Result<_>>()?;
        let parts: Vec<Part<'_, T>> = held.iter().map(|held| held.part(n)).collect::<Result<_>>()?;
        if let [part] = &parts[..]
            && let Some(norms) = part.alone(n)
        {
            return Ok(norms);
        }
        // Several uses of one parameter: their gradients are added before the norm is taken.
        Ok(threads::map(n, 1, |example| {
            with_scratch(len, |gradient: &mut [T]| {
                gradient.fill(T::ZERO);
                parts.iter().for_each(|part| part.add(example, gradient));
                norm::sum_of_squares_alone(gradient)
            })
        }))
    })
}

/// The norms of a parameter's only use, where they are at hand.
fn alone<T: Element>(only: &Use, n: usize) -> Result<Option<Vec<f64>>> {
    let norm2 = |x: &[T], len: usize, i: usize| norm::sum_of_squares_alone(&x[i * len..][..len]);
    match only {
        // ‖a·bᵀ‖² = ‖a‖²·‖b‖² (Goodfellow 2015).
        Use::Outer { rows, columns } if rows.dim(0)? == n => {
            let (height, width) = (rows.dim(1)?, columns.dim(1)?);
            let (rows, columns) = (rows.contiguous()?, columns.contiguous()?);
            let (a, b) = (rows.storage_and_layout(), columns.storage_and_layout());
            let a = contiguous::<T>(NAME, cpu(&a.0)?, a.1)?;
            let b = contiguous::<T>(NAME, cpu(&b.0)?, b.1)?;
            Ok(Some(each(n, height + width, |i| norm2(a, height, i) * norm2(b, width, i))))
        }
        Use::Vectors { rows } if rows.dim(0)? == n => {
            let (len, rows) = (rows.dim(1)?, rows.contiguous()?);
            let held = rows.storage_and_layout();
            let rows = contiguous::<T>(NAME, cpu(&held.0)?, held.1)?;
            Ok(Some(each(n, len, |i| norm2(rows, len, i))))
        }
        Use::Conv { geometry, norms2, .. } if geometry.n == n => Ok(Some(norms2.clone())),
        _ => Ok(None),
    }
}

/// What messages call it.
const NAME: &str = "norms of examples";
/// Numbers that are read faster by one thread than by waking another.
const SERIAL: usize = 1 << 15;

/// A number for each of `n` examples, each of which takes the reading of `len` numbers.
fn each(n: usize, len: usize, one: impl Fn(usize) -> f64 + Send + Sync) -> Vec<f64> {
    threads::map(n, SERIAL / len.max(1), one)
}

/// A use's tensors, made contiguous, with their storage held.
struct Held<'a> {
    kind: &'a Use,
    tensors: Vec<Tensor>,
}

/// One use on plain slices, cut into examples.
enum Part<'a, T> {
    Outer { rows: Vec<T>, columns: Vec<T>, height: usize, width: usize, per_example: usize },
    Vectors { rows: Vec<T>, len: usize, per_example: usize },
    Conv { geometry: &'a conv::Geometry, input: Vec<T>, gradient: Vec<T> },
    Rows { ids: Vec<u32>, gradient: Vec<T>, width: usize, per_example: usize },
}

impl<'a> Held<'a> {
    fn of(kind: &'a Use) -> Result<Self> {
        let tensors = match kind {
            Use::Outer { rows, columns } => vec![rows.contiguous()?, columns.contiguous()?],
            Use::Vectors { rows } => vec![rows.contiguous()?],
            Use::Conv { input, gradient, .. } => vec![input.contiguous()?, gradient()?.contiguous()?],
            Use::Rows { ids, gradient } => vec![ids.contiguous()?, gradient.contiguous()?],
        };
        Ok(Self { kind, tensors })
    }

    fn part<T: Element>(&self, n: usize) -> Result<Part<'a, T>> {
        let rows_of = |tensor: &Tensor| match tensor.dim(0)? {
            rows if n != 0 && rows.is_multiple_of(n) => Ok(rows / n),
            rows => {
                candle_core::bail!("{rows} rows of a layer do not belong to {n} examples in equal numbers")
            }
        };
        Ok(match self.kind {
            Use::Outer { .. } => {
                let (rows, columns) = (&self.tensors[0], &self.tensors[1]);
                let (height, width, per_example) = (rows.dim(1)?, columns.dim(1)?, rows_of(rows)?);
                Part::Outer { rows: values(rows)?, columns: values(columns)?, height, width, per_example }
            }
            Use::Vectors { .. } => {
                let rows = &self.tensors[0];
                Part::Vectors { rows: values(rows)?, len: rows.dim(1)?, per_example: rows_of(rows)? }
            }
            Use::Conv { geometry, .. } => {
                if geometry.n != n {
                    candle_core::bail!("a convolution of {} images does not hold {n} examples", geometry.n);
                }
                Part::Conv { geometry, input: values(&self.tensors[0])?, gradient: values(&self.tensors[1])? }
            }
            Use::Rows { .. } => {
                let (ids, gradient) = (&self.tensors[0], &self.tensors[1]);
                let (storage, layout) = ids.storage_and_layout();
                let ids = id_slice(cpu(&storage)?, layout)?.to_vec();
                let (width, per_example) = (gradient.dim(1)?, rows_of(gradient)?);
                Part::Rows { ids, gradient: values(gradient)?, width, per_example }
            }
        })
    }
}

fn values<T: Element>(tensor: &Tensor) -> Result<Vec<T>> {
    let (storage, layout) = tensor.storage_and_layout();
    Ok(contiguous::<T>(NAME, cpu(&storage)?, layout)?.to_vec())
}

impl<T: Element> Part<'_, T> {
    /// The norms if this is the parameter's only use and there is a shorter way than its gradient.
    fn alone(&self, n: usize) -> Option<Vec<f64>> {
        match self {
            // Only the rows that an example looked up have a gradient.
            Self::Rows { ids, gradient, width, per_example } => Some(threads::map(n, 1, |i| {
                let mut sums: HashMap<u32, Vec<T>> = HashMap::new();
                for row in i * per_example..(i + 1) * per_example {
                    let sum = sums.entry(ids[row]).or_insert_with(|| vec![T::ZERO; *width]);
                    sum.iter_mut().zip(&gradient[row * width..]).for_each(|(s, g)| *s += *g);
                }
                let mut norms: Vec<(u32, f64)> =
                    sums.iter().map(|(id, sum)| (*id, norm::sum_of_squares_alone(sum))).collect();
                // In the order of the ids: a map's own order changes from run to run.
                norms.sort_by_key(|(id, _)| *id);
                norms.iter().map(|(_, norm)| norm).sum()
            })),
            _ => None,
        }
    }

    /// Adds the gradient of one example.
    fn add(&self, example: usize, sum: &mut [T]) {
        match self {
            Self::Outer { rows, columns, height, width, per_example } => {
                let (first, n) = (example * per_example, *per_example);
                let rows = Matrix::row_major(&rows[first * height..][..n * height], n, *height);
                let columns = Matrix::row_major(&columns[first * width..][..n * width], n, *width);
                gemm(sum, true, rows.t(), columns);
            }
            Self::Vectors { rows, len, per_example } => {
                for row in rows[example * per_example * len..][..per_example * len].chunks((*len).max(1)) {
                    sum.iter_mut().zip(row).for_each(|(s, v)| *s += *v);
                }
            }
            Self::Conv { geometry, input, gradient } => {
                let input = &input[example * geometry.in_len()..][..geometry.in_len()];
                let gradient = &gradient[example * geometry.out_len()..][..geometry.out_len()];
                conv::add_weight_gradient(geometry, input, gradient, sum);
            }
            Self::Rows { ids, gradient, width, per_example } => {
                for row in example * per_example..(example + 1) * per_example {
                    let target = &mut sum[ids[row] as usize * width..][..*width];
                    target.iter_mut().zip(&gradient[row * width..]).for_each(|(s, g)| *s += *g);
                }
            }
        }
    }
}
