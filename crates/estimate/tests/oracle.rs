//! The noisy quadratic model against the tables of theory §3.3 and §1.8.

use batchwise_estimate::oracle::{MAX_STEPS, Optimizer, Quadratic, Reach, Segment, Setting};

const SGD: Optimizer = Optimizer::Sgd;
const HEAVY: Optimizer = Optimizer::HeavyBall { momentum: 0.9 };

fn zhang() -> Quadratic {
    Quadratic::zhang(100).expect("100 modes")
}

#[test]
fn losses_are_those_of_the_table() {
    let world = zhang();
    let table = [
        (0, 2.59368875882, 2.59368875882, 2.59368875882),
        (1, 2.51356980618, 2.51356980618, 2.59287142989),
        (10, 1.99901733826, 1.31420232162, 2.55482988797),
        (100, 0.915140966539, 0.149823108512, 1.55679618175),
        (1000, 0.114431895626, 0.0406973916023, 0.134198750756),
    ];
    for (t, sgd, heavy, averaged) in table {
        let settings = [
            (Setting::sgd(16.0, 0.05), sgd),
            (Setting::heavy_ball(16.0, 0.05, 0.9), heavy),
            (Setting::averaged(16.0, 0.05, 0.99), averaged),
        ];
        for (setting, stated) in settings {
            let loss = world.loss(&setting, t).unwrap();
            // The table has 12 digits.
            assert!((loss / stated - 1.0).abs() < 1e-11, "{setting:?} {t}: {loss} {stated}");
        }
    }
}

#[test]
fn steps_to_target_are_those_of_the_table() {
    let world = zhang();
    let rates = [0.01, 0.05, 0.2, 0.8];
    let table = [
        (0.5, 1.0, [Some(1368), Some(307), Some(136), None]),
        (0.5, 4.0, [Some(1340), Some(276), Some(77), Some(40)]),
        (0.5, 16.0, [Some(1333), Some(269), Some(69), Some(20)]),
        (0.5, 256.0, [Some(1331), Some(266), Some(67), Some(17)]),
        (0.1, 1.0, [Some(5718), Some(1743), None, None]),
        (0.1, 4.0, [Some(5402), Some(1167), Some(444), None]),
        (0.1, 16.0, [Some(5329), Some(1085), Some(293), Some(127)]),
        (0.1, 256.0, [Some(5306), Some(1062), Some(267), Some(68)]),
    ];
    for (target, batch, row) in table {
        for (rate, stated) in rates.into_iter().zip(row) {
            let found = world.steps_to_target(&Setting::sgd(batch, rate), target, MAX_STEPS).unwrap();
            assert_eq!(found.steps(), stated, "C={target} B={batch} η={rate}");
            assert_eq!(stated.is_none(), found == Reach::Unreachable);
        }
    }
    let steps = |setting| world.steps_to_target(&setting, 0.5, 3000).unwrap();
    for (batch, stated) in [(4.0, 45), (16.0, 35), (64.0, 34), (256.0, 34)] {
        assert_eq!(steps(Setting::heavy_ball(batch, 0.05, 0.9)).steps(), Some(stated), "{batch}");
    }
    assert_eq!(steps(Setting::heavy_ball(1.0, 0.05, 0.9)), Reach::NotWithin { steps: 3000 });
    for (batch, averaged, plain) in [(1.0, 112, 136), (4.0, 83, 77), (16.0, 78, 69)] {
        assert_eq!(steps(Setting::averaged(batch, 0.2, 0.9)).steps(), Some(averaged), "{batch}");
        assert_eq!(steps(Setting::sgd(batch, 0.2)).steps(), Some(plain), "{batch}");
    }
}

const S_BEST: [u64; 10] = [1719, 867, 442, 229, 124, 74, 51, 40, 35, 32];
const ETA_BEST: [f64; 10] = [0.0546, 0.108, 0.206, 0.397, 0.700, 1.05, 1.35, 1.57, 1.66, 1.74];

