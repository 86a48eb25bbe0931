//! Batch-size schedules: closed forms, laws, texts, and every fault by the input that causes it.

use batchwise_schedule::batch::{BatchError, BatchShape, Bounds};
use batchwise_schedule::controller::{ControllerSpec, Policy};
use batchwise_schedule::{
    BatchSpec, Examples, LearningRate, Length, LrSpec, Pair, RunLength, Scaling, Schedule,
};
use proptest::prelude::*;

const TOTAL: u64 = 100_000;

fn run() -> RunLength {
    RunLength { total: Examples(TOTAL), dataset_size: Some(6000), tokens_per_example: Some(10.0) }
}

fn lr(text: &str) -> Schedule {
    text.parse::<LrSpec>()
        .unwrap_or_else(|e| panic!("{e}"))
        .resolve(&run(), None)
        .unwrap_or_else(|e| panic!("{e}"))
}

fn pair(batch: &str, rate: &str) -> Pair {
    let spec: BatchSpec = batch.parse().unwrap_or_else(|e| panic!("{e}"));
    spec.resolve(&run(), lr(rate)).unwrap_or_else(|e| panic!("{batch}: {e}"))
}

fn sizes(pair: &Pair, places: &[u64]) -> Vec<u64> {
    places.iter().map(|at| pair.batch(Examples(*at))).collect()
}

#[test]
fn each_shape_is_what_it_says() {
    let at = [0, 24_999, 25_000, 49_999, 50_000, TOTAL];
    for (text, want) in [
        ("64", [64, 64, 64, 64, 64, 64]),
        ("64 doubling at 25%,50%", [64, 64, 128, 128, 256, 256]),
        ("64 doubling at 25%,50% max 200", [64, 64, 128, 128, 200, 200]),
        ("64 doubling at 25%,50% max 200 doublings", [64, 64, 128, 128, 128, 128]),
        ("64 then 100 at 25% then 32 at 50kex", [64, 64, 100, 100, 32, 32]),
        ("64 then 100 at 25% then 32 at 50kex multiple 8", [64, 64, 96, 96, 32, 32]),
        ("64 x0.5 at 25%,50% min 24", [64, 64, 32, 32, 24, 24]),
        ("100 ramp to 300 over 50%", [100, 199, 200, 299, 300, 300]),
        ("64 ramp to 1024 over 50% geometric", [64, 255, 256, 1023, 1024, 1024]),
        ("64 ramp to 1024 over 25% from 25%", [64, 64, 64, 1023, 1024, 1024]),
    ] {
        assert_eq!(sizes(&pair(text, "0.1"), &at), want, "{text}");
    }
}

#[test]
fn increase_instead_of_decay_keeps_the_temperature_of_the_decay() {
    // Smith et al. 2018, figure 1: LR ÷5 at three places against batch ×5.
    for rate in [
        "0.1 step x0.2 at 30%,60%,80%",
        "0.1 warmup 5% then cosine to 1%",
        "0.1 constant for 20% then 1-sqrt to 5%",
    ] {
        let (grown, plain) = (pair("100 increase max 2000", rate), pair("100", rate));
        for at in (0..TOTAL).step_by(777) {
            let (start, end) = (Examples(at), Examples(at + 1));
            let temperature = grown.learning_rate(start, end).0 / grown.batch(start) as f64;
            let want = plain.learning_rate(start, end).0 / 100.0;
            assert!((temperature / want - 1.0).abs() < 1e-12, "{rate} at {at}: {temperature} {want}");
        }
    }
    let grown = pair("100 increase max 2000", "0.1 warmup 5% then step x0.2 at 30%,60%,80%");
    assert_eq!(sizes(&grown, &[0, 4_000, 6_000, 30_000, 60_000, 80_000]), [100, 100, 100, 500, 2000, 2000]);
    // Up to the largest batch the learning rate stays at the peak; then it falls after all: 0.2² × 20, 0.2³ × 20.
    let rate = |at: u64| grown.learning_rate(Examples(at), Examples(at + 1)).0;
    for (at, want) in [(30_000, 0.1), (59_999, 0.1), (60_000, 0.08), (80_000, 0.016)] {
        assert!((rate(at) - want).abs() < 1e-12, "{at}: {}", rate(at));
    }
}

