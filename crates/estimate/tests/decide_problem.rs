//! The whole problem: limits, objectives, devices, absolute answers and grades (theory §8).

mod common;

use batchwise_estimate::critical::*;
use batchwise_estimate::decide::*;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::time::TimeModel;
use proptest::prelude::*;

fn belief(median: f64, ln_sd: f64) -> CriticalBatch {
    common::belief(median, ln_sd, CriticalSource::Sweep)
}

const OVERHEAD: f64 = 2e-3;
const PER_EXAMPLE: f64 = 1e-5;

fn seconds(batch: f64) -> f64 {
    OVERHEAD + PER_EXAMPLE * batch
}

fn measured(top: u32) -> TimeBelief {
    let candidate =
        |k: u32| Candidate { batch: 1 << k, seconds: seconds(f64::from(1 << k)), relative_error: 0.0 };
    TimeBelief::Measured { candidates: (0..=top).map(candidate).collect() }
}

fn model(top: u64) -> TimeBelief {
    let draw =
        TimeDraw { model: TimeModel::Sum, overhead_seconds: OVERHEAD, seconds_per_example: PER_EXAMPLE };
    TimeBelief::Model { batches: powers_of_two(1, top), draws: vec![draw] }
}

/// B_T = √(200·20 000) = 2000: free of limits the choice is 1024.
fn problem() -> Problem {
    Problem::new(measured(13), belief(20_000.0, 0.0))
}

fn largest(micro_batch: u64) -> Memory {
    Memory::Largest { micro_batch, reason: "256 was killed".to_owned() }
}

#[test]
fn the_closed_forms_agree_with_a_search() {
    for (a, c, critical) in [(2e-3, 1e-5, 5000.0), (1e-2, 1e-6, 300.0), (1e-4, 1e-4, 2.0)] {
        let time = |b: f64| 700.0 * time_to_target_relative(a + c * b, b, critical);
        let best = time_optimal_batch(a, c, critical);
        let least = least_time(a, c, critical, 700.0);
        assert!((time(best) / least - 1.0).abs() < 1e-12);
        assert!((1..5000).all(|k| time(f64::from(k) * best / 1000.0) >= least * (1.0 - 1e-12)));
        for factor in [0.25, 0.5, 2.0, 4.0] {
            let found = flatness(a, c, critical, factor);
            assert!((found - (time(factor * best) / least - 1.0)).abs() < 1e-9);
            // A twofold error costs at most 12.5 %, a fourfold one 56.25 %.
            assert!(found <= (factor + 1.0 / factor - 2.0) / 4.0 + 1e-12);
        }
    }
    // z = 1 is the worst.
    assert!((flatness(1.0, 1.0, 1.0, 2.0) - 0.125).abs() < 1e-15);
    assert_eq!((flatness(0.0, 1.0, 1.0, 2.0), flatness(1.0, 0.0, 1.0, 2.0)), (0.0, 0.0));
    assert_eq!(examples_to_target_relative(250.0, 1000.0), 1.25);
}

#[test]
fn the_tightest_limit_binds_and_is_named() {
    let decide = |p: Problem| {
        let d = p.decide().unwrap();
        assert!(!d.binding_reason.is_empty());
        (d.batch_size, d.binding)
    };
    assert_eq!(decide(problem()), (1024, Binding::Knee));
    assert_eq!(decide(Problem { dataset_examples: Some(3000), ..problem() }), (256, Binding::Data));
    assert_eq!(
        decide(Problem { generalisation_tested: Some(200), dataset_examples: Some(3000), ..problem() }),
        (128, Binding::Generalisation)
    );
    let memory = Problem { memory: largest(128), accumulation: false, ..problem() };
    assert_eq!(decide(memory.clone()), (128, Binding::Memory));
    // A limit above the free choice does not bind, even where it excludes candidates.
    assert_eq!(decide(Problem { dataset_examples: Some(15_000), ..problem() }), (1024, Binding::Knee));
    assert_eq!(decide(Problem { time: measured(6), ..problem() }), (64, Binding::Tried));
    // B_c = 20 is far below a/c = 200: steps run out before throughput does.
    assert_eq!(decide(Problem { critical: belief(20.0, 0.0), ..problem() }), (64, Binding::NoiseScale));
    let reason = memory.decide().unwrap().binding_reason;
    assert!(reason.contains("256 was killed") && reason.contains("1024"), "{reason}");
    // What was measured with accumulation is taken as measured; only the micro-batch is limited.
    let d = Problem { accumulation: true, ..memory }.decide().unwrap();
    assert_eq!((d.batch_size, d.micro_batch, d.accumulation_steps), (1024, 128, 8));
}

