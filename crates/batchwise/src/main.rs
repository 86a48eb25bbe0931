//! The `batchwise` program with the built-in workloads.

use batchwise::cli::Cli;
use batchwise::nn::memory::{self, CountingAllocator};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> std::process::ExitCode {
    memory::keep_large_blocks();
    Cli::built_in().main()
}
