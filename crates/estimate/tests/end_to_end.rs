//! From planted truths to decisions: how often the true regret is at most 10 % (theory §9.5).

mod common;

use batchwise_estimate::critical::*;
use batchwise_estimate::decide::*;
use batchwise_estimate::fieller::{Ratio, student_t_quantile};
use batchwise_estimate::grade::Grade;
use batchwise_estimate::noise::estimate;
use batchwise_estimate::time::TimeModel;
use batchwise_estimate::tradeoff::{End, Options, Run, TradeoffFit, fit_tradeoff};
use common::{Source, belief, gaussian};

/// A planted problem: t = (a^γ + (cB)^γ)^(1/γ) and S ∝ 1 + B_c/B.
#[derive(Debug, Clone, Copy)]
struct Planted {
    overhead: f64,
    per_example: f64,
    gamma: f64,
    critical: f64,
}

const LARGEST: u32 = 14;

impl Planted {
    /// a/c from 10 to 3000 examples, and B_c from 0.1 to 100 times that, so that both the knee and the noise bind.
    fn draw(source: &mut Source) -> Self {
        let per_example = 10f64.powf(-6.0 + 2.0 * source.uniform());
        let ridge = 10.0 * 300f64.powf(source.uniform());
        let gamma = if source.uniform() < 0.5 { 1.0 } else { 2.0 };
        let critical = ridge * 10f64.powf(-1.0 + 3.0 * source.uniform());
        Self { overhead: ridge * per_example, per_example, gamma, critical }
    }

    fn seconds(&self, batch: f64) -> f64 {
        TimeModel::Overlap { gamma: self.gamma }.join(self.overhead, self.per_example * batch)
    }

    fn time_to_target(&self, batch: u64) -> f64 {
        time_to_target_relative(self.seconds(batch as f64), batch as f64, self.critical)
    }

    /// True regret among the candidates.
    fn regret(&self, batch: u64) -> f64 {
        let least = (0..=LARGEST).map(|k| self.time_to_target(1 << k)).min_by(f64::total_cmp);
        self.time_to_target(batch) / least.expect("15 candidates") - 1.0
    }

    /// Step times with 3 % noise, as a profile gives them.
    fn timed(&self, source: &mut Source) -> Vec<Candidate> {
        let candidate = |k: u32| Candidate {
            batch: 1 << k,
            seconds: self.seconds(f64::from(1 << k)) * (0.03 * source.normal()).exp(),
            relative_error: 0.03,
        };
        (0..=LARGEST).map(candidate).collect()
    }

    /// The step time without error: what is left is the error of B_c.
    fn known(&self) -> TimeBelief {
        let draw = TimeDraw {
            model: TimeModel::Overlap { gamma: self.gamma },
            overhead_seconds: self.overhead,
            seconds_per_example: self.per_example,
        };
        TimeBelief::Model { batches: powers_of_two(1, 1 << LARGEST), draws: vec![draw] }
    }

    /// A belief from training to a target, off by its own error.
    fn swept(&self, ln_sd: f64, source: &mut Source) -> CriticalBatch {
        let median = self.critical * (ln_sd * source.normal()).exp();
        belief(median, ln_sd, CriticalSource::Sweep)
    }

    /// φ of a task like those that the prior was learnt from: R is drawn from the prior's predictive distribution.
    fn phi(&self, source: &mut Source) -> f64 {
        let prior = Task::Supervised.prior();
        let t = student_t_quantile(source.uniform(), prior.degrees_of_freedom);
        self.critical * prior.ratio * (prior.ln_sd * t).exp()
    }
}

/// The noise scale of `k` measurements of `batch` examples.
fn measured(phi: f64, batch: f64, k: usize, source: &mut Source) -> Ratio {
    let all: Vec<_> = (0..k).map(|_| gaussian(source, phi, batch, 50.0)).collect();
    estimate(&all, 0.95).expect("finite measurements").phi
}

/// Of `n` planted problems: the share whose true regret is at most `limit`, and the mean true regret.
fn outcomes(n: u64, limit: f64, mut decided: impl FnMut(u64) -> f64) -> (f64, f64) {
    let regrets: Vec<f64> = (0..n).map(&mut decided).collect();
    let good = regrets.iter().filter(|r| **r <= limit).count() as f64 / n as f64;
    (good, regrets.iter().sum::<f64>() / n as f64)
}

/// Theory §9.5 with a sweep: the belief is off by its own error, and the times, where they are measured, by 3 %.
#[test]
fn a_swept_critical_batch_decides_well() {
    for (ln_sd, timed, least) in [(0.2, false, 0.99), (0.35, true, 0.95), (0.5, false, 0.90)] {
        let mut source = Source::new(5);
        let (good, mean) = outcomes(200, 0.10, |seed| {
            let planted = Planted::draw(&mut source);
            let belief = planted.swept(ln_sd, &mut source);
            let time = if timed {
                TimeBelief::Measured { candidates: planted.timed(&mut source) }
            } else {
                planted.known()
            };
            let decision = Problem { seed, ..Problem::new(time, belief) }.decide().unwrap();
            planted.regret(decision.batch_size)
        });
        eprintln!("sweep, ln sd {ln_sd}: {good} within 10 %, mean {mean}");
        assert!(good >= least, "ln sd {ln_sd}: {good}");
        // The smallest equivalent batch gives away less than the 5 % it may.
        assert!(mean < 0.03, "ln sd {ln_sd}: {mean}");
    }
}

