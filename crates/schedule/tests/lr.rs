//! Learning-rate schedules: reference values, laws, texts, and every fault by the input that causes it.

use batchwise_schedule::lr::{Decay, Level, LrError, LrSpec, Segment, Shape};
use batchwise_schedule::{Examples, LearningRate, Length, RunLength, Schedule};
use proptest::prelude::*;

fn resolved(text: &str, total: u64) -> Schedule {
    let spec: LrSpec = text.parse().unwrap_or_else(|e| panic!("{e}"));
    spec.resolve(&RunLength::of(Examples(total)), None).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Each line of the tables (written by tests/reference/make_lr.py): source, run, text, values at 0, 1, 2, …
fn against_reference(table: &str) {
    let mut n = 0;
    for line in table.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let schedule = resolved(cells[2], cells[1].parse().expect("a count of examples"));
        for (i, want) in cells[3..].iter().enumerate() {
            let (got, want) = (schedule.at(Examples(i as u64)).0, want.parse::<f64>().expect("a number"));
            // PyTorch and optax multiply their way along the run, and optax keeps some factors in f32.
            assert!((got - want).abs() < 2e-9, "{} `{}` at {i}: {got} is not {want}", cells[0], cells[2]);
            n += 1;
        }
    }
    assert!(200 < n, "{n} values");
}

#[test]
fn values_agree_with_pytorch() {
    against_reference(include_str!("reference/torch.tsv"));
}

#[test]
fn values_agree_with_optax() {
    against_reference(include_str!("reference/optax.tsv"));
}

#[test]
fn inverse_square_root_after_a_warmup_is_that_of_the_transformer() {
    // Vaswani et al. 2017, §5.3: lr ∝ min(t^-½, t·w^-3/2), at its highest w^-½ when t = w.
    let schedule = resolved("0.5 warmup 400ex then inverse-sqrt timescale 400ex", 10_000);
    for t in [0u64, 100, 400, 401, 1600, 9999] {
        let want = 0.5 * (t as f64 / 400.0).min((400.0 / t as f64).sqrt());
        assert!((schedule.at(Examples(t)).0 - want).abs() < 1e-15, "{t}");
    }
}

#[test]
fn the_usual_ones_are_written_out() {
    assert_eq!("lr 0.1 warmup 5%".parse::<LrSpec>(), "0.1 warmup 5%".parse());
    let spec: LrSpec = "one-cycle".parse().unwrap();
    assert_eq!(spec.to_string(), "warmup 30% from 4% cosine then cosine to 0.0004%");
    let wsd = resolved("0.2 wsd", 1000);
    for (at, want) in [(0, 0.0), (10, 0.1), (20, 0.2), (799, 0.2), (850, 0.1), (1000, 0.0), (5000, 0.0)] {
        assert!((wsd.at(Examples(at)).0 - want).abs() < 1e-15, "{at}: {}", wsd.at(Examples(at)));
    }
}

#[test]
fn epochs_and_tokens_need_their_sizes_and_then_agree() {
    let run = RunLength { total: Examples(2000), dataset_size: Some(500), tokens_per_example: Some(100.0) };
    let by = |text: &str| text.parse::<LrSpec>().unwrap().resolve(&run, Some(LearningRate(0.1))).unwrap();
    let want = by("warmup 500ex then linear to 0");
    for text in [
        "warmup 1 epoch then linear to 0",
        "warmup 50ktok then linear to 0 over 3 epochs",
        "warmup 25% then linear to 0",
    ] {
        assert_eq!(by(text), want, "{text}");
    }
    let alone = RunLength::of(Examples(2000));
    let error =
        "warmup 1 epoch".parse::<LrSpec>().unwrap().resolve(&alone, Some(LearningRate(0.1))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "segment 1: 1 epoch needs the size of the training set, which is not known"
    );
}

