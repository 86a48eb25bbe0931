//! Laws of the oracle for any model, and answers for any input.

use batchwise_estimate::oracle::{
    GaussianGradients, IsotropicRegression, LinearRegression, LocalQuadratic, MAX_STEPS, OneStep, Optimizer,
    OracleError, Quadratic, Reach, Setting, SignDescent, Symmetric,
};
use proptest::prelude::*;

fn model() -> impl Strategy<Value = Quadratic> {
    prop::collection::vec((0.01f64..1.0, 0.0f64..2.0, 0.0f64..4.0), 1..6).prop_map(|modes| {
        let part = |k: usize| modes.iter().map(|m| [m.0, m.1, m.2][k]).collect::<Vec<f64>>();
        Quadratic::new(part(0), part(1), part(2)).expect("numbers in range")
    })
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-12)
}

/// Any float, with the awkward ones often.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::num::f64::ANY,
        prop::sample::select(vec![
            0.0,
            -0.0,
            -1.0,
            1.0,
            2.0,
            5e-324,
            1e-308,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::MIN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            1e154,
            1e-154,
        ]),
        0.0f64..3.0,
    ]
}

fn any_setting() -> impl Strategy<Value = Setting> {
    (any_number(), any_number(), any_number(), 0..3).prop_map(|(batch, learning_rate, share, kind)| {
        let optimizer = match kind {
            0 => Optimizer::Sgd,
            1 => Optimizer::HeavyBall { momentum: share },
            _ => Optimizer::Averaged { decay: share },
        };
        Setting { optimizer, batch, learning_rate }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn without_momentum_or_memory_all_three_are_one(
        world in model(), batch in 1.0f64..64.0, eta in 0.01f64..1.9, t in 0u64..200,
    ) {
        let sgd = world.loss(&Setting::sgd(batch, eta), t).unwrap();
        prop_assert!(close(sgd, world.loss(&Setting::heavy_ball(batch, eta, 0.0), t).unwrap()));
        prop_assert!(close(sgd, world.loss(&Setting::averaged(batch, eta, 0.0), t).unwrap()));
    }

    #[test]
    fn runs_end_where_they_are_said_to(world in model(), eta in 0.05f64..1.9, share in 0.0f64..0.95) {
        for setting in [
            Setting::sgd(2.0, eta),
            Setting::heavy_ball(2.0, eta * (1.0 + share), share),
            Setting::averaged(2.0, eta, share),
        ] {
            let end = world.loss(&setting, MAX_STEPS).unwrap();
            let stated = world.stationary_loss(&setting).unwrap().unwrap();
            prop_assert!(close(end, stated), "{:?} {} {}", setting, end, stated);
        }
    }

    #[test]
    fn the_first_passage_is_that_of_a_scan(
        world in model(), batch in 1.0f64..8.0, eta in 0.01f64..2.2, share in 0.0f64..0.95, f in 0.02f64..1.2,
    ) {
        let target = world.start_loss() * f;
        prop_assume!(target > 0.0);
        for setting in [
            Setting::sgd(batch, eta),
            Setting::heavy_ball(batch, eta, share),
            Setting::averaged(batch, eta, share),
        ] {
            let scan = (0..300).find(|&t| world.loss(&setting, t).is_ok_and(|loss| loss < target));
            let found = world.steps_to_target(&setting, target, 299).unwrap();
            prop_assert_eq!(found.steps(), scan, "{:?}", setting);
            if let Reach::Reached { steps, crossing } = found {
                prop_assert!(crossing <= steps as f64 && crossing >= steps.saturating_sub(1) as f64);
            }
        }
    }

    #[test]
    fn a_larger_batch_never_needs_more_tuned_steps(world in model(), f in 0.1f64..0.9) {
        let target = world.start_loss() * f;
        prop_assume!(target > 1e-6);
        let tuned = world.tuned(Optimizer::Sgd, &[1.0, 4.0, 16.0], target, 100_000).unwrap();
        let steps: Vec<u64> = tuned.iter().map(|t| t.map_or(u64::MAX, |t| t.steps)).collect();
        prop_assert!(steps.is_sorted_by(|a, b| a >= b), "{:?}", steps);
    }

    #[test]
    fn no_input_brings_the_model_down(
        modes in prop::collection::vec((any_number(), any_number(), any_number()), 0..4),
        setting in any_setting(), target in any_number(), steps in any::<u64>(), p in any_number(),
    ) {
        let part = |k: usize| modes.iter().map(|m| [m.0, m.1, m.2][k]).collect::<Vec<f64>>();
        let Ok(world) = Quadratic::new(part(0), part(1), part(2)) else { return Ok(()) };
        prop_assert!(world.start_loss().is_finite());
        for t in [0, 1, steps] {
            if let Ok(loss) = world.loss(&setting, t) { prop_assert!(loss.is_finite() && loss >= 0.0) }
        }
        if let Ok(Some(loss)) = world.stationary_loss(&setting) { prop_assert!(loss.is_finite() && loss >= 0.0) }
        if let Ok(mean) = world.mean_noise_scale(&setting, steps % 10) {
            prop_assert!(mean.b_simple.is_finite() && mean.b_noise.is_finite());
            prop_assert!(mean.b_noise_by_progress.is_finite());
        }
        if let Ok(Reach::Reached { crossing, .. }) = world.steps_to_target(&setting, target, steps % 1000) {
            prop_assert!(crossing.is_finite());
        }
        let _ = world.steps_to_target(&Setting { optimizer: Optimizer::Sgd, ..setting }, target, steps);
        if let Ok(Some(tuned)) = world.best_learning_rate(setting.optimizer, setting.batch, target, steps % 100) {
            prop_assert!(tuned.learning_rate.is_finite() && tuned.crossing.is_finite());
            prop_assert!(tuned.lowest <= tuned.highest && tuned.lowest > 0.0 && tuned.highest.is_finite());
        }
        if let Ok(losses) = world.sample_run(&setting, 3, steps, steps) {
            prop_assert!(losses.iter().all(|l| l.is_finite()));
        }
        if let Ok(other) = world.preconditioned(p) { prop_assert!(other.start_loss().is_finite()) }
    }

    #[test]
    fn no_input_brings_the_others_down(
        v in prop::collection::vec(any_number(), 0..4), m in prop::collection::vec(any_number(), 16),
        a in any_number(), b in any_number(), t in any::<u64>(), d in any::<usize>(),
    ) {
        let finite = |x: Option<f64>| x.is_none_or(f64::is_finite);
        let step = OneStep { g2: m[0], tr_sigma: m[1], g_h_g: m[2], tr_h_sigma: m[3] };
        for answer in [
            step.b_simple(), step.b_noise(), step.max_learning_rate(), step.max_gain(),
            step.best_learning_rate(a), step.best_gain(a), step.gain(a, b),
        ] {
            prop_assert!(finite(answer), "{:?} {:?}", step, answer);
        }
        let n = v.len();
        let square: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| m[i.min(j) * 4 + i.max(j)]).collect()).collect();
        if let Ok(h) = Symmetric::from_rows(&square) {
            if let Ok(l) = LocalQuadratic::new(v.clone(), h.clone(), h.clone()) {
                let _ = (l.one_step(), l.preconditioned(&h));
                if let Ok(x) = l.preconditioned_flat(&h) { prop_assert!(finite(x)) }
            }
            if let Ok(l) = LinearRegression::new(h.clone(), v.clone(), a) {
                let _ = (l.loss(), l.one_step(), l.local());
                let drawn = l.example(t, t, t).gradient();
                prop_assert!(drawn.iter().chain(&l.gradient()).all(|g| g.is_finite()), "{:?}", l);
            }
            let spread: Vec<f64> = m[..n].to_vec();
            if let Ok(s) = SignDescent::new(v.clone(), spread, h) {
                if let Ok(x) = s.best_learning_rate(a) { prop_assert!(finite(x)) }
                if let Ok(x) = s.gain(a, b) { prop_assert!(finite(x)) }
                if let Ok(e) = s.mean_sign(a) { prop_assert!(e.iter().all(|e| e.abs() <= 1.0), "{:?}", e) }
                prop_assert!(finite(s.large_batch_limit()) && finite(s.small_batch_range()));
                prop_assert!(finite(s.peak().learning_rate(a)));
            }
        }
        if let Ok(w) = IsotropicRegression::new(d, a, b) {
            if let Ok(r) = w.distance(m[0], m[1], t) { prop_assert!(r.is_finite() && r >= 0.0, "{}", r) }
            if let Ok(r) = w.stationary_distance(m[0], m[1]) { prop_assert!(finite(r)) }
            let _ = (w.steps_to_target(m[0], m[1], m[2]), w.learning_rate_limit(m[0]));
        }
        if let Ok(g) = GaussianGradients::new(v.clone(), m[..n].to_vec()) {
            prop_assert!(g.example(t, t, t).iter().all(|x| x.is_finite()));
            if let Ok(x) = g.batch(a, t, t, t) { prop_assert!(x.iter().all(|x| x.is_finite())) }
        }
    }
}

