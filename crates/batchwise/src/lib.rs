//! Which batch size, learning rate and accumulation should this model train with, on this data and device?
//!
//! This crate is the front: it re-exports the layers and holds the command line, which a program of your
//! own can have for its own models:
//!
//! ```no_run
//! use batchwise::cli::{Cli, Options};
//! use batchwise::lab::Workload;
//! use batchwise::nn::memory::CountingAllocator;
//!
//! # fn my_workload(options: &Options) -> Result<Box<dyn Workload>, String> { Err(String::new()) }
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator;
//!
//! fn main() -> std::process::ExitCode {
//!     Cli::built_in().workload("mine", my_workload).main()
//! }
//! ```
//!
//! `mine advise --model mine` then measures your model.

#![warn(missing_docs)]

pub mod cli;

pub use batchwise_data as data;
pub use batchwise_estimate as estimate;
pub use batchwise_lab as lab;
pub use batchwise_nn as nn;
pub use batchwise_schedule as schedule;
pub use batchwise_train as train;
