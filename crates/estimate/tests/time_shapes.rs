//! Stairs, two slopes, the choice between models, the measured curve, and laws of the fit of raw timings.

mod common;

use batchwise_estimate::grade::Grade;
use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::time::*;
use common::Source;
use proptest::prelude::*;

/// `per_batch` timings of each batch with `noise` relative standard deviation.
fn timed(batches: &[f64], per_batch: usize, noise: f64, seed: u64, t: impl Fn(f64) -> f64) -> Vec<Timing> {
    let mut source = Source::new(seed);
    batches
        .iter()
        .flat_map(|&batch| (0..per_batch).map(move |_| batch))
        .map(|batch| Timing { batch, seconds: t(batch) * (noise * source.normal()).exp() })
        .collect()
}

fn powers(n: i32) -> Vec<f64> {
    (0..n).map(|i| 2f64.powi(i)).collect()
}

fn fitted(timings: &[Timing]) -> SpeedFit {
    fit_timings(timings, &Options { resamples: 100, ..Options::default() }).expect("timings in range")
}

#[test]
fn stairs_are_found_with_their_quantum() {
    let stairs = |quantum| Stairs { quantum, overhead_seconds: 1e-4, seconds_per_example: 1e-5 };
    let batches: Vec<f64> = (1..=8).map(|i| f64::from(i) * 5.0).chain(powers(9)).collect();
    for quantum in [8, 12, 32] {
        let timings = timed(&batches, 12, 0.02, 1, |b| stairs(quantum).seconds(b));
        let fit = fitted(&timings);
        let StepTime::Stairs(found) = &fit.time else { panic!("{quantum}: {:?}", fit.scores) };
        assert_eq!((found.quantum, fit.verdict), (quantum, Grade::Measured));
        assert_eq!(fit.seconds_per_example.holds(1e-5), Some(true));
        assert_eq!(fit.gamma.grade(), "not_identified");
        // 0.8 of 1/c: 40 examples, rounded up to whole quanta.
        assert_eq!(stairs(quantum).knee(0.8), (40.0 / f64::from(quantum)).ceil() * f64::from(quantum));
    }
    // A quantum that is known needs fewer batches, and pays for two parameters.
    let timings = timed(&[3.0, 8.0, 9.0, 20.0, 33.0], 12, 0.01, 2, |b| stairs(8).seconds(b));
    let options = Options { quantum: Some(8), resamples: 50, ..Options::default() };
    let fit = fit_timings(&timings, &options).unwrap();
    assert!(matches!(fit.time, StepTime::Stairs(Stairs { quantum: 8, .. })), "{:?}", fit.scores);
    assert_eq!(fit.scores[0].parameters, 2);
}

#[test]
fn two_slopes_are_found_with_their_bend() {
    let truth = TwoSlopes {
        overhead_seconds: 5e-4,
        seconds_per_example: 1e-5,
        bend: 100.0,
        seconds_per_example_beyond: 3e-5,
    };
    let batches: Vec<f64> = (2..=22).map(|i| 2f64.powf(f64::from(i) / 2.0).round()).collect();
    let fit = fitted(&timed(&batches, 12, 0.02, 3, |b| truth.seconds(b)));
    let StepTime::TwoSlopes(found) = &fit.time else { panic!("{:?}", fit.scores) };
    assert!((found.bend / 100.0).ln().abs() < 0.15, "{found:?}");
    assert!((found.seconds_per_example / 1e-5 - 1.0).abs() < 0.15, "{found:?}");
    assert_eq!(fit.seconds_per_example.holds(3e-5), Some(true));
    // The most examples/s are those at the bend, 100/1.5e-3; 90 % of them come at 5e-4·x/(1−1e-5·x) with x = 6e4.
    assert!((truth.knee(0.9) - 75.0).abs() < 1e-6, "{}", truth.knee(0.9));
    let cheaper = TwoSlopes { seconds_per_example_beyond: 5e-6, ..truth };
    let knee = cheaper.knee(0.9);
    assert!(knee > 100.0 && (knee / cheaper.seconds(knee) * 5e-6 / 0.9 - 1.0).abs() < 1e-9, "{knee}");
}