#[test]
fn what_is_refused_is_named() {
    let one = || vec![1.0];
    let error = |result: Result<Quadratic, OracleError>| result.unwrap_err().to_string();
    assert_eq!(error(Quadratic::zhang(0)), "curvature has no entry, at least 1 is needed");
    assert_eq!(
        error(Quadratic::new(vec![1.0, 0.0], one(), one())),
        "curvature 1 is 0, a finite number above 0 is needed"
    );
    assert_eq!(
        error(Quadratic::new(one(), vec![f64::NAN], one())),
        "noise 0 is NaN, a finite number of at least 0 is needed"
    );
    assert_eq!(error(Quadratic::new(one(), one(), vec![1.0; 3])), "start has 3 entries, 1 are needed");
    let world = Quadratic::zhang(3).unwrap();
    let refused = |setting| world.loss(&setting, 1).unwrap_err().to_string();
    assert_eq!(refused(Setting::sgd(0.0, 0.1)), "the batch size is 0, a finite number above 0 is needed");
    assert_eq!(
        refused(Setting::heavy_ball(1.0, 0.1, 1.0)),
        "the momentum is 1, a number of at least 0 and below 1 is needed"
    );
    let diverged = world.loss(&Setting::sgd(1.0, 3.0), 10_000).unwrap_err();
    assert!(matches!(diverged, OracleError::Overflow { .. }), "{diverged}");
    assert_eq!(world.stationary_loss(&Setting::sgd(1.0, 2.0)).unwrap(), None);
    let heavy = |eta| world.stationary_loss(&Setting::heavy_ball(1.0, eta, 0.9)).unwrap();
    assert!(heavy(3.801).is_none() && heavy(3.799).is_some());
    assert_eq!(world.learning_rate_limit(Optimizer::HeavyBall { momentum: 0.9 }).unwrap(), 3.8);
    assert_eq!(world.steps_to_target(&Setting::sgd(1.0, 3.0), 1e-3, MAX_STEPS).unwrap(), Reach::Unreachable);
    assert_eq!(
        world.steps_to_target(&Setting::heavy_ball(1.0, 5.0, 0.9), 1e-3, MAX_STEPS).unwrap(),
        Reach::Unreachable
    );
}