#[test]
fn a_schedule_that_cannot_end_in_its_run_is_an_error() {
    let resolve =
        |text: &str, total| text.parse::<LrSpec>().unwrap().resolve(&RunLength::of(Examples(total)), None);
    assert_eq!(
        resolve("0.1 warmup 500ex then cosine to 0 over 600ex", 1000),
        Err(LrError::TooLong { needed: 1100, total: 1000 })
    );
    assert_eq!(resolve("0.1 constant then cosine to 0", 1000), Err(LrError::TwoOpen { first: 1, second: 2 }));
    assert_eq!(resolve("warmup 5%", 1000), Err(LrError::NoPeak));
    for text in [
        "0.1 linear to 0.2",
        "0.1 warmup 5ex from 0.3",
        "0.1 step x0.5 at 50%,20%",
        "0.1 constant for 50% then step x0.5 at 20%",
        "0.1 step x0.5 every 0ex",
        "0.1 cosine to 0 over 1 epoch",
    ] {
        assert!(resolve(text, 1000).is_err(), "{text}");
    }
    // Thirds that are rounded up exceed the run by an example, which is no fault.
    let thirds =
        resolve("0.1 constant for 33.35% then constant for 33.35% then linear to 0 over 33.3%", 1000)
            .unwrap();
    assert_eq!(thirds.at(Examples(1000)).0, 0.0);
}

#[test]
fn faults_of_a_text_are_shown_at_their_place() {
    for (text, column, allowed) in [
        ("", 1, "`warmup`"),
        ("0.1 then", 5, "`warmup`"),
        ("0.1 warmup", 11, "a length"),
        ("0.1 warmup 5% than cosine to 0", 15, "`then` or the end"),
        ("0.1 warmup 5% then cosine", 26, "`to`"),
        ("0.1 cosine to -1", 15, "a learning rate or a percentage"),
        ("0.1 cosine to 120%", 15, "a learning rate or a percentage"),
        ("0.1 step 0.2 at 30%", 10, "a factor"),
        ("0.1 step x2 at 30%", 10, "a factor"),
        ("0.1 step x0.2 30%", 15, "`at` or `every`"),
        ("0.1 step x0.2 at 30%,", 22, "a length"),
        ("0.1 polynomial 0 to 0", 16, "the power"),
        ("0.1 restarts every 5ex x0.5 to 0", 24, "a factor from 1"),
        ("0.1 cyclic from 0 every 5ex up 3ex", 32, "the part of a cycle"),
        ("0 constant", 1, "a learning rate above 0"),
        ("é", 1, "`warmup`"),
        ("-0.1", 1, "a finite learning rate above 0"),
        ("nan warmup 5%", 1, "a finite learning rate above 0"),
        ("inf", 1, "a finite learning rate above 0"),
    ] {
        let error = text.parse::<LrSpec>().unwrap_err();
        assert_eq!((error.column(), error.allowed.contains(allowed)), (column, true), "{error}");
    }
}

#[test]
fn restarts_end_where_their_last_period_does() {
    let schedule = resolved("0.4 restarts every 250ex to 0.1", 1000);
    assert_eq!(schedule.at(Examples(250)).0, 0.4);
    assert!((schedule.at(Examples(1000)).0 - 0.1).abs() < 1e-12, "{}", schedule.at(Examples(1000)));
}

