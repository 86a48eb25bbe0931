//! The batch size to train with: the smallest whose expected regret in time to target is hardly more than the least.
//!
//! **The question.** The time of a step grows with the batch, the number of steps falls with it, and neither is known
//! exactly. Which batch reaches the target soonest, how sure is that, what stands in the way of a larger one, and what
//! should be measured next?
//!
//! **What is minimised.** S(B) = S_min(1+B_c/B) steps (McCandlish et al. 2018, eq. 2.11) of t(B) seconds make
//! T(B) = t(B)·S_min(1+B_c/B) ([`time_to_target_relative`]; theory §8.1). If everything were known one would take the
//! least T ([`time_optimal_batch`] where t = a + cB). As it is not, all uncertain quantities are drawn together, 1000
//! times: B_c in equally likely strata of its belief, the times from their errors, S_min with its correlation. In each
//! draw the *regret* of B is T(B)/min T − 1: the share of time lost by having chosen B. The average over the draws is
//! the expected regret (theory §8.2, step 4). S_min cancels in it. Regrets stay bounded however wild B_c is: for B_c → ∞
//! only examples per second count, for B_c → 0 only seconds per step, so a belief with heavy tails does no harm.
//!
//! **Why the smallest.** Batches within 5 % of the least regret ([`EQUIVALENT`]) cannot be told apart by a difference
//! that matters. Of these the smallest is chosen: it needs the fewest examples (E = B·S grows with B), it is kinder to
//! the learning rate and to generalisation, and it leaves memory free. Nothing above the time-optimal batch B_T is ever
//! chosen to reach a target: above it both time and examples grow (theory §8.1). The curve between the two ends, fewest
//! examples and least time, is [`Decision::example_curve`].
//!
//! **When it holds and when it fails.** Regret is flat in B ([`flatness`]), so that B_c within a factor of 3 is usually
//! good enough. The hyperbola S(B) is itself a 5 to 15 % model (theory §3.3), and it wants a learning rate tuned at each
//! batch. 2000 problems were planted (a/c from 10 to 3000 examples, B_c from 0.1 to 100 times that, half of them with
//! overlap γ = 2; candidates at every power of two), each with a belief about B_c that was off by its own error. Share
//! of them in which the choice's *true* regret was within
//!
//! | belief about B_c | 5 % | 10 % | 25 % |
//! |---|---|---|---|
//! | sweep, ln sd 0.1 | 0.98 | 1.00 | 1.00 |
//! | sweep, ln sd 0.2 | 0.95 | 1.00 | 1.00 |
//! | sweep, ln sd 0.35 | 0.91 | 0.99 | 1.00 |
//! | sweep, ln sd 0.5 | 0.87 | 0.96 | 1.00 |
//! | sweep, ln sd 0.75 | 0.79 | 0.90 | 0.99 |
//! | noise scale and the prior of supervised tasks | 0.72 | 0.84 | 0.96 |
//!
//! Theory §9.5 wants 0.95 within 10 %: a sweep that knows B_c within a factor of 2.3 either way (ln sd 0.5, 90 %) gives
//! it, the noise scale alone cannot, because the prior of φ/B_c is wide (90 % within ×/÷4.9). Its regrets are as large
//! as the decision says: the 95 % quantile in [`Standing::quantile_regret`] held in 94 % of 400 problems
//! (`tests/end_to_end.rs`). With [`fit_tradeoff`](crate::tradeoff::fit_tradeoff) on three seeds at 7 batch sizes around
//! B_c (5 % noise of the steps) 200 of 200 choices were within 10 %. Over 200 problems, 3 % noise of the step times
//! changed the share within 10 % by less than 0.03.
//!
//! ```
//! use batchwise_estimate::critical::{CriticalBatch, CriticalSource};
//! use batchwise_estimate::decide::{Binding, Problem, StepsBelief, TimeBelief, TimeDraw, powers_of_two};
//! use batchwise_estimate::time::TimeModel;
//!
//! // Planted: t = 1 ms + 10 µs·B (a/c = 100 examples), B_c = 1600, S_min = 1000. So B_T = √(100·1600) = 400.
//! let draw = TimeDraw { model: TimeModel::Sum, overhead_seconds: 1e-3, seconds_per_example: 1e-5 };
//! let time = TimeBelief::Model { batches: powers_of_two(1, 8192), draws: vec![draw] };
//! let critical = CriticalBatch {
//!     median: 1600.0,
//!     ln_sd: 0.2,
//!     low: 1150.0,
//!     high: 2220.0,
//!     source: CriticalSource::Sweep,
//!     lower_bound_only: false,
//! };
//! let steps = StepsBelief { median: 1000.0, ln_sd: 0.1, correlation: -0.8 };
//! let decision = Problem { steps: Some(steps), ..Problem::new(time, critical) }.decide()?;
//!
//! // 256 and 512 are both within 5 % of the least regret: the smaller one is chosen.
//! assert_eq!((decision.batch_size, &decision.equivalent_batch_sizes[..]), (256, &[256, 512][..]));
//! // The knee binds, as B_c is above a/c; and no measurement would change the choice for the better.
//! assert_eq!((decision.binding, decision.next_measurement), (Binding::Knee, None));
//! // T = (1 ms + 2.56 ms)·1000·(1 + 1600/256) = 25.8 s.
//! let time = decision.standings.iter().find(|s| s.batch == 256).map(|s| s.time);
//! assert!(time.is_some_and(|t| (t.median - 25.8).abs() < 0.5 && t.low > 20.0 && t.high < 32.0));
//! # Ok::<(), batchwise_estimate::decide::DecideError>(())
//! ```

