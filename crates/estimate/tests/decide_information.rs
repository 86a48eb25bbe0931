//! What a measurement is worth: against integrals done another way, and in cases where the answer is known.

mod common;

use batchwise_estimate::critical::*;
use batchwise_estimate::decide::*;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::time::TimeModel;
use proptest::prelude::*;

fn belief(median: f64, ln_sd: f64) -> CriticalBatch {
    common::belief(median, ln_sd, CriticalSource::Sweep)
}

fn measured(points: &[(u64, f64)], relative_error: f64) -> TimeBelief {
    let candidate = |&(batch, seconds): &(u64, f64)| Candidate { batch, seconds, relative_error };
    TimeBelief::Measured { candidates: points.iter().map(candidate).collect() }
}

fn worth(decision: &Decision, wanted: Measurement) -> &Worth {
    decision.worth.iter().find(|w| w.measurement == wanted).expect("it is listed")
}

/// Standard normal density on a fine grid, as (score, weight).
fn grid() -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> =
        (-600..=600).map(|k| f64::from(k) / 100.0).map(|z| (z, (-z * z / 2.0).exp())).collect();
    let total: f64 = points.iter().map(|p| p.1).sum();
    points.iter().map(|p| (p.0, p.1 / total)).collect()
}

/// Two batches, times known: which is better depends on B_c alone, so that every value is a double integral.
#[test]
fn a_sweep_is_worth_what_the_integral_says() {
    let (small, large) = ((64u64, 1.0), (1024u64, 4.0));
    let (median, sd, error) = (300.0, 0.8, 0.2);
    let problem = Problem::new(measured(&[small, large], 0.0), belief(median, sd));
    let decision = problem.decide().unwrap();
    let regrets = |ln_critical: f64| {
        let time = |(b, t): (u64, f64)| time_to_target_relative(t, b as f64, ln_critical.exp());
        let best = time(small).min(time(large));
        [time(small) / best - 1.0, time(large) / best - 1.0]
    };
    let expected = |mean: f64, sd: f64| {
        let mut sums = [0.0; 2];
        for (z, weight) in grid() {
            let r = regrets(mean + sd * z);
            sums[0] += weight * r[0];
            sums[1] += weight * r[1];
        }
        sums[0].min(sums[1])
    };
    let now = expected(median.ln(), sd);
    // Conjugate: seeing ln B_c ± 0.2 leaves the variance v, and the mean moves with variance sd² − v.
    let left = 1.0 / (1.0 / (sd * sd) + 1.0 / (error * error));
    let moves = (sd * sd - left).sqrt();
    let after: f64 = grid()
        .iter()
        .step_by(10)
        .map(|(z, w)| 10.0 * w * expected(median.ln() + moves * z, left.sqrt()))
        .sum();
    let found = worth(&decision, Measurement::Sweep);
    assert!((found.upper_limit / now - 1.0).abs() < 0.03, "{} {now}", found.upper_limit);
    assert!((found.value / (now - after) - 1.0).abs() < 0.03, "{} {}", found.value, now - after);
    assert_eq!(decision.next_measurement.as_ref(), Some(found));
}

/// Two batches, B_c known, both times blunt: the difference of their logarithms is normal.
#[test]
fn timing_again_is_worth_what_the_integral_says() {
    let (error, critical) = (0.15, 300.0);
    // Equal medians of the time to target.
    let seconds = |b: f64| 1.0 / time_to_target_relative(1.0, b, critical);
    let problem =
        Problem::new(measured(&[(64, seconds(64.0)), (1024, seconds(1024.0))], error), belief(critical, 0.0));
    let loss = |d: f64| [(d.exp() - 1.0).max(0.0), ((-d).exp() - 1.0).max(0.0)];
    let expected = |mean: f64, sd: f64| {
        let sums = grid().iter().fold([0.0; 2], |s, (z, w)| {
            let l = loss(mean + sd * z);
            [s[0] + w * l[0], s[1] + w * l[1]]
        });
        sums[0].min(sums[1])
    };
    let total: f64 = error * 2f64.sqrt();
    // Of the variance 2e² all times measured again take 3/4, one of them 3/4 of half of it.
    let value = |taken: f64| {
        let (moves, left) = (taken.sqrt() * total, (1.0 - taken).sqrt() * total);
        expected(0.0, total)
            - grid().iter().step_by(10).map(|(z, w)| 10.0 * w * expected(moves * z, left)).sum::<f64>()
    };
    for seed in 0..5 {
        let decision = Problem { seed, ..problem.clone() }.decide().unwrap();
        let both = worth(&decision, Measurement::StepTimes);
        let one = worth(&decision, Measurement::StepTime { batch: 64 });
        // As far as 256 draws of the times go.
        for (found, wanted) in
            [(both.upper_limit, expected(0.0, total)), (both.value, value(0.75)), (one.value, value(0.375))]
        {
            assert!((found / wanted - 1.0).abs() < 0.2, "seed {seed}: {found}, {wanted}");
        }
    }
}

