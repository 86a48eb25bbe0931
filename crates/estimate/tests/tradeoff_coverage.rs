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

fn tally(name: &str, world: &World, options: &Options, reps: usize) -> Tally {
    let mut source = Source::new(name.bytes().map(u64::from).sum());
    let mut t = Tally::default();
    let mut widths = Vec::new();
    let one = 1.0 / reps as f64;
    let mut count = [0.0; 2];
    for _ in 0..reps {
        let fit = fit_tradeoff(&world.runs(&mut source), options).unwrap();
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

#[test]
fn explore() {
    let o = Options::default();
    let t0 = std::time::Instant::now();
    let wide = World::new(-3..=3);
    tally("wide", &wide, &o, 2000);
    println!("{:?}", t0.elapsed());
    tally("wide, square", &wide, &Options { loss: Loss::Square, ..o }, 2000);
    tally("wide, seeds spread", &wide, &Options { spread: Spread::Seeds, ..o }, 2000);
    tally("-6..0", &World::new(-6..=0), &o, 2000);
    tally("-6..-3", &World::new(-6..=-3), &o, 2000);
    tally("-6..-3 sq", &World::new(-6..=-3), &Options { loss: Loss::Square, ..o }, 2000);
    tally("3..6", &World::new(3..=6), &o, 2000);
    tally("-2..2", &World::new(-2..=2), &o, 2000);
    for n in [1, 2, 5] {
        tally(&format!("wide {n} seeds"), &World { seeds: n, ..wide.clone() }, &o, 2000);
    }
    for b in [0.03, 0.05, 0.1] {
        tally(&format!("wide batch effect {b}"), &World { batch_sd: b, ..wide.clone() }, &o, 2000);
        tally(
            &format!("wide batch effect {b} seeds only"),
            &World { batch_sd: b, ..wide.clone() },
            &Options { spread: Spread::Seeds, ..o },
            1000,
        );
    }
    tally("wide, 5 % wild", &World { wild: 0.05, ..wide.clone() }, &o, 2000);
    tally(
        "wide, 5 % wild, square",
        &World { wild: 0.05, ..wide.clone() },
        &Options { loss: Loss::Square, ..o },
        2000,
    );
    tally("wide, 5 % wild, batch effect", &World { wild: 0.05, batch_sd: 0.05, ..wide.clone() }, &o, 2000);
    tally("wide, censored", &World { budget: 5.0, seed_sd: 0.15, ..wide.clone() }, &o, 2000);
    tally("wide, censored half", &World { budget: 5.0, ..wide.clone() }, &o, 2000);
    tally("wide, censored flat", &World { budget: 1.3, seed_sd: 0.15, ..World::new(-1..=5) }, &o, 2000);
    tally("wide, period 0.1", &World { period: 0.1, ..wide.clone() }, &o, 2000);
    tally("wide, period 0.3", &World { period: 0.3, ..wide.clone() }, &o, 2000);
    println!("{:?}", t0.elapsed());
    let _ = Outcome::not_identified("");
}
