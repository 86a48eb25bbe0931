//! The ridge: intervals that hold the planted optimum and exponent, edges, divergence, and laws told apart.

mod common;

use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::ridge::*;
use common::Source;
use proptest::prelude::*;

/// How a loss rises away from the best learning rate; `u` = ln(LR/LR*).
#[derive(Clone, Copy, Debug)]
enum Valley {
    /// u².
    Symmetric,
    /// (e^u − 1)²: the quadratic in the learning rate, theory.md §1.1.
    Steep,
}

impl Valley {
    fn rise(self, u: f64) -> f64 {
        match self {
            Self::Symmetric => u * u,
            Self::Steep => u.exp_m1().powi(2),
        }
    }
}

/// A planted study: LR*(B) = 0.01·law(B), loss = 2 + 0.1·rise + noise.
#[derive(Clone, Copy)]
struct Study {
    valley: Valley,
    /// Learning rates per batch size, a factor of 2 apart, placed around a random point near the best.
    rates: i32,
    seeds: u64,
    noise: f64,
    /// What a seed does to all its runs at one batch size.
    luck: f64,
    /// Scatter of ln LR* about the law.
    scatter: f64,
    /// Runs above this many times LR* diverge.
    wall: f64,
}

const STUDY: Study = Study {
    valley: Valley::Symmetric,
    rates: 7,
    seeds: 3,
    noise: 0.03,
    luck: 0.0,
    scatter: 0.0,
    wall: f64::INFINITY,
};

impl Study {
    /// The runs, and ln LR* of each batch size.
    fn runs(
        &self,
        source: &mut Source,
        batches: &[u64],
        law: impl Fn(f64) -> f64,
    ) -> (Vec<RidgePoint>, Vec<f64>) {
        let mut points = Vec::new();
        let mut truth = Vec::new();
        for &batch in batches {
            let best = (0.01 * law(batch as f64)).ln() + self.scatter * source.normal();
            truth.push(best);
            let luck: Vec<f64> = (0..self.seeds).map(|_| self.luck * source.normal()).collect();
            let shift = (source.uniform() - 0.5) * 2f64.ln();
            for k in 0..self.rates {
                let u = shift + f64::from(k - self.rates / 2) * 2f64.ln();
                for seed in 0..self.seeds {
                    let value =
                        2.0 + 0.1 * self.valley.rise(u) + self.noise * source.normal() + luck[seed as usize];
                    let value = (u.exp() < self.wall).then_some(value);
                    points.push(RidgePoint {
                        batch,
                        learning_rate: (best + u).exp(),
                        seed: Some(seed),
                        value,
                    });
                }
            }
        }
        (points, truth)
    }
}

fn octaves(from: u32, to: u32) -> Vec<u64> {
    (from..=to).map(|k| 1 << k).collect()
}

/// Coverage of the exponent, and of the best learning rates. A best learning rate that is not identified counts as the
/// whole line, which holds the truth.
#[derive(Debug, Default)]
struct Tally {
    exponent: f64,
    exponent_width: f64,
    optimum: f64,
    measured: f64,
    measured_hit: f64,
    bound: f64,
    bound_hit: f64,
    width: f64,
}

fn tally(study: Study, batches: &[u64], p: f64, reps: usize, seed: u64) -> Tally {
    let mut source = Source::new(seed);
    let mut t = Tally::default();
    let (mut told, mut total) = (0.0, 0.0);
    for _ in 0..reps {
        let (points, truth) = study.runs(&mut source, batches, |b| b.powf(p));
        let fit = fit_ridge(&points, &Options::default()).unwrap();
        if let Outcome::Measured { low, high, .. } = fit.exponent {
            told += 1.0;
            t.exponent_width += high - low;
            t.exponent += f64::from(low <= p && p <= high);
        }
        for (b, truth) in fit.best.iter().zip(&truth) {
            total += 1.0;
            let holds = b.learning_rate.holds(truth.exp());
            t.optimum += f64::from(holds != Some(false));
            match b.learning_rate {
                Outcome::Measured { low, high, .. } => {
                    t.measured += 1.0;
                    t.measured_hit += f64::from(holds == Some(true));
                    t.width += (high / low).ln();
                }
                Outcome::NotIdentified { .. } => {}
                _ => {
                    t.bound += 1.0;
                    t.bound_hit += f64::from(holds == Some(true));
                }
            }
        }
    }
    t.exponent /= told;
    t.exponent_width /= told;
    t.optimum /= total;
    t.measured_hit /= t.measured;
    t.width /= t.measured;
    t.bound_hit /= t.bound;
    t.measured /= total;
    t.bound /= total;
    t
}

fn show(name: &str, t: &Tally) {
    println!(
        "{name:28} exponent {:.3} width {:.2} | optimum {:.3} | measured {:.3} held {:.3} width {:.2} | bound {:.3} held {:.3}",
        t.exponent, t.exponent_width, t.optimum, t.measured, t.measured_hit, t.width, t.bound, t.bound_hit
    );
}

#[test]
fn coverage() {
    let s = STUDY;
    for (name, study, batches) in [
        ("symmetric", s, octaves(4, 10)),
        ("symmetric, 1 seed", Study { seeds: 1, ..s }, octaves(4, 10)),
        ("symmetric, 5 rates", Study { rates: 5, ..s }, octaves(4, 8)),
        ("low noise", Study { noise: 0.003, ..s }, octaves(4, 10)),
        ("high noise", Study { noise: 0.1, ..s }, octaves(4, 10)),
        ("seed luck", Study { luck: 0.2, ..s }, octaves(4, 10)),
        ("scatter", Study { scatter: 0.2, ..s }, octaves(4, 10)),
        ("3 batches", s, octaves(4, 6)),
        ("steep", Study { valley: Valley::Steep, ..s }, octaves(4, 10)),
        ("steep, low noise", Study { valley: Valley::Steep, noise: 0.003, ..s }, octaves(4, 10)),
        ("steep, wall at 3", Study { valley: Valley::Steep, wall: 3.0, ..s }, octaves(4, 10)),
        ("steep, wall at 1.5", Study { valley: Valley::Steep, wall: 1.5, ..s }, octaves(4, 10)),
        ("symmetric, one batch", s, octaves(5, 5)),
        ("steep, one batch", Study { valley: Valley::Steep, ..s }, octaves(5, 5)),
        ("sym low noise, one batch", Study { noise: 0.003, ..s }, octaves(5, 5)),
    ] {
        let t = tally(study, &batches, 0.5, 600, 5);
        show(name, &t);
    }
}
#[test]
fn tmp() {
    let s = STUDY;
    for (name, study, batches) in [
        ("symmetric, 1 seed", Study { seeds: 1, ..s }, octaves(4, 10)),
        ("symmetric, 1 seed low", Study { seeds: 1, noise: 0.003, ..s }, octaves(4, 10)),
        ("symmetric, 1 seed one batch", Study { seeds: 1, noise: 0.01, ..s }, octaves(4, 4)),
        ("steep, 1 seed", Study { seeds: 1, valley: Valley::Steep, ..s }, octaves(4, 10)),
        ("symmetric, 1 seed 5 rates", Study { seeds: 1, rates: 5, ..s }, octaves(4, 10)),
    ] {
        let t = tally(study, &batches, 0.5, 1500, 5);
        show(name, &t);
    }
}