#[test]
fn what_cannot_change_the_choice_is_worth_nothing() {
    let points: Vec<(u64, f64)> = (0..12).map(|k| (1 << k, 2e-3 + 1e-5 * f64::from(1 << k))).collect();
    // All is known but S_min, which multiplies every time alike.
    let steps = StepsBelief { median: 1e3, ln_sd: 1.0, correlation: 0.0 };
    let known = Problem { steps: Some(steps), ..Problem::new(measured(&points, 0.0), belief(300.0, 0.0)) };
    let decision = known.decide().unwrap();
    assert_eq!((decision.perfect_information, &decision.next_measurement), (0.0, &None));
    assert!(decision.worth.iter().all(|w| w.value == 0.0), "{:?}", decision.worth);
    assert!(decision.worth.iter().any(|w| w.measurement == Measurement::StepsToTarget));
    // One candidate: nothing to choose.
    let one = Problem::new(measured(&points[..1], 0.5), belief(300.0, 2.0)).decide().unwrap();
    assert_eq!((one.perfect_information, one.next_measurement), (0.0, None));
}

#[test]
fn a_blunt_noise_scale_is_measured_again_and_a_sharp_one_is_not() {
    let points: Vec<(u64, f64)> = (0..14).map(|k| (1 << k, 2e-3 + 1e-5 * f64::from(1 << k))).collect();
    let prior = Task::Supervised.prior();
    let value = |sampling: f64| {
        let source = CriticalSource::NoiseScale { task: Task::Supervised };
        let critical = CriticalBatch { source, ..belief(2000.0, prior.ln_sd.hypot(sampling)) };
        let decision = Problem::new(measured(&points, 0.01), critical).decide().unwrap();
        (worth(&decision, Measurement::NoiseScale).value, worth(&decision, Measurement::Sweep).value)
    };
    let (sharp, blunt) = (value(0.0), value(1.5));
    assert_eq!(sharp.0, 0.0);
    // A little sampling error tells little: what it would bring to know it is far from knowing B_c.
    let fair = value(0.2);
    assert!(0.0 < fair.0 && fair.0 < 0.1 * fair.1, "{fair:?}");
    assert!(blunt.0 > 0.02 && blunt.1 > blunt.0, "{blunt:?}");
    assert!(sharp.1 > WORTHWHILE, "the prior is the doubt that a sweep removes: {sharp:?}");
}

#[test]
fn a_bound_that_is_open_above_is_worth_closing() {
    // The bound says 40, far below a/c = 10 000: the best for it is a small batch, and bad if B_c is larger.
    let points: Vec<(u64, f64)> = (0..12).map(|k| (1 << k, 1e-2 + 1e-6 * f64::from(1 << k))).collect();
    let source = CriticalSource::NoiseScale { task: Task::Supervised };
    let closed = CriticalBatch { source, ..belief(40.0, 0.75) };
    let open = CriticalBatch { lower_bound_only: true, ..closed.clone() };
    let [closed, open] = [closed, open].map(|c| Problem::new(measured(&points, 0.0), c).decide().unwrap());
    assert_eq!(open.grade, Grade::LowerBound);
    let next = open.next_measurement.as_ref().unwrap();
    assert_eq!(next.measurement, Measurement::NoiseScale, "of equals the cheaper one");
    assert!(next.value > 0.5, "{next:?}");
    assert!(worth(&closed, Measurement::Sweep).value < worth(&open, Measurement::Sweep).value);
}

