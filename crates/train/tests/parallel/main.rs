//! A run shared by several workers: the same bits whatever their number, and nobody left waiting.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod collective;
mod common;
mod faults;
mod pool;
mod sums;
mod worlds;
