//! Controllers: what each policy wants, and the frame that keeps every one from harm.

use batchwise_schedule::batch::Bounds;
use batchwise_schedule::controller::{
    Controller, ControllerSpec, InnerProducts, Observation, Phi, Policy, Reason, State, pollux,
};
use batchwise_schedule::{Examples, LearningRate, Length, RunLength};
use proptest::prelude::*;

const RUN: u64 = 1_000_000;

fn bounds(min: u64, max: u64) -> Bounds {
    Bounds { min, max, ..Bounds::default() }
}

/// In a frame that holds nothing back.
fn free(policy: Policy) -> ControllerSpec {
    ControllerSpec { band: 1.0, dwell: Length::Examples(0), most: 1e9, ..ControllerSpec::new(policy) }
}

fn controller(spec: &ControllerSpec, base: u64, bounds: Bounds) -> Controller {
    Controller::new(spec, base, bounds, &RunLength::of(Examples(RUN))).unwrap_or_else(|e| panic!("{e}"))
}

fn wants(policy: Policy, seen: &Observation<'_>) -> u64 {
    controller(&free(policy), 64, bounds(1, 1 << 30)).observe(seen).batch
}

fn phi(value: f64) -> Observation<'static> {
    Observation { phi: Phi::Measured { value }, ..Observation::at(Examples(1000)) }
}

#[test]
fn each_policy_wants_what_its_formula_says() {
    assert_eq!(wants(Policy::NoiseScale { factor: 0.5 }, &phi(1000.0)), 500);
    assert_eq!(wants(Policy::RootNoiseScale { rate: 10.0 }, &phi(1000.0)), 100);
    // θ = 0.9, φ = 500: 617, where the plug-in test would pass from 117 on (theory.md §6).
    assert_eq!(wants(Policy::NormTest { theta: 0.9 }, &phi(500.0)), 617);
    let plug_in = 500.0 * (1.0 - 0.81) / 0.81;
    assert!((plug_in - 117.3f64).abs() < 0.1);
    // N(1 + φ)/(N + φ): at most N, and 1 + φ for a large set.
    let diverse = Observation { dataset_size: Some(10_000), ..phi(99.0) };
    assert_eq!(wants(Policy::Diversity { delta: 1.0 }, &diverse), (10_000.0 * 100.0 / 10_099.0f64) as u64);
    let cabs = Observation {
        tr_sigma: Some(40.0),
        loss: Some(0.5),
        learning_rate: Some(LearningRate(0.1)),
        ..Observation::at(Examples(1000))
    };
    assert_eq!(wants(Policy::Cabs, &cabs), 8);
    let inner = Observation {
        g2: Some(0.5),
        inner: Some(InnerProducts { along: 20.0, across: 300.0 }),
        ..Observation::at(Examples(1000))
    };
    // 20/(0.81·0.25) = 98.8 against 300/(4·0.5) = 150.
    assert_eq!(wants(Policy::InnerProduct { theta: 0.9, nu: 2.0 }, &inner), 150);
    assert_eq!(wants(Policy::InnerProduct { theta: 0.9, nu: 1e6 }, &inner), 98);
}

#[test]
fn goodput_is_best_where_its_derivative_vanishes() {
    // T = a + cB: goodput ∝ B/((a + cB)(φ + B)) has its maximum at √(aφ/c).
    let (a, c, noise) = (2e-3, 1e-5, 5000.0);
    let seconds = |b: f64| a + c * b;
    let seen = Observation { seconds: Some(&seconds), ..phi(noise) };
    let found = wants(Policy::Goodput, &seen) as f64;
    let best = (a * noise / c).sqrt();
    // 50 sizes between 1 and 2^30 are a factor 1.53 apart.
    assert!((found / best).ln().abs() < 0.5 * 1.53f64.ln(), "{found} {best}");
    assert_eq!(pollux::efficiency(64.0, noise, 64.0), 1.0);
    assert!(pollux::efficiency(65.0, noise, 64.0) < 1.0 && pollux::efficiency(63.0, noise, 64.0) > 1.0);
    // Below the first batch too, where the noise is small.
    let quiet = Observation { seconds: Some(&seconds), ..phi(1.0) };
    assert!(wants(Policy::Goodput, &quiet) < 64);
    // A gain under 5 % changes nothing.
    let mut usual = controller(&ControllerSpec::new(Policy::Goodput), 900, bounds(1, 1 << 20));
    assert!(matches!(usual.observe(&seen).reason, Reason::Band { .. }));
}