/// Theory §8.1: between γ = 1 and γ = 10 the best batch goes from 1000 to 268, so that the shape matters.
#[test]
fn the_shape_is_measured_where_it_is_the_doubt() {
    let draw = |gamma: f64| TimeDraw {
        model: TimeModel::Overlap { gamma },
        overhead_seconds: 2e-3,
        seconds_per_example: 1e-5,
    };
    let decide = |gammas: &[f64], ln_sd: f64| {
        let draws = gammas.iter().map(|gamma| draw(*gamma)).collect();
        let time = TimeBelief::Model { batches: powers_of_two(1, 1 << 14), draws };
        Problem::new(time, belief(5000.0, ln_sd)).decide().unwrap()
    };
    let open = decide(&[1.0, 10.0], 0.05);
    let shape = worth(&open, Measurement::Shape);
    assert!(shape.value > WORTHWHILE && shape.words.contains("200"), "{shape:?}");
    let closed = decide(&[2.0, 2.0], 0.05);
    assert!(closed.worth.iter().all(|w| w.measurement != Measurement::Shape));
    assert_eq!(closed.next_measurement, None);
    // B_c known: the least mean regret over the shapes is all that knowing the shape can gain.
    let time = |gamma: f64, b: u64| {
        let seconds = TimeModel::Overlap { gamma }.join(2e-3, 1e-5 * b as f64);
        time_to_target_relative(seconds, b as f64, 5000.0)
    };
    let grid = powers_of_two(1, 1 << 14);
    let regret = |gamma: f64, b: u64| {
        time(gamma, b) / grid.iter().map(|b| time(gamma, *b)).min_by(f64::total_cmp).unwrap() - 1.0
    };
    let mean = |b: &u64| 0.75 * regret(1.0, *b) + 0.25 * regret(10.0, *b);
    let wanted = grid.iter().map(mean).min_by(f64::total_cmp).unwrap();
    let found = worth(&decide(&[1.0, 10.0, 1.0, 1.0], 0.0), Measurement::Shape).value;
    assert!(wanted > 0.01 && (found - wanted).abs() < 1e-9, "{found} {wanted}");
}

#[test]
fn what_lies_beyond_a_limit_is_worth_its_gain_times_its_chance() {
    // B_T = 2000 is far above the limits.
    let points: Vec<(u64, f64)> = (0..13).map(|k| (1 << k, 2e-3 + 1e-5 * f64::from(1 << k))).collect();
    let free = Problem::new(measured(&points, 0.0), belief(20_000.0, 0.0));
    let band = |micro_batch: u64, expected_bytes: f64| MemoryBand {
        micro_batch,
        expected_bytes,
        upper_bytes: expected_bytes + 1.645e6,
    };
    // 128 fits; 256 is expected right at the limit, so that it fits with probability one half.
    let memory = Memory::Band { points: vec![band(128, 50e6), band(256, 100e6)], limit_bytes: 100_000_000 };
    let limited = Problem { memory, accumulation: false, ..free.clone() }.decide().unwrap();
    assert_eq!((limited.batch_size, limited.binding), (128, Binding::Memory));
    let found = worth(&limited, Measurement::Memory { micro_batch: 256 });
    let time = |b: u64| time_to_target_relative(2e-3 + 1e-5 * b as f64, b as f64, 20_000.0);
    let gain = time(128) / time(256) - 1.0;
    assert!((found.upper_limit - gain).abs() < 1e-6 && (found.value - gain / 2.0).abs() < 1e-4, "{found:?}");
    assert_eq!(limited.next_measurement.as_ref(), Some(found));

    let tested = Problem { generalisation_tested: Some(128), ..free.clone() }.decide().unwrap();
    assert_eq!((tested.batch_size, tested.binding), (128, Binding::Generalisation));
    let found = worth(&tested, Measurement::Generalisation { batch: 256 });
    assert!((found.value - gain).abs() < 1e-6, "{found:?}");

    let short = Problem { time: measured(&points[..8], 0.0), ..free }.decide().unwrap();
    assert_eq!((short.batch_size, short.binding), (128, Binding::Tried));
    let found = worth(&short, Measurement::LargerBatch { batch: 256 });
    assert!((found.value / gain - 1.0).abs() < 0.02, "{found:?} {gain}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_measurement_beats_knowing_everything(
        sd in 0.0f64..2.0, error in 0.0f64..0.3, median in 10.0f64..1e5, seed: u64, sweep: bool
    ) {
        let points: Vec<(u64, f64)> = (0..8).map(|k| (4 << k, 2e-3 + 2e-5 * f64::from(4 << k))).collect();
        let task = Task::Supervised;
        let source = if sweep { CriticalSource::Sweep } else { CriticalSource::NoiseScale { task } };
        let critical = CriticalBatch { source, ..belief(median, sd) };
        let decision = Problem { seed, n_draws: 200, ..Problem::new(measured(&points, error), critical) }
            .decide()
            .unwrap();
        for w in &decision.worth {
            prop_assert!(0.0 <= w.value && w.value <= w.upper_limit, "{w:?}");
            let beyond = matches!(w.measurement, Measurement::LargerBatch { .. });
            prop_assert!(beyond || w.upper_limit <= decision.perfect_information + 1e-12, "{w:?}");
        }
        prop_assert!(decision.worth.windows(2).all(|pair| pair[0].value >= pair[1].value));
        prop_assert_eq!(decision.next_measurement.is_some(), decision.worth[0].value >= WORTHWHILE);
    }
}