#[test]
fn tuned_runs_are_those_of_the_table() {
    let world = zhang();
    let batches: Vec<f64> = (0..10).map(|k| f64::from(1 << k)).collect();
    let tuned = world.tuned(SGD, &batches, 0.1, MAX_STEPS).unwrap();
    for (k, tuned) in tuned.into_iter().enumerate() {
        let tuned = tuned.unwrap();
        assert!(tuned.steps.abs_diff(S_BEST[k]) <= 1, "B={}: {} {}", batches[k], tuned.steps, S_BEST[k]);
        // The table's learning rate is the smallest that needs so few steps, to three digits.
        assert!((tuned.lowest / ETA_BEST[k] - 1.0).abs() < 0.005, "B={}: {}", batches[k], tuned.lowest);
        assert!(tuned.lowest <= tuned.learning_rate && tuned.learning_rate <= tuned.highest);
        for rate in [tuned.lowest, tuned.learning_rate, tuned.highest] {
            let steps = |f: f64| {
                let setting = Setting::sgd(batches[k], rate * f);
                world.steps_to_target(&setting, 0.1, MAX_STEPS).unwrap().steps()
            };
            assert_eq!(steps(1.0), Some(tuned.steps));
            if rate == tuned.lowest {
                assert_eq!(steps(1.0 - 1e-6), Some(tuned.steps + 1));
            }
            if rate == tuned.highest {
                assert_ne!(steps(1.0 + 1e-6), Some(tuned.steps));
            }
        }
        assert_eq!(tuned.examples(), batches[k] * tuned.steps as f64);
    }
}

#[test]
fn tuned_runs_of_ten_thousand_modes_are_those_of_the_table() {
    let world = Quadratic::zhang(10_000).unwrap();
    let table = [
        (4.0, 1_507_530),
        (16.0, 378_197),
        (64.0, 95_942),
        (256.0, 25_778),
        (1024.0, 10_354),
        (4096.0, 7_832),
        (16384.0, 7_147),
    ];
    for (batch, stated) in table {
        let tuned = world.best_learning_rate(SGD, batch, 0.01, MAX_STEPS).unwrap().unwrap();
        assert!(tuned.steps.abs_diff(stated) <= 1, "B={batch}: {} {stated}", tuned.steps);
        // The bound that the paper's notebook draws: E ≥ K/(2C).
        assert!(tuned.examples() >= 10_000.0 / 0.02);
    }
}

#[test]
fn a_learning_rate_that_is_not_tuned_hides_the_scaling() {
    let world = zhang();
    let steps = |batch: f64, eta: f64| {
        world.steps_to_target(&Setting::sgd(batch, eta), 0.1, MAX_STEPS).unwrap().steps()
    };
    assert_eq!((steps(1.0, 0.0545), steps(4096.0, 0.0545)), (Some(1720), Some(973)));
    // Two thirds of that fall are over at B = 2: a curve that looks saturated where tuning would still halve the steps.
    let over = (1720 - steps(2.0, 0.0545).unwrap()) as f64 / (1720 - 973) as f64;
    assert!((over - 0.67).abs() < 0.01, "{over}");
    let slower = |k: usize, found: Option<u64>| found.map(|s| s as f64 / S_BEST[k] as f64);
    for k in 0..10 {
        let batch = f64::from(1 << k);
        let linear = slower(k, steps(batch, ETA_BEST[0] * batch));
        match k {
            0..=3 => assert!(linear.unwrap() < 1.01, "{batch}: {linear:?}"),
            4 => assert!((linear.unwrap() - 1.10).abs() < 0.01, "{linear:?}"),
            _ => assert_eq!(linear, None, "{batch}"),
        }
        let root = slower(k, steps(batch, ETA_BEST[0] * batch.sqrt()));
        if (3..=8).contains(&k) {
            assert!((1.75..2.55).contains(&root.unwrap()), "{batch}: {root:?}");
        }
    }
    assert!(steps(1024.0, ETA_BEST[0] * 32.0).is_some());
    assert!(steps(2048.0, ETA_BEST[0] * 2048f64.sqrt()).is_none());
}