#[test]
fn accumulation_pays_the_overhead_for_each_micro_batch() {
    // Beyond one micro-batch of 128, t = B(a/128 + c) and T only grows: memory binds at 128.
    let free = Problem { time: model(1 << 13), ..problem() };
    assert_eq!(free.decide().unwrap().batch_size, 1024);
    let d = Problem { memory: largest(128), ..free }.decide().unwrap();
    assert_eq!((d.time_optimal, d.binding), (128, Binding::Memory));
    assert!(d.batch_size <= 128, "{d:?}");
    let time = |b: u64| d.standings.iter().find(|s| s.batch == b).unwrap().time.median;
    let wanted = (512.0 * (OVERHEAD / 128.0 + PER_EXAMPLE) * (1.0 + 20_000.0 / 512.0))
        / (seconds(128.0) * (1.0 + 20_000.0 / 128.0));
    assert!((time(512) / time(128) - wanted).abs() < 1e-9, "{} {wanted}", time(512) / time(128));
}

#[test]
fn limits_that_leave_nothing_are_an_error() {
    let none = Problem { memory: largest(0), ..problem() }.decide();
    assert!(matches!(none, Err(DecideError::NothingFeasible { smallest: 1, .. })), "{none:?}");
    let candidates = vec![Candidate { batch: 64, seconds: 1.0, relative_error: 0.0 }];
    let only = Problem { time: TimeBelief::Measured { candidates }, ..problem() };
    let none = Problem { dataset_examples: Some(100), ..only.clone() }.decide();
    assert!(none.unwrap_err().to_string().contains("a tenth of the 100 training examples is 10"));
    let many = Devices { counts: vec![128], ..devices(0.0) };
    assert!(matches!(
        Problem { devices: Some(many), ..only }.decide(),
        Err(DecideError::NothingFeasible { smallest: 0, .. })
    ));
}

#[test]
fn a_budget_of_examples_keeps_to_the_tolerance() {
    let budget = |tau: f64, critical: CriticalBatch| Problem {
        objective: Objective::ExamplesBudget { tau },
        critical,
        ..problem()
    };
    // B ≤ τB_c = 2048 at τ = 0.25 and B_c = 8192; 1024 is 9 % slower per example, 2048 itself is taken.
    let d = budget(0.25, belief(8192.0, 0.0)).decide().unwrap();
    assert_eq!((d.batch_size, d.binding), (2048, Binding::NoiseScale));
    // Where throughput is exhausted earlier, the smallest batch within 5 % of it: a/(cB) < 5 % at 4096.
    let d = budget(0.25, belief(1e6, 0.0)).decide().unwrap();
    assert_eq!((d.batch_size, d.binding), (4096, Binding::Knee));
    // What is not known is not risked: a wide belief lowers the batch.
    let wide = budget(0.25, belief(8192.0, 1.0)).decide().unwrap();
    assert!(wide.batch_size < 2048 && wide.expected_regret > 0.0, "{wide:?}");
    // Nothing is admissible: the smallest is the least bad.
    assert_eq!(budget(0.01, belief(2.0, 0.0)).decide().unwrap().batch_size, 1);
}