mod answer;
mod binding;
mod choose;
mod clock;
mod closed_form;
mod devices;
mod error;
mod evidence;
mod information;
mod limits;
mod problem;
mod sample;

pub use answer::{Band, Binding, Decision, Standing, TimeBand};
pub use closed_form::{
    examples_to_target_relative, flatness, least_time, time_optimal_batch, time_to_target_relative,
};
pub use devices::Devices;
pub use error::DecideError;
pub use information::{Measurement, WORTHWHILE, Worth};
pub use limits::{LARGEST_PART, Memory, MemoryBand, Setting};
pub use problem::{Candidate, Objective, Problem, Rule, StepsBelief, TimeBelief, TimeDraw, powers_of_two};

use crate::critical::CriticalBatch;
use choose::{choose, standings};
use sample::Scene;

/// Batch sizes whose regret exceeds the least by at most this count as equivalent (theory §8.2, step 4).
pub const EQUIVALENT: f64 = 0.05;

/// Chooses the batch size for measured candidates on one device, without limits: [`Problem::decide`] with everything
/// else at its default.
///
/// To give the same answer on a noisy machine, the times are first drawn towards the model of
/// [`fit_time`](crate::time::fit_time) (from 3 candidates on): wholly while its misfit is explained by the points'
/// errors or is under 5 % rms, then ever less, so that a device that no model describes is judged by its own times.
/// Equal arguments give equal answers.
///
/// With a belief about a lower bound of B_c the choice is for that bound: larger batches may be better still.
///
/// # Errors
/// No candidate, a candidate or belief out of range, a batch twice, no draws or too many.
pub fn decide(
    candidates: &[Candidate],
    critical: &CriticalBatch,
    n_draws: usize,
    seed: u64,
) -> Result<Decision, DecideError> {
    of_candidates(candidates, critical, n_draws, seed).decide()
}

/// Per candidate, ascending in the batch: median and 90 % band of T(B) over the least median, for plotting. The draws
/// are those of [`decide`] with the same arguments.
///
/// # Errors
/// As [`decide`].
pub fn time_to_target_band(
    candidates: &[Candidate],
    critical: &CriticalBatch,
    n_draws: usize,
    seed: u64,
) -> Result<Vec<TimeBand>, DecideError> {
    let problem = of_candidates(candidates, critical, n_draws, seed);
    let (scene, allowed) = problem.scene()?;
    let sample = scene.sample();
    let choice = choose(&scene, &sample, &allowed);
    let band =
        |s: Standing| TimeBand { batch: s.batch, median: s.time.median, low: s.time.low, high: s.time.high };
    Ok(standings(&scene, &sample, &allowed, &choice).into_iter().map(band).collect())
}