/// Neither noise scale is the critical batch, even here (theory §1.8).
#[test]
fn mean_noise_scales_lie_to_either_side_of_the_fitted_critical_batch() {
    // K, C, B nearest the fitted B_c, that B_c, mean B_simple, mean B_noise; at the smallest best learning rate.
    for (modes, target, batch, fitted, simple, noise, tolerance) in
        [(100, 0.1, 64.0, 57.8, 95.9, 43.4, 6e-4), (10_000, 0.01, 1024.0, 852.0, 1878.0, 354.0, 6e-3)]
    {
        let world = Quadratic::zhang(modes).unwrap();
        let tuned = world.best_learning_rate(SGD, batch, target, MAX_STEPS).unwrap().unwrap();
        let mean = world.mean_noise_scale(&Setting::sgd(batch, tuned.lowest), tuned.steps).unwrap();
        assert!((mean.b_simple / simple - 1.0).abs() < tolerance, "{mean:?}");
        assert!((mean.b_noise / noise - 1.0).abs() < tolerance, "{mean:?}");
        assert!(mean.b_noise_by_progress <= mean.b_noise && mean.b_noise_by_progress > 0.97 * mean.b_noise);
        let hot = world.mean_noise_scale(&Setting::sgd(batch, tuned.highest), tuned.steps).unwrap();
        assert!(hot.b_simple < mean.b_simple && hot.b_noise < mean.b_noise);
        if modes == 100 {
            assert!((hot.b_simple - 64.4).abs() < 0.05 && (hot.b_noise - 25.5).abs() < 0.05, "{hot:?}");
        } else {
            assert!((mean.b_simple - 1884.7).abs() < 0.1 && (mean.b_noise - 355.8).abs() < 0.1, "{mean:?}");
        }
        assert!(1.3 * mean.b_noise < fitted && 1.6 * fitted < mean.b_simple, "{mean:?}");
    }
}

#[test]
fn noise_scales_rise_along_a_run_and_the_mean_is_that_of_its_points() {
    let world = zhang();
    let setting = Setting::sgd(64.0, 0.4);
    let mut run = world.run(SGD).unwrap();
    let (mut before, mut sums) = (0.0, [0.0; 2]);
    for t in 0..=50 {
        let here = run.one_step().unwrap();
        assert!(here.b_simple().unwrap() > before, "{t}");
        before = here.b_simple().unwrap();
        sums[0] += before / 51.0;
        sums[1] += here.b_noise().unwrap() / 51.0;
        run.advance(64.0, 0.4, 1).unwrap();
    }
    let mean = world.mean_noise_scale(&setting, 50).unwrap();
    assert!((mean.b_simple / sums[0] - 1.0).abs() < 1e-12 && (mean.b_noise / sums[1] - 1.0).abs() < 1e-12);
}

#[test]
fn momentum_helps_only_at_large_batches_and_averaging_at_small_ones() {
    let world = zhang();
    let steps = |optimizer, batch: f64| {
        world.best_learning_rate(optimizer, batch, 0.1, 20_000).unwrap().unwrap().steps as f64
    };
    // Shallue et al. 2019 and Zhang et al. 2019: the same at small B, and perfect scaling goes on further.
    let averaged = Optimizer::Averaged { decay: 0.9 };
    for (batch, stated) in [
        (1.0, [1719.0, 1700.0, 1482.0]),
        (16.0, [124.0, 103.0, 52.0]),
        (64.0, [51.0, 35.0, 40.0]),
        (512.0, [32.0, 23.0, 38.0]),
    ] {
        for (optimizer, stated) in [SGD, HEAVY, averaged].into_iter().zip(stated) {
            let found = steps(optimizer, batch);
            assert!((found - stated).abs() <= 1.0, "{optimizer:?} B={batch}: {found}");
        }
    }
}

