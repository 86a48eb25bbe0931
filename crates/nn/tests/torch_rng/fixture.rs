//! The fixture, and the comparison of one result with it.

use candle_core::DType;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What PyTorch computed: see `fixtures/models.py`.
#[derive(Deserialize)]
pub(crate) struct Fixture {
    /// PyTorch's version.
    pub(crate) torch: String,
    pub(crate) generator: Draws,
    pub(crate) models: BTreeMap<String, Model>,
}

/// Draws from a generator with seed 7, in this order.
#[derive(Deserialize)]
pub(crate) struct Draws {
    /// In [−0.3, 0.3).
    pub(crate) uniform: Vec<f32>,
    /// Normal, fewer than a block of 16.
    pub(crate) few: Vec<f32>,
    /// Normal, a block and a part of one.
    pub(crate) more: Vec<f32>,
    /// Normal, the second of a pair.
    pub(crate) one: Vec<f32>,
    /// Below 65.
    pub(crate) integers: Vec<u32>,
}

#[derive(Deserialize)]
pub(crate) struct Model {
    pub(crate) n_parameters: usize,
    pub(crate) weights: Vec<Weight>,
    pub(crate) buffers: Vec<Buffer>,
    /// By batch size.
    pub(crate) batches: BTreeMap<usize, Batch>,
}

#[derive(Deserialize)]
pub(crate) struct Weight {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) sum: f64,
    pub(crate) sum_squares: f64,
    pub(crate) first: Vec<f32>,
    /// Of the little-endian f32 values.
    pub(crate) sha256: String,
}

#[derive(Deserialize)]
pub(crate) struct Buffer {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

#[derive(Deserialize)]
pub(crate) struct Batch {
    /// Of the little-endian f32 or u32 values.
    pub(crate) x_sha256: String,
    /// Of the little-endian u32 values.
    pub(crate) y_sha256: String,
    f32: Run,
    f64: Run,
    /// The smallest |input| of a ReLU.
    pub(crate) relu_margin: Option<f64>,
    /// ‖f32 − f64‖ in PyTorch, by the name of the tensor.
    f32_error: BTreeMap<String, f64>,
}

/// One forward and backward in training mode from the initial weights, in one dtype.
#[derive(Deserialize)]
struct Run {
    loss: f64,
    /// The first 16.
    logits: Vec<f64>,
    /// The gradients by the names of their parameters, and the running statistics after the step by their own.
    tensors: BTreeMap<String, Summary>,
}

#[derive(Deserialize)]
struct Summary {
    norm: f64,
    /// Up to 8.
    first: Vec<f64>,
    /// Up to 8.
    last: Vec<f64>,
    /// Σ s_k(i)·v_i with the signs of [`sign`].
    projections: Vec<f64>,
}

/// The fixture, read once.
pub(crate) fn fixture() -> &'static Fixture {
    static FIXTURE: LazyLock<Fixture> =
        LazyLock::new(|| serde_json::from_str(include_str!("../fixtures/models.json")).expect("the fixture"));
    &FIXTURE
}

/// Holds a gradient (by the name of its parameter) or a running statistic against PyTorch's of the same dtype: norm,
/// first and last 8 values and 4 projections.
///
/// f64 must agree to 1e-9 of the norm: the sums differ in order only. f32 must agree to 1e-5 of the norm, or 4 times
/// PyTorch's own distance between f32 and f64 where that is more: two right answers are each about that far from the
/// truth. A random difference δ moves a sum with random signs by about ‖δ‖, so a projection may differ by 4 times that.
pub(crate) fn check_tensor(
    model: &str,
    batch: usize,
    name: &str,
    values: &[f64],
    dtype: DType,
) -> Result<(), String> {
    let place = format!("{model}, batch {batch}, {dtype:?}, {name}");
    let (of_model, of_batch) = find(model, batch)?;
    let wanted =
        run(of_batch, dtype)?.tensors.get(name).ok_or_else(|| format!("{place}: not in the fixture"))?;
    let size = of_model.size(name);
    if Some(values.len()) != size {
        return Err(format!("{place}: {} values, PyTorch has {size:?}", values.len()));
    }
    let tolerance = match dtype {
        DType::F64 => 1e-9 * wanted.norm,
        _ => (1e-5 * wanted.norm).max(4.0 * of_batch.f32_error[name]),
    };
    let got = Summary::of(values);
    close(&place, "norm", &[got.norm], &[wanted.norm], tolerance)?;
    close(&place, "first", &got.first, &wanted.first, tolerance)?;
    close(&place, "last", &got.last, &wanted.last, tolerance)?;
    close(&place, "projections", &got.projections, &wanted.projections, 4.0 * tolerance)
}

