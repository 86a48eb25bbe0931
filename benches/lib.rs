//! What the benches share: the built-in models on the built-in data.

#![warn(missing_docs)]

pub mod against;
mod ceiling;
pub mod comparison;
mod images;
mod pair;
pub mod saved;

pub use ceiling::gemm_gflops;
pub use images::{N_FEATURES, copy_rate, mapped_images, single_pass_rows, synthetic_images};

pub use pair::{Pair, paired};

use batchwise_data::{Dataset, Row, RowsMut, TensorDataset, ValuesMut, open};
use batchwise_nn::models::{Cnn, CnnConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, loss};
use batchwise_train::{Run, Tap, Task, TrainError, Trainer};
use candle_core::{DType, Device};
use std::path::PathBuf;
use std::sync::Arc;

/// The two built-in models.
pub const MODELS: [&str; 2] = ["mlp", "cnn"];

/// The optimizer of the built-in workloads.
pub const SGD: OptimizerConfig = OptimizerConfig::Sgd(SgdConfig::USUAL);

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// Examples of the built-in set.
///
/// # Errors
/// None for a length of 1 or more.
pub fn glyphs(len: u64) -> Result<Arc<dyn Dataset>, TrainError> {
    Ok(open(&format!("glyphs:train={len},test=1"), None)?.train)
}

/// A model with the sizes of the built-in workload of that name.
///
/// # Errors
/// None for the names in [`MODELS`].
pub fn task(model: &str) -> Result<Task, TrainError> {
    let parameters = Parameters::new();
    let vb = parameters.builder(1, DType::F32, &Device::Cpu);
    let task = |parameters, model| Task::new(parameters, model, loss::cross_entropy, Device::Cpu);
    if model == "mlp" {
        let config = MlpConfig { inputs: 784, hidden: vec![128, 128], classes: 10 };
        return Ok(task(parameters.clone(), Box::new(Mlp::new(&config, vb)?)));
    }
    let config =
        CnnConfig { in_channels: 1, height: 28, width: 28, channels: vec![16, 32], hidden: 64, classes: 10 };
    Ok(task(parameters.clone(), Box::new(Cnn::new(&config, vb)?)))
}

/// A trainer that never ends and, at a learning rate of 0, never reaches denormal gradients.
///
/// # Errors
/// As [`task`].
pub fn trainer(
    model: &str,
    dataset: Arc<dyn Dataset>,
    batch: u64,
    micro_batch: u64,
    tap: Tap,
) -> Result<Trainer, TrainError> {
    let run = Run { tap, ..Run::idle(batch, micro_batch, SGD, 1) };
    Trainer::new(task(model)?, dataset, run)
}

/// A data set in memory, so that a step's bench does not time the drawing of glyphs.
///
/// # Errors
/// What the source says.
pub fn in_memory(source: &dyn Dataset) -> Result<Arc<dyn Dataset>, TrainError> {
    let (schema, len) = (source.schema(), source.len() as usize);
    let (mut inputs, mut targets) = (vec![0.0; len * schema.input_len()], vec![0; len]);
    let rows: Vec<Row> = (0..len as u64).map(Row::new).collect();
    source.gather(
        &rows,
        RowsMut { inputs: ValuesMut::F32(&mut inputs), targets: ValuesMut::U32(&mut targets) },
    )?;
    Ok(Arc::new(TensorDataset::with_classes(&schema.name, inputs, &schema.input_shape, targets)?))
}
