//! Laws of targets, of the best evaluation, and of periods: pure functions of a run's evaluations.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use batchwise_estimate::grade::Grade;
use batchwise_schedule::{Examples, Length, RunLength, Steps};
use batchwise_train::Evaluation;
use batchwise_train::best::{Best, Rules, Stop, Watch};
use batchwise_train::period::Every;
use batchwise_train::target::{
    Between, Course, CourseError, Mark, Metric, Outcome, Reached, Target, TargetError,
};
use proptest::prelude::*;

fn mark(examples: u64) -> Mark {
    Mark {
        examples: Examples(examples),
        steps: Steps(examples / 32),
        epochs: examples as f64 / 500.0,
        seconds: examples as f64 * 0.013,
    }
}

fn course(target: Target, confirm: u32, points: &[(u64, f64)]) -> Course {
    let mut course = Course::new(target, confirm).unwrap();
    for (examples, metric) in points {
        course.observe(mark(*examples), *metric).unwrap();
    }
    course
}

fn reached(course: &Course) -> Option<Reached> {
    match course.outcome() {
        Outcome::Reached(reached) => Some(reached),
        Outcome::Censored { .. } => None,
    }
}

fn accuracy(at: f64) -> Target {
    Target::new(Metric::Accuracy, at).unwrap()
}