#[test]
fn preconditioning_lets_larger_batches_pay() {
    // What is left of the gain from 256 times the batch: the fall of the steps from B = 4 to B = 1024.
    let fall = |p: f64| {
        let world = zhang().preconditioned(p).unwrap();
        assert!((world.start_loss() - zhang().start_loss()).abs() < 1e-12);
        let steps =
            |batch| world.best_learning_rate(SGD, batch, 0.1, MAX_STEPS).unwrap().unwrap().steps as f64;
        steps(4.0) / steps(1024.0)
    };
    let falls = [0.0, 0.25, 0.5].map(fall);
    assert!(falls[0] * 1.5 < falls[1] && falls[1] * 1.5 < falls[2], "{falls:?}");
}

#[test]
fn averaging_lowers_the_floor_at_the_price_of_a_lag() {
    let world = zhang();
    let floor = |setting| world.stationary_loss(&setting).unwrap().unwrap();
    let (plain, averaged) = (floor(Setting::sgd(1.0, 0.2)), floor(Setting::averaged(1.0, 0.2, 0.99)));
    assert!(averaged < plain / 3.0, "{averaged} {plain}");
    // Without noise all that is left is the lag, γ/(1−γ) = 9 steps.
    let quiet = Quadratic::new(world.curvature().to_vec(), vec![0.0; 100], vec![1.0; 100]).unwrap();
    let steps = |setting| quiet.steps_to_target(&setting, 0.5, 10_000).unwrap().crossing().unwrap();
    let lag = steps(Setting::averaged(1.0, 0.02, 0.9)) - steps(Setting::sgd(1.0, 0.02));
    assert!((lag - 9.0).abs() < 0.5, "{lag}");
}

#[test]
fn the_best_learning_rate_is_linear_in_the_batch_up_to_a_cap() {
    let world = zhang();
    let rate = |batch| world.best_learning_rate(SGD, batch, 0.1, MAX_STEPS).unwrap().unwrap().learning_rate;
    assert!((rate(4.0) / rate(1.0) / 4.0 - 1.0).abs() < 0.05);
    assert!(rate(65536.0) < 1.1 * rate(1024.0) && rate(65536.0) < world.learning_rate_limit(SGD).unwrap());
}

/// A larger batch instead of a smaller learning rate (Smith et al. 2018): the same examples, the same loss, fewer steps.
#[test]
fn increasing_the_batch_does_what_decaying_the_learning_rate_does() {
    let world = zhang();
    let start = Segment { steps: 2000, batch: 8.0, learning_rate: 0.05 };
    let decayed = Segment { steps: 8000, batch: 8.0, learning_rate: 0.05 / 4.0 };
    let larger = Segment { steps: 2000, batch: 32.0, learning_rate: 0.05 };
    let unchanged = Segment { steps: 8000, ..start };
    for optimizer in [SGD, HEAVY] {
        let end = |second| world.loss_along(optimizer, &[start, second]).unwrap()[1];
        let (slow, wide) = (end(decayed), end(larger));
        assert!((wide / slow - 1.0).abs() < 0.06, "{optimizer:?}: {wide} {slow}");
        assert!(end(unchanged) > 2.0 * wide, "{optimizer:?}: {} {wide}", end(unchanged));
    }
    // A schedule of one setting in pieces is that setting.
    let pieces = [Segment { steps: 700, ..start }, Segment { steps: 1300, ..start }];
    for optimizer in [SGD, HEAVY, Optimizer::Averaged { decay: 0.9 }] {
        let whole = world.loss_along(optimizer, &[start]).unwrap()[0];
        assert!((world.loss_along(optimizer, &pieces).unwrap()[1] / whole - 1.0).abs() < 1e-11);
    }
}