/// A plain sum is not taken for more than it is, at 6 batch sizes or at 12.
#[test]
fn richer_models_do_not_win_by_chance() {
    for count in [6, 8, 12] {
        let wrong = (0..150)
            .filter(|&seed| {
                let points: Vec<TimePoint> = timed(&powers(count), 1, 0.02, 100 + seed, |b| 1e-3 + 3e-5 * b)
                    .iter()
                    .map(|t| TimePoint { batch: t.batch, seconds: t.seconds, spread: 0.02 * t.seconds })
                    .collect();
                !matches!(StepTime::fit(&points).unwrap().name(), "sum" | "max")
            })
            .count();
        assert!(wrong <= 6, "{count} batches: {wrong} of 150");
    }
}

/// Where only one regime was timed, the models that agree there are named and the intervals hold for either.
#[test]
fn what_cannot_be_told_is_said() {
    // a/c = 1000, timed up to 64: overhead nearly alone, under 10 % noise.
    let batches = powers(7);
    let (mut undecided, mut held) = (0, 0);
    for seed in 0..40 {
        let fit = fitted(&timed(&batches, 10, 0.1, 200 + seed, |b| 1e-2 + 1e-5 * b));
        assert!(!fit.shape_identified);
        assert_eq!(fit.gamma.grade(), "not_identified", "{:?}", fit.gamma);
        assert_eq!(fit.verdict == Grade::NotIdentified, !fit.undecided.is_empty());
        undecided += i32::from(!fit.undecided.is_empty());
        let (c, knee) = (&fit.seconds_per_example, &fit.knees[0].batch);
        held += i32::from(c.holds(1e-5) != Some(false) && knee.holds(1e3) != Some(false));
    }
    assert!(undecided >= 30 && held >= 36, "{undecided} undecided, {held} held of 40");
    // Work alone: the overhead has an upper end only.
    let fit = fitted(&timed(&powers(8), 10, 0.03, 5, |b| 1e-3 * b));
    assert!(matches!(fit.overhead_seconds, Outcome::UpperBound { .. }), "{:?}", fit.overhead_seconds);
    assert_eq!(fit.seconds_per_example.holds(1e-3), Some(true));
    // Both regimes, on either side of the ridge.
    for (model, low) in [(TimeModel::Sum, 1.0), (TimeModel::Max, 3.0)] {
        let batches: Vec<f64> = (0..25).map(|i| 4.0 * 2f64.powf(f64::from(i) / 2.0)).collect();
        let fit = fitted(&timed(&batches, 12, 0.01, 6, |b| model.join(2e-3, 1e-5 * b)));
        assert!(fit.shape_identified, "{:?} {:?}", fit.undecided, fit.scores);
        assert!(fit.gamma.low() >= Some(low), "{model:?}: {:?}", fit.gamma);
    }
}

/// Theory §9.4: γ within 0.5 where both regimes were timed.
#[test]
fn gamma_is_recovered_from_raw_timings() {
    let batches: Vec<f64> = (0..13).map(|i| 2f64.powi(i)).collect();
    for (gamma, seeds) in [(1.5, 15), (2.0, 15), (3.0, 15)] {
        let near = (0..seeds)
            .filter(|seed| {
                let t = |b: f64| TimeModel::Overlap { gamma }.join(2e-3, 1e-5 * b);
                let fit = fitted(&timed(&batches, 12, 0.03, 300 + seed, t));
                fit.gamma.value().is_some_and(|found| (found - gamma).abs() < 0.5)
            })
            .count();
        assert!(near >= 14, "γ {gamma}: {near} of {seeds}");
    }
}

#[test]
fn a_misfit_is_refused_and_the_curve_stands_in() {
    // Every other batch takes twice as long: no curve that rises does.
    let odd = |b: f64| if b.log2() as i32 % 2 == 1 { 2.0 } else { 1.0 };
    let fit = fitted(&timed(&powers(11), 10, 0.01, 7, |b| (1e-3 + 1e-5 * b) * odd(b)));
    assert_eq!((fit.verdict, fit.time.name()), (Grade::ModelMisfit, "curve"), "{:?}", fit.scores);
    assert!(fit.scores[0].lack_of_fit > LARGEST_MISFIT);
    assert_eq!(fit.overhead_seconds.grade(), "not_identified");
    // 1024 makes 91,103/s, the most; the first batch to make half of it is 256, with 71,910/s.
    assert_eq!(fit.knees[0].batch.value(), Some(256.0), "{:?}", fit.knees);
    // One cliff at the last batch is no outlier where every batch was timed ten times.
    let cliff = timed(&powers(11), 10, 0.01, 8, |b| (1e-3 + 1e-5 * b) * if b > 1000.0 { 3.0 } else { 1.0 });
    let fit = fitted(&cliff);
    assert_eq!(fit.verdict, Grade::ModelMisfit, "{:?}", fit.scores);
}