proptest! {
    #[test]
    fn a_target_reads_back_from_its_text_and_its_json(at in prop::num::f64::ANY, is_loss: bool) {
        let metric = if is_loss { Metric::Loss } else { Metric::Accuracy };
        match Target::new(metric, at) {
            Ok(target) => {
                prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
                let json = serde_json::to_string(&target).unwrap();
                prop_assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
            }
            Err(error) => prop_assert!(matches!(error, TargetError::Range { .. }), "{}", error),
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,20}", metric in "(loss|accuracy)?", value in "[-+0-9.eEinfNa ]{0,9}") {
        let _ = text.parse::<Target>();
        let _ = format!("{metric}={value}").parse::<Target>();
    }

    /// Whatever the curve, NaN and infinity included: each clock's value lies within its evaluations, which are two that
    /// follow one another, and the target was not met at the first.
    #[test]
    fn the_value_lies_between_its_evaluations(
        steps in prop::collection::vec((1u64..1000, prop_oneof![9 => -1f64..2.0, 1 => prop::num::f64::ANY]), 1..40),
        at in 0.01f64..1.0,
        is_loss: bool,
        confirm in 1u32..4,
    ) {
        let target = Target::new(if is_loss { Metric::Loss } else { Metric::Accuracy }, at).unwrap();
        let mut examples = 0;
        let points: Vec<(u64, f64)> = steps.iter().map(|(n, value)| { examples += n; (examples, *value) }).collect();
        let course = course(target, confirm, &points);
        let met: Vec<bool> = points.iter().map(|(_, value)| target.is_met(*value)).collect();
        // By definition: the first of `confirm` running.
        let start = met.windows(confirm as usize).position(|run| run.iter().all(|met| *met));
        match (start, course.outcome()) {
            (Some(i), Outcome::Reached(reached)) => {
                prop_assert_eq!(reached.examples.high, points[i].0 as f64);
                prop_assert_eq!(reached.examples.low, if i == 0 { 0.0 } else { points[i - 1].0 as f64 });
                for Between { low, high, value } in [reached.examples, reached.steps, reached.epochs, reached.seconds] {
                    prop_assert!(low <= value && value <= high);
                }
                let is_known = 0 < i && points[i - 1].1.is_finite();
                prop_assert_eq!(reached.grade == Grade::Measured, is_known);
                prop_assert!(is_known || reached.examples.value == reached.examples.high);
            }
            (None, Outcome::Censored { after }) => {
                let last = met.iter().rposition(|met| !met).map_or(0, |i| points[i].0);
                prop_assert_eq!(after.examples, Examples(last));
            }
            (start, outcome) => prop_assert!(false, "{:?} {:?}", start, outcome),
        }
        prop_assert_eq!(course.first().is_some(), met.contains(&true));
    }

    /// On a monotone curve evaluations twice as often tell an interval within the former one; and a straight line is
    /// told exactly.
    #[test]
    fn finer_periods_give_nested_intervals(period in 1u64..200, at in 0.05f64..0.95, bend in 0.3f64..3.0) {
        let target = accuracy(at);
        let curve = |examples: u64| (examples as f64 / 1000.0).min(1.0).powf(bend);
        let every = |period: u64| {
            let points: Vec<_> = (1..=1200 / period).map(|k| (k * period, curve(k * period))).collect();
            reached(&course(target, 1, &points))
        };
        if let Some(coarse) = every(2 * period) {
            let fine = every(period).unwrap();
            prop_assert!(coarse.examples.low <= fine.examples.low && fine.examples.high <= coarse.examples.high);
            let truth = 1000.0 * at.powf(1.0 / bend);
            prop_assert!(fine.examples.low <= truth + 1e-9 && truth <= fine.examples.high + 1e-9);
        }
        let line: Vec<_> = (0..=10).map(|k| (k * period * 8, k as f64 / 10.0)).collect();
        let told = reached(&course(target, 1, &line)).unwrap().examples.value;
        prop_assert!((told - at * (80 * period) as f64).abs() < 1e-6 * (80 * period) as f64);
    }

    /// A run that is stored and read back in the middle tells what it would have told.
    #[test]
    fn a_watch_resumes_from_its_text(
        values in prop::collection::vec(prop_oneof![9 => 0f64..1.0, 1 => Just(f64::NAN)], 2..30),
        cut in 0usize..30,
    ) {
        let rules = Rules {
            target: Some(accuracy(0.8)), confirm: 2, patience: Some(Examples(500)), best_by: Metric::Loss,
        };
        let evaluation = |value: f64| Evaluation { loss: 1.0 - value, loss_error: None, accuracy: Some(value), n_examples: 9 };
        let (mut straight, mut resumed) = (Watch::new(rules).unwrap(), Watch::new(rules).unwrap());
        for (i, value) in values.iter().enumerate() {
            if i == cut % values.len() {
                resumed = serde_json::from_str(&serde_json::to_string(&resumed).unwrap()).unwrap();
            }
            let at = mark(100 * (i as u64 + 1));
            let (a, b) = (straight.observe(at, &evaluation(*value)), resumed.observe(at, &evaluation(*value)));
            prop_assert_eq!(a.unwrap(), b.unwrap());
        }
        prop_assert_eq!(straight, resumed);
    }

    /// Steps of any size, cut anywhere, reach each moment exactly once.
    #[test]
    fn moments_are_reached_exactly_once(
        sizes in prop::collection::vec(1u64..300, 1..60),
        length in prop_oneof![
            (1u64..500).prop_map(Length::Examples),
            (0.01f64..3.0).prop_map(Length::Epochs),
            (0.001f64..1.0).prop_map(Length::Fraction),
        ],
    ) {
        let run = RunLength { dataset_size: Some(101), ..RunLength::of(Examples(5003)) };
        let every = Every::new(length, &run).unwrap();
        let (mut at, mut seen) = (0, 0);
        for size in &sizes {
            let next = every.next(at).unwrap();
            prop_assert!(at < next);
            prop_assert_eq!(every.between(at, next - 1), 0);
            prop_assert_eq!(every.between(at, next), 1);
            seen += every.between(at, at + size);
            at += size;
        }
        prop_assert_eq!(seen, every.between(0, at));
        let exact = match length {
            Length::Epochs(epochs) => epochs * 101.0,
            Length::Fraction(share) => share * 5003.0,
            Length::Examples(n) | Length::Tokens(n) => n as f64,
        };
        // Rounding to whole examples moves a moment by a half at most.
        let count = seen as f64;
        prop_assert!(count * exact <= at as f64 + 0.5 + 1e-6 && at as f64 <= (count + 1.0) * exact + 0.5);
    }

    #[test]
    fn the_best_is_the_earliest_of_the_best(values in prop::collection::vec(prop_oneof![
        8 => (0u32..5).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(f64::NEG_INFINITY)], 1..30), is_loss: bool) {
        let metric = if is_loss { Metric::Loss } else { Metric::Accuracy };
        let mut best = Best::new(metric);
        for (i, value) in values.iter().enumerate() {
            best.observe(mark(i as u64), *value);
        }
        let finite = values.iter().copied().filter(|v| v.is_finite());
        let want = if is_loss { finite.reduce(f64::min) } else { finite.reduce(f64::max) };
        let place = want.and_then(|want| values.iter().position(|v| *v == want));
        prop_assert_eq!(best.get().map(|b| (b.at.examples.0 as usize, b.metric)), place.zip(want));
        let since = values.len() - 1 - place.unwrap_or(0);
        prop_assert_eq!(best.without_improvement(), Examples(since as u64));
    }
}

