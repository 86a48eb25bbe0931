//! Our training step and PyTorch's side by side: what to run, how, and how it reads.

mod measure;
mod options;
mod python;
mod table;

pub use measure::{Cell, Contestant, Seen, ceiling, measure};
pub use options::{Options, USAGE};
pub use python::interpreter;
pub use table::table;

/// Why a comparison stopped.
pub type Failure = Box<dyn std::error::Error>;

/// The variants of PyTorch that compute as we do; the best of them is what we are compared with.
pub const TORCH: [&str; 3] = ["eager", "fused", "compile"];

/// PyTorch in bfloat16, which computes otherwise.
pub const BF16: &str = "bf16";

/// Our name with operands rounded to bf16, which is what PyTorch in bfloat16 is to be compared with.
pub const OURS_BF16: &str = "batchwise_bf16";

/// Our name among the contestants.
pub const OURS: &str = "batchwise";

/// The name of stock candle among the contestants.
pub const CANDLE: &str = "candle";