#[test]
fn seesaw_saves_the_share_of_steps_that_its_integral_says() {
    // Where the schedule halves η, B doubles and η falls by √2.
    let halved = pair("64 seesaw", "0.1 step x0.5 at 25%,50%");
    assert_eq!(sizes(&halved, &[0, 25_000, 50_000]), [64, 128, 256]);
    let rate = halved.learning_rate(Examples(50_000), Examples(50_256)).0;
    assert!((rate - 0.1 / 2.0).abs() < 1e-12, "{rate}");
    // Steps are ∫dx/B(x), and 1/B follows η: half the steps for half a cosine.
    for (rate, share) in
        [("0.1 cosine to 0", 0.5), ("0.1 linear to 0", 0.5), ("0.1 polynomial 2 to 0", 1.0 / 3.0)]
    {
        let (seesaw, plain) = (pair("2 seesaw max 1000", rate), pair("2", rate));
        let ratio = seesaw.count_steps(Examples(TOTAL), None) as f64
            / plain.count_steps(Examples(TOTAL), None) as f64;
        // Batches are whole numbers rounded down, and the last one is bounded: a little more than the integral.
        assert!(share < ratio && ratio < share * 1.35, "{rate}: {ratio}");
    }
}

#[test]
fn the_critical_batch_doubles_the_batch_where_it_is_passed() {
    // B* rises linearly from 0 to 1000 over the run: it passes 128, 256 and 512 at 12.8, 25.6 and 51.2 %.
    let critical = pair("64 critical 1 at 0ex, 1000 at 100%", "0.1");
    let pass = |target: f64| ((target - 1.0) / 999.0 * TOTAL as f64).floor() as u64 + 1;
    for (size, target) in [(64u64, 128.0), (128, 256.0), (256, 512.0)] {
        let place = pass(target);
        assert_eq!(sizes(&critical, &[place - 1, place]), [size, 2 * size], "{target}");
    }
    assert_eq!(critical.batch(Examples(TOTAL)), 512);
    let rate = critical.learning_rate(Examples(TOTAL), Examples(TOTAL + 512)).0;
    assert!((rate - 0.1 * 8f64.sqrt()).abs() < 1e-12);
    // A jump of B* at the beginning, and bounds.
    assert_eq!(pair("64 critical 1000 at 0ex max 128", "0.1").batch(Examples(0)), 128);
    // Doubles, like the paper, only when B* is over twice the batch.
    assert_eq!(pair("64 critical 128 at 0ex, 128 at 100%", "0.1").batch(Examples(TOTAL)), 64);
}

#[test]
fn faults_are_named() {
    for (text, fault) in [
        ("64 max 32", "the batch size 64 is not one of those allowed: 1 to 32 in multiples of 1"),
        ("64 multiple 10", "the batch size 64 is not one of those allowed"),
        ("64 min 65 max 70 multiple 64", "no batch size is a multiple of 64 between 65 and 70"),
        ("64 doubling at 50%,25%", "the batch changes at 25000 examples after 50000: places must ascend"),
        ("64 doubling at 100001ex", "the batch is to change at 100001 examples, but the run has 100000"),
        ("64 ramp to 128 over 60% from 50%", "the batch is to change at 110000 examples"),
    ] {
        let error = text
            .parse::<BatchSpec>()
            .expect("the text is well formed")
            .resolve(&run(), lr("0.1"))
            .unwrap_err();
        assert!(error.to_string().starts_with(fault), "{text}: {error}");
    }
    assert_eq!(
        "batch 64 doubling at 25%,50% max 2048".parse::<BatchSpec>(),
        "64 doubling at 25%,50% max 2048".parse()
    );
    for (text, column, allowed) in [
        ("", 1, "a batch size of at least 1"),
        ("0", 1, "a batch size of at least 1"),
        ("64.5", 1, "a batch size of at least 1"),
        ("-64", 1, "a batch size of at least 1"),
        ("64 doubles at 5%", 4, "`then`, `doubling`"),
        ("64 doubling 5%", 13, "`at`"),
        ("64 doubling at 5%,", 19, "a length"),
        ("64 then 128", 12, "`at`"),
        ("64 x0 at 5%", 4, "a factor above 0"),
        ("64 ramp to 128", 15, "`over`"),
        ("64 max", 7, "a batch size"),
        ("64 lr cubic", 7, "`keep`, `linear`"),
        ("64 lr noise-scale 0", 19, "the noise scale"),
        ("64 critical 5", 14, "`at`"),
        ("64 adaptive", 12, "`noise-scale`"),
        ("64 adaptive noise-scale x0", 25, "a number above 0"),
        ("64 adaptive root", 17, "the rate"),
        ("64 adaptive inner-product 0.9", 30, "ν"),
        ("64 adaptive goodput band x0.5", 26, "a factor of at least 1"),
        ("64 adaptive goodput most x1", 26, "a factor above 1"),
        ("64 adaptive goodput dwell 5", 27, "a length"),
    ] {
        let error = text.parse::<BatchSpec>().unwrap_err();
        assert_eq!((error.column(), error.allowed.starts_with(allowed)), (column, true), "{error}");
    }
    let spec = BatchSpec { base: 0, ..BatchSpec::constant(1) };
    assert_eq!(spec.resolve(&run(), lr("0.1")), Err(BatchError::ZeroSize));
}