fn of_candidates(candidates: &[Candidate], critical: &CriticalBatch, n_draws: usize, seed: u64) -> Problem {
    let time = TimeBelief::Measured { candidates: candidates.to_vec() };
    Problem { n_draws, seed, ..Problem::new(time, critical.clone()) }
}

impl Problem {
    /// Chooses by regret (theory §8.2, step 4), and says what binds, how sure it is and what to measure next.
    ///
    /// Measured times are first drawn towards their model, as [`decide`] says. Among several numbers of devices, the
    /// fewest with an equivalent batch are taken. Equal problems give equal decisions.
    ///
    /// # Errors
    /// A field out of range, a batch twice, or limits that exclude every candidate.
    pub fn decide(&self) -> Result<Decision, DecideError> {
        let (scene, allowed) = self.scene()?;
        let sample = scene.sample();
        let choice = choose(&scene, &sample, &allowed);
        let standings = standings(&scene, &sample, &allowed, &choice);
        let (binding, binding_reason) = binding::binding(&scene, &sample, &choice);
        let setting = scene.settings[choice.chosen];
        let (grade, grade_reasons) = evidence::grade(self, setting);
        let (worth, perfect_information) = information::worth(&scene, &allowed, &choice);
        let batch = |i: &usize| scene.settings[*i].batch;
        let alike = || standings.iter().filter(|s| s.devices == setting.devices);
        let regrets: Vec<(u64, f64)> = alike().map(|s| (s.batch, s.expected_regret)).collect();
        let equivalent: Vec<u64> = choice.equivalent.iter().map(batch).collect();
        Ok(Decision {
            batch_size: setting.batch,
            devices: setting.devices,
            micro_batch: setting.micro_batch,
            accumulation_steps: setting.accumulation_steps,
            equivalent: (
                equivalent.first().copied().unwrap_or(setting.batch),
                equivalent.last().copied().unwrap_or(setting.batch),
            ),
            equivalent_batch_sizes: equivalent,
            expected_regret: regrets.iter().find(|r| r.0 == setting.batch).map_or(0.0, |r| r.1),
            regrets,
            probability_best: alike().map(|s| (s.batch, s.probability_best)).collect(),
            time_optimal: scene.settings[choice.time_optimal].batch,
            example_optimal: choice.alike.first().map_or(setting.batch, batch),
            absolute: self.steps.is_some(),
            binding,
            binding_reason,
            grade,
            grade_reasons,
            generalisation_untested: self.generalisation_tested.is_none(),
            perfect_information,
            next_measurement: worth.first().filter(|w| w.value >= WORTHWHILE).cloned(),
            worth,
            standings,
        })
    }

    /// The checked problem with its settings, and the indices of those that the limits allow.
    fn scene(&self) -> Result<(Scene<'_>, Vec<usize>), DecideError> {
        sample::check(self)?;
        let settings = limits::settings(self);
        sample::check_size(self.n_draws, settings.len())?;
        let excluding = |s: &Setting| {
            limits::limits(self, s.devices).into_iter().find(|l| s.batch > l.largest).map(|l| l.reason)
        };
        let allowed: Vec<usize> =
            (0..settings.len()).filter(|i| excluding(&settings[*i]).is_none()).collect();
        if allowed.is_empty() {
            let smallest = settings.iter().min_by_key(|s| s.batch);
            return Err(DecideError::NothingFeasible {
                smallest: smallest.map_or(0, |s| s.batch),
                reason: smallest
                    .and_then(excluding)
                    .unwrap_or_else(|| "every number of devices is above every batch size".to_owned()),
            });
        }
        Ok((Scene::of(self, settings), allowed))
    }
}