#[test]
fn pollux_time_of_a_step_has_its_limits() {
    let step = |gamma| pollux::Iteration {
        compute_seconds: 0.01,
        compute_per_example: 1e-4,
        sync_seconds: 0.02,
        sync_per_replica: 0.001,
        gamma,
    };
    assert!((step(1.0).seconds(100.0, 4, 0) - (0.02 + 0.022)).abs() < 1e-15);
    assert!((step(10.0).seconds(100.0, 4, 0) - 0.022).abs() < 2e-3);
    assert!((step(1.0).seconds(100.0, 4, 3) - (0.042 + 0.06)).abs() < 1e-15);
    assert_eq!(step(3.0).seconds(100.0, 1, 0), 0.02);
}

#[test]
fn bounds_from_below_support_growth_only() {
    let seen = |low| Observation { phi: Phi::LowerBound { low }, ..Observation::at(Examples(1000)) };
    let mut c = controller(&free(Policy::NoiseScale { factor: 1.0 }), 64, bounds(1, 4096));
    assert_eq!(c.observe(&seen(10.0)).reason, Reason::LowerBound { low: 10.0 });
    assert_eq!(c.observe(&seen(300.0)).batch, 300);
    assert_eq!(c.observe(&seen(200.0)).batch, 300);
    assert_eq!(c.observe(&phi(100.0)).batch, 100);
}

#[test]
fn the_frame_holds() {
    let spec = ControllerSpec {
        dwell: Length::Examples(1000),
        ..ControllerSpec::new(Policy::NoiseScale { factor: 1.0 })
    };
    let mut c = controller(&spec, 64, Bounds { multiple: 32, ..bounds(32, 512) });
    let mut at = |progress, value| c.observe(&Observation { progress: Examples(progress), ..phi(value) });
    assert_eq!(at(10, 70.0).reason, Reason::Band { wanted: 70.0 });
    assert_eq!((at(20, 1e9).batch, at(30, 1e9).reason), (128, Reason::Dwell { until: Examples(1020) }));
    assert_eq!(at(1020, 1e9).batch, 256);
    assert_eq!(at(2020, 1e9).batch, 512);
    assert!(matches!(at(3020, 1e9).reason, Reason::Bound { .. }));
    // 330 rounds down to a multiple of 32, and then the band of 1.2 ends at 266.
    assert_eq!(at(4020, 330.0).batch, 320);
    assert!(matches!(at(9020, 300.0).reason, Reason::Band { .. }));
    assert_eq!(at(9020, 0.0).batch, 160);
    let grow = ControllerSpec { grow_only: true, ..free(Policy::NoiseScale { factor: 1.0 }) };
    let mut c = controller(&grow, 64, bounds(1, 512));
    assert!(matches!(c.observe(&phi(8.0)).reason, Reason::Bound { .. }));
    assert_eq!((c.batch(), c.state().changes), (64, 0));
}

#[test]
fn faults_are_named() {
    let run = RunLength::of(Examples(RUN));
    let new = |spec: ControllerSpec, base, bounds| {
        Controller::new(&spec, base, bounds, &run).unwrap_err().to_string()
    };
    let noise = ControllerSpec::new(Policy::NoiseScale { factor: 1.0 });
    assert!(
        new(ControllerSpec { band: 0.5, ..noise.clone() }, 64, bounds(1, 128))
            .starts_with("the dead band is 0.5")
    );
    assert!(
        new(ControllerSpec { most: 1.0, ..noise.clone() }, 64, bounds(1, 128))
            .starts_with("the largest change is 1")
    );
    assert!(
        new(ControllerSpec { dwell: Length::Epochs(1.0), ..noise.clone() }, 64, bounds(1, 128))
            .contains("training set")
    );
    assert!(
        new(noise.clone(), 64, bounds(128, 256)).starts_with("the batch size 64 is not one of those allowed")
    );
    assert!(new(noise.clone(), 0, bounds(1, 256)).contains("at least 1"));
    assert!(
        new(ControllerSpec::new(Policy::NormTest { theta: f64::NAN }), 64, bounds(1, 128))
            .starts_with("θ is NaN")
    );
    let mut c = controller(&noise, 64, bounds(1, 128));
    assert!(c.restore(State { batch: 200, changed_at: Examples(0), changes: 1 }).is_err());
    assert_eq!(c.batch(), 64);
}

