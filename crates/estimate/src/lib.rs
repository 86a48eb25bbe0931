//! Statistics of batch size: gradient noise, step time, memory and the joint decision, each with its error.
//!
//! Pure functions from measurements to numbers with intervals; no tensors, no input or output. The formulas and
//! their sections (§) are those of the project's theory page (`theory.md`), named beside each item with the
//! paper they come from.
//!
//! Read in the order of the data: [`noise`] (one θ) → [`fieller`] (the interval of a ratio; [`blocks`] where the
//! pairs are correlated) → [`trajectory`] (a whole run) → [`critical`] (φ to a belief about the critical batch size); [`time`] and [`memory`] (the
//! device), [`ridge`] (the learning rate), and [`decide`], which joins them. [`grade`] names how far an answer
//! may be trusted, and [`unit`](mod@unit) what an example is.
#![warn(missing_docs)]

pub mod blocks;
mod chi_square;
pub mod critical;
pub mod decide;
pub mod fieller;
pub mod grade;
pub mod memory;
pub mod noise;
pub mod outcome;
mod random;
pub mod ridge;
mod robust;
mod search;
mod student;
pub mod time;
mod time_curve;
pub mod trajectory;
mod twofold;
pub mod unit;