/// Holds a mean loss against PyTorch's of the same dtype: to 1e-9, or in f32 to 1e-6 or 4 times PyTorch's own error.
pub(crate) fn check_loss(model: &str, batch: usize, loss: f64, dtype: DType) -> Result<(), String> {
    let of_batch = find(model, batch)?.1;
    let wanted = run(of_batch, dtype)?.loss;
    let own_error = (of_batch.f32.loss - of_batch.f64.loss).abs();
    let tolerance = if dtype == DType::F64 { 1e-9 * wanted } else { (1e-6 * wanted).max(4.0 * own_error) };
    close(&format!("{model}, batch {batch}, {dtype:?}"), "loss", &[loss], &[wanted], tolerance)
}

/// Holds the first 16 of all logits (row-major) against PyTorch's of the same dtype, with tolerances as for
/// [`check_tensor`] relative to the norm of these 16.
pub(crate) fn check_logits(model: &str, batch: usize, logits: &[f64], dtype: DType) -> Result<(), String> {
    let of_batch = find(model, batch)?.1;
    let wanted = &run(of_batch, dtype)?.logits;
    let difference: Vec<f64> =
        of_batch.f32.logits.iter().zip(&of_batch.f64.logits).map(|(a, b)| a - b).collect();
    let tolerance = match dtype {
        DType::F64 => 1e-9 * norm(wanted),
        _ => (1e-5 * norm(wanted)).max(4.0 * norm(&difference)),
    };
    let first = &logits[..logits.len().min(16)];
    close(&format!("{model}, batch {batch}, {dtype:?}"), "logits", first, wanted, tolerance)
}

impl Model {
    /// The number of elements of a parameter or buffer.
    fn size(&self, name: &str) -> Option<usize> {
        let weights = self.weights.iter().map(|w| (&w.name, &w.shape));
        let buffers = self.buffers.iter().map(|b| (&b.name, &b.shape));
        weights.chain(buffers).find(|(n, _)| *n == name).map(|(_, shape)| shape.iter().product())
    }
}

impl Batch {
    /// PyTorch's own relative error in f32, by the name of the tensor.
    pub(crate) fn relative_f32_errors(&self) -> impl Iterator<Item = (&str, f64)> {
        self.f32_error.iter().map(|(name, error)| (name.as_str(), error / self.f64.tensors[name].norm))
    }
}

impl Summary {
    fn of(values: &[f64]) -> Self {
        let projection = |k| values.iter().enumerate().map(|(i, v)| sign(i, k) * v).sum();
        Self {
            norm: norm(values),
            first: values[..values.len().min(8)].to_vec(),
            last: values[values.len().saturating_sub(8)..].to_vec(),
            projections: (0..4).map(projection).collect(),
        }
    }
}

/// Element i of sequence k of ±1: the top bit of a hash of 4i + k, in 32-bit arithmetic.
fn sign(i: usize, k: u32) -> f64 {
    let h = (i as u32).wrapping_mul(4).wrapping_add(k).wrapping_mul(0x9e37_79b1);
    let h = (h ^ (h >> 15)).wrapping_mul(0x85eb_ca77);
    if h >> 31 == 0 { 1.0 } else { -1.0 }
}

fn find(model: &str, batch: usize) -> Result<(&'static Model, &'static Batch), String> {
    let of_model = fixture().models.get(model).ok_or_else(|| format!("no model {model} in the fixture"))?;
    let of_batch = of_model.batches.get(&batch).ok_or_else(|| format!("no batch {batch} of {model}"))?;
    Ok((of_model, of_batch))
}

fn run(batch: &Batch, dtype: DType) -> Result<&Run, String> {
    match dtype {
        DType::F32 => Ok(&batch.f32),
        DType::F64 => Ok(&batch.f64),
        other => Err(format!("no results in {other:?} in the fixture")),
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn close(place: &str, what: &str, got: &[f64], wanted: &[f64], tolerance: f64) -> Result<(), String> {
    let is_close = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance;
    if got.len() == wanted.len() && got.iter().zip(wanted).all(is_close) {
        return Ok(());
    }
    Err(format!("{place}: {what} {got:?}, PyTorch has {wanted:?} (tolerance {tolerance:.1e})"))
}