/// Hysteresis: a noisy φ about one value makes few changes, where none of the frame would make one at almost every step.
#[test]
fn a_noisy_noise_scale_does_not_flap() {
    let run = |spec: &ControllerSpec| {
        let mut c = controller(spec, 64, bounds(1, 4096));
        let mut random = 1u64;
        for step in 0..2000u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = ((random >> 33) as f64 / 2f64.powi(31) - 0.5) * 0.3;
            c.observe(&Observation { progress: Examples(step * 500), ..phi(400.0 * (1.0 + noise)) });
        }
        (c.state().changes, c.batch())
    };
    let (calm, batch) = run(&ControllerSpec::new(Policy::NoiseScale { factor: 1.0 }));
    let (wild, _) = run(&ControllerSpec { most: 2.0, ..free(Policy::NoiseScale { factor: 1.0 }) });
    assert!(calm <= 8 && wild > 1500, "{calm} {wild}");
    assert!((330..=480).contains(&batch), "{batch}");
}

/// McCandlish et al. 2018, appendix D: with B_noise ∝ √s over the run, B(s) = √(r·B_noise(s)) needs 24/25 of the steps a constant batch
/// needs at the same number of examples (theory.md §1.8).
#[test]
fn the_root_rule_gains_a_twenty_fifth_where_noise_grows_as_a_square_root() {
    // Per unit of progress s in (0, 1): steps 1 + N(s)/B, examples B + N(s), with N(s) = √s·1000.
    let noise = |s: f64| 1000.0 * s.sqrt();
    let n = 20_000;
    let costs = |batch: &dyn Fn(f64) -> f64| {
        (0..n).map(|i| (f64::from(i) + 0.5) / f64::from(n)).fold((0.0, 0.0), |(steps, examples), s| {
            (
                steps + (1.0 + noise(s) / batch(s)) / f64::from(n),
                examples + (batch(s) + noise(s)) / f64::from(n),
            )
        })
    };
    let minima = (1.0, costs(&|_| 0.0).1);
    let product = |batch: &dyn Fn(f64) -> f64| {
        let (steps, examples) = costs(batch);
        (steps / minima.0 - 1.0) * (examples / minima.1 - 1.0)
    };
    assert!((product(&|_| 300.0) - 1.0).abs() < 1e-9);
    for rate in [50.0, 500.0] {
        let adaptive = product(&|s| {
            let seen =
                Observation { phi: Phi::Measured { value: noise(s) * 1e6 }, ..Observation::at(Examples(1)) };
            wants(Policy::RootNoiseScale { rate }, &seen) as f64 / 1e3
        });
        assert!((adaptive - 24.0 / 25.0).abs() < 1e-3, "{rate}: {adaptive}");
    }
}

fn anything() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-1.0),
        Just(0.0),
        Just(f64::MIN_POSITIVE / 2.0),
        0.0f64..1e5
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![
        Just(Policy::NoiseScale { factor: 1.0 }),
        Just(Policy::RootNoiseScale { rate: 30.0 }),
        Just(Policy::Cabs),
        Just(Policy::NormTest { theta: 0.5 }),
        Just(Policy::InnerProduct { theta: 0.9, nu: 5.84 }),
        Just(Policy::Diversity { delta: 0.1 }),
        Just(Policy::Goodput),
    ]
}

/// (φ's kind, and numbers for everything there is to observe).
type Seen = (u8, f64, f64, f64, f64, f64);