#[test]
fn single_timings_have_an_error_only_from_the_model() {
    let t = |b: f64| 1e-3 + 1e-5 * b;
    let fit = fitted(&timed(&powers(4), 1, 0.02, 9, t));
    assert_eq!(fit.overhead_seconds.grade(), "not_identified");
    assert!(fit.band.iter().all(|b| b.low <= b.seconds && b.seconds <= b.high));
    let fit = fitted(&timed(&powers(9), 1, 0.02, 9, t));
    assert!(fit.overhead_seconds.low().is_some() && fit.between_batches > 0.005, "{fit:?}");
}

#[test]
fn one_answer_for_points() {
    let point = |batch: f64, seconds| TimePoint { batch, seconds, spread: 0.01 * seconds };
    let two = StepTime::fit(&[point(1.0, 1.0), point(4.0, 2.0)]).unwrap();
    assert_eq!((two.name(), two.knee(0.9)), ("curve", 4.0));
    assert_eq!(StepTime::fit(&[point(1.0, 1.0)]), Err(TimeError::TooFewBatches { found: 1, needed: 2 }));
    let points: Vec<_> = powers(10).iter().map(|&b| point(b, 1e-3 + 1e-5 * b)).collect();
    let sum = StepTime::fit(&points).unwrap();
    assert!(sum.name() == "sum" && (sum.knee(0.8) / 400.0 - 1.0).abs() < 0.01, "{sum:?}");
}

/// Theory §7: the answer depends on the range that is drawn.
#[test]
fn kneedle_depends_on_the_range() {
    let curve = |top: u32| -> Vec<(f64, f64)> {
        (1..=top).map(|b| (f64::from(b), f64::from(b) / (f64::from(b) + 100.0))).collect()
    };
    let tops = [256, 1024, 4096, 16_384];
    assert_eq!(tops.map(|t| kneedle(&curve(t), Axis::Linear)), [90.0, 237.0, 551.0, 1190.0].map(Some));
    assert_eq!(tops.map(|t| kneedle(&curve(t), Axis::Log)), [None, Some(551.0), Some(645.0), Some(773.0)]);
    assert_eq!(kneedle(&[(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)], Axis::Linear), None);
    assert_eq!(kneedle(&[(0.0, 1.0), (2.0, 2.0), (3.0, 3.0)], Axis::Log), None);
}

#[test]
fn bad_timings_and_options_are_named() {
    let good = timed(&powers(4), 3, 0.01, 1, |b| b);
    for (batch, seconds) in
        [(f64::NAN, 1.0), (1.0, f64::INFINITY), (0.0, 1.0), (1.0, -1.0), (5e-324, 1.0), (1.0, f64::MAX)]
    {
        let mut bad = good.clone();
        bad.insert(2, Timing { batch, seconds });
        assert!(matches!(fit_timings(&bad, &Options::default()), Err(TimeError::BadTiming { index: 2, .. })));
    }
    for options in [
        Options { confidence: f64::NAN, ..Options::default() },
        Options { confidence: 1.0, ..Options::default() },
        Options { resamples: 0, ..Options::default() },
        Options { efficiencies: vec![0.5, 1.0], ..Options::default() },
        Options { quantum: Some(1), ..Options::default() },
    ] {
        assert!(matches!(fit_timings(&good, &options), Err(TimeError::BadOption { .. })), "{options:?}");
    }
    assert!(matches!(
        fit_timings(&good[..6], &Options::default()),
        Err(TimeError::TooFewBatches { found: 2, needed: 3 })
    ));
    let many = timed(&(1..=513).map(f64::from).collect::<Vec<_>>(), 1, 0.0, 1, |b| b);
    assert!(matches!(
        fit_timings(&many, &Options::default()),
        Err(TimeError::TooManyBatches { found: 513, allowed: 512 })
    ));
}

