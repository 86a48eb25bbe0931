//! The time of a step as a function of the batch size.
//!
//! # The question
//! A step costs some time that does not depend on the batch (launching kernels, the optimizer, synchronising): the
//! overhead a, in seconds. And it costs work that does: c seconds per example. How the two join decides from which batch
//! on a larger one no longer makes training faster per example, which together with the critical batch decides the
//! batch size (theory §7 and §8.1).
//!
//! # The models
//! | name | t(B) | parameters |
//! |---|---|---|
//! | `sum` | a + cB | 2 |
//! | `max` | max(a, cB): the overhead hides behind the work, or the work behind it (roofline) | 2 |
//! | `overlap` | (a^γ + (cB)^γ)^(1/γ), γ in \[1, 10\]: between them (Qiao et al. 2021, Pollux) | 3 |
//! | `quantised` | a + c·q·⌈B/q⌉: whole vectors, tiles or threads of q examples ([`Stairs`]) | 3 |
//! | `two_slopes` | a + c₁·min(B, b) + c₂·max(B−b, 0): the activations leave a cache at b ([`TwoSlopes`]) | 4 |
//!
//! All are fitted to the logarithms of the times (relative errors) with a, c ≥ 0 under Huber's loss. They are compared
//! by BIC with a small-sample correction: n·ln(mean square residual) + k·ln n·n/(n−k−2) for n batch sizes and k
//! parameters (Schwarz 1978; McQuarrie 1999). An unknown quantum is one of a list, so it pays 2·ln(length of the list)
//! instead of a third parameter. `sum` or `max` is used unless a richer model is better by 6 (strong evidence, Kass and
//! Raftery 1995). An overlap or quantum needs 6 batch sizes, two slopes 7.
//!
//! # What may be concluded
//! [`fit_timings`] takes raw timings and answers with a [`SpeedFit`]: a, c, γ, the knees and t(B), each with an
//! interval. It says which models it cannot tell apart (`undecided`), and its intervals then cover all of them. Where
//! every model is off by more than 10 % it refuses and gives the measured curve ([`TimeCurve`]). The way overhead and
//! work join can only be seen around a/c: without batches from half of a/c to twice it γ is not identified, and a knee
//! beyond the largest batch rests on the model. [`fit_time`] and [`StepTime::fit`] take medians that are known already.
//!
//! # When it fails
//! Timings of one batch that all share one error (a machine that was slow while that batch ran) look exact. So run the
//! batch sizes in random order, in several rounds, at least 3 warm-up and 10 timed steps each. What drift is left shows
//! as scatter between batches and widens the intervals, which takes 5 batch sizes or more to be seen.
//!
//! # Example
//! ```
//! use batchwise_estimate::time::{Options, Timing, fit_timings};
//! // Planted: 2 ms and 10 µs per example, with a wobble of ±2 % and every 13th step three times as long.
//! let mut timings = Vec::new();
//! for k in 0..11 {
//!     let batch = f64::from(1 << k);
//!     for i in 0..13 {
//!         let wobble = 1.0 + 0.02 * (f64::from(7 * i + 3 * k)).sin();
//!         let stall = if i == 5 { 3.0 } else { 1.0 };
//!         timings.push(Timing { batch, seconds: (2e-3 + 1e-5 * batch) * wobble * stall });
//!     }
//! }
//! let fit = fit_timings(&timings, &Options::default()).unwrap();
//! assert_eq!(fit.time.name(), "sum");
//! assert_eq!(fit.overhead_seconds.holds(2e-3), Some(true));
//! assert_eq!(fit.seconds_per_example.holds(1e-5), Some(true));
//! // 80 % of the limiting throughput at (a/c)·0.8/0.2 = 800 examples.
//! assert_eq!(fit.knees[1].batch.holds(800.0), Some(true));
//! ```

mod choose;
mod fit;
mod kneedle;
mod linear;
mod model;
mod points;
mod resample;
mod roofline;
mod shapes;
mod speed;
mod step_time;
mod timings;

pub use crate::time_curve::TimeCurve;
pub use choose::{LARGEST_MISFIT, ModelScore};
pub use fit::fit_time;
pub use kneedle::{Axis, kneedle};
pub use model::{TimeFit, TimeModel};
pub(crate) use points::distinct;
pub use points::{TimeError, TimePoint, robust_median};
pub use roofline::{matmul_intensity, ridge_batch};
pub use shapes::{Stairs, TwoSlopes};
pub use speed::{Knee, Options, SpeedFit, TimeInterval, fit_timings};
pub use step_time::StepTime;
pub use timings::{BatchTimes, Timing};