#[test]
fn the_cautious_rule_guards_the_quantile() {
    let least =
        |d: &Decision, f: fn(&Standing) -> f64| d.standings.iter().map(f).fold(f64::INFINITY, f64::min);
    let mut differ = 0;
    for k in 0..12 {
        let median = 300.0 * 2f64.powf(f64::from(k) / 2.0);
        let mean = Problem { critical: belief(median, 2.0), ..problem() };
        let guarded = Problem { rule: Rule::Minimax { quantile: 0.99 }, ..mean.clone() };
        let [mean, guarded] = [mean, guarded].map(|p| p.decide().unwrap());
        let [a, b] = [mean.chosen().unwrap(), guarded.chosen().unwrap()];
        let slack = EQUIVALENT + 1e-12;
        assert!(a.expected_regret <= least(&mean, |s| s.expected_regret) + slack);
        assert!(b.quantile_regret <= least(&guarded, |s| s.quantile_regret) + slack, "{median}: {b:?}");
        differ += u32::from(a.batch != b.batch);
    }
    assert!(differ > 0);
}

/// Where the overhead is long, a wide belief finds least regret above the time-optimal batch: not followed.
#[test]
fn nothing_above_the_time_optimal_batch_is_chosen() {
    let candidate =
        |k: u32| Candidate { batch: 1 << k, seconds: 1e-2 + 1e-6 * f64::from(1 << k), relative_error: 0.0 };
    let candidates = (0..=15).map(candidate).collect();
    let d = Problem::new(TimeBelief::Measured { candidates }, belief(40.0, 2.0)).decide().unwrap();
    assert!(d.equivalent.0 > d.time_optimal, "{:?} {}", d.equivalent, d.time_optimal);
    assert_eq!((d.batch_size, d.time_optimal), (512, 512));
}

#[test]
fn with_s_min_times_and_examples_are_absolute() {
    let steps = |ln_sd: f64, correlation: f64| Some(StepsBelief { median: 700.0, ln_sd, correlation });
    let d = Problem { steps: steps(0.0, 0.0), ..problem() }.decide().unwrap();
    assert!(d.absolute);
    for s in &d.standings {
        let b = s.batch as f64;
        let n_steps = 700.0 * (1.0 + 20_000.0 / b);
        for (found, wanted) in [(s.time, n_steps * seconds(b)), (s.examples, n_steps * b)] {
            assert!((found.median / wanted - 1.0).abs() < 1e-9 && found.low <= found.high, "{s:?} {wanted}");
        }
    }
    // Without S_min: relative to the least time, and to E_min.
    let d = problem().decide().unwrap();
    assert!(!d.absolute && d.standings.iter().any(|s| s.time.median == 1.0));
    assert!(d.standings.iter().all(|s| (s.examples.median - 1.0 - s.batch as f64 / 20_000.0).abs() < 1e-12));
    // A fit over small batches knows E_min = S_min·B_c: the errors cancel in the examples.
    let spread = |correlation: f64| {
        let p = Problem { critical: belief(20_000.0, 0.5), steps: steps(0.5, correlation), ..problem() };
        let examples = p.decide().unwrap().standings[0].examples;
        (examples.high / examples.low).ln()
    };
    assert!(spread(-1.0) < 0.01 && (spread(0.0) / (2.0 * 1.645 * 0.5 * 2f64.sqrt()) - 1.0).abs() < 0.1);
}

#[test]
fn the_example_curve_ends_at_the_time_optimal_batch() {
    let d = problem().decide().unwrap();
    let curve = d.example_curve();
    assert_eq!((curve[0].batch, curve[curve.len() - 1].batch), (d.example_optimal, d.time_optimal));
    assert_eq!((d.example_optimal, d.time_optimal), (1, 2048));
    assert!(
        curve
            .windows(2)
            .all(|w| { w[1].time.median < w[0].time.median && w[1].examples.median > w[0].examples.median })
    );
    let last = curve[curve.len() - 1];
    assert!(
        d.standings
            .iter()
            .filter(|s| s.batch > 2048)
            .all(|s| { s.time.median > last.time.median && s.examples.median > last.examples.median })
    );
}