fn shapes() -> impl Strategy<Value = Shape> {
    let level = prop_oneof![(0.0f64..0.1).prop_map(Level::Rate), (0.0f64..1.0).prop_map(Level::OfPeak)];
    let factor = 0.01f64..1.0;
    prop_oneof![
        Just(Shape::Constant { at: None }),
        level.clone().prop_map(|at| Shape::Constant { at: Some(at) }),
        level.clone().prop_map(|to| Shape::Linear { to }),
        level.clone().prop_map(|to| Shape::Cosine { to }),
        (0.2f64..5.0, level.clone()).prop_map(|(power, to)| Shape::Polynomial { power, to }),
        level.clone().prop_map(|to| Shape::OneMinusSqrt { to }),
        (factor.clone(), lengths()).prop_map(|(factor, every)| Shape::StepEvery { factor, every }),
        (factor.clone(), lengths(), level.clone()).prop_map(|(factor, every, to)| Shape::Exponential {
            factor,
            every,
            to
        }),
        lengths().prop_map(|timescale| Shape::InverseSqrt { timescale }),
        (lengths(), 1.0f64..3.0, level.clone()).prop_map(|(every, growth, to)| Shape::Restarts {
            every,
            growth,
            to
        }),
        (
            level,
            lengths(),
            0.01f64..0.99,
            prop_oneof![Just(Decay::None), Just(Decay::Halving), factor.prop_map(Decay::Continuous)]
        )
            .prop_map(|(from, every, up, decay)| Shape::Cyclic { from, every, up, decay }),
    ]
}

fn lengths() -> impl Strategy<Value = Length> {
    prop_oneof![
        (1u64..5000).prop_map(Length::Examples),
        (100u64..100_000).prop_map(Length::Tokens),
        (0.01f64..2.0).prop_map(Length::Epochs),
        (0.001f64..0.3).prop_map(Length::Fraction),
    ]
}

fn specs() -> impl Strategy<Value = LrSpec> {
    let warmup = (0.0f64..0.3, any::<bool>(), 0.0f64..0.5).prop_map(|(length, cosine, from)| {
        Segment::over(Shape::Warmup { from: Level::OfPeak(from), cosine }, Length::Fraction(length))
    });
    let closed =
        (shapes(), 0.0f64..0.2).prop_map(|(shape, part)| Segment::over(shape, Length::Fraction(part)));
    (prop::option::of(warmup), prop::collection::vec(closed, 0..3), shapes(), 1e-4f64..1.0).prop_map(
        |(warmup, closed, open, peak)| {
            let segments: Vec<Segment> =
                warmup.into_iter().chain(closed).chain([Segment::rest(open)]).collect();
            LrSpec { peak: Some(LearningRate(peak)), segments }
        },
    )
}

const TOTAL: u64 = 20_000;

fn run() -> RunLength {
    RunLength { total: Examples(TOTAL), dataset_size: Some(3000), tokens_per_example: Some(20.0) }
}

/// A schedule of `spec`; none where a level lies above the peak, as drawn ones may.
fn drawn(spec: &LrSpec) -> Option<Schedule> {
    match spec.resolve(&run(), None) {
        Ok(schedule) => Some(schedule),
        Err(LrError::OutOfRange { name: "a level", .. }) => None,
        Err(error) => panic!("{spec}: {error}"),
    }
}

