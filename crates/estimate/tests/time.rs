//! Fits of the step time: planted truth, noise, outliers, knees.

mod common;

use batchwise_estimate::time::*;
use common::Source;
use proptest::prelude::*;

fn points(batches: &[f64], spread: f64, t: impl Fn(f64) -> f64) -> Vec<TimePoint> {
    batches.iter().map(|&b| TimePoint { batch: b, seconds: t(b), spread: spread * t(b) }).collect()
}

fn powers(n: i32) -> Vec<f64> {
    (0..n).map(|i| 2f64.powi(i)).collect()
}

#[test]
fn exact_models_are_recovered() {
    let (a, c) = (2e-3, 1e-5);
    let fit = fit_time(&points(&powers(12), 0.0, |b| a + c * b)).unwrap();
    assert_eq!(fit.model, TimeModel::Sum);
    assert!(
        (fit.overhead_seconds / a - 1.0).abs() < 1e-3 && (fit.seconds_per_example / c - 1.0).abs() < 1e-3
    );
    assert!(fit.misfit < 1e-3 && (fit.knee(0.8) / 800.0 - 1.0).abs() < 1e-2);
    let fit = fit_time(&points(&powers(12), 0.0, |b| f64::max(a, c * b))).unwrap();
    assert_eq!(fit.model, TimeModel::Max);
    assert!((fit.knee(0.9) / 180.0 - 1.0).abs() < 1e-2 && fit.shape_identified());
    for (t, a, c) in [((|b| 3e-5 * b) as fn(f64) -> f64, 0.0, 3e-5), (|_| 0.25, 0.25, 0.0)] {
        let fit = fit_time(&points(&powers(6), 0.01, t)).unwrap();
        assert!(
            (fit.overhead_seconds - a).abs() < 1e-9 && (fit.seconds_per_example - c).abs() < 1e-9,
            "{fit:?}"
        );
        assert!(!fit.shape_identified());
    }
}

/// Theory §9.4: samples with 3 % noise and 5 % outliers of three times the time.
#[test]
fn noisy_samples_with_outliers() {
    let (a, c, critical) = (4e-3, 2e-5, 600.0);
    let mut source = Source::new(6);
    let (mut good, trials) = (0, 200);
    for _ in 0..trials {
        let timed: Vec<_> = powers(11)
            .iter()
            .map(|&b| {
                let samples: Vec<f64> = (0..15)
                    .map(|_| {
                        let wild = if source.uniform() < 0.05 { 3.0 } else { 1.0 };
                        (a + c * b) * wild * (0.03 * source.normal()).exp()
                    })
                    .collect();
                let (seconds, spread) = robust_median(&samples).unwrap();
                TimePoint { batch: b, seconds, spread }
            })
            .collect();
        let fit = fit_time(&timed).unwrap();
        let optimum = (fit.overhead_seconds * critical / fit.seconds_per_example).sqrt();
        let truth = (a * critical / c).sqrt();
        good += u32::from(
            (fit.overhead_seconds / a - 1.0).abs() < 0.1
                && (fit.seconds_per_example / c - 1.0).abs() < 0.1
                && (optimum / truth).ln().abs() < 1.2f64.ln(),
        );
    }
    assert!(good >= 190, "{good} of {trials}");
}

#[test]
fn one_wild_point_moves_little() {
    let mut p = points(&powers(10), 0.01, |b| 4e-3 + 2e-5 * b);
    p[4].seconds *= 3.0;
    let fit = fit_time(&p).unwrap();
    assert!((fit.overhead_seconds / 4e-3 - 1.0).abs() < 0.1, "{fit:?}");
    assert!((fit.seconds_per_example / 2e-5 - 1.0).abs() < 0.1, "{fit:?}");
    assert!(fit.misfit > 0.5, "the wild point must show");
}

#[test]
fn gamma_is_recovered_where_both_regimes_were_sampled() {
    let mut source = Source::new(7);
    for gamma in [2.0, 3.0] {
        let mut errors: Vec<f64> = (0..40)
            .map(|_| {
                let timed: Vec<_> = (0..25)
                    .map(|i| {
                        let b = 4.0 * 2f64.powf(f64::from(i) / 2.0);
                        let t = TimeModel::Overlap { gamma }.join(2e-3, 1e-5 * b)
                            * (0.01 * source.normal()).exp();
                        TimePoint { batch: b, seconds: t, spread: 0.01 * t }
                    })
                    .collect();
                match fit_time(&timed).unwrap().model {
                    TimeModel::Overlap { gamma: found } => (found - gamma).abs(),
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        assert!(errors[36] < 0.5, "γ {gamma}: {errors:?}");
    }
}

#[test]
fn a_wrong_model_shows_its_misfit() {
    let fit = fit_time(&points(&powers(10), 0.01, |b| 1e-3 * b.powf(0.5))).unwrap();
    assert!(fit.misfit > 0.10, "{fit:?}");
}

#[test]
fn medians() {
    assert_eq!(robust_median(&[3.0, 1.0, 2.0, f64::NAN]).unwrap().0, 2.0);
    assert_eq!(robust_median(&[]), None);
    let mut source = Source::new(9);
    let medians: Vec<(f64, f64)> = (0..4000)
        .map(|_| robust_median(&(0..25).map(|_| source.normal()).collect::<Vec<_>>()).unwrap())
        .collect();
    let sd = (medians.iter().map(|m| m.0 * m.0).sum::<f64>() / 4000.0).sqrt();
    let stated = medians.iter().map(|m| m.1).sum::<f64>() / 4000.0;
    assert!((stated / sd - 1.0).abs() < 0.1, "{stated} {sd}");
}

#[test]
fn bad_points_are_named() {
    assert_eq!(
        fit_time(&points(&[1.0, 2.0, 2.0], 0.0, |b| b)).unwrap_err(),
        TimeError::TooFewBatches { found: 2, needed: 3 }
    );
    let bad = TimePoint { batch: 4.0, seconds: f64::NAN, spread: 0.0 };
    let mut p = points(&[1.0, 2.0], 0.0, |b| b);
    p.push(bad);
    assert!(matches!(fit_time(&p), Err(TimeError::BadPoint { index: 2, .. })));
    assert!(TimeCurve::new(&p).is_err());
}

proptest! {
    #[test]
    fn knees_reach_their_share(a in 1e-6f64..1.0, c in 1e-9f64..1e-2, share in 0.05f64..0.95, gamma in 1.0f64..10.0) {
        for model in [TimeModel::Sum, TimeModel::Max, TimeModel::Overlap { gamma }] {
            let fit = TimeFit {
                model, overhead_seconds: a, seconds_per_example: c, misfit: 0.0, rms_misfit: 0.0, bic: vec![], tested: (1.0, 2.0),
            };
            let b = fit.knee(share);
            prop_assert!((b / fit.seconds(b) * c / share - 1.0).abs() < 1e-9, "{:?}", model);
        }
    }

    #[test]
    fn fits_of_anything_are_finite(p in prop::collection::vec((1e-3f64..1e6, 1e-9f64..1e6, 0.0f64..10.0), 3..8)) {
        let p: Vec<_> = p.into_iter().map(|(batch, seconds, spread)| TimePoint { batch, seconds, spread }).collect();
        if let Ok(fit) = fit_time(&p) {
            let numbers = [fit.overhead_seconds, fit.seconds_per_example, fit.misfit, fit.rms_misfit];
            prop_assert!(numbers.iter().all(|v| v.is_finite() && *v >= 0.0), "{fit:?}");
            prop_assert!(fit.bic.iter().all(|b| b.1.is_finite()), "{fit:?}");
        }
    }
}