fn devices(sync_fixed_seconds: f64) -> Devices {
    Devices {
        counts: vec![1, 2, 4, 8],
        sync_fixed_seconds,
        sync_seconds_per_device: 1e-4,
        sync_relative_error: 0.0,
        gamma: 1.0,
    }
}

#[test]
fn devices_are_chosen_with_the_batch() {
    let on = |devices: Devices| Problem { devices: Some(devices), ..problem() };
    let time = |b: f64, k: f64| {
        let sync = if k > 1.0 { 1e-4 + 1e-4 * (k - 2.0) } else { 0.0 };
        (seconds(b / k) + sync) * (1.0 + 20_000.0 / b)
    };
    let d = on(devices(1e-4)).decide().unwrap();
    assert_eq!((d.devices, d.standings.len()), (8, 11 + 12 + 13 + 14));
    let best = (3..14).map(|k| time(f64::from(1 << k), 8.0)).min_by(f64::total_cmp).unwrap();
    assert!(time(d.batch_size as f64, 8.0) / best <= 1.05);
    assert_eq!(d.micro_batch, d.batch_size / 8);
    for s in &d.standings {
        let wanted = time(s.batch as f64, s.devices as f64) / best;
        // Between the candidates the curve is interpolated; at powers of two it is exact, below 1 it is not needed.
        assert!((s.time.median / wanted - 1.0).abs() < 1e-9, "{s:?} {wanted}");
    }
    // Where agreeing takes longer than the work, one device is as good.
    assert_eq!(on(devices(1.0)).decide().unwrap().devices, 1);
    // Device time is least on one device, and the curve leads from there to the fastest.
    let cheap = Problem { objective: Objective::DeviceSeconds, ..on(devices(1e-4)) }.decide().unwrap();
    assert_eq!((cheap.devices, cheap.batch_size), (1, 1024));
    let curve = cheap.device_curve();
    let cost = |s: &&Standing| s.devices as f64 * s.time.median;
    assert!(curve.windows(2).all(|w| cost(&w[0]) < cost(&w[1]) && w[0].time.median > w[1].time.median));
    assert_eq!((curve[0].devices, curve[curve.len() - 1].devices), (1, 8));
    // The same from a model of t(b).
    let d = Problem { time: model(1 << 13), ..on(devices(1e-4)) }.decide().unwrap();
    assert!(
        d.standings.iter().all(|s| {
            (s.time.median / (time(s.batch as f64, s.devices as f64) / best) - 1.0).abs() < 1e-9
        })
    );
}

#[test]
fn devices_that_gain_next_to_nothing_are_not_taken() {
    let mut fewer = 0;
    for k in 0..60 {
        let sync = 1e-3 * 1.07f64.powi(k);
        let p = Problem { time: model(1 << 13), devices: Some(devices(sync)), n_draws: 10, ..problem() };
        let d = p.decide().unwrap();
        let best = d.standings.iter().min_by(|a, b| a.expected_regret.total_cmp(&b.expected_regret)).unwrap();
        let limit = best.expected_regret + EQUIVALENT;
        assert!(d.standings.iter().all(|s| s.devices >= d.devices || s.expected_regret > limit), "{sync}");
        assert!(d.expected_regret <= limit);
        fewer += u32::from(d.devices < best.devices);
    }
    assert!(fewer > 0);
}

