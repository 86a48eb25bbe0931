//! Statistics of batch size: gradient noise, step time, memory, learning rates and the joint decision, each with its error.
//!
//! Pure functions from measurements to numbers with intervals; no tensors, no input or output. The measurements may
//! come from anywhere: a training loop in any framework, a table that somebody logged. Formulas carry their section (§)
//! of the project's theory page (`theory.md`) and the paper they come from.
//!
//! # A short course
//!
//! 1. **How noisy is a gradient?** [`noise`]: tr Σ and ‖G‖² from the norms of micro-batch gradients, their quotient φ, and
//!    how many measurements a wanted error takes. [`unit`](mod@unit) says what φ counts.
//! 2. **How sure is a quotient?** [`fieller`]: an interval that is open where the data leave it open; [`blocks`] for
//!    measurements along a training run, which are correlated; [`trajectory`] for a whole run.
//! 3. **What does a larger batch cost?** [`tradeoff`]: steps to a target against batch size, S = S_min(1 + B_c/B), with runs that
//!    never arrived; [`critical`]: one belief about B_c from every source there is.
//! 4. **What does a step cost?** [`time`]: overhead, work, and how they join; [`memory`]: what fits.
//! 5. **Which learning rate?** [`ridge`]: the best at each batch size, and the law it follows.
//! 6. **Is a larger batch as good?** [`compare`]: non-inferiority, because no significant difference is not equality.
//! 7. **Which batch, then?** [`decide`]: the least expected regret over all that is uncertain, and what to measure next.
//! 8. **How is any of this known to be right?** [`oracle`]: small worlds in which the answer is known in closed form.
//!
//! The feature `serde` makes everything here that is a result or a request readable and writable with serde.
//!
//! [`outcome`] and [`grade`] say how far an answer may be trusted: a number that the data do not identify is not a number.
#![warn(missing_docs)]

pub mod blocks;
mod chi_square;
pub mod compare;
pub mod critical;
pub mod decide;
pub mod fieller;
pub mod grade;
pub mod memory;
pub mod noise;
pub mod oracle;
pub mod outcome;
mod random;
pub mod ridge;
mod robust;
mod search;
mod student;
pub mod time;
mod time_curve;
pub mod tradeoff;
pub mod trajectory;
mod twofold;
pub mod unit;