fn observe(c: &mut Controller, progress: u64, seen: Seen) -> u64 {
    let (kind, a, b, d, e, g) = seen;
    let seconds = move |batch: f64| e + g * batch;
    let phi = match kind % 3 {
        0 => Phi::Measured { value: a },
        1 => Phi::LowerBound { low: a },
        _ => Phi::NotIdentified,
    };
    c.observe(&Observation {
        progress: Examples(progress),
        phi,
        g2: Some(b),
        tr_sigma: Some(a),
        loss: Some(d),
        learning_rate: Some(LearningRate(e)),
        inner: Some(InnerProducts { along: d, across: g }),
        dataset_size: Some(50_000),
        seconds: Some(&seconds),
    })
    .batch
}

fn observations() -> impl Strategy<Value = Vec<Seen>> {
    let one = (any::<u8>(), anything(), anything(), anything(), anything(), anything());
    prop::collection::vec(one, 1..40)
}

proptest! {
    /// Whatever is observed, no batch leaves its bounds, is no multiple, or changes before its time.
    #[test]
    fn nothing_leaves_its_bounds(
        policy in policies(), seen in observations(), multiple in 1u64..50, min in 1u64..100, span in 0u64..5000, base in 0u64..5000,
        grow_only in any::<bool>(), stride in 1u64..20_000, doublings in any::<bool>(),
    ) {
        let bounds = Bounds { min, max: min + span + multiple, multiple, doublings };
        let base = bounds.apply((min + base % (span + 1)) as f64, min);
        let spec = ControllerSpec { grow_only, dwell: Length::Examples(7000), ..ControllerSpec::new(policy) };
        let Ok(mut c) = Controller::new(&spec, base, bounds, &RunLength::of(Examples(RUN))) else { return Ok(()) };
        let (mut before, mut changed) = (base, None::<u64>);
        for (i, seen) in seen.into_iter().enumerate() {
            let progress = stride * i as u64;
            let batch = observe(&mut c, progress, seen);
            prop_assert!((bounds.min..=bounds.max).contains(&batch) && batch.is_multiple_of(multiple), "{}", batch);
            if batch != before {
                prop_assert!(changed.is_none_or(|at| 7000 <= progress - at));
                prop_assert!(!grow_only || before < batch);
                prop_assert!(batch <= 2 * before);
                (before, changed) = (batch, Some(progress));
            }
        }
    }

    /// A state saved and restored at any point continues identically.
    #[test]
    fn a_restored_controller_goes_on(policy in policies(), seen in observations(), cut in 0usize..40) {
        let spec = ControllerSpec::new(policy);
        let mut whole = controller(&spec, 64, bounds(8, 4096));
        let mut part = controller(&spec, 64, bounds(8, 4096));
        for (i, s) in seen.iter().enumerate() {
            if i == cut {
                let json = serde_json::to_string(&part.state()).expect("numbers");
                part = controller(&spec, 64, bounds(8, 4096));
                part.restore(serde_json::from_str(&json).expect("numbers")).expect("its own state");
            }
            prop_assert_eq!(observe(&mut whole, 9000 * i as u64, *s), observe(&mut part, 9000 * i as u64, *s));
        }
        prop_assert_eq!(whole.state(), part.state());
    }

    /// What is wanted grows with φ, and a constant φ leads to a fixed point within the band.
    #[test]
    fn a_constant_noise_scale_leads_to_a_fixed_point(noise in 1.0f64..5e4, base in 1u64..5000) {
        for policy in [Policy::NoiseScale { factor: 1.0 }, Policy::RootNoiseScale { rate: 30.0 }, Policy::NormTest { theta: 0.5 }] {
            prop_assert!(wants(policy, &phi(noise)) <= wants(policy, &phi(noise * 1.5)));
            let mut c = controller(&ControllerSpec::new(policy), base, bounds(1, 1 << 20));
            for k in 0..40u64 {
                c.observe(&Observation { progress: Examples(k * 30_000), ..phi(noise) });
            }
            let wanted = wants(policy, &phi(noise)) as f64;
            let ratio = c.batch() as f64 / wanted.max(1.0);
            prop_assert!((0.8..=1.25).contains(&ratio) || (c.batch() as f64 - wanted).abs() <= 1.0, "{:?} {}: {}", policy, wanted, c.batch());
            let settled = c.batch();
            c.observe(&Observation { progress: Examples(RUN * 2), ..phi(noise) });
            prop_assert_eq!(c.batch(), settled);
        }
    }
}
