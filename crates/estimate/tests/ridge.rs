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
    /// 2(e^u − u − 1): exponential to the right, linear to the left; of no shape λ.
    Linex,
}

impl Valley {
    fn rise(self, u: f64) -> f64 {
        match self {
            Self::Symmetric => u * u,
            Self::Steep => u.exp_m1().powi(2),
            Self::Linex => 2.0 * (u.exp_m1() - u),
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
    goal: Goal,
}

const STUDY: Study = Study {
    valley: Valley::Symmetric,
    rates: 7,
    seeds: 3,
    noise: 0.03,
    luck: 0.0,
    scatter: 0.0,
    wall: f64::INFINITY,
    goal: Goal::Loss,
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
                    let value = match self.goal {
                        Goal::Loss => value,
                        // Steps in the place of a loss; 3,000 are given.
                        Goal::Steps => 1000.0 * (3.0 * (value - 2.0)).exp(),
                    };
                    let reached = u.exp() < self.wall && (self.goal == Goal::Loss || value < 3000.0);
                    let value = reached.then_some(value);
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
        let fit =
            fit_ridge(&points, &Options { goal: study.goal, ..Options::default() }).expect("valid input");
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

/// Checks one regime: the exponent, and the best learning rates, within 0.93 to 0.97 (to 0.99 where said).
fn covered(name: &str, study: Study, batches: &[u64], p: f64, upper: f64) {
    let t = tally(study, batches, p, 400, 5);
    assert!((0.93..=upper).contains(&t.optimum), "{name}: {t:?}");
    assert!(batches.len() < 3 || (0.93..=upper).contains(&t.exponent), "{name}: {t:?}");
}

#[test]
fn symmetric_valleys_are_covered() {
    covered("symmetric", STUDY, &octaves(4, 10), 0.5, 0.97);
    covered("symmetric, p = 0", STUDY, &octaves(4, 10), 0.0, 0.97);
    covered("symmetric, p = 1", STUDY, &octaves(4, 10), 1.0, 0.97);
    covered("1 seed", Study { seeds: 1, ..STUDY }, &octaves(4, 10), 0.5, 0.97);
    covered("5 rates, 5 batches", Study { rates: 5, ..STUDY }, &octaves(4, 8), 0.5, 0.97);
    covered("3 batches", STUDY, &octaves(4, 6), 0.5, 0.97);
    covered("one batch", STUDY, &octaves(5, 5), 0.5, 0.97);
}

#[test]
fn noise_luck_and_scatter_are_covered() {
    covered("low noise", Study { noise: 0.003, ..STUDY }, &octaves(4, 10), 0.5, 0.97);
    covered("high noise", Study { noise: 0.1, ..STUDY }, &octaves(4, 10), 0.5, 0.97);
    covered("seed luck", Study { luck: 0.2, ..STUDY }, &octaves(4, 10), 0.5, 0.97);
    covered("scatter", Study { scatter: 0.2, ..STUDY }, &octaves(4, 10), 0.5, 0.97);
}

#[test]
fn steep_valleys_are_covered() {
    let steep = Study { valley: Valley::Steep, ..STUDY };
    covered("steep, p = 0", steep, &octaves(4, 10), 0.0, 0.97);
    covered("steep, p = 1", steep, &octaves(4, 10), 1.0, 0.97);
    covered("steep, low noise", Study { noise: 0.003, ..steep }, &octaves(4, 10), 0.5, 0.97);
    covered("steep, wall at 3", Study { wall: 3.0, ..steep }, &octaves(4, 10), 0.5, 0.97);
    covered("linex", Study { valley: Valley::Linex, ..STUDY }, &octaves(4, 10), 0.5, 0.97);
    covered(
        "linex, low noise",
        Study { valley: Valley::Linex, noise: 0.01, ..STUDY },
        &octaves(4, 10),
        0.5,
        0.97,
    );
    covered("steep, steps", Study { goal: Goal::Steps, ..steep }, &octaves(4, 10), 0.5, 0.97);
}

#[test]
fn a_wall_close_to_the_best_is_covered_with_room() {
    let near = Study { valley: Valley::Steep, wall: 1.5, ..STUDY };
    covered("steep, wall at 1.5", near, &octaves(4, 10), 0.5, 0.995);
}

/// The trap that the shape λ is there for: a parabola in ln LR misplaces the minimum of the one-step law.
#[test]
fn a_symmetric_fit_would_misplace_a_steep_valley() {
    let mut source = Source::new(1);
    let study = Study { valley: Valley::Steep, rates: 5, noise: 1e-6, ..STUDY };
    let (points, truth) = study.runs(&mut source, &[32], |_| 1.0);
    let fit = fit_ridge(&points, &Options::default()).unwrap();
    let found = fit.best[0].learning_rate.value().unwrap();
    assert!((found.ln() - truth[0]).abs() < 1e-3 && (fit.skewness.0 - 1.0).abs() < 0.01, "{fit:?}");
    let one: Vec<LrPoint> =
        points.iter().map(|p| LrPoint { learning_rate: p.learning_rate, loss: p.value }).collect();
    let BestLr::Interior { learning_rate, .. } = best_learning_rate(&one) else { panic!() };
    assert!(learning_rate.ln() - truth[0] < -0.05, "{}", learning_rate.ln() - truth[0]);
}

fn grid(batch: u64, best: f64, exponents: std::ops::RangeInclusive<i32>) -> Vec<RidgePoint> {
    exponents
        .flat_map(|k| {
            let learning_rate = 0.01 * f64::from(k).exp2();
            let value = 1.0 + 0.1 * (learning_rate / best).ln().powi(2);
            // Two seeds with a little noise, so that there is an error.
            [0, 1].map(|seed| {
                let wiggle = 1e-3 * f64::from((k * 7 + seed as i32 * 3).rem_euclid(5) - 2);
                RidgePoint { batch, learning_rate, seed: Some(seed), value: Some(value + wiggle) }
            })
        })
        .collect()
}

fn fit(points: &[RidgePoint]) -> RidgeFit {
    fit_ridge(points, &Options::default()).expect("valid input")
}

#[test]
fn an_edge_is_an_outcome_and_blocks_the_comparison() {
    let mut points = grid(32, 0.02, -2..=4);
    points.extend(grid(64, 5.0, -2..=4));
    points.extend(grid(128, 1e-4, -2..=4));
    let f = fit(&points);
    assert_eq!([None, Some(Edge::High), Some(Edge::Low)], [0, 1, 2].map(|i| f.best[i].at_edge));
    assert!(f.best[0].learning_rate.holds(0.02) == Some(true) && f.best[0].learning_rate.value().is_some());
    assert!(matches!(f.best[1].learning_rate, Outcome::LowerBound { low } if low > 0.03 && low < 5.0));
    assert!(matches!(f.best[2].learning_rate, Outcome::UpperBound { high } if high > 1e-4 && high < 0.03));
    assert!(f.comparison_blocked.unwrap().ends_with("64, 128"));
    assert!(matches!(f.exponent, Outcome::NotIdentified { .. }));
    assert_eq!(fit(&grid(32, 0.02, -2..=4)).comparison_blocked, None);
}

#[test]
fn diverged_runs_bound_and_are_never_averaged_in() {
    let mut points = grid(32, 0.04, -2..=3);
    let clean = fit(&points).best[0].clone();
    // One of two seeds at 0.16 diverges, the other shines: the learning rate counts as diverged.
    points.push(RidgePoint { batch: 32, learning_rate: 0.16, seed: Some(0), value: Some(0.2) });
    points.push(RidgePoint { batch: 32, learning_rate: 0.16, seed: Some(1), value: None });
    let b = &fit(&points).best[0];
    assert_eq!((b.n_diverged, b.n, b.n_learning_rates), (1, 13, 7));
    assert_eq!(b.learning_rate.value(), clean.learning_rate.value());
    assert!(b.learning_rate.high().unwrap() <= 0.16 * (1.0 + 1e-12));
    // Falling all the way to the wall: at least what was reached, at most the wall, and no edge.
    let mut falling = grid(32, 0.3, -2..=3);
    falling.push(RidgePoint { batch: 32, learning_rate: 0.16, seed: Some(0), value: Some(f64::NAN) });
    let b = &fit(&falling).best[0];
    assert_eq!(b.at_edge, None);
    let Outcome::Measured { value, low, high } = b.learning_rate else { panic!("{b:?}") };
    assert!(low >= 0.04 && value <= 0.08 * (1.0 + 1e-12) && (high - 0.16).abs() < 1e-12, "{b:?}");
}

#[test]
fn steps_that_never_arrived_bound_on_both_sides() {
    let steps = [(0.01, None), (0.02, Some(900.0)), (0.04, Some(500.0)), (0.08, Some(880.0)), (0.16, None)];
    let points: Vec<RidgePoint> = steps
        .iter()
        .flat_map(|&(learning_rate, value): &(f64, Option<f64>)| {
            [0, 1].map(|s| RidgePoint {
                batch: 8,
                learning_rate,
                seed: Some(s),
                value: value.map(|v| v * (1.0 + 0.02 * (s as f64 - 0.5))),
            })
        })
        .collect();
    let options = Options { goal: Goal::Steps, ..Options::default() };
    let f = fit_ridge(&points, &options).unwrap();
    let Outcome::Measured { low, high, .. } = f.best[0].learning_rate else { panic!("{f:?}") };
    assert!((0.01..0.04).contains(&low) && high > 0.04 && high <= 0.16 * (1.0 + 1e-12), "{f:?}");
    assert!(f.best[0].value.holds(500.0).unwrap(), "{f:?}");
}

#[test]
fn the_fitted_depth_does_not_profit_from_luck() {
    let mut source = Source::new(77);
    let study = Study { rates: 5, noise: 0.05, ..STUDY };
    let (mut fitted, mut smallest, mut covered, reps) = (0.0, 0.0, 0.0, 400);
    for _ in 0..reps {
        let (points, _) = study.runs(&mut source, &[32], |_| 1.0);
        let b = &fit(&points).best[0];
        let Outcome::Measured { value, low, high } = b.value else { continue };
        fitted += (value - 2.0) / f64::from(reps);
        covered += f64::from(low <= 2.0 && 2.0 <= high) / f64::from(reps);
        let least = points.iter().filter_map(|p| p.value).fold(f64::MAX, f64::min);
        smallest += (least - 2.0) / f64::from(reps);
    }
    assert!(fitted.abs() < 0.01 && smallest < -0.04, "{fitted} {smallest}");
    assert!((0.93..=0.97).contains(&covered), "{covered}");
}

#[test]
fn the_winners_curse_has_its_golden_values() {
    for (k, d) in [(1, 0.0), (2, -0.564_189_58), (3, -0.846_284_38), (5, -1.162_964_47), (10, -1.538_752_73)]
    {
        assert!((expected_minimum(k) - d).abs() < 1e-7, "{k}: {}", expected_minimum(k));
    }
    for (k, share) in [(3, 0.041), (5, 0.056), (10, 0.074)] {
        assert!((expected_minimum_bias(k, 0.05) - share).abs() < 0.0006);
        let lucky = 100.0 * (1.0 - expected_minimum_bias(k, 0.05));
        assert!((corrected_minimum(lucky, k, 0.05).unwrap() - 100.0).abs() < 1e-9);
    }
    // The minimum over k steps with that noise, simulated.
    let mut source = Source::new(3);
    let mean =
        (0..40_000).map(|_| (0..5).map(|_| 0.05 * source.normal()).fold(f64::MAX, f64::min)).sum::<f64>()
            / 40_000.0;
    assert!((1.0 - mean.exp() - expected_minimum_bias(5, 0.05)).abs() < 0.001);
    assert_eq!((expected_minimum_bias(0, 0.05), expected_minimum_bias(9, f64::NAN)), (0.0, 0.0));
    assert!(expected_minimum_bias(u64::MAX, f64::MAX) <= 1.0 && expected_minimum(u64::MAX).is_finite());
    assert_eq!(corrected_minimum(1.0, 10, 1e300), None);
}

#[test]
fn unequal_effort_is_reported() {
    let of = |all: &[(u64, u64)]| {
        check_equal_effort(&all.iter().map(|&(batch, trials)| Effort { batch, trials }).collect::<Vec<_>>())
    };
    assert_eq!(of(&[]), EffortCheck::Empty);
    assert_eq!(of(&[(16, 5), (32, 2), (32, 3)]), EffortCheck::Equal { trials: 5 });
    let fewer = vec![Effort { batch: 16, trials: 3 }];
    assert_eq!(of(&[(16, 3), (32, 5), (64, 5)]), EffortCheck::Unequal { most: 5, fewer });
}

#[test]
fn small_rules() {
    for (f, share) in [(1.0, 1.0), (0.8, 0.96), (1.2, 0.96), (0.5, 0.75), (2.0, 0.0)] {
        assert!((progress_share(f) - share).abs() < 1e-12, "{f}");
    }
    assert_eq!(effective_learning_rate(0.1, 1.0), None);
    let close = |a: Option<f64>, b: f64| (a.unwrap() / b - 1.0).abs() < 1e-9;
    assert!(close(round_down(0.1, 0.01, 2.0), 0.08) && close(round_down(0.08, 0.01, 2.0), 0.08));
    assert!(close(round_down(0.003, 0.01, 2.0), 0.0025));
    assert_eq!((round_down(0.0, 1.0, 2.0), round_down(1.0, 1.0, 1.0)), (None, None));
}

#[test]
fn the_next_grid_goes_where_the_answer_is_missing() {
    let rates = |p: &[RidgePoint]| p.iter().map(|p| p.learning_rate).collect::<Vec<_>>();
    let next = |p: &[RidgePoint], wanted| next_learning_rates(&rates(p), &fit(p).best[0], wanted);
    let near = |found: &[f64], want: &[f64]| {
        found.len() == want.len() && found.iter().zip(want).all(|(a, b)| (a / b - 1.0).abs() < 1e-9)
    };
    let Next::Extend { edge: Edge::High, learning_rates } = next(&grid(8, 9.0, -2..=2), 2.0) else {
        panic!()
    };
    assert!(near(&learning_rates, &[0.08, 0.16]));
    let Next::Extend { edge: Edge::Low, learning_rates } = next(&grid(8, 1e-4, -2..=2), 2.0) else {
        panic!()
    };
    assert!(near(&learning_rates, &[0.00125, 0.000_625]));
    assert_eq!(next(&grid(8, 0.02, -2..=4), 2.0), Next::Enough);
    let Next::Refine { learning_rates } = next(&grid(8, 0.02, -2..=4), 1.0 + 1e-9) else { panic!() };
    assert!(near(&learning_rates, &[0.02 / 2f64.sqrt(), 0.02 * 2f64.sqrt()]));
    // Every run failed: smaller ones.
    let failed: Vec<RidgePoint> =
        grid(8, 0.02, 0..=2).iter().map(|p| RidgePoint { value: None, ..*p }).collect();
    let Next::Extend { edge: Edge::Low, learning_rates } = next(&failed, 2.0) else { panic!() };
    assert!(near(&learning_rates, &[0.005, 0.0025]));
    let fine: Vec<RidgePoint> = grid(8, 0.02, -2..=4)
        .iter()
        .map(|p| RidgePoint { learning_rate: 0.02 * (p.learning_rate / 0.02).powf(0.2), ..*p })
        .collect();
    assert!(
        matches!(next(&fine, 1.0 + 1e-9), Next::MoreSeeds { learning_rates } if learning_rates.len() == 3)
    );
}

#[test]
fn without_noise_the_law_comes_out_exactly() {
    for p in [0.0, 0.5, 1.0] {
        let study = Study { noise: 0.0, seeds: 1, ..STUDY };
        let (points, truth) = study.runs(&mut Source::new(9), &octaves(4, 9), |b| b.powf(p));
        let f = fit(&points);
        assert!((f.exponent.value().unwrap() - p).abs() < 1e-6, "{:?}", f.exponent);
        for (b, t) in f.best.iter().zip(truth) {
            assert!((b.learning_rate.value().unwrap().ln() - t).abs() < 1e-6);
            assert!((b.value.value().unwrap() - 2.0).abs() < 1e-6);
        }
        // Steps are fitted in their logarithm, whatever their unit.
        let steps = Study { goal: Goal::Steps, ..study };
        let (mut points, _) = steps.runs(&mut Source::new(9), &octaves(4, 9), |b| b.powf(p));
        points.iter_mut().for_each(|p| p.value = p.value.map(|v| 1e-12 * v));
        let f = fit_ridge(&points, &Options { goal: Goal::Steps, ..Options::default() }).unwrap();
        assert!((f.exponent.value().unwrap() - p).abs() < 1e-6, "{:?}", f.exponent);
    }
}

#[test]
fn errors_name_the_run() {
    let good = RidgePoint { batch: 8, learning_rate: 0.1, seed: Some(1), value: Some(1.0) };
    let of = |p: &[RidgePoint], goal| fit_ridge(p, &Options { goal, confidence: 0.95 }).unwrap_err();
    assert_eq!(of(&[], Goal::Loss), RidgeError::Empty);
    assert_eq!(of(&[RidgePoint { batch: 0, ..good }], Goal::Loss), RidgeError::Batch { index: 0 });
    let bad = RidgePoint { learning_rate: -1.0, ..good };
    assert_eq!(
        of(&[good, bad], Goal::Loss).to_string(),
        "run 1 has learning rate -1; a finite number above 0 is needed"
    );
    let zero = RidgePoint { value: Some(0.0), ..good };
    assert!(matches!(of(&[zero], Goal::Steps), RidgeError::Value { index: 0, .. }));
    let minus = RidgePoint { value: Some(f64::NEG_INFINITY), ..good };
    assert!(matches!(of(&[minus], Goal::Loss), RidgeError::Value { .. }));
    assert!(matches!(of(&[good, good], Goal::Loss), RidgeError::Twice { index: 1, batch: 8, seed: 1, .. }));
    let options = Options { confidence: f64::NAN, ..Options::default() };
    assert!(matches!(fit_ridge(&[good], &options), Err(RidgeError::Confidence(_))));
    // Repeats without a seed are repeats.
    let anonymous = RidgePoint { seed: None, ..good };
    assert_eq!(fit(&[anonymous, anonymous]).best[0].n, 2);
}

/// Any positive number, with the ends of the range more often than not.
fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
        Just(f64::MAX),
        Just(1.0),
        Just(0.1),
        (1u64..0x7ff0_0000_0000_0000).prop_map(f64::from_bits),
    ]
}

proptest! {
    #[test]
    fn nothing_in_a_fit_is_infinite(
        runs in prop::collection::vec(
            (prop_oneof![Just(1u64), Just(8), Just(64), Just(u64::MAX), 1u64..999], positive(), prop::option::of(any::<f64>())), 1..40),
        steps in any::<bool>(), confidence in 1e-9f64..1.0, at in any::<u64>(),
    ) {
        let points: Vec<RidgePoint> = runs
            .iter()
            .map(|&(batch, learning_rate, value)| RidgePoint { batch, learning_rate, seed: None, value })
            .collect();
        let goal = if steps { Goal::Steps } else { Goal::Loss };
        if let Ok(f) = fit_ridge(&points, &Options { goal, confidence }) {
            let said = format!("{f:?} {:?}", f.at(at));
            prop_assert!(!said.contains("NaN") && !said.contains("inf,") && !said.contains("inf "), "{said}");
            for b in &f.best {
                let next = format!("{:?}", next_learning_rates(&[1.0, f64::NAN, 1e300], b, 2.0));
                prop_assert!(!next.contains("NaN") && !next.contains("inf"), "{next}");
                if let Outcome::Measured { value, low, high } = b.learning_rate {
                    prop_assert!(low <= value && value <= high, "{b:?}");
                }
            }
        }
    }

    #[test]
    fn the_unit_of_the_loss_and_of_the_rate_does_not_matter(scale in 1e-6f64..1e6, rate in 1e-6f64..1e6, seed in 0u64..50) {
        let (points, _) = STUDY.runs(&mut Source::new(seed), &[16, 32, 64, 128], f64::sqrt);
        let scaled: Vec<RidgePoint> = points
            .iter()
            .map(|p| RidgePoint { learning_rate: rate * p.learning_rate, value: p.value.map(|v| scale * v), ..*p })
            .collect();
        let (a, b) = (fit(&points), fit(&scaled));
        let close = |x: Option<f64>, y: Option<f64>| match (x, y) {
            (Some(x), Some(y)) => (x - y).abs() < 1e-4 * x.abs().max(1.0),
            (x, y) => x == y,
        };
        prop_assert!(close(a.exponent.value(), b.exponent.value()) && close(a.exponent.low(), b.exponent.low()));
        for (x, y) in a.best.iter().zip(&b.best) {
            prop_assert!(close(x.learning_rate.low().map(|v| rate * v), y.learning_rate.low()), "{x:?} {y:?}");
            prop_assert!(close(x.value.value().map(|v| scale * v), y.value.value()));
        }
    }

    #[test]
    fn a_transferred_rate_is_never_rounded_up(rate in positive(), anchor in positive(), ratio in 1.01f64..10.0) {
        if let Some(down) = round_down(rate, anchor, ratio) {
            prop_assert!(down <= rate * (1.0 + 1e-9) && down >= rate / ratio * (1.0 - 1e-6), "{down} {rate}");
        }
    }
}