/// With the noise scale alone the prior (×/÷4.9) is the error: 10 % cannot be promised, 25 % can.
#[test]
fn a_noise_scale_decides_as_well_as_its_prior_lets_it() {
    let mut source = Source::new(6);
    let mut held = 0.0;
    let mut regrets = vec![];
    for seed in 0..400 {
        let planted = Planted::draw(&mut source);
        let phi = planted.phi(&mut source);
        let measured = measured(phi, phi.clamp(16.0, 1e6), 30, &mut source);
        let belief = critical_batch_from_phi(&measured, Task::Supervised).unwrap();
        assert!(!belief.lower_bound_only);
        let critical = belief.clone();
        let time = planted.known();
        let decision = Problem { seed, ..Problem::new(time, critical) }.decide().unwrap();
        assert_eq!(decision.grade, Grade::Approximate);
        let regret = planted.regret(decision.batch_size);
        held += f64::from(u8::from(regret <= decision.chosen().unwrap().quantile_regret)) / 400.0;
        regrets.push(regret);
    }
    let within = |limit: f64| regrets.iter().filter(|r| **r <= limit).count() as f64 / 400.0;
    eprintln!("noise scale: {} within 10 %, {} within 25 %, {held} as claimed", within(0.10), within(0.25));
    assert!((0.80..0.95).contains(&within(0.10)), "{}", within(0.10));
    assert!(within(0.25) >= 0.95, "{}", within(0.25));
    // What is said beforehand to hold in 95 % of the draws holds in as many problems.
    assert!((0.93..=0.97).contains(&held), "{held}");
}

/// Theory §9.5: with batches of B_c/8 and few measurements φ is bounded from below at the most, and the bound is true.
#[test]
fn small_batches_give_a_true_lower_bound() {
    let mut source = Source::new(7);
    let (mut bounds, mut true_bounds, mut neither) = (0, 0, 0);
    for seed in 0..400 {
        let planted = Planted::draw(&mut source);
        let phi = planted.phi(&mut source);
        let batch = (planted.critical / 8.0).max(4.0).floor();
        let measured = measured(phi, batch, 5, &mut source);
        let Some(belief) = critical_batch_from_phi(&measured, Task::Supervised) else {
            neither += 1;
            continue;
        };
        if !belief.lower_bound_only {
            continue;
        }
        bounds += 1;
        true_bounds += u32::from(belief.low <= planted.critical);
        let decision =
            Problem { seed, n_draws: 200, ..Problem::new(planted.known(), belief) }.decide().unwrap();
        assert_eq!(decision.grade, Grade::LowerBound);
    }
    let share = f64::from(true_bounds) / f64::from(bounds);
    eprintln!("{bounds} bounds, {share} true, {neither} without");
    assert!(bounds + neither >= 320, "{bounds} {neither}");
    assert!(share >= 0.95, "{share}");
}

/// Runs to the target at `batches`, three seeds each, with 5 % noise of the steps.
fn runs(planted: &Planted, batches: &[f64], source: &mut Source) -> Vec<Run> {
    let run = |batch: f64, seed: u64, source: &mut Source| {
        let steps = 1e4 * (1.0 + planted.critical / batch) * (0.05 * source.normal()).exp();
        Run { batch, seed: Some(seed), end: End::Reached { steps, period: None } }
    };
    batches.iter().flat_map(|b| (0..3).map(|seed| run(*b, seed, source)).collect::<Vec<_>>()).collect()
}

/// The belief that a fitted sweep gives, where it bounds B_c from both sides.
fn fitted(fit: &TradeoffFit) -> Option<CriticalBatch> {
    let median = fit.b_crit.value()?;
    let ln_sd = fit.ln_se?;
    Some(belief(median, ln_sd, CriticalSource::Sweep))
}

fn sweep(runs: &[Run]) -> TradeoffFit {
    fit_tradeoff(runs, &Options::default()).expect("legal runs")
}

/// Theory §9.5 from runs to the decision, with the fit itself.
#[test]
fn a_fitted_sweep_decides_well() {
    let mut source = Source::new(8);
    let (mut measured, mut good) = (0, 0);
    for seed in 0..200 {
        let planted = Planted::draw(&mut source);
        let batches: Vec<f64> = (-3..=3).map(|k| planted.critical * 2f64.powi(k)).collect();
        let fit = sweep(&runs(&planted, &batches, &mut source));
        let Some(belief) = fitted(&fit) else { continue };
        measured += 1;
        let problem =
            Problem { seed, critical_grade: Some(fit.grade), ..Problem::new(planted.known(), belief) };
        good += usize::from(planted.regret(problem.decide().unwrap().batch_size) <= 0.10);
    }
    eprintln!("fitted sweep: {good} of {measured} within 10 %");
    assert!(measured >= 190 && good * 100 >= measured * 95, "{good} of {measured}");
}

#[test]
fn a_sweep_of_small_batches_gives_no_false_bound() {
    let mut source = Source::new(9);
    let mut counts = std::collections::HashMap::new();
    let (mut bounds, mut held) = (0, 0);
    for _ in 0..200 {
        let planted = Planted::draw(&mut source);
        let batches: Vec<f64> = (-6..=-3).map(|k| planted.critical * 2f64.powi(k)).collect();
        let fit = sweep(&runs(&planted, &batches, &mut source));
        *counts.entry(fit.grade.name()).or_insert(0) += 1;
        if let Some(low) = fit.b_crit.low() {
            bounds += 1;
            held += usize::from(low <= planted.critical);
        }
    }
    eprintln!("small batches: {counts:?}, {held} of {bounds} lower ends true");
    assert!(counts.keys().all(|grade| ["lower_bound", "not_identified"].contains(grade)), "{counts:?}");
    assert!(bounds >= 100 && held * 100 >= bounds * 95, "{held} of {bounds}");
}
