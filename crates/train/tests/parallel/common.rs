//! The models and runs of these tests.

use batchwise_data::{Dataset, open};
use batchwise_nn::models::{Cnn, CnnConfig, Mlp, MlpConfig};
use batchwise_nn::optim::{AdamWConfig, OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, fingerprint, loss};
use batchwise_schedule::{BatchSpec, Examples, LrSpec, RunLength};
use batchwise_train::parallel::{Finished, ParallelError, run_threads};
use batchwise_train::{Plan, Run, StepReport, Task, TrainError};
use candle_core::{DType, Device};
use candle_nn::ModuleT;
use std::ops::ControlFlow;
use std::sync::Arc;

pub(crate) const SGD: OptimizerConfig =
    OptimizerConfig::Sgd(SgdConfig { weight_decay: 1e-4, ..SgdConfig::USUAL });
pub(crate) const ADAMW: OptimizerConfig = OptimizerConfig::AdamW(AdamWConfig::USUAL);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Mlp,
    Cnn,
}

pub(crate) fn task(kind: Kind, seed: u64) -> Task {
    let parameters = Parameters::new();
    let vb = parameters.builder(seed, DType::F32, &Device::Cpu);
    let model: Box<dyn ModuleT + Send> = match kind {
        Kind::Mlp => {
            Box::new(Mlp::new(&MlpConfig { inputs: 784, hidden: vec![16], classes: 10 }, vb).unwrap())
        }
        Kind::Cnn => {
            let (channels, hidden, classes) = (vec![2, 3], 8, 10);
            let config = CnnConfig { in_channels: 1, height: 28, width: 28, channels, hidden, classes };
            Box::new(Cnn::new(&config, vb).unwrap())
        }
    };
    Task::new(parameters, model, loss::cross_entropy, Device::Cpu)
}

pub(crate) fn glyphs(len: u64) -> Arc<dyn Dataset> {
    open(&format!("glyphs:train={len},test=10"), None).unwrap().train
}

/// A run over `total` examples of an epoch of `epoch`.
pub(crate) fn run(batch: &str, micro_batch: u64, total: u64, epoch: u64, optimizer: OptimizerConfig) -> Run {
    let length = RunLength { total: Examples(total), dataset_size: Some(epoch), tokens_per_example: None };
    let lr = "0.02 warmup 10% then cosine to 0".parse::<LrSpec>().unwrap().resolve(&length, None).unwrap();
    let plan = Plan::Fixed(batch.parse::<BatchSpec>().unwrap().resolve(&length, lr).unwrap());
    Run::new(plan, micro_batch, Examples(total), optimizer, 9)
}

/// What a run on `world` workers ends with, and its steps.
pub(crate) fn train(
    world: usize,
    kind: Kind,
    dataset: &Arc<dyn Dataset>,
    run: &Run,
) -> Result<(Finished, Vec<StepReport>), ParallelError> {
    let mut steps = Vec::new();
    let build = |_| Ok::<_, TrainError>(task(kind, 4));
    let finished = run_threads(world, build, Arc::clone(dataset), run.clone(), |step| {
        steps.push(step.clone());
        ControlFlow::Continue(())
    })?;
    Ok((finished, steps))
}

pub(crate) fn hash(task: &Task) -> String {
    let named = task.parameters.named();
    fingerprint::sha256(named.iter().map(|(name, var)| (name.as_str(), var.as_tensor()))).unwrap()
}