#[test]
fn the_grade_is_that_of_the_weakest_part() {
    let grade = |p: Problem| {
        let d = p.decide().unwrap();
        assert_eq!(d.grade_reasons.is_empty(), d.grade == Grade::Measured);
        d.grade
    };
    let of = |critical: CriticalBatch| grade(Problem { critical, ..problem() });
    assert_eq!(of(belief(300.0, 0.3)), Grade::Measured);
    assert_eq!(of(belief(300.0, 0.75)), Grade::Approximate, "hi/lo = e^(2·1.645·0.75) = 11.8 > 10");
    assert_eq!(of(belief(300.0, 2.4)), Grade::NotIdentified);
    let noise = CriticalSource::NoiseScale { task: Task::Supervised };
    assert_eq!(of(CriticalBatch { source: noise, ..belief(300.0, 0.3) }), Grade::Approximate);
    assert_eq!(of(CriticalBatch { lower_bound_only: true, ..belief(300.0, 0.3) }), Grade::LowerBound);
    let sharp = Problem { critical: belief(20_000.0, 0.1), ..problem() };
    assert_eq!(grade(Problem { tried: Some(511), ..sharp.clone() }), Grade::Extrapolated);
    assert_eq!(grade(Problem { tried: Some(512), ..sharp.clone() }), Grade::Measured);
    assert_eq!(grade(Problem { critical_grade: Some(Grade::Untuned), ..sharp.clone() }), Grade::Untuned);
    let mut blunt = sharp;
    if let TimeBelief::Measured { candidates } = &mut blunt.time {
        candidates.iter_mut().for_each(|c| c.relative_error = 0.5);
    }
    assert_eq!(grade(blunt), Grade::Approximate);
    assert!(problem().decide().unwrap().generalisation_untested);
}

#[test]
fn bad_problems_are_named() {
    let good = problem();
    let draw = TimeDraw { model: TimeModel::Sum, overhead_seconds: 1e-3, seconds_per_example: 1e-5 };
    let of = |draws: Vec<TimeDraw>| TimeBelief::Model { batches: vec![1, 8], draws };
    let bad = |p: Problem| p.decide().unwrap_err();
    assert_eq!(bad(Problem { time: of(vec![]), ..good.clone() }), DecideError::NoTimeDraws);
    let zero = TimeBelief::Model { batches: vec![4, 0], draws: vec![draw] };
    assert_eq!(bad(Problem { time: zero, ..good.clone() }), DecideError::ZeroBatch { index: 1 });
    for wrong in [
        TimeDraw { overhead_seconds: f64::NAN, ..draw },
        TimeDraw { seconds_per_example: -1.0, ..draw },
        TimeDraw { overhead_seconds: 0.0, seconds_per_example: 0.0, ..draw },
        TimeDraw { seconds_per_example: f64::MAX, ..draw },
        TimeDraw { model: TimeModel::Overlap { gamma: 0.5 }, ..draw },
    ] {
        let error = bad(Problem { time: of(vec![draw, wrong]), ..good.clone() });
        assert!(matches!(error, DecideError::BadTimeDraw { index: 1, .. }), "{error}");
    }
    for (median, ln_sd, correlation) in [(0.0, 0.1, 0.0), (1.0, f64::INFINITY, 0.0), (1.0, 0.1, 1.5)] {
        let steps = Some(StepsBelief { median, ln_sd, correlation });
        assert!(matches!(bad(Problem { steps, ..good.clone() }), DecideError::BadSteps { .. }));
    }
    let points = vec![MemoryBand { micro_batch: 8, expected_bytes: 2.0, upper_bytes: 1.0 }];
    let memory = Memory::Band { points, limit_bytes: 10 };
    assert!(matches!(bad(Problem { memory, ..good.clone() }), DecideError::BadMemory { index: 0, .. }));
    for wrong in [
        Devices { counts: vec![], ..devices(0.1) },
        Devices { counts: vec![2, 2], ..devices(0.1) },
        Devices { counts: vec![0], ..devices(0.1) },
        Devices { gamma: 11.0, ..devices(0.1) },
        devices(f64::NAN),
    ] {
        let error = bad(Problem { devices: Some(wrong), ..good.clone() });
        assert!(matches!(error, DecideError::BadDevices { .. }));
    }
    for tau in [0.0, f64::NAN, f64::INFINITY] {
        let objective = Objective::ExamplesBudget { tau };
        assert!(matches!(bad(Problem { objective, ..good.clone() }), DecideError::BadTolerance { .. }));
    }
    for quantile in [0.4, 1.0, f64::NAN] {
        let rule = Rule::Minimax { quantile };
        assert!(matches!(bad(Problem { rule, ..good.clone() }), DecideError::BadQuantile { .. }));
    }
    let many = bad(Problem { n_draws: usize::MAX, ..good });
    assert!(matches!(many, DecideError::TooManyDraws { settings: 14, .. }), "{many}");
}