fn lengths() -> impl Strategy<Value = Vec<Length>> {
    prop::collection::vec(0.0f64..1.0, 1..5).prop_map(|mut shares| {
        shares.sort_by(f64::total_cmp);
        shares.into_iter().map(Length::Fraction).collect()
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    (0usize..7, 1e-3f64..100.0, 1e-3f64..100.0).prop_map(|(which, a, b)| match which {
        0 => Policy::NoiseScale { factor: a },
        1 => Policy::RootNoiseScale { rate: a },
        2 => Policy::NormTest { theta: a },
        3 => Policy::InnerProduct { theta: a, nu: b },
        4 => Policy::Diversity { delta: a },
        5 => Policy::Cabs,
        _ => Policy::Goodput,
    })
}

fn specs() -> impl Strategy<Value = BatchSpec> {
    let size = 1u64..5000;
    let shape = prop_oneof![
        Just(BatchShape::Constant),
        (lengths(), prop::collection::vec(size.clone(), 5))
            .prop_map(|(at, sizes)| BatchShape::Steps { steps: sizes.into_iter().zip(at).collect() }),
        (prop_oneof![Just(2.0), 0.1f64..6.0], lengths())
            .prop_map(|(factor, at)| BatchShape::Times { factor, at }),
        (size.clone(), 0.0f64..0.5, 0.0f64..0.5, any::<bool>()).prop_map(|(to, over, from, geometric)| {
            BatchShape::Ramp { to, over: Length::Fraction(over), from: Length::Fraction(from), geometric }
        }),
        Just(BatchShape::Increase),
        Just(BatchShape::Seesaw),
        (policies(), 1.0f64..3.0, 1.1f64..9.0, 0.0f64..1.0, any::<bool>()).prop_map(
            |(policy, band, most, dwell, grow_only)| {
                BatchShape::Adaptive(ControllerSpec {
                    policy,
                    band,
                    dwell: Length::Fraction(dwell),
                    most,
                    grow_only,
                })
            }
        ),
        (lengths(), prop::collection::vec(1u64..100_000, 5))
            .prop_map(|(at, sizes)| BatchShape::Critical { points: sizes.into_iter().zip(at).collect() }),
    ];
    let rule = prop::option::of(prop_oneof![
        Just(Scaling::Keep),
        Just(Scaling::Linear),
        Just(Scaling::SquareRoot),
        (0.0f64..2.0).prop_map(|exponent| Scaling::Power { exponent }),
        (1.0f64..1e5).prop_map(|phi| Scaling::RootNoiseScale { phi }),
        (1.0f64..1e5).prop_map(|peak_batch| Scaling::Surge { peak_batch }),
        (1.0f64..1e5).prop_map(|phi| Scaling::NoiseScale { phi })
    ]);
    (size, shape, 1u64..64, 0u64..500, 0u64..20_000, any::<bool>(), rule).prop_map(
        |(base, shape, multiple, below, above, doublings, rule)| {
            let base = base.div_ceil(multiple) * multiple;
            let bounds =
                Bounds { min: base.saturating_sub(below).max(1), max: base + above, multiple, doublings };
            BatchSpec { base, shape, bounds, rule }
        },
    )
}

proptest! {
    #[test]
    fn a_text_reads_back(spec in specs()) {
        let text = spec.to_string();
        prop_assert_eq!(text.parse::<BatchSpec>(), Ok(spec.clone()), "{}", text);
        let json = serde_json::to_string(&spec).expect("numbers and words");
        prop_assert_eq!(serde_json::from_str::<BatchSpec>(&json).expect("reads back"), spec);
    }

    #[test]
    fn any_text_is_a_schedule_or_an_error_inside_it(words in prop::collection::vec(prop_oneof![
        Just("64"), Just("2k"), Just("doubling"), Just("at"), Just("25%"), Just(","), Just("max"), Just("multiple"), Just("x5"), Just("then"),
        Just("ramp"), Just("to"), Just("over"), Just("3 epochs"), Just("increase"), Just("seesaw"), Just("critical"), Just("lr"), Just("sqrt"),
        Just("adaptive"), Just("noise-scale"), Just("goodput"), Just("dwell"), Just("band"), Just("x1.5"), Just("0.9"), Just("norm-test"),
        Just("doublings"), Just("18446744073709551615"), Just("é"), Just("geometric"), Just("min"), Just("0"),
    ], 0..10), tail in "\\PC{0,4}") {
        let text = format!("{}{tail}", words.join(" "));
        match text.parse::<BatchSpec>() {
            Ok(spec) => {
                prop_assert_eq!(spec.to_string().parse::<BatchSpec>(), Ok(spec.clone()));
                if let Ok(pair) = spec.resolve(&run(), lr("0.1 linear to 0")) {
                    for at in [0, 1, TOTAL / 2, TOTAL, u64::MAX] {
                        prop_assert!((spec.bounds.min..=spec.bounds.max).contains(&pair.batch(Examples(at))), "{} at {}", text, at);
                    }
                }
            }
            Err(error) => prop_assert!(text.is_char_boundary(error.offset) && !error.allowed.is_empty()),
        }
    }

    /// Exactly the examples of the run, no batch of none, none beyond its bounds, none across the end of an epoch.
    #[test]
    fn steps_cover_the_run(spec in specs(), epoch in prop::option::of(1u64..20_000), total in 1u64..TOTAL) {
        let Ok(pair) = spec.resolve(&run(), lr("0.1 warmup 5% then cosine to 0.001")) else { return Ok(()) };
        let (mut seen, mut n) = (0, 0);
        for step in pair.steps(Examples(total), epoch) {
            prop_assert_eq!(step.start.0, seen);
            prop_assert!(seen < step.end.0 && step.end.0 - seen <= step.batch);
            prop_assert!((spec.bounds.min..=spec.bounds.max).contains(&step.batch), "{}: {}", spec, step.batch);
            prop_assert_eq!(step.batch % spec.bounds.multiple, 0, "{}", spec);
            if let Some(epoch) = epoch {
                prop_assert_eq!(seen / epoch, (step.end.0 - 1) / epoch);
            }
            prop_assert!(step.learning_rate.0.is_finite() && 0.0 <= step.learning_rate.0);
            (seen, n) = (step.end.0, n + 1);
        }
        prop_assert_eq!(seen, total);
        prop_assert_eq!(pair.count_steps(Examples(total), epoch), n, "{}", spec);
        let places: Vec<_> = (0..7).map(|i| Examples(total * i / 7)).chain([Examples(total - 1)]).collect();
        let walk: Vec<_> = (0..).zip(pair.steps(Examples(total), epoch)).collect();
        let mut want: Vec<_> = places.iter().filter_map(|p| walk.iter().find(|w| p.0 < w.1.end.0).copied()).collect();
        want.dedup_by_key(|w| w.0);
        prop_assert_eq!(pair.steps_at(&places, Examples(total), epoch), want, "{}", spec);
    }

    /// A run that goes on in the middle sees what an uninterrupted one does.
    #[test]
    fn nothing_is_remembered(spec in specs(), at in 0u64..TOTAL) {
        let Ok(pair) = spec.resolve(&run(), lr("0.1 cosine to 0.01")) else { return Ok(()) };
        let json = serde_json::to_string(&pair).expect("numbers and words");
        let again: Pair = serde_json::from_str(&json).expect("reads back");
        let (start, end) = (Examples(at), Examples(at + 10));
        prop_assert_eq!(again.batch(start), pair.batch(start));
        prop_assert_eq!(again.learning_rate(start, end), pair.learning_rate(start, end));
    }

    /// What follows the batch is undone by the rule: LR over its rule's factor is the schedule itself.
    #[test]
    fn the_learning_rate_follows_by_its_rule(base in 1u64..500, at in 0u64..TOTAL) {
        let spec = BatchSpec { rule: Some(Scaling::Linear), ..format!("{base} x3 at 20%,40%,60%").parse().expect("a text") };
        let pair = spec.resolve(&run(), lr("0.1 linear to 0")).expect("it fits");
        let (start, end) = (Examples(at), Examples(at + 5));
        let LearningRate(rate) = pair.learning_rate(start, end);
        let kappa = pair.batch(start) as f64 / base as f64;
        prop_assert!((rate / kappa - pair.schedule().over(start, end).0).abs() < 1e-14);
    }
}
