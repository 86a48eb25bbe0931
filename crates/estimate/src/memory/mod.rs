//! Peak memory as a function of the batch, and the largest batch that fits.
//!
//! # The question
//! Which batch still fits into the memory there is? The peak of a step is, to first order, M(B) = fixed + m·B: fixed are
//! parameters, gradients and optimizer state ([`bytes_per_parameter`]) and the program itself, m the activations of an
//! example (theory §7). What must fit is the micro-batch: accumulation makes the batch larger, not the peak.
//!
//! # The model
//! Each phase of a step (forward, backward, optimizer) needs fixed + m·B bytes and the peak is the largest of them:
//! convex and piecewise linear, with the smallest batches off the line (other kernels). A line through small batches
//! mispredicts large ones many times over, so [`fit_memory`] uses only the largest batches that lie on one line to
//! extrapolate, and the measured peaks themselves in between. [`MemoryFit::upper`] is what a decision should use: it
//! allows for rounding by the allocator, scatter, and an ever wider band beyond what was measured. [`affine()`] answers
//! the simpler question of the two numbers, with intervals.
//!
//! # When it fails
//! A phase that overtakes beyond the largest measured batch cannot be known: double the batch only a few times past it,
//! keep a margin of 5 to 10 %, and verify by a run at the chosen batch. Memory is a function of the shape of an example
//! too. Attention holds T² scores for T tokens ([`attention_score_bytes`]), so a fit holds for the sequence length at
//! which it was measured: measure at the longest one. Evaluation batches and workspaces of convolutions count as well.
//!
//! # Example
//! ```
//! use batchwise_estimate::memory::{MemoryPoint, affine, fit_memory};
//! // Planted: 100 MB and 3 MB per example, rounded up to 2 MiB.
//! let grain = 2u64 << 20;
//! let truth = |batch: u64| (100_000_000 + 3_000_000 * batch).div_ceil(grain) * grain;
//! let points: Vec<_> =
//!     [4, 8, 16, 32, 64, 128].map(|batch| MemoryPoint { batch, peak_bytes: truth(batch) }).to_vec();
//!
//! let numbers = affine(&points, 0.95).unwrap();
//! assert_eq!(numbers.bytes_per_example.holds(3e6), Some(true));
//!
//! // A device of 1 GB, of which 10 % stay free.
//! let batch = fit_memory(&points).unwrap().largest_batch(900_000_000).unwrap();
//! assert!((200..=266).contains(&batch), "{batch}");
//! assert!(truth(batch) <= 900_000_000);
//! ```

mod affine;
mod fit;
mod parameters;

pub use affine::{Affine, affine};
pub use fit::{MemoryError, MemoryFit, MemoryPoint, TOLERANCE, UpperBand, fit_memory};
pub use parameters::{Optimizer, Precision, attention_score_bytes, bytes_per_parameter};
