//! Coverage of the trade-off's intervals by simulation with planted truth (theory.md §3.2, §9.3, §9.5).
//!
//! `cargo test -p batchwise-estimate --test tradeoff_coverage -- --nocapture` prints the table of the documentation.

mod common;

use batchwise_estimate::grade::Grade;
use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::tradeoff::*;
use common::Source;

const S_MIN: f64 = 2000.0;
const B_CRIT: f64 = 1000.0;

/// A world to draw runs from.
#[derive(Clone)]
struct World {
    /// Octaves of B/B_c.
    octaves: Vec<i32>,
    seeds: usize,
    seed_sd: f64,
    batch_sd: f64,
    /// Share of runs whose steps are tripled or divided by three.
    wild: f64,
    /// Evaluations fall on multiples of this share of S_min.
    period: f64,
    /// Runs stop after this many S_min.
    budget: f64,
}

impl World {
    fn new(octaves: impl Iterator<Item = i32>) -> Self {
        Self {
            octaves: octaves.collect(),
            seeds: 3,
            seed_sd: 0.05,
            batch_sd: 0.0,
            wild: 0.0,
            period: 0.0,
            budget: f64::INFINITY,
        }
    }

    fn runs(&self, source: &mut Source) -> Vec<Run> {
        let mut runs = Vec::new();
        for k in &self.octaves {
            let batch = B_CRIT * 2f64.powi(*k);
            let effect = self.batch_sd * source.normal();
            for seed in 0..self.seeds as u64 {
                let noise = effect + self.seed_sd * source.normal();
                let wild = if source.uniform() < self.wild {
                    if source.uniform() < 0.5 { 3.0 } else { 1.0 / 3.0 }
                } else {
                    1.0
                };
                let steps = S_MIN * (1.0 + B_CRIT / batch) * noise.exp() * wild;
                let period = self.period * S_MIN;
                let seen = if period > 0.0 { (steps / period).ceil() * period } else { steps };
                let end = if seen <= self.budget * S_MIN {
                    End::Reached { steps: seen, period: (period > 0.0).then_some(period) }
                } else {
                    End::Censored { after: Some(self.budget * S_MIN) }
                };
                runs.push(Run { batch, seed: Some(seed), end });
            }
        }
        runs
    }
}

#[derive(Debug, Default)]
struct Tally {
    b_crit: f64,
    s_min: f64,
    e_min: f64,
    open_above: f64,
    open_below: f64,
    /// Median of high/low among bounded ones.
    width: f64,
    grades: Vec<(Grade, f64)>,
}

impl Tally {
    fn grade(&self, grade: Grade) -> f64 {
        self.grades.iter().find(|g| g.0 == grade).map_or(0.0, |g| g.1)
    }
}

fn holds(ends: (Option<f64>, Option<f64>), truth: f64) -> bool {
    ends.0.is_none_or(|l| l <= truth) && ends.1.is_none_or(|h| truth <= h)
}

#[allow(clippy::print_stdout, reason = "the table of the documentation")]
fn tally(name: &str, world: &World, options: &Options, reps: usize) -> Tally {
    let mut source = Source::new(name.bytes().map(u64::from).sum());
    let mut t = Tally::default();
    let mut widths = Vec::new();
    let one = 1.0 / reps as f64;
    let mut count = [0.0; 2];
    for _ in 0..reps {
        let fit = fit_tradeoff(&world.runs(&mut source), options).expect("the planted runs are sound");
        t.b_crit += one * f64::from(holds(fit.interval, B_CRIT));
        if let Some(held) = fit.s_min.holds(S_MIN) {
            t.s_min += f64::from(held);
            count[0] += 1.0;
        }
        if let Some(held) = fit.e_min.holds(S_MIN * B_CRIT) {
            t.e_min += f64::from(held);
            count[1] += 1.0;
        }
        match fit.interval {
            (Some(low), Some(high)) => widths.push((high / low).sqrt()),
            (low, high) => {
                t.open_above += one * f64::from(high.is_none());
                t.open_below += one * f64::from(low.is_none());
            }
        }
        match t.grades.iter_mut().find(|g| g.0 == fit.grade) {
            Some(g) => g.1 += one,
            None => t.grades.push((fit.grade, one)),
        }
    }
    t.s_min /= count[0];
    t.e_min /= count[1];
    widths.sort_by(f64::total_cmp);
    t.width = widths.get(widths.len() / 2).copied().unwrap_or(f64::NAN);
    println!(
        "{name:44} B_c {:.3} S_min {:.3} E_min {:.3} ×/÷{:.2} open above {:.2} below {:.2} {:?}",
        t.b_crit,
        t.s_min,
        t.e_min,
        t.width,
        t.open_above,
        t.open_below,
        t.grades.iter().map(|g| format!("{} {:.2}", g.0, g.1)).collect::<Vec<_>>()
    );
    t
}

const REPS: usize = 2000;

fn nominal(name: &str, world: &World) -> Tally {
    let t = tally(name, world, &Options::default(), REPS);
    assert!((0.93..=0.97).contains(&t.b_crit), "{name}: {t:?}");
    t
}

fn wide() -> World {
    World::new(-3..=3)
}