#[test]
fn the_powers_of_two_of_a_range() {
    assert_eq!(powers_of_two(3, 40), [4, 8, 16, 32]);
    assert_eq!(powers_of_two(0, 2), [1, 2]);
    assert_eq!(powers_of_two(1 << 63, u64::MAX), [1 << 63]);
    assert!(powers_of_two(9, 8).is_empty());
}

/// Numbers of every size, and some that are none.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (-300.0f64..300.0).prop_map(|e| 10f64.powf(e)),
        (-3.0f64..4.0).prop_map(|e| 10f64.powf(e)),
        Just(0.0),
    ]
}

fn any_time() -> impl Strategy<Value = TimeBelief> {
    let batch = prop_oneof![1u64..2000, any::<u64>()];
    let candidate = (batch.clone(), any_number(), 0.0f64..1.0)
        .prop_map(|(batch, seconds, relative_error)| Candidate { batch, seconds, relative_error });
    let model = prop_oneof![
        Just(TimeModel::Sum),
        Just(TimeModel::Max),
        (1.0f64..10.0).prop_map(|gamma| TimeModel::Overlap { gamma })
    ];
    let draw =
        (model, any_number(), any_number()).prop_map(|(model, overhead_seconds, seconds_per_example)| {
            TimeDraw { model, overhead_seconds, seconds_per_example }
        });
    prop_oneof![
        prop::collection::vec(candidate, 0..5).prop_map(|candidates| TimeBelief::Measured { candidates }),
        (prop::collection::vec(batch, 0..5), prop::collection::vec(draw, 0..4))
            .prop_map(|(batches, draws)| TimeBelief::Model { batches, draws }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_problem_gets_numbers_or_an_error(
        time in any_time(),
        (median, ln_sd, s_median, s_sd) in (any_number(), any_number(), any_number(), any_number()),
        (tau, sync, gamma, quantile) in (any_number(), any_number(), 1.0f64..10.0, 0.5f64..1.0),
        (objective, source, memory, flags) in (0u8..3, 0u8..3, prop::option::of(any::<u64>()), any::<u8>()),
        counts in prop::collection::vec(1u64..9, 1..3),
    ) {
        let task = if flags & 1 == 0 { Task::Supervised } else { Task::Any };
        let source = [CriticalSource::Sweep, CriticalSource::Stated, CriticalSource::NoiseScale { task }]
            [usize::from(source)];
        let critical = CriticalBatch { source, lower_bound_only: flags & 2 == 0, ..belief(1.0, 0.0) };
        let problem = Problem {
            steps: (flags & 4 == 0)
                .then_some(StepsBelief { median: s_median, ln_sd: s_sd, correlation: -0.5 }),
            memory: memory.map_or(Memory::Unlimited, largest),
            accumulation: flags & 8 == 0,
            devices: (flags & 16 == 0).then_some(Devices { counts, gamma, ..devices(sync) }),
            objective: [Objective::TimeToTarget, Objective::DeviceSeconds, Objective::ExamplesBudget { tau }]
                [usize::from(objective)],
            rule: if flags & 32 == 0 { Rule::Expected } else { Rule::Minimax { quantile } },
            n_draws: 20,
            ..Problem::new(time, CriticalBatch { median, ln_sd, ..critical })
        };
        let Ok(d) = problem.decide() else { return Ok(()) };
        let chosen = d.chosen().unwrap();
        prop_assert!(d.standings.iter().all(|s| s.expected_regret >= 0.0));
        prop_assert!(chosen.batch == d.batch_size && d.micro_batch * d.accumulation_steps >= d.batch_size / d.devices);
        // Every number inside is one: those that are not would be printed as one of these.
        let text = format!("{d:?}");
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        prop_assert!(words.into_iter().all(|w| w != "inf" && w != "NaN"), "{text}");
        prop_assert_eq!(problem.decide().unwrap(), d);
    }
}
