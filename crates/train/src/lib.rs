//! One training run on candle: exact accumulation, the noise tap, schedules in examples.
//!
//! A [`Task`] is what is trained (parameters, model, loss); a [`Trainer`] is one run of it. A step takes a
//! batch of B examples as micro-batches of b: memory decides b, the mathematics sees only B. While the
//! micro-batches' gradients are added up their squared norms are measured in the same pass, which is all
//! that the gradient noise scale needs.
//!
//! ```
//! use batchwise_data::open;
//! use batchwise_nn::models::{Mlp, MlpConfig};
//! use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
//! use batchwise_nn::{Parameters, loss};
//! use batchwise_schedule::{Examples, LearningRate, Schedule};
//! use batchwise_train::{Plan, Run, Tap, Task, Trainer};
//! use candle_core::{DType, Device};
//!
//! let data = open("glyphs:train=500,test=50", None)?;
//! let parameters = Parameters::new();
//! let config = MlpConfig { inputs: 784, hidden: vec![32], classes: 10 };
//! let model = Mlp::new(&config, parameters.builder(1, DType::F32, &Device::Cpu))?;
//! let task = Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu);
//! let plan = Plan::constant(100, Schedule::constant(LearningRate(0.05)));
//! let optimizer = OptimizerConfig::Sgd(SgdConfig::USUAL);
//! let run = Run { tap: Tap::Norms, ..Run::new(plan, 32, Examples(500), optimizer, 1) };
//! let mut trainer = Trainer::new(task, data.train, run)?;
//! while let Some(step) = trainer.step()? {
//!     assert_eq!(step.n_micro_batches, 4); // 32 + 32 + 32 + 4
//! }
//! # Ok::<(), batchwise_train::TrainError>(())
//! ```
//!
//! The crate does not know what a probe or a report is, and reads no clock but to time its phases.

#![warn(missing_docs)]

mod accumulate;
pub mod average;
pub mod best;
pub mod check;
pub mod checkpoint;
mod contribution;
mod error;
mod evaluate;
pub mod frozen;
pub mod generalisation;
mod kept;
mod micro;
mod noise;
pub mod observe;
pub mod parallel;
pub mod period;
mod plan;
mod preconditioned;
mod run;
mod state;
pub mod target;
mod task;
mod trainer;
mod update;

pub use error::TrainError;
pub use evaluate::{Evaluation, evaluate, evaluate_on};
pub use micro::{MicroBatch, MicroBatchError, PATIENCE};
pub use noise::{NoiseReading, Tap, measure_noise, measure_noise_of_examples};
pub use plan::{Adaptive, Follow, Plan, PlanState};
pub use preconditioned::PreconditionedNoise;
pub use run::{Clip, OnNonFinite, Run, StepReport};
pub use state::{Numbers, State};
pub use task::Task;
pub use trainer::Trainer;