proptest! {
    #[test]
    fn a_text_reads_back(spec in specs()) {
        let text = spec.to_string();
        prop_assert_eq!(text.parse::<LrSpec>(), Ok(spec.clone()), "{}", text);
        let json = serde_json_of(&spec);
        prop_assert!(json.contains("shape"));
    }

    #[test]
    fn any_text_is_a_schedule_or_an_error_inside_it(words in prop::collection::vec(prop_oneof![
        Just("warmup"), Just("then"), Just("cosine"), Just("to"), Just("0"), Just("5%"), Just("0.1"), Just("over"), Just("step"),
        Just("x0.5"), Just("at"), Just("every"), Just("3 epochs"), Just(","), Just("constant"), Just("cyclic"), Just("from"), Just("é"),
        Just("restarts"), Just("1-sqrt"), Just("18446744073709551615ex"), Just("1e308"), Just("polynomial"), Just("for"), Just("wsd"),
    ], 0..12), tail in "\\PC{0,6}") {
        let text = format!("{}{tail}", words.join(" "));
        match text.parse::<LrSpec>() {
            Ok(spec) => {
                prop_assert_eq!(spec.to_string().parse::<LrSpec>(), Ok(spec.clone()));
                // Whatever it says, it resolves to finite learning rates or to an error.
                for total in [0, 1, 7, TOTAL, u64::MAX] {
                    let run = RunLength { total: Examples(total), ..run() };
                    if let Ok(schedule) = spec.resolve(&run, Some(LearningRate(0.3))) {
                        for at in [0, 1, total / 3, total.saturating_sub(1), total, u64::MAX] {
                            let (value, mean) = (schedule.at(Examples(at)).0, schedule.over(Examples(at / 2), Examples(at)).0);
                            let peak = schedule.peak().0 * (1.0 + 1e-9);
                            prop_assert!((0.0..=peak).contains(&value) && (0.0..=peak).contains(&mean), "{}: {} {}", text, value, mean);
                        }
                    }
                }
            }
            Err(error) => prop_assert!(text.is_char_boundary(error.offset) && !error.allowed.is_empty()),
        }
    }

    /// Learning rate times examples sums to the same whatever the batch sizes are.
    #[test]
    fn the_area_does_not_depend_on_the_batches(spec in specs(), sizes in prop::collection::vec(1u64..900, 1..6)) {
        let Some(schedule) = drawn(&spec) else { return Ok(()) };
        let area = |sizes: &[u64]| {
            let (mut seen, mut sum) = (0, 0.0);
            for size in sizes.iter().cycle() {
                if seen == TOTAL { break; }
                let end = (seen + size).min(TOTAL);
                let lr = schedule.over(Examples(seen), Examples(end)).0;
                sum += lr * (end - seen) as f64;
                seen = end;
            }
            sum
        };
        let (one, many) = (area(&[TOTAL]), area(&sizes));
        prop_assert!((one - many).abs() <= 1e-8 * one.max(1e-9), "{}: {} {}", spec, one, many);
    }

    #[test]
    fn values_are_bounded_and_continuous_but_for_jumps(spec in specs(), places in prop::collection::vec(0u64..TOTAL, 20)) {
        let Some(schedule) = drawn(&spec) else { return Ok(()) };
        let jumps = spec.segments.iter().any(|s| matches!(
            s.shape, Shape::Constant { at: Some(_) } | Shape::StepEvery { .. } | Shape::Restarts { .. } | Shape::Cyclic { .. }
        ));
        let peak = schedule.peak().0;
        for at in places {
            let value = schedule.at(Examples(at)).0;
            prop_assert!((0.0..=peak * (1.0 + 1e-12)).contains(&value), "{} at {}: {}", spec, at, value);
            let next = schedule.at(Examples(at + 1)).0;
            // No continuous shape drawn here falls by a quarter of the peak within one example, but for short segments.
            let short = spec.segments.iter().any(|s| matches!(s.length, Some(Length::Fraction(f)) if f < 0.002));
            let steep = spec.segments.iter().any(|s| matches!(s.shape, Shape::Exponential { .. } | Shape::InverseSqrt { .. }));
            prop_assert!(jumps || short || steep || (next - value).abs() < 0.25 * peak, "{} at {}: {} {}", spec, at, value, next);
        }
        prop_assert_eq!(schedule.at(Examples(TOTAL)), schedule.at(Examples(10 * TOTAL)));
    }

    #[test]
    fn a_peak_multiplies_the_curve(spec in specs(), at in 0u64..TOTAL, by in 0.1f64..10.0) {
        let Some(schedule) = drawn(&spec) else { return Ok(()) };
        let scaled = schedule.with_peak(LearningRate(schedule.peak().0 * by));
        let (a, b) = (schedule.at(Examples(at)).0 * by, scaled.at(Examples(at)).0);
        prop_assert!((a - b).abs() <= 1e-12 * a.max(1e-12), "{} {}", a, b);
    }
}

fn serde_json_of(spec: &LrSpec) -> String {
    let text = serde_json::to_string(spec).expect("a specification has only numbers and words");
    let back: LrSpec = serde_json::from_str(&text).expect("what was written reads back");
    assert_eq!(&back, spec);
    text
}
