//! The laws of the learning rate against each other: planted, told apart, or "cannot tell".

mod common;

use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::ridge::*;
use common::Source;

/// Losses of 7 learning rates × 3 seeds per batch size, a steep valley about 0.01·law(B).
fn runs(source: &mut Source, batches: &[u64], noise: f64, law: &dyn Fn(f64) -> f64) -> Vec<RidgePoint> {
    let mut points = Vec::new();
    for &batch in batches {
        let best = 0.01 * law(batch as f64);
        let shift = source.uniform() - 0.5;
        for k in -3..=3 {
            let f = (shift + f64::from(k)).exp2();
            for seed in 0..3 {
                let value = Some(2.0 + 0.1 * (f - 1.0).powi(2) + noise * source.normal());
                points.push(RidgePoint { batch, learning_rate: best * f, seed: Some(seed), value });
            }
        }
    }
    points
}

fn octaves(from: u32, to: u32) -> Vec<u64> {
    (from..=to).map(|k| 1 << k).collect()
}

type Law = Box<dyn Fn(f64) -> f64>;

fn laws() -> Vec<(Form, Law)> {
    let scale = 200.0;
    vec![
        (Form::Constant, Box::new(|_| 1.0)),
        (Form::Linear, Box::new(|b| b)),
        (Form::SquareRoot, Box::new(f64::sqrt)),
        (Form::Power, Box::new(|b| b.powf(0.75))),
        (Form::NoiseScale, Box::new(move |b| 1.0 / (1.0 + scale / b))),
        (Form::AdamNoiseScale, Box::new(move |b| (1.0 + scale / b).powf(-0.7))),
        (Form::Surge, Box::new(move |b| 2.0 / ((scale / b).sqrt() + (b / scale).sqrt()))),
    ]
}

/// Shares of: the planted form preferred, another preferred, the planted form excluded; transfers that hold.
fn tally(batches: &[u64], noise: f64, law: &(Form, Law), reps: usize, seed: u64, to: u64) -> [f64; 5] {
    let mut source = Source::new(seed);
    let mut sums = [0.0; 5];
    for _ in 0..reps {
        let fit =
            fit_ridge(&runs(&mut source, batches, noise, &law.1), &Options::default()).expect("valid input");
        match &fit.forms.verdict {
            FormVerdict::Preferred { form } => sums[usize::from(*form != law.0)] += 1.0,
            FormVerdict::CannotTell { among } => sums[2] += f64::from(!among.contains(&law.0)),
        }
        let transfer = fit.at(to);
        if let Outcome::Measured { low, high, .. } = transfer.learning_rate {
            let truth = 0.01 * law.1(to as f64);
            sums[3] += f64::from(low <= truth && truth <= high);
            sums[4] += (high / low).ln();
        }
    }
    sums.map(|s| s / reps as f64)
}

/// The tally of every law over one set of batch sizes.
fn verdicts(batches: &[u64], noise: f64, to: u64) -> Vec<(Form, [f64; 5])> {
    laws().iter().map(|law| (law.0, tally(batches, noise, law, 100, 3, to))).collect()
}

#[test]
fn a_wide_quiet_range_tells_the_laws_apart() {
    for (form, t) in verdicts(&octaves(4, 11), 0.01, 1 << 13) {
        assert!(t[0] >= 0.9 && t[1] <= 0.05 && t[2] <= 0.05 && t[3] >= 0.93, "{form:?} {t:?}");
    }
}

#[test]
fn a_wide_noisy_range_is_seldom_wrong() {
    for (form, t) in verdicts(&octaves(4, 11), 0.03, 1 << 13) {
        assert!(t[1] <= 0.05 && t[2] <= 0.05 && t[3] >= 0.93, "{form:?} {t:?}");
    }
}

#[test]
fn a_narrow_range_cannot_tell() {
    for (form, t) in verdicts(&[64, 96, 128, 192, 256], 0.03, 1 << 10) {
        assert!(t[0] + t[1] == 0.0 && t[2] <= 0.05 && t[3] >= 0.93, "{form:?} {t:?}");
    }
}

#[test]
fn an_extrapolation_is_marked_and_wider() {
    let points = runs(&mut Source::new(5), &octaves(4, 10), 0.03, &f64::sqrt);
    let fit = fit_ridge(&points, &Options::default()).unwrap();
    let width = |b: u64| {
        let t = fit.at(b);
        let Outcome::Measured { low, high, .. } = t.learning_rate else { panic!("{t:?}") };
        ((high / low).ln(), t.extrapolated)
    };
    let (inside, out, far) = (width(100), width(4096), width(1 << 16));
    assert_eq!((inside.1, out.1, far.1, width(8).1), (false, true, true, true));
    assert!(inside.0 < out.0 && out.0 < far.0, "{inside:?} {out:?} {far:?}");
    assert!(matches!(fit.at(0).learning_rate, Outcome::NotIdentified { .. }));
    let weights: f64 = fit.forms.fits.iter().map(|f| f.weight).sum();
    assert!((weights - 1.0).abs() < 1e-9);
}

#[test]
fn too_few_batch_sizes_cannot_tell() {
    let points = runs(&mut Source::new(6), &[16, 64, 1024], 0.01, &f64::sqrt);
    let fit = fit_ridge(&points, &Options::default()).unwrap();
    assert_eq!(fit.forms.verdict, FormVerdict::CannotTell { among: Form::ALL.to_vec() });
    assert!(
        matches!(fit.at(128).learning_rate, Outcome::NotIdentified { .. }) && fit.exponent.value().is_some()
    );
}

#[test]
fn the_scale_of_a_bend_is_found() {
    for (form, law) in laws().into_iter().filter(|l| matches!(l.0, Form::NoiseScale | Form::Surge)) {
        let points = runs(&mut Source::new(8), &octaves(4, 11), 1e-4, &law);
        let fit = fit_ridge(&points, &Options::default()).unwrap();
        let found = fit.forms.fits.iter().find(|f| f.form == form).unwrap();
        assert!((found.scale.unwrap() / 200.0 - 1.0).abs() < 0.05, "{found:?}");
        assert!((found.factor.unwrap() / 0.01 - 1.0).abs() < 0.02 && !found.excluded, "{found:?}");
    }
}