#[test]
fn a_bad_text_is_told_exactly() {
    let error = |text: &str| text.parse::<Target>().unwrap_err().to_string();
    assert_eq!(error("0.9"), "`0.9` is no target: write `accuracy=0.9` or `loss=0.3`");
    assert_eq!(error("f1=0.9"), "`f1` in `f1=0.9` is no metric: allowed are `loss` and `accuracy`");
    assert_eq!(error("loss= 0,3"), "`0,3` in `loss= 0,3` (from character 7) is no number");
    assert_eq!(
        error("accuracy=90"),
        "the target of the accuracy is 90, but must be above 0 and at most 1 (a share, not a percentage)"
    );
    assert_eq!(error("loss=inf"), "the target of the loss is inf, but must be finite");
    assert!(serde_json::from_str::<Target>("\"accuracy=2\"").is_err());
}

#[test]
fn a_crossing_that_did_not_hold_counts_only_for_the_first() {
    let course =
        course(accuracy(0.5), 2, &[(10, 0.4), (20, 0.6), (30, 0.45), (40, 0.55), (50, 0.7), (60, 0.1)]);
    assert_eq!(course.first().unwrap().examples.high, 20.0);
    let reached = reached(&course).unwrap();
    assert_eq!((reached.examples.low, reached.examples.high), (30.0, 40.0));
    assert!((reached.examples.value - 35.0).abs() < 1e-9);
}

#[test]
fn evaluations_must_follow_one_another() {
    let mut course = course(accuracy(0.5), 1, &[(10, 0.4)]);
    let before = course.clone();
    let error = course.observe(mark(9), 0.9).unwrap_err();
    assert!(matches!(error, CourseError::Backwards { clock: "examples", .. }), "{error}");
    let error = course.observe(Mark { seconds: f64::NAN, ..mark(11) }, 0.9).unwrap_err();
    assert!(matches!(error, CourseError::Backwards { clock: "seconds", .. }), "{error}");
    assert_eq!(course, before);
    assert_eq!(Course::new(accuracy(0.5), 0), Err(CourseError::NoConfirmation));
}

#[test]
fn a_run_ends_at_its_target_or_when_it_stands_still() {
    let rules = Rules {
        target: Some(accuracy(0.9)),
        confirm: 1,
        patience: Some(Examples(200)),
        best_by: Metric::Accuracy,
    };
    let at = |value| Evaluation { loss: 0.5, loss_error: None, accuracy: Some(value), n_examples: 10 };
    let mut watch = Watch::new(rules).unwrap();
    assert_eq!(watch.observe(mark(100), &at(0.5)).unwrap().stop, None);
    assert!(watch.observe(mark(200), &at(0.6)).unwrap().is_best);
    assert_eq!(watch.observe(mark(300), &at(0.6)).unwrap().stop, None);
    let verdict = watch.observe(mark(400), &at(0.55)).unwrap();
    assert_eq!(verdict.stop, Some(Stop::NoImprovement { examples: Examples(200) }));
    assert_eq!(watch.observe(mark(500), &at(0.95)).unwrap().stop, Some(Stop::Target));
    assert_eq!(watch.best().get().unwrap().at.examples, Examples(500));
    let no_classes = Evaluation { accuracy: None, ..at(0.0) };
    let error = watch.observe(mark(600), &no_classes).unwrap_err().to_string();
    assert!(error.contains("is accuracy, but must be loss"), "{error}");
    assert!(Watch::new(Rules { patience: Some(Examples(0)), ..rules }).is_err());
    assert!(Watch::new(Rules { confirm: 0, ..rules }).is_err());
}

#[test]
fn periods_that_cannot_be_told_are_refused() {
    let run = RunLength::of(Examples(1000));
    for length in [Length::Epochs(1.0), Length::Examples(0), Length::Fraction(0.0001), Length::Fraction(2.0)]
    {
        let error = Every::new(length, &run).unwrap_err().to_string();
        assert!(error.starts_with("the period is"), "{error}");
    }
    let every = Every::new(Length::Examples(u64::MAX), &run).unwrap();
    assert_eq!((every.next(0), every.next(u64::MAX)), (Some(u64::MAX), None));
    assert!(every.is_due(990, 1000, 1000) && !every.is_due(980, 990, 1000));
}
