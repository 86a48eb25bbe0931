//! One run shared by several workers, with the same bits whatever their number.
//!
//! A batch is cut into the same micro-batches on every world; each rank computes a contiguous part of them and the
//! gradients are added in one fixed tree over the micro-batch index ([`TreeSum`]), first within a rank, then over the
//! ranks. So a run with 1, 2, 4 or 8 workers ends with the same weights, to the bit, and reports the same losses and
//! noise. Every rank holds the whole model and makes the same update.
//!
//! - [`Collective`]: how ranks talk. [`Threads`] is the one inside a process; MPI or NCCL plug in here.
//! - [`Shares`], [`TreeSum`], [`Buckets`]: who computes what, and the order of the sum.
//! - [`Worker`]: one rank of a run. [`run_threads`]: a whole run on threads.
//!
//! The bits of a gradient also depend on the machine and may depend on the number of threads in rayon's pool
//! (`RAYON_NUM_THREADS`), so ranks in several processes must have the same of both.
//!
//! ```
//! use batchwise_data::open;
//! use batchwise_nn::models::{Mlp, MlpConfig};
//! use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
//! use batchwise_nn::{Parameters, loss};
//! use batchwise_schedule::{Examples, LearningRate, Schedule};
//! use batchwise_train::parallel::run_threads;
//! use batchwise_train::{Plan, Run, Tap, Task, TrainError};
//! use candle_core::{DType, Device};
//! use std::ops::ControlFlow;
//!
//! let build = |_rank: usize| -> Result<Task, TrainError> {
//!     let parameters = Parameters::new();
//!     let config = MlpConfig { inputs: 784, hidden: vec![8], classes: 10 };
//!     let model = Mlp::new(&config, parameters.builder(1, DType::F32, &Device::Cpu))?;
//!     Ok(Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu))
//! };
//! let plan = Plan::constant(40, Schedule::constant(LearningRate(0.05)));
//! let optimizer = OptimizerConfig::Sgd(SgdConfig::USUAL);
//! let run = Run { tap: Tap::Norms, ..Run::new(plan, 8, Examples(200), optimizer, 1) };
//! let mut losses = Vec::new();
//! for world in [1, 2] {
//!     let data = open("glyphs:train=100,test=10", None)?.train;
//!     let mut seen = Vec::new();
//!     run_threads(world, build, data, run.clone(), |step| {
//!         seen.push(step.loss);
//!         ControlFlow::Continue(())
//!     })?;
//!     losses.push(seen);
//! }
//! assert_eq!(losses[0], losses[1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod buckets;
mod collective;
mod error;
mod flat;
mod record;
mod replicas;
mod run;
mod shares;
mod threads;
mod tree;
mod worker;

pub use buckets::{BUCKET_BYTES, Buckets};
pub use collective::{Collective, CollectiveError};
pub use error::ParallelError;
pub use replicas::broadcast_parameters;
pub use run::{Finished, run_threads};
pub use shares::Shares;
pub use threads::{Threads, WAIT};
pub use tree::TreeSum;
pub use worker::{CHECK_EVERY, Worker};