#[test]
fn both_sides_of_the_critical_batch() {
    let t = nominal("2^-3…2^3", &wide());
    assert!(t.width < 1.13 && t.grade(Grade::Measured) > 0.99, "{t:?}");
    assert!((0.93..=0.97).contains(&t.s_min) && (0.93..=0.97).contains(&t.e_min), "{t:?}");
    let t = nominal("2^-3…2^3, 1 seed", &World { seeds: 1, ..wide() });
    assert!((0.93..=0.97).contains(&t.s_min) && (0.93..=0.97).contains(&t.e_min), "{t:?}");
    nominal("2^-3…2^3, 2 seeds", &World { seeds: 2, ..wide() });
    nominal("2^-2…2^2", &World::new(-2..=2));
}

#[test]
fn up_to_the_critical_batch() {
    let t = nominal("2^-6…2^0", &World::new(-6..=0));
    assert!(t.width < 1.25 && t.grade(Grade::Measured) > 0.95, "{t:?}");
}

/// theory.md §9.5: with all B ≤ B_c/8 a lower bound or nothing, and the bound true in at least 95 %. One sweep in 2000 is
/// so unlucky that its interval ends below half the truth, and passes for measured.
#[test]
fn far_from_the_critical_batch_there_is_a_bound() {
    let name = "2^-6…2^-3";
    let mut source = Source::new(17);
    let (mut bounds, mut held, mut other) = (0.0, 0.0, 0.0);
    for _ in 0..REPS {
        let fit = fit_tradeoff(&World::new(-6..=-3).runs(&mut source), &Options::default()).unwrap();
        match fit.b_crit {
            Outcome::LowerBound { low } => {
                bounds += 1.0;
                held += f64::from(low <= B_CRIT);
            }
            Outcome::NotIdentified { .. } => {}
            Outcome::Measured { .. } | Outcome::UpperBound { .. } => other += 1.0,
        }
    }
    println!("{name}: {bounds} bounds of {REPS}, true in {:.3}, other outcomes {other}", held / bounds);
    assert!(bounds > 0.5 * REPS as f64 && held / bounds >= 0.95, "{bounds} {held}");
    assert!(other < 0.002 * REPS as f64, "{other}");
    let t = nominal(name, &World::new(-6..=-3));
    assert!(t.open_above > 0.4, "{t:?}");
    let t = nominal("2^3…2^6", &World::new(3..=6));
    assert!(t.open_below > 0.4 && t.grade(Grade::UpperBound) > 0.5, "{t:?}");
}

/// The reason for the scale that is the larger of the two: the seeds' alone fails where the hyperbola is only nearly right.
#[test]
fn batch_effects_widen_the_interval() {
    for (sd, seeds_only) in [(0.03, 0.92), (0.05, 0.82)] {
        let world = World { batch_sd: sd, ..wide() };
        nominal(&format!("2^-3…2^3, batch effects {sd}"), &world);
        let seeds = Options { spread: Spread::Seeds, ..Options::default() };
        let t = tally(&format!("2^-3…2^3, batch effects {sd}, seeds' scale"), &world, &seeds, REPS / 4);
        assert!(t.b_crit < seeds_only, "{t:?}");
    }
}

#[test]
fn wild_runs_widen_it_little() {
    let world = World { wild: 0.05, ..wide() };
    let robust = nominal("2^-3…2^3, 5 % wild ×/÷3", &world);
    let square = Options { loss: Loss::Square, ..Options::default() };
    let t = tally("2^-3…2^3, 5 % wild ×/÷3, least squares", &world, &square, REPS / 4);
    assert!(robust.width < 1.15 && t.width > 1.3, "{robust:?} {t:?}");
}

/// At 5 S_min every run at B_c/8 stops before the target, and half of those at B_c/4; dropping them would bias the rest. With so
/// few seeds left the interval is on the safe side by a hair (0.971 measured).
#[test]
fn censored_runs_keep_the_coverage() {
    let half = World { budget: 5.0, ..wide() };
    let t = tally("2^-3…2^3, censored at 5 S_min", &half, &Options::default(), REPS);
    assert!((0.93..=0.98).contains(&t.b_crit), "{t:?}");
    let noisy = World { budget: 5.0, seed_sd: 0.15, ..wide() };
    nominal("2^-3…2^3, censored at 5 S_min, seeds 15 %", &noisy);
    let mut source = Source::new(5);
    let (mut kept, mut dropped) = (0.0, 0.0);
    for _ in 0..REPS / 4 {
        let runs = noisy.runs(&mut source);
        let left: Vec<Run> = runs.iter().copied().filter(|r| matches!(r.end, End::Reached { .. })).collect();
        let ln = |runs: &[Run]| {
            let curve = fit_tradeoff(runs, &Options::default()).unwrap().curve.unwrap();
            (curve.b_crit / B_CRIT).ln().clamp(-3.0, 3.0) / (REPS / 4) as f64
        };
        kept += ln(&runs);
        dropped += ln(&left);
    }
    println!("mean error of ln B_c: censored runs kept {kept:.3}, dropped {dropped:.3}");
    assert!(kept.abs() < 0.05 && dropped.abs() > 1.5 * kept.abs(), "{kept} {dropped}");
}

/// A period of 10 % of S_min; where it is 30 %, six times the scatter of the seeds, the interval is on the safe side.
#[test]
fn evaluation_periods_keep_the_coverage() {
    nominal("2^-3…2^3, evaluations every 0.1 S_min", &World { period: 0.1, ..wide() });
    let coarse = World { period: 0.3, ..wide() };
    let t = tally("2^-3…2^3, evaluations every 0.3 S_min", &coarse, &Options::default(), REPS);
    assert!((0.93..=0.99).contains(&t.b_crit), "{t:?}");
}