fn numbers(outcome: &Outcome) -> Vec<f64> {
    [outcome.low(), outcome.value(), outcome.high()].into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_in_range_gives_finite_ordered_answers(
        timings in prop::collection::vec((0u32..12, -12.0f64..20.0, -18.0f64..18.0, any::<bool>()), 3..40),
        confidence in 0.5f64..0.999,
    ) {
        let timings: Vec<_> = timings
            .into_iter()
            .map(|(small, wide, log, tame)| Timing {
                batch: if tame { f64::from(1 << small) } else { 10f64.powf(wide) },
                seconds: 10f64.powf(log),
            })
            .collect();
        let options = Options { confidence, resamples: 50, ..Options::default() };
        if let Ok(fit) = fit_timings(&timings, &options) {
            let knees = fit.knees.iter().map(|k| &k.batch);
            for outcome in [&fit.overhead_seconds, &fit.seconds_per_example, &fit.gamma].into_iter().chain(knees) {
                let numbers = numbers(outcome);
                prop_assert!(numbers.iter().all(|v| v.is_finite() && *v >= 0.0), "{outcome:?}");
                prop_assert!(numbers.windows(2).all(|pair| pair[0] <= pair[1]), "{outcome:?}");
            }
            for at in &fit.band {
                prop_assert!(0.0 <= at.low && at.low <= at.seconds && at.seconds <= at.high && at.high.is_finite());
            }
            prop_assert!(fit.between_batches.is_finite());
            prop_assert!(fit.scores.iter().all(|s| s.bic.is_finite() && s.lack_of_fit.is_finite()));
            for batch in [0.0, 1e-300, 1.0, 1e30, f64::MAX, f64::NAN, f64::INFINITY, -1.0] {
                let seconds = fit.time.seconds(batch);
                prop_assert!(seconds.is_finite() && seconds >= 0.0, "{batch}: {seconds} {:?}", fit.time);
            }
        }
    }

    #[test]
    fn fits_rise_and_scale_and_forget_the_order(
        a in -5.0f64..-1.0, ridge in 0.5f64..3.5, shape in 0usize..4, seed in 0u64..1000, power in -20i32..20, turn in 0usize..60
    ) {
        let (a, c) = (10f64.powf(a), 10f64.powf(a - ridge));
        let model = [TimeModel::Sum, TimeModel::Max, TimeModel::Overlap { gamma: 2.5 }, TimeModel::Sum][shape];
        let quantum = if shape == 3 { 16.0 } else { 1.0 };
        let timings = timed(&powers(12), 5, 0.02, seed, |b| model.join(a, c * (b / quantum).ceil() * quantum));
        let fit = fitted(&timings);
        let times: Vec<f64> = (0..200).map(|i| fit.time.seconds(1.07f64.powi(i))).collect();
        prop_assert!(fit.time.name() == "curve" || times.windows(2).all(|t| 0.0 < t[0] && t[0] <= t[1] * (1.0 + 1e-12)));
        let scale = 10f64.powf(f64::from(power) / 3.0);
        let mut scaled: Vec<_> =
            timings.iter().map(|t| Timing { batch: t.batch, seconds: t.seconds * scale }).collect();
        scaled.rotate_left(turn);
        let other = fitted(&scaled);
        prop_assert_eq!(fit.time.name(), other.time.name());
        let (first, second) = (numbers(&fit.overhead_seconds), numbers(&other.overhead_seconds));
        prop_assert_eq!(first.len(), second.len());
        for (x, y) in first.iter().zip(&second).chain(numbers(&fit.seconds_per_example).iter().zip(&numbers(&other.seconds_per_example))) {
            prop_assert!((x * scale - y).abs() <= 1e-3 * y.abs(), "{x} {y} {scale}");
        }
        timings.iter().for_each(|t| assert!((fit.time.seconds(t.batch) * scale / other.time.seconds(t.batch) - 1.0).abs() < 1e-3));
        scaled.rotate_right(turn);
        scaled.reverse();
        prop_assert_eq!(other, fitted(&scaled));
    }
}
